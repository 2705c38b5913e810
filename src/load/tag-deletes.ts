/**
 * Deletes by tag and by prefix: each node is told in one step that whatever
 * began before counts as absent. Nothing is looked for and nothing removed.
 *
 * As with single keys, the effect in this process comes first, and while the
 * ring changes the previous ring comes before the present one: a copy is made
 * under the sequence that the present owner had before the previous one was
 * looked at, so it is older than what the present owner is told last.
 */
import { type Clock, within } from '../clock.ts';
import { NodeUnavailableError } from '../errors.ts';
import type { Memory } from '../memory/memory.ts';
import type { CacheNode } from '../node/node.ts';
import type { Invalidation } from '../node/tag-node.ts';
import type { Snapshot } from '../topology/snapshot.ts';
import type { Topology } from '../topology/topology.ts';
import { inTime, SETTLE_ROUNDS } from './in-time.ts';
import type { Loader } from './loader.ts';
import type { LoadTuning } from './settings.ts';

export interface TagDeletesParts {
  readonly clock: Clock;
  readonly tuning: Pick<LoadTuning, 'nodeTimeoutMs'>;
  readonly topology: Topology;
  readonly memory: Memory;
  readonly loader: Loader;
  /** The longest life of an entry that is known of. */
  readonly longestMs: () => number;
  /** A node that has not been told yet. Must not throw. */
  readonly unconfirmed: (one: Invalidation, node: string) => void;
}

/** A node's time that it may take: for the attempt, for the note that it failed, and for one more. */
const ATTEMPTS = 3;

export class TagDeletes {
  readonly #parts: TagDeletesParts;
  readonly #bound: Parameters<typeof inTime>[2];

  constructor(parts: TagDeletesParts) {
    this.#parts = parts;
    this.#bound = { clock: parts.clock, nodeTimeoutMs: parts.tuning.nodeTimeoutMs };
  }

  /** Whether every node confirmed it. If not, it goes on in the background, for as long as a ttl. */
  async delete(all: readonly Invalidation[]): Promise<boolean> {
    const startedAt = this.#parts.clock.now();
    const expected = new Expected(all);
    this.#forget(all);
    let failed = new Set(this.#nodes(this.#parts.topology.snapshot));
    try {
      failed = await this.#apply(all, expected);
      if (failed.size > 0) failed = await this.#makeUp(all, { failed, startedAt, expected });
    } finally {
      this.#forget(all);
      expected.settle(failed, this.#parts.longestMs());
      for (const { id } of failed) for (const one of all) this.#parts.unconfirmed(one, id);
    }
    return failed.size === 0;
  }

  /** A node has been told what it had not before: while the ring changes, the present one comes after it. */
  confirmed(one: Invalidation, node: string): void {
    const { topology } = this.#parts;
    this.#forget([one]);
    topology.missed.confirmed(node);
    if (topology.snapshot.source !== undefined) this.#again([one]);
  }

  #again(all: readonly Invalidation[]): void {
    const expected = new Expected(all);
    this.#apply(all, expected)
      .catch(() => {})
      .finally(() => expected.settle(new Set(), 0));
  }

  /** The nodes that did not confirm it. */
  async #apply(all: readonly Invalidation[], expected: Expected): Promise<Set<CacheNode>> {
    const { topology } = this.#parts;
    for (let round = 0; ; round++) {
      const { snapshot } = topology;
      const nodes = this.#nodes(snapshot);
      expected.at(nodes);
      const failed = new Set<CacheNode>();
      const outdated = new Set<CacheNode>();
      const lost = new Set<CacheNode>();
      for (const phase of phasesOf(snapshot)) {
        const raised = phase.map(async (node) => {
          const kind = await this.#raise(node, all, snapshot.fence);
          if (kind === 'failed') failed.add(node);
          else if (kind === 'unknown') lost.add(node);
          else if (kind === 'stale') outdated.add(node);
        });
        await Promise.all(raised);
      }
      if (outdated.size + lost.size === 0) return failed;
      if (round === SETTLE_ROUNDS) return new Set([...failed, ...outdated, ...lost]);
      for (const node of lost)
        await inTime(node.readmit(), node, this.#bound).catch(unlessUnavailable);
      for (const node of [...outdated].slice(0, 1)) {
        await inTime(topology.refresh(snapshot), node, this.#bound).catch(unlessUnavailable);
      }
    }
  }

  async #raise(
    node: CacheNode,
    all: readonly Invalidation[],
    fence: string,
  ): Promise<'raised' | 'stale' | 'unknown' | 'failed'> {
    try {
      const connecting = this.#parts.topology.connecting(node);
      if (connecting !== undefined) await inTime(connecting, node, this.#bound);
      return (await node.tags.raise(all, fence)).kind;
    } catch (error) {
      unlessUnavailable(error);
      return 'failed';
    }
  }

  /** Noted for every process, then tried once more, as with a single key: see writes.ts. */
  async #makeUp(
    all: readonly Invalidation[],
    from: { failed: Set<CacheNode>; startedAt: number; expected: Expected },
  ): Promise<Set<CacheNode>> {
    const { clock, tuning, topology, longestMs } = this.#parts;
    const leftMs = from.startedAt + ATTEMPTS * tuning.nodeTimeoutMs - clock.now();
    const [some] = from.failed;
    if (some === undefined) return from.failed;
    const notes = [...from.failed].flatMap(({ id }) => {
      return all.map((one) => topology.missed.note(id, one, longestMs()));
    });
    const again = Promise.all(notes).then(() => this.#apply(all, from.expected));
    const late = () => new NodeUnavailableError(some.id, 'timeout');
    try {
      const failed = await within(again, leftMs, { clock, late });
      for (const node of from.failed) if (!failed.has(node)) topology.missed.confirmed(node.id);
      return failed;
    } catch (error) {
      unlessUnavailable(error);
      return from.failed;
    }
  }

  #nodes({ nodes, ring, source }: Snapshot): CacheNode[] {
    const ids = new Set([...ring.ids, ...(source?.ids ?? [])]);
    return [...ids].flatMap((id) => nodes.get(id) ?? []);
  }

  // What a flight will find is not known before it has: none is joined that
  // began before, whatever its tags.
  #forget(all: readonly Invalidation[]): void {
    const prefixes = all.flatMap(({ kind, name }) => (kind === 'prefix' ? name : []));
    const isMeant = (key: string): boolean => prefixes.some((prefix) => key.startsWith(prefix));
    this.#parts.loader.overtake(prefixes.length === all.length ? isMeant : () => true);
  }
}

/** The previous ring first: what is there may still be copied. Then the present one, with what has been copied. */
function phasesOf({ nodes, ring, source }: Snapshot): CacheNode[][] {
  const rings = source === undefined ? [ring] : [source, ring];
  return rings.map(({ ids }) => ids.flatMap((id) => nodes.get(id) ?? []));
}

/** The nodes where something is about to be deleted: until it is known since when, nothing of it is shown from memory. */
class Expected {
  readonly #all: readonly Invalidation[];
  readonly #nodes = new Set<CacheNode>();

  constructor(all: readonly Invalidation[]) {
    this.#all = all;
  }

  at(nodes: readonly CacheNode[]): void {
    for (const node of nodes) {
      if (this.#nodes.has(node)) continue;
      this.#nodes.add(node);
      node.tags.expect(this.#all);
    }
  }

  settle(failed: ReadonlySet<CacheNode>, longestMs: number): void {
    for (const node of this.#nodes) {
      if (failed.has(node)) node.tags.raiseLater(this.#all, longestMs);
      else node.tags.settle(this.#all);
    }
  }
}

function unlessUnavailable(error: unknown): void {
  if (!(error instanceof NodeUnavailableError)) throw error;
}
