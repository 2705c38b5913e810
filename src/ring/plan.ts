/**
 * What a change of the ring would move, computed on the circle itself and not
 * from a sample of keys. It changes nothing and knows nothing of time or cost.
 */

import { InvalidOptionError } from '../errors.ts';
import type { HashRing } from './ring.ts';

const HASHES = 2 ** 32;

/** Keys that leave one node for another. */
export interface Move {
  readonly from: string;
  readonly to: string;
  /** Part of the whole hash space, 0 to 1. */
  readonly share: number;
}

export interface Plan {
  /** Part of the hash space whose owner changes, exact, 0 to 1. */
  movedShare: number;
  /**
   * The least that any placement would have to move if every node held exactly
   * the share its weight asks for, before and after: half the sum of
   * |share after − share before|. One of three equal nodes leaves: 1/3. A ring
   * moves a little more or less than that, because its shares are near the
   * weights and not equal to them.
   */
  idealShare: number;
  /** The share of each node now, by id; they sum to 1. */
  before: Record<string, number>;
  /** The share of each node afterwards. */
  after: Record<string, number>;
  /** Who gives how much to whom, in the order of the ids; the shares sum to `movedShare`. */
  moves: Move[];
}

/**
 * Compares two rings of the same placement (their keys hash alike; points per
 * weight may differ). Throws InvalidOptionError for two placements.
 */
export function planChange(before: HashRing, after: HashRing): Plan {
  if (before.placement !== after.placement) {
    throw new InvalidOptionError('after', `placed by ${before.placement}`, after.placement);
  }
  const moves = movesBetween(before, after);
  return {
    movedShare: moves.reduce((sum, move) => sum + move.share, 0),
    idealShare: idealShareOf(before, after),
    before: before.shares(),
    after: after.shares(),
    moves,
  };
}

/**
 * Walks the points of both rings in order. Between two neighbours of the union
 * no hash changes its owner in either ring, so one look at the end of each such
 * arc tells both owners. The arc that closes the circle ends at the first point.
 */
function movesBetween(before: HashRing, after: HashRing): Move[] {
  const union = unionOf(before, after);
  const width = after.ids.length;
  const moved = new Map<number, number>();
  let previous = union[union.length - 1]! - HASHES;
  for (const point of union) {
    const from = before.indexAt(point);
    const to = after.indexAt(point);
    if (before.ids[from] !== after.ids[to]) {
      const cell = from * width + to;
      moved.set(cell, (moved.get(cell) ?? 0) + point - previous);
    }
    previous = point;
  }
  return Array.from(moved)
    .sort(([a], [b]) => a - b)
    .map(([cell, arc]) => ({
      from: before.ids[Math.floor(cell / width)]!,
      to: after.ids[cell % width]!,
      share: arc / HASHES,
    }));
}

function unionOf(before: HashRing, after: HashRing): Uint32Array {
  const union = new Uint32Array(before.points.size + after.points.size);
  let next = 0;
  for (const { points } of [before, after]) {
    for (let place = 0; place < points.size; place++) union[next++] = points.hashAt(place);
  }
  return union.sort();
}

function idealShareOf(before: HashRing, after: HashRing): number {
  const difference = new Map(weightShares(before));
  for (const [id, share] of weightShares(after)) {
    difference.set(id, (difference.get(id) ?? 0) - share);
  }
  let sum = 0;
  for (const share of difference.values()) sum += Math.abs(share);
  return sum / 2;
}

function weightShares(ring: HashRing): [string, number][] {
  const total = ring.weights.reduce((sum, weight) => sum + weight, 0);
  return ring.ids.map((id, index) => [id, ring.weights[index]! / total]);
}
