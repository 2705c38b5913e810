/**
 * Many nodes as one: the topology document in force, the snapshot built from
 * it, and the nodes it names.
 *
 * It decides with which epoch a node is used (`admit`), takes up a newer
 * document wherever one is met, and swaps the snapshot. It does not know what
 * is cached, nor why a ring changes.
 */
import type { Clock, Timer } from '../clock.ts';
import { TopologyConflictError } from '../errors.ts';
import type { ClientOptions } from '../node/address.ts';
import { epochOf, fenceOf } from '../node/fence.ts';
import type { Admission, Admit, CacheNode, Greeting } from '../node/node.ts';
import { HashRing } from '../ring/ring.ts';
import {
  encodeDocument,
  HISTORY_LENGTH,
  type Member,
  parseDocument,
  publicAddress,
  type TopologyDocument,
  withCredentials,
} from './document.ts';
import { MissedDeletes } from './missed.ts';
import { type RingEra, Snapshot } from './snapshot.ts';

/** A member as this process reaches it. */
export interface Seat {
  readonly id: string;
  /** With credentials, if any. */
  readonly url: string;
  readonly weight: number;
  /** Options of the Redis client on top of the URL. */
  readonly redis?: ClientOptions | undefined;
}

export interface RingTuning {
  readonly points: number;
  readonly placement: 'xxh32' | 'ketama';
}

export interface TopologyParts {
  readonly clock: Clock;
  readonly ring: RingTuning;
  /** Makes the node of a seat; does not connect it. */
  readonly seat: (seat: Seat, admit: Admit) => CacheNode;
  /** Called right after the snapshot was swapped. */
  readonly swapped: (now: Snapshot, adopted: boolean) => void;
}

/** Leaves a node that is no longer used time for the answers under way. */
const RETIRE_AFTER_MS = 1_000;
/** A node that turns us away though no newer document is to be found is not asked about it more often than this. */
const FRUITLESS_MS = 100;

export class Topology {
  /** What nodes missed while they were away. */
  readonly missed: MissedDeletes;
  readonly #parts: TopologyParts;
  readonly #seats = new Map<string, Seat>();
  readonly #nodes = new Map<string, CacheNode>();
  /** Nodes that are to join: admitted only if no other fleet uses them. */
  readonly #candidates = new Set<string>();
  readonly #retired = new Map<CacheNode, Timer>();
  /** The newest document known; the snapshot follows it as soon as its nodes are connected. */
  #document: TopologyDocument;
  #snapshot: Snapshot;
  #takingUp: Promise<void> | undefined;
  #refreshing: Promise<void> | undefined;
  #fruitlessUntil = 0;
  /** Why nodes were not admitted, by id. */
  readonly #refusals = new Map<string, TopologyConflictError>();
  #closed = false;

  private constructor(parts: TopologyParts, seats: readonly Seat[], ring: HashRing) {
    this.#parts = parts;
    const [node, learn] = [(id: string) => this.#nodes.get(id), this.#learn.bind(this)];
    this.missed = new MissedDeletes(this, { clock: parts.clock, node, learn });
    for (const seat of seats) this.#seat(seat);
    const members = seats.map(memberOf);
    this.#document = {
      version: 1,
      epoch: 1,
      fingerprint: ring.fingerprint,
      origin: ring.fingerprint,
      members,
      source: null,
      floors: {},
      locks: { since: 1, leaving: [], sealed: true, floor: 0 },
      history: [{ since: 1, members: members.map(({ id, weight }) => ({ id, weight })) }],
    };
    this.#snapshot = this.#build(this.#document, [{ since: 1, ring }]);
  }

  /** A topology that is not connected yet. */
  static async create(seats: readonly Seat[], parts: TopologyParts): Promise<Topology> {
    const ring = await HashRing.create(
      seats.map(({ id, weight }) => ({ id, weight })),
      parts.ring,
    );
    return new Topology(parts, seats, ring);
  }

  /** What an operation uses from its start to its end. Hot path. */
  get snapshot(): Snapshot {
    return this.#snapshot;
  }

  get document(): TopologyDocument {
    return this.#document;
  }

  /**
   * Connects all nodes; those that do not answer are left to heal.
   *
   * @throws TopologyConflictError when a node serves another member list of the same epoch.
   */
  async open(): Promise<void> {
    await Promise.all([...this.#nodes.values()].map((node) => node.open()));
    await this.#takingUp;
    for (const refusal of this.#refusals.values()) throw refusal;
  }

  /**
   * Looks for a newer document and takes it up: for an operation that a node
   * turned away as outdated. Resolves when the snapshot is the newest known.
   *
   * @param outdated What the operation used: if another is in force already, nobody is asked.
   */
  refresh(outdated: Snapshot): Promise<void> {
    if (this.#snapshot !== outdated) return Promise.resolve();
    if (this.#takingUp !== undefined) return this.#takingUp;
    // All that were turned away meanwhile wait for the same answer: one that
    // went on without it would be turned away again, until it gave up.
    this.#refreshing ??= this.#lookForNews().finally(() => {
      this.#refreshing = undefined;
    });
    return this.#refreshing;
  }

  async #lookForNews(): Promise<void> {
    if (this.#parts.clock.now() < this.#fruitlessUntil || this.#closed) return;
    const { epoch } = this.#document;
    await new Promise<void>((resolve) => {
      // The first news will do: a node that hangs does not hold up the others' keys.
      const asked = [...this.#nodes.values()].map(async (node) => {
        const greeting = await node.greet().catch(() => undefined);
        this.#learn(parseDocument(greeting?.document));
        if (this.#document.epoch > epoch) resolve();
      });
      void Promise.all(asked).then(() => resolve());
    });
    await this.#takingUp;
    if (this.#document.epoch === epoch) {
      this.#fruitlessUntil = this.#parts.clock.now() + FRUITLESS_MS;
    }
  }

  /** The node of a seat that may join, connected; the caller takes it back with `dismiss` if it does not. */
  async invite(seat: Seat): Promise<CacheNode> {
    this.#candidates.add(seat.id);
    const left = this.#nodes.get(seat.id);
    if (left !== undefined && this.#seats.get(seat.id)?.url === seat.url) {
      // It has left shortly before, and locks may be on it still.
      await left.readmit();
      return left;
    }
    const node = this.#seat(seat);
    await Promise.all([node.open(), left?.close()]);
    return node;
  }

  /** Why a node was not admitted; undefined when it was, or could not be asked. */
  refusalOf(id: string): TopologyConflictError | undefined {
    return this.#refusals.get(id);
  }

  /** Does nothing when the node is a member by now: another process may have added it meanwhile. */
  async dismiss(id: string): Promise<void> {
    await this.#takingUp;
    this.#candidates.delete(id);
    this.#refusals.delete(id);
    if (this.#snapshot.nodes.has(id) || this.#snapshot.leaving.has(id)) return;
    const node = this.#nodes.get(id);
    this.#nodes.delete(id);
    this.#seats.delete(id);
    await node?.close();
  }

  /** Puts a document into force here. It must have been accepted by a node, or found at one. */
  async takeUp(document: TopologyDocument): Promise<void> {
    this.#learn(document, false);
    await this.#takingUp;
  }

  async close(): Promise<void> {
    this.#closed = true;
    for (const timer of this.#retired.values()) timer.cancel();
    const nodes = [...this.#nodes.values(), ...this.#retired.keys()];
    await Promise.all(nodes.map((node) => node.close()));
  }

  /** Whether and with which epoch a node that has just been connected is used. */
  readonly #admit: Admit = async (id: string, greeting: Greeting): Promise<Admission> => {
    const found = parseDocument(greeting.document);
    const refusal = this.#candidates.has(id)
      ? this.#refuseCandidate(id, greeting, found)
      : await this.#refuseMember(id, greeting, found);
    if (refusal !== undefined) {
      this.#refusals.set(id, refusal);
      return { kind: 'reject', reason: refusal };
    }
    this.#refusals.delete(id);
    return {
      missed: this.#candidates.has(id) ? undefined : await this.missed.atAdmission(id),
      kind: 'install',
      fence: fenceOfDocument(this.#document),
      document: encodeDocument(this.#document),
    };
  };

  #refuseCandidate(
    id: string,
    greeting: Greeting,
    found: TopologyDocument | undefined,
  ): TopologyConflictError | undefined {
    const { epoch, origin } = this.#document;
    const stands = greeting.fence === undefined ? 0 : epochOf(greeting.fence);
    if (found !== undefined && found.origin !== origin) {
      return new TopologyConflictError(id, 'belongs to another fleet; it was not changed');
    }
    // One that has left stands where the fleet stood then.
    if (stands >= epoch && greeting.fence !== fenceOfDocument(this.#document)) {
      return new TopologyConflictError(
        id,
        `serves epoch ${stands} already, while this fleet is at ${epoch}; it was not changed`,
      );
    }
    return undefined;
  }

  async #refuseMember(
    id: string,
    greeting: Greeting,
    found: TopologyDocument | undefined,
  ): Promise<TopologyConflictError | undefined> {
    if (greeting.fence === undefined) return undefined;
    const stands = epochOf(greeting.fence);
    if (stands < this.#document.epoch) return undefined;
    if (stands === this.#document.epoch) {
      if (greeting.fence === fenceOfDocument(this.#document)) return undefined;
      return new TopologyConflictError(
        id,
        `serves another list of members under the same epoch ${stands}: ` +
          'all processes must be started with the same nodes, weights and ring options; ' +
          'change the ring with addNode and removeNode, or use another namespace',
      );
    }
    this.#learn(found);
    if (this.#document.epoch >= stands) return undefined;
    // The node was raised by an operation before its copy of the document came.
    await this.#learnFromOthers(id);
    if (this.#document.epoch >= stands) return undefined;
    if (greeting.fence === fenceOf(stands, this.#document.fingerprint)) {
      this.#learn(this.#renumbered(stands));
      return undefined;
    }
    return new TopologyConflictError(
      id,
      `serves epoch ${stands}, and no node has a topology document as new as that which fits the ring options ` +
        'of this process: all must be started with the same points and placement',
    );
  }

  async #learnFromOthers(id: string): Promise<void> {
    const others = [...this.#nodes.values()].filter((node) => node.id !== id);
    const greetings = await Promise.allSettled(others.map((node) => node.greet()));
    for (const greeting of greetings) {
      if (greeting.status === 'fulfilled') this.#learn(parseDocument(greeting.value.document));
    }
  }

  /** The same members under a number found at a node; what was stored before it is not believed. */
  #renumbered(epoch: number): TopologyDocument {
    const members = this.#document.members.map(({ id, weight }) => ({ id, weight }));
    const locks = { since: epoch, leaving: [], sealed: true, floor: 0 };
    return { ...this.#document, epoch, source: null, locks, history: [{ since: epoch, members }] };
  }

  #learn(document: TopologyDocument | undefined, adopted = true): void {
    if (document === undefined || document.epoch <= this.#document.epoch || this.#closed) return;
    // A node of another fleet does not tell this one what to do. At the start the
    // nodes know better than the configuration which fleet this is.
    if (this.#document.epoch > 1 && document.origin !== this.#document.origin) return;
    // With other ring options this process would look for every key at another
    // node than the rest of the fleet does.
    const { ring } = this.#snapshot;
    if (ring.ofSameKind(document.members).fingerprint !== document.fingerprint) return;
    this.#document = document;
    this.#takingUp ??= this.#followDocument(adopted).finally(() => {
      this.#takingUp = undefined;
    });
  }

  async #followDocument(adopted: boolean): Promise<void> {
    let document: TopologyDocument;
    do {
      document = this.#document;
      // Nodes are connected before the snapshot names them: else their keys
      // would miss for as long as connecting takes.
      await Promise.all(this.#newSeats(document).map((seat) => this.#seat(seat).open()));
    } while (document !== this.#document && !this.#closed);
    if (this.#closed) return;
    const { ring } = this.#snapshot;
    const eras = document.history.map(({ since, members }) => {
      return { since, ring: ring.ofSameKind(members) };
    });
    this.#snapshot = this.#build(document, eras);
    this.#candidates.clear();
    const { nodes, leaving } = this.#snapshot;
    for (const [id, node] of this.#nodes) {
      if (!nodes.has(id) && !leaving.has(id)) this.#retire(id, node);
    }
    this.#parts.swapped(this.#snapshot, adopted);
  }

  #newSeats(document: TopologyDocument): Seat[] {
    const first = this.#seats.values().next().value;
    const seats: Seat[] = [];
    const { members, source, locks } = document;
    for (const member of [...members, ...(source ?? []), ...locks.leaving]) {
      if (this.#nodes.has(member.id) || seats.some(({ id }) => id === member.id)) continue;
      seats.push({
        ...member,
        url: withCredentials(member.url, first?.url ?? ''),
        redis: first?.redis,
      });
    }
    return seats;
  }

  #build(document: TopologyDocument, eras: readonly RingEra[]): Snapshot {
    return new Snapshot({
      epoch: document.epoch,
      fence: fenceOfDocument(document),
      eras,
      joint: document.source !== null,
      floors: document.floors,
      nodes: this.#nodesOf([...document.members, ...(document.source ?? [])]),
      locksSince: document.locks.since,
      lockFloor: document.locks.floor,
      leaving: this.#nodesOf(document.locks.leaving),
    });
  }

  #nodesOf(members: readonly Member[]): Map<string, CacheNode> {
    const nodes = new Map<string, CacheNode>();
    for (const { id } of members) {
      const node = this.#nodes.get(id);
      if (node !== undefined) nodes.set(id, node);
    }
    return nodes;
  }

  #seat(seat: Seat): CacheNode {
    const node = this.#parts.seat(seat, this.#admit);
    this.#seats.set(seat.id, seat);
    this.#nodes.set(seat.id, node);
    return node;
  }

  #retire(id: string, node: CacheNode): void {
    this.#nodes.delete(id);
    this.#seats.delete(id);
    const timer = this.#parts.clock.after(RETIRE_AFTER_MS, () => {
      this.#retired.delete(node);
      node.close().catch(() => {});
    });
    this.#retired.set(node, timer);
  }
}

export function memberOf(seat: Seat): Member {
  return { id: seat.id, url: publicAddress(seat.url), weight: seat.weight };
}

/** What the nodes compare with theirs. */
export function fenceOfDocument(document: TopologyDocument): string {
  return fenceOf(document.epoch, document.fingerprint);
}

/** The history with a new present in front. */
export function withEra(
  document: Pick<TopologyDocument, 'history'>,
  since: number,
  members: readonly Member[],
): TopologyDocument['history'] {
  const era = { since, members: members.map(({ id, weight }) => ({ id, weight })) };
  return [era, ...document.history].slice(0, HISTORY_LENGTH);
}
