/**
 * `hash(key) % nodes` in the place of the ring, for a whole process: nodes,
 * leases, copies and the topology stay ours, so that two rows which differ in
 * this alone show what the placement does, and nothing else.
 */

import { HashRing } from '../src/ring/ring.ts';

/** Nodes in the order of their ids: the one that joins stands last, as in a list that somebody appends to. */
export function placeByModulo(): void {
  HashRing.prototype.indexAt = function indexAt(this: HashRing, hash: number): number {
    return moduloIndex(hash, this.ids.length);
  };
  HashRing.prototype.owner = function owner(this: HashRing, key: string): string {
    return this.ids[this.indexAt(this.hash(key))]!;
  };
}

/** @param hash 32 bits, signed or not. */
export function moduloIndex(hash: number, nodes: number): number {
  return (hash >>> 0) % nodes;
}
