/**
 * The fence: the epoch and fingerprint of a topology as one string of fixed
 * width, `<16 digits>:<8 hex digits>`, so that a script can compare two epochs
 * as text. Knows nothing about what the epoch stands for.
 */
import { UNKNOWN_EPOCH } from './node.ts';

export const EPOCH_DIGITS = 16;
const FENCE = /^(\d{16}):[0-9a-f]{8}$/;

/**
 * @param epoch A non-negative safe integer: 16 digits hold them all.
 * @param fingerprint 8 lower-case hexadecimal digits.
 */
export function fenceOf(epoch: number, fingerprint: string): string {
  return `${String(epoch).padStart(EPOCH_DIGITS, '0')}:${fingerprint}`;
}

/** The epoch in a fence; `UNKNOWN_EPOCH` for anything that is not one. */
export function epochOf(fence: string): number {
  const digits = FENCE.exec(fence)?.[1];
  return digits === undefined ? UNKNOWN_EPOCH : Number(digits);
}
