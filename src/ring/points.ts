/**
 * The circle: the points of all nodes in order, and the first of them at or
 * after a hash. It knows indexes of nodes, not nodes, and not where points
 * come from.
 *
 * Consistent hashing after Karger et al. 1997 ("Consistent Hashing and Random
 * Trees"): a hash belongs to the first point at or after it, and past the last
 * point the circle closes. So point i owns the arc (point[i-1], point[i]].
 *
 * The search does not begin with the whole array. The top bits of a hash lead
 * through a table to the first point that may be at or after it, and the one
 * wanted is rarely further than a step or two. A plain binary search needs 40 to
 * 90 ns, most of it mispredicted branches, and grows with the ring; this takes
 * about 10 (bench/ring-lookup.ts).
 */

const HASHES = 2 ** 32;
// Owners are kept in 16 bits.
const MAX_OWNERS = 2 ** 16;
// 16 MiB of table at most; a ring of more than 2^22 points walks a little further.
const MAX_TABLE_BITS = 22;

export class Points {
  /** How many there are. */
  readonly size: number;
  // Both have one entry more than there are points. The last point is a sentinel that
  // ends every walk, and its owner is the first point's: there the circle closes.
  readonly #at: Uint32Array;
  readonly #owner: Uint16Array;
  readonly #table: Uint16Array | Uint32Array;
  readonly #shift: number;

  /** @param ofNodes The points of each node, nodes in the order of their ids, points in any. */
  constructor(ofNodes: readonly Float64Array[]) {
    const sorted = merge(ofNodes);
    const size = sorted.length;
    this.size = size;
    this.#at = new Uint32Array(size + 1);
    this.#owner = new Uint16Array(size + 1);
    for (let i = 0; i < size; i++) {
      const point = sorted[i]!;
      this.#at[i] = Math.floor(point / MAX_OWNERS);
      this.#owner[i] = point % MAX_OWNERS;
    }
    this.#at[size] = HASHES - 1;
    this.#owner[size] = this.#owner[0]!;
    const bits = tableBits(size);
    this.#shift = 32 - bits;
    this.#table = startTable(this.#at, bits);
  }

  /** The place of the first point at or after `hash`, signed or not; `size` past the last one. */
  placeOf(hash: number): number {
    const at = this.#at;
    const wanted = hash >>> 0;
    let place = this.#table[wanted >>> this.#shift]!;
    while (at[place]! < wanted) place++;
    return place;
  }

  /** Which node owns `hash`. */
  ownerOf(hash: number): number {
    return this.#owner[this.placeOf(hash)]!;
  }

  /** The hash of the point at a place, 0 to `size - 1`. */
  hashAt(place: number): number {
    return this.#at[place]!;
  }

  /** Which node has the point at a place; `size` is the first point again. */
  ownerAt(place: number): number {
    return this.#owner[place]!;
  }

  /** How many of the 2^32 hashes each of `nodes` nodes owns. Whole numbers: no rounding. */
  arcs(nodes: number): Float64Array {
    const arcs = new Float64Array(nodes);
    let before = this.#at[this.size - 1]! - HASHES;
    for (let i = 0; i < this.size; i++) {
      arcs[this.#owner[i]!]! += this.#at[i]! - before;
      before = this.#at[i]!;
    }
    return arcs;
  }
}

/**
 * All points in order, each as hash × 2^16 + node: exact in a double, and
 * sorted as numbers by the engine. Two nodes on the same point are in the order
 * of their ids, never in that of insertion: 100 nodes of 512 points share a
 * point in one ring of three.
 */
function merge(ofNodes: readonly Float64Array[]): Float64Array {
  const total = ofNodes.reduce((sum, points) => sum + points.length, 0);
  const merged = new Float64Array(total);
  let next = 0;
  for (const [node, points] of ofNodes.entries()) {
    for (const point of points) merged[next++] = point * MAX_OWNERS + node;
  }
  return merged.sort();
}

/**
 * Two to four entries a point while the table is small, one to two beyond: there
 * a step more costs less than a table that crowds the rest out of the processor's
 * cache (100 nodes: four to eight entries a point took 8 ns more).
 */
function tableBits(size: number): number {
  const small = Math.min(16, Math.ceil(Math.log2(2 * size)));
  return Math.min(MAX_TABLE_BITS, Math.max(4, small, Math.ceil(Math.log2(size))));
}

/** For every value of the top `bits` bits, the first point at or after its lowest hash. */
function startTable(at: Uint32Array, bits: number): Uint16Array | Uint32Array {
  const entries = 2 ** bits;
  const table = at.length > 65_535 ? new Uint32Array(entries) : new Uint16Array(entries);
  const width = 2 ** (32 - bits);
  let place = 0;
  for (let entry = 0; entry < entries; entry++) {
    while (at[place]! < entry * width) place++;
    table[entry] = place;
  }
  return table;
}
