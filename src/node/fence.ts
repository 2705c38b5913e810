/**
 * The fence: the epoch and fingerprint of a topology as one string of fixed
 * width, `<16 digits>:<8 hex digits>`, so that a script can compare two epochs
 * as text. Knows nothing about what the epoch stands for.
 */

export const EPOCH_DIGITS = 16;
/** Of a node that has none. */
export const UNKNOWN_EPOCH = -1;
const FENCE = /^(\d{16}):[0-9a-f]{8}$/;

/**
 * @param epoch A non-negative safe integer: 16 digits hold them all.
 * @param fingerprint 8 lower-case hexadecimal digits.
 */
export function fenceOf(epoch: number, fingerprint: string): string {
  return `${paddedEpoch(epoch)}:${fingerprint}`;
}

/** Compares as text as the epoch does as a number. */
export function paddedEpoch(epoch: number): string {
  return String(epoch).padStart(EPOCH_DIGITS, '0');
}

/** The epoch in a fence; `UNKNOWN_EPOCH` for anything that is not one. */
export function epochOf(fence: string): number {
  const digits = FENCE.exec(fence)?.[1];
  return digits === undefined ? UNKNOWN_EPOCH : Number(digits);
}

/** The snapshot of the asker is older than the node's epoch, or the node has no epoch (it must be admitted again). Nothing was done. */
export type Fenced = { readonly kind: 'stale' } | { readonly kind: 'unknown' };
