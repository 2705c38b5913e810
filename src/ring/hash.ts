/**
 * From a text to 32 bits, and which part of a key decides where it lives.
 *
 * xxHash32 (Yann Collet, seed 0) through xxhash-wasm: the fastest call that
 * package offers, and nine times faster than md5 from node:crypto. It knows
 * nothing of rings or nodes.
 */

import xxhash from 'xxhash-wasm';

type Hash32 = (text: string) => number;

let h32: Hash32 = () => {
  throw new Error('hash32() was called before loadHash() resolved');
};
let loading: Promise<void> | undefined;

/**
 * Compiles the WebAssembly module, once a process. Not at import time: a
 * top-level await would stop CommonJS programs from using require() on us.
 */
export function loadHash(): Promise<void> {
  loading ??= xxhash().then((api) => {
    h32 = api.h32;
  });
  return loading;
}

/** xxHash32 of the UTF-8 form of `text`, 0 to 2^32 - 1. Needs `loadHash()` first. */
export function hash32(text: string): number {
  return h32(text);
}

/**
 * The part of a key that is hashed: what stands between its first `{` and the
 * first `}` after that, unless it is empty; otherwise the whole key. The rule
 * of the Redis Cluster specification ("Hash tags"), exceptions included:
 * `{}{a}` is hashed whole, `{{a}}` by `{a`.
 */
export function placementPart(key: string): string {
  const open = key.indexOf('{');
  if (open === -1) return key;
  const close = key.indexOf('}', open + 1);
  return close <= open + 1 ? key : key.slice(open + 1, close);
}

/**
 * Where the default placement puts a key, as a signed integer: V8 has to allocate
 * for one of 2^31 and more wherever it cannot inline the call (a third of a look-up).
 */
export function hashKey(key: string): number {
  return h32(placementPart(key)) | 0;
}

/**
 * Where the default placement puts the `count` points of a node: a function of
 * its id and its own weight only, so that no other node's coming or going moves
 * them. `#` cannot stand in an id; without a separator `n1` + `1` and `n` + `11`
 * would share points (groupcache, ringpop and ex_hash_ring have that flaw).
 */
export function hashPoints(id: string, count: number): Float64Array {
  const points = new Float64Array(count);
  for (let i = 0; i < count; i++) points[i] = h32(`${id}#${i}`);
  return points;
}
