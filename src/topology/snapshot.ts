/**
 * The ring and its nodes at one moment, immutable.
 *
 * An operation takes one snapshot at its start and uses it throughout: mixing
 * two (asking the old owner, storing at the new one) is how stale values
 * survive a change. The next snapshot is built aside and swapped in one
 * assignment.
 */
import type { CacheNode, Stored } from '../node/node.ts';
import type { HashRing } from '../ring/ring.ts';

/** Since when a ring has been the one that owns. */
export interface RingEra {
  readonly since: number;
  readonly ring: HashRing;
  /** As in the document. */
  readonly takenBack?: boolean;
}

export interface SnapshotParts {
  readonly epoch: number;
  readonly fence: string;
  /** Newest first; the first is the ring in force. */
  readonly eras: readonly RingEra[];
  /** Whether the ring before is still asked for what the present one lacks. */
  readonly joint: boolean;
  readonly floors: Readonly<Record<string, number>>;
  /** The `since` of the oldest ring that counts for locks. */
  readonly locksSince: number;
  /** Every number that is granted with a lock is larger. */
  readonly lockFloor: number;
  /** Nodes that locks may be on still, though they have left the rings in force. */
  readonly leaving: ReadonlyMap<string, CacheNode>;
  /** Every node of the rings in force, by id. */
  readonly nodes: ReadonlyMap<string, CacheNode>;
}

export class Snapshot {
  readonly epoch: number;
  /** What the nodes compare with theirs. */
  readonly fence: string;
  readonly ring: HashRing;
  /** The previous ring while a change is under way. */
  readonly source: HashRing | undefined;
  readonly nodes: ReadonlyMap<string, CacheNode>;
  readonly lockFloor: number;
  readonly #eras: readonly RingEra[];
  readonly floors: Readonly<Record<string, number>>;
  readonly #highestFloor: number;
  readonly #owners: readonly CacheNode[];
  readonly #sources: readonly CacheNode[];
  /** For each ring that counts for locks, the oldest first: its nodes, in the order of its ids. */
  readonly #lockRings: readonly { readonly ring: HashRing; readonly nodes: readonly CacheNode[] }[];
  readonly leaving: ReadonlyMap<string, CacheNode>;

  constructor(parts: SnapshotParts) {
    const [present, previous] = parts.eras;
    if (present === undefined) throw new TypeError('a snapshot needs a ring');
    this.epoch = parts.epoch;
    this.fence = parts.fence;
    this.ring = present.ring;
    this.source = parts.joint ? previous?.ring : undefined;
    this.nodes = parts.nodes;
    this.leaving = parts.leaving;
    this.lockFloor = parts.lockFloor;
    this.#eras = parts.eras;
    this.floors = parts.floors;
    this.#highestFloor = Math.max(0, ...Object.values(parts.floors));
    this.#owners = this.ring.ids.map((id) => this.#node(id));
    this.#sources = this.source === undefined ? [] : this.source.ids.map((id) => this.#node(id));
    this.#lockRings = parts.eras
      .filter(({ since }) => since >= parts.locksSince)
      .reverse()
      .map(({ ring }) => ({ ring, nodes: ring.ids.map((id) => this.#node(id)) }));
  }

  /** The epoch since which the ring has been the one that owns: tells one change from another. */
  get since(): number {
    return this.#eras[0]!.since;
  }

  /** `joint` while a change is under way. */
  get state(): 'stable' | 'joint' {
    return this.source === undefined ? 'stable' : 'joint';
  }

  /** The node that owns the keys of this hash. Hot path. */
  owner(hash: number): CacheNode {
    return this.#owners[this.ring.indexAt(hash)]!;
  }

  /** The node to ask besides the owner while a change is under way; undefined when the owner did not change. */
  previousOwner(hash: number): CacheNode | undefined {
    if (this.source === undefined) return undefined;
    const previous = this.#sources[this.source.indexAt(hash)]!;
    return previous === this.owner(hash) ? undefined : previous;
  }

  /**
   * The nodes at which a lock has to be held, in the order in which they are
   * asked: each that owned its name in a ring that counts still, the oldest
   * first. Whoever has the lock has the first of them, so nobody else can be
   * at the others meanwhile.
   */
  lockHomes(hash: number): CacheNode[] {
    const homes: CacheNode[] = [];
    for (const { ring, nodes } of this.#lockRings) {
      const home = nodes[ring.indexAt(hash)]!;
      if (!homes.includes(home)) homes.push(home);
    }
    return homes;
  }

  /** Every node that locks may be on. */
  lockNodes(): CacheNode[] {
    return [...this.nodes.values(), ...this.leaving.values()];
  }

  /**
   * Whether an entry at the owner may be believed: written while the node has
   * owned the key without interruption, and not below the node's floor.
   *
   * A node that lost a key and got it back still has what it held before, and
   * has seen none of the deletes in between.
   */
  believes(stored: Pick<Stored, 'stamp'>, hash: number): boolean {
    const present = this.#eras[0]!;
    if (stored.stamp >= present.since && stored.stamp >= this.#highestFloor) return true;
    const owner = this.ring.ids[this.ring.indexAt(hash)]!;
    return stored.stamp >= this.#heldSince({ hash, node: owner, fromEra: 0 });
  }

  /** The same for an entry at the previous owner, while a change is under way. */
  believesPrevious(stored: Pick<Stored, 'stamp'>, hash: number): boolean {
    return stored.stamp >= this.believedFrom(hash, 'previous');
  }

  /** The oldest stamp that is believed at the owner, or at the one before; Infinity: none is. */
  believedFrom(hash: number, at: 'owner' | 'previous'): number {
    const ring = at === 'owner' ? this.ring : this.source;
    if (ring === undefined) return Number.POSITIVE_INFINITY;
    const node = ring.ids[ring.indexAt(hash)]!;
    return this.#heldSince({ hash, node, fromEra: at === 'owner' ? 0 : 1 });
  }

  #heldSince(at: { hash: number; node: string; fromEra: number }): number {
    let since = Number.POSITIVE_INFINITY;
    for (let i = at.fromEra; i < this.#eras.length; i++) {
      const { ring, since: began, takenBack } = this.#eras[i]!;
      const before = takenBack ? this.#eras[i + 1]?.ring : undefined;
      // Whoever is asked besides the owner sees every write as well, and first.
      if (ownerAt(ring, at.hash) !== at.node && ownerAt(before, at.hash) !== at.node) break;
      since = began;
    }
    return Math.max(since, this.floors[at.node] ?? 0);
  }

  #node(id: string): CacheNode {
    const node = this.nodes.get(id) ?? this.leaving.get(id);
    if (node === undefined) throw new TypeError(`no node ${id}`);
    return node;
  }
}

function ownerAt(ring: HashRing | undefined, hash: number): string | undefined {
  return ring?.ids[ring.indexAt(hash)];
}
