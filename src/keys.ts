/** What a key may be, and the name of a lock. */
import { InvalidKeyError } from './errors.ts';

export const MAX_KEY_BYTES = 1_024;
/** A UTF-16 unit is at most 3 bytes of UTF-8: shorter keys need not be measured. */
const SURELY_SHORT = Math.floor(MAX_KEY_BYTES / 3);

/**
 * Strings only: a number, null or an array would become the same Redis key as
 * its text (`?id[]=1` is a classic); two lone surrogates become one key.
 *
 * @throws InvalidKeyError
 */
export function checkKey(key: unknown): asserts key is string {
  const why = keyFault(key);
  if (why !== undefined) throw new InvalidKeyError(why, key);
}

/** The same rules for the name of a lock. @throws InvalidKeyError */
export function checkLockName(name: unknown): asserts name is string {
  const why = keyFault(name);
  if (why !== undefined) throw new InvalidKeyError(why, name, 'the name of a lock');
}

/** What is wrong with it; undefined when nothing is. */
function keyFault(key: unknown): string | undefined {
  if (typeof key !== 'string') return `it is ${kindOf(key)}`;
  if (key.length === 0) return 'it is empty';
  if (key.length > SURELY_SHORT) {
    const bytes = key.length > MAX_KEY_BYTES ? key.length : Buffer.byteLength(key);
    if (bytes > MAX_KEY_BYTES) return 'it is longer';
  }
  return key.isWellFormed() ? undefined : 'it has a lone surrogate';
}

/** @throws InvalidKeyError for the first that is none. */
export function checkKeys(keys: unknown): asserts keys is string[] {
  if (!Array.isArray(keys)) throw new InvalidKeyError('an array of keys is needed', keys);
  for (const key of keys) checkKey(key);
}

function kindOf(key: unknown): string {
  if (key === null) return 'null';
  return Array.isArray(key) ? 'an array' : `of type ${typeof key}`;
}
