/**
 * Placement as the npm package `hashring` 3.2.0 does it with its defaults, for
 * people who come from it: no key changes its node on the way.
 *
 * That is ketama (libketama, Richard Jones, 2007) with one difference: the
 * number of points is computed in double precision, where libketama rounds to
 * single. So 7 equal nodes get 39 × 4 points here and 40 × 4 there, and the two
 * disagree about some keys. This file follows `hashring`.
 *
 * Keys are hashed whole, with `{tag}` in them or not, because `hashring` does
 * so. Only the point order of two nodes with the same 32-bit point is ours: by
 * id, where `hashring` goes by the order of the list.
 */

import { hash } from 'node:crypto';
import type { Member } from './members.ts';

const DIGESTS_PER_NODE = 40;
const POINTS_PER_DIGEST = 4;

/** Where ketama puts a key: the first four bytes of its md5, little-endian; signed, see hash.ts. */
export function ketamaHashKey(key: string): number {
  return hash('md5', key, 'buffer').readInt32LE(0);
}

/**
 * The points of every member, in the members' order. A node's count depends on
 * the weights of all, which is why ketama moves more keys than it must when
 * weights differ or change; a weight below 1/40 of the average gets no point.
 */
export function ketamaPoints(members: readonly Member[]): Float64Array[] {
  const total = members.reduce((sum, member) => sum + member.weight, 0);
  return members.map(({ id, weight }) => {
    // The order of the operations decides whether 7 equal nodes get 39 or 40.
    const digests = Math.floor((weight / total) * DIGESTS_PER_NODE * members.length);
    const points = new Float64Array(digests * POINTS_PER_DIGEST);
    for (let i = 0; i < digests; i++) {
      const digest = hash('md5', `${id}-${i}`, 'buffer');
      for (let part = 0; part < POINTS_PER_DIGEST; part++) {
        points[i * POINTS_PER_DIGEST + part] = digest.readUInt32LE(part * 4);
      }
    }
    return points;
  });
}
