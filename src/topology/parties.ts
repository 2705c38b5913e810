/**
 * Who joins and who leaves: connects the servers that join, and finds out of
 * those that leave, or are replaced, whether anybody can use them still.
 */
import { type Clock, pause } from '../clock.ts';
import { NodeUnavailableError, TopologyConflictError } from '../errors.ts';
import type { CacheNode } from '../node/node.ts';
import type { Member } from './document.ts';
import type { Gates } from './gates.ts';
import { memberOf, type RingChange, readdressed } from './ring-change.ts';
import type { Seat } from './seats.ts';
import type { Topology } from './topology.ts';

/** Within this time a connection is tried again, and it shows whether a server is there. */
const GONE_MS = 1_500;
const GONE_STEP_MS = 50;

export class Parties {
  /** Those that join, or are at another address, connected. */
  readonly invited = new Map<string, CacheNode>();
  /** Members that are another server at their new address. */
  readonly replaced = new Set<string>();
  /** Members that leave and run no more. */
  lost: ReadonlySet<string> = new Set();
  readonly #topology: Topology;
  readonly #clock: Clock;
  readonly #change: RingChange;
  readonly #joining: readonly [Member, Seat][];

  /** @param epoch Of the change: when a member was given its address. */
  constructor(change: RingChange, epoch: number, of: { topology: Topology; clock: Clock }) {
    this.#change = change;
    this.#topology = of.topology;
    this.#clock = of.clock;
    this.#joining = joining(change, of.topology.document.members, epoch);
  }

  /** @throws NodeUnavailableError, TopologyConflictError: one cannot join. */
  async invite(gates: Gates): Promise<void> {
    for (const [member, seat] of this.#joining) {
      this.invited.set(seat.id, await this.#invite(member, seat, gates));
    }
  }

  /**
   * Looks at those that leave or are replaced.
   *
   * @throws TopologyConflictError when one still answers at the address that it is to have no
   *   more: processes that have not heard would go on using it, behind the back of those that have.
   */
  async see(signal: AbortSignal | undefined): Promise<void> {
    await this.#seeReplaced();
    this.lost = await this.#lost(signal);
  }

  async dismiss(): Promise<void> {
    for (const [member] of this.#joining) await this.#topology.dismiss(member);
  }

  async #invite(member: Member, seat: Seat, gates: Gates): Promise<CacheNode> {
    const { leaving } = this.#topology.document.locks;
    const node = await this.#topology.invite(member, seat);
    if (node.state().state === 'up') {
      // One that has just left may have granted locks that count still.
      if (!leaving.some(({ id }) => id === seat.id)) await gates.welcome(node);
      return node;
    }
    throw (
      this.#topology.refusalOf(member) ??
      new NodeUnavailableError(seat.id, 'connection', 'it cannot join the ring')
    );
  }

  async #seeReplaced(): Promise<void> {
    for (const { id } of this.#change.readdress ?? []) {
      const present = this.#topology.snapshot.nodes.get(id);
      const runs = await Promise.all([runIdOf(present), runIdOf(this.invited.get(id))]);
      const [runHere, runThere] = runs;
      if (runHere === runThere) continue;
      if (runHere !== undefined) {
        const why =
          'still answers at its present address, and is another server there: stop that one first, or ' +
          'add the new one under another id and remove this one, which copies what it has';
        throw new TopologyConflictError(id, why);
      }
      this.replaced.add(id);
    }
  }

  /**
   * Those that leave and run no more. One that does not answer here may serve others, who may not
   * have heard: that one is waited for, until nobody trusts what he knows.
   */
  async #lost(signal: AbortSignal | undefined): Promise<Set<string>> {
    const { nodes } = this.#topology.snapshot;
    const leaving = this.#change.remove.flatMap((id) => nodes.get(id) ?? []);
    for (let waitedMs = 0; waitedMs < GONE_MS; waitedMs += GONE_STEP_MS) {
      if (leaving.every((node) => node.state().state === 'up' || node.gone)) break;
      await pause(this.#clock, GONE_STEP_MS, signal);
    }
    return new Set(leaving.filter((node) => node.gone).map(({ id }) => id));
  }
}

function joining(
  { add, readdress = [] }: RingChange,
  members: readonly Member[],
  epoch: number,
): [Member, Seat][] {
  return [
    ...add.map((seat): [Member, Seat] => [memberOf(seat), seat]),
    ...readdress.flatMap((seat): [Member, Seat][] => {
      const member = members.find(({ id }) => id === seat.id);
      return member === undefined ? [] : [[readdressed(member, seat, epoch), seat]];
    }),
  ];
}

/** Undefined when it does not answer. */
async function runIdOf(node: CacheNode | undefined): Promise<string | undefined> {
  try {
    return (await node?.greet())?.runId;
  } catch (error) {
    if (error instanceof NodeUnavailableError) return undefined;
    throw error;
  }
}
