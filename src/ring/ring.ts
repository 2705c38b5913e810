/**
 * The ring: which node owns a key. Immutable and synchronous once created; it
 * knows ids and weights, not addresses, not whether a node is up, and not which
 * ring is the current one.
 */

import { InvalidKeyError, InvalidOptionError } from '../errors.ts';
import { hash32, hashKey, hashPoints, loadHash } from './hash.ts';
import { ketamaHashKey, ketamaPoints } from './ketama.ts';
import {
  checkMember,
  checkMembers,
  checkSettings,
  type Member,
  type Placement,
  type RingNode,
  type RingOptions,
  type RingSettings,
  sortMembers,
} from './members.ts';
import { Points } from './points.ts';

// About 100 MB and some seconds to build; far beyond any use.
const MAX_TOTAL_POINTS = 2 ** 24;

/**
 * Consistent hashing over named, weighted nodes (Karger et al. 1997).
 *
 * Every node has points on a circle of 2^32 hashes, as many as its weight asks
 * for, and a key belongs to the first point at or after its own hash. A node's
 * points depend on that node alone, so a node that comes takes keys from the
 * others and a node that goes leaves its own: no other key moves. (With
 * `placement: 'ketama'` and unequal weights some do: see ketama.ts.)
 *
 * A key with a non-empty `{tag}` is placed by the tag alone, as in Redis
 * Cluster; ketama, which promises to place as `hashring` does, ignores tags.
 *
 * Two rings with equal members, points and placement are equal, in whatever
 * order and by whatever changes they came about.
 *
 * @example
 * const ring = await HashRing.create([{ id: 'a' }, { id: 'b', weight: 2 }]);
 * ring.owner('user:1'); // 'a' or 'b', in every process
 */
export class HashRing {
  /** The ids of the nodes, sorted. */
  readonly ids: readonly string[];
  /** @internal The weight of each of `ids`. */
  readonly weights: readonly number[];
  /** @internal */
  readonly placement: Placement;
  /** @internal */
  readonly points: Points;
  /**
   * Eight hexadecimal digits that are equal for equal rings: same ids, weights,
   * points and placement, in any order. Two different rings have the same with
   * a probability of 2^-32.
   */
  readonly fingerprint: string;
  readonly #members: readonly Member[];
  readonly #settings: RingSettings;
  readonly #isKetama: boolean;

  /** @param members Checked, sorted by id. */
  private constructor(members: readonly Member[], settings: RingSettings) {
    this.#members = members;
    this.#settings = settings;
    this.ids = Object.freeze(members.map((member) => member.id));
    this.weights = Object.freeze(members.map((member) => member.weight));
    this.placement = settings.placement;
    this.#isKetama = settings.placement === 'ketama';
    this.points = new Points(
      this.#isKetama ? ketamaPoints(members) : ownPoints(members, settings.points),
    );
    this.fingerprint = fingerprintOf(members, settings);
    Object.freeze(this);
  }

  /**
   * Builds a ring. Asynchronous only because the hash is WebAssembly and has
   * to be compiled once a process. Rejects with InvalidOptionError.
   *
   * @param nodes At least one; ids must differ.
   */
  static async create(nodes: readonly RingNode[], options: RingOptions = {}): Promise<HashRing> {
    const settings = checkSettings(options);
    const members = checkMembers(nodes);
    await loadHash();
    return new HashRing(members, settings);
  }

  /** @internal Other members, placed with the same points and placement; not asynchronous: the hash is there. */
  ofSameKind(nodes: readonly RingNode[]): HashRing {
    return new HashRing(checkMembers(nodes), this.#settings);
  }

  /**
   * The id of the node that owns `key`. Allocates nothing.
   *
   * @param key Any string, the empty one too; throws InvalidKeyError for other types.
   */
  owner(key: string): string {
    return this.ids[this.points.ownerOf(this.hash(key))]!;
  }

  /**
   * The first `count` different nodes at or after the key's place, clockwise:
   * the owner, then those that would own the key if the ones before had gone.
   * All nodes that have points, if `count` is more than there are. Throws
   * InvalidOptionError unless `count` is a whole number of at least 1.
   */
  owners(key: string, count: number): string[] {
    if (!Number.isInteger(count) || count < 1) {
      throw new InvalidOptionError('count', 'a whole number of at least 1', count);
    }
    const { ids, points } = this;
    const wanted = Math.min(count, ids.length);
    const found = new Set<number>();
    const first = points.placeOf(this.hash(key));
    for (let step = 0; step < points.size && found.size < wanted; step++) {
      found.add(points.ownerAt((first + step) % points.size));
    }
    return Array.from(found, (index) => ids[index]!);
  }

  /** This ring and one node more. Throws InvalidOptionError, also for an id it has already. */
  with(node: RingNode): HashRing {
    const member = checkMember(node, 'node');
    if (this.ids.includes(member.id)) {
      throw new InvalidOptionError('node.id', 'new to the ring', member.id);
    }
    return new HashRing(sortMembers([...this.#members, member]), this.#settings);
  }

  /** This ring without one node. Throws InvalidOptionError for an unknown id and for the last node. */
  without(id: string): HashRing {
    if (!this.ids.includes(id)) throw new InvalidOptionError('id', 'on the ring', id);
    if (this.ids.length === 1) throw new InvalidOptionError('id', 'not the last node', id);
    const rest = this.#members.filter((member) => member.id !== id);
    return new HashRing(rest, this.#settings);
  }

  /**
   * The part of the hash space each node owns, by id. Exact: whole multiples of
   * 2^-32 that sum to 1. The share of your keys is near it, that of your
   * requests only if no few keys dominate.
   */
  shares(): Record<string, number> {
    const arcs = this.points.arcs(this.ids.length);
    // fromEntries, because `__proto__` is a valid id.
    return Object.fromEntries(this.ids.map((id, index) => [id, arcs[index]! / 2 ** 32]));
  }

  /** @internal Where a key is placed, 32 bits as a signed integer: for callers that need it twice. */
  hash(key: string): number {
    if (typeof key !== 'string') throw new InvalidKeyError('it is not a string', key);
    // Two calls that V8 can inline; a function kept in a field is one that it cannot inline
    // once a process has used both placements.
    return this.#isKetama ? ketamaHashKey(key) : hashKey(key);
  }

  /** @internal The index in `ids` of the owner of a `hash()`, or of 0 to 2^32 - 1. */
  indexAt(hash: number): number {
    return this.points.ownerOf(hash);
  }
}

/** Counts them before it hashes any: a ring that is too large is refused at once. */
function ownPoints(members: readonly Member[], perWeight: number): Float64Array[] {
  const counts = members.map(({ weight }) => Math.max(1, Math.round(perWeight * weight)));
  const total = counts.reduce((sum, count) => sum + count);
  if (total > MAX_TOTAL_POINTS) {
    const expected = `such that a ring has ${MAX_TOTAL_POINTS} at most (points × sum of weights)`;
    throw new InvalidOptionError('points', expected, total);
  }
  return members.map(({ id }, index) => hashPoints(id, counts[index]!));
}

/** Neither `|`, `=` nor `,` can stand in an id, so different rings have different texts. */
function fingerprintOf(members: readonly Member[], { placement, points }: RingSettings): string {
  const nodes = members.map(({ id, weight }) => `${id}=${weight}`).join(',');
  // Ketama has no say in its points, so two of its rings do not differ by them.
  const text = `${placement}|${placement === 'ketama' ? '' : points}|${nodes}`;
  return hash32(text).toString(16).padStart(8, '0');
}
