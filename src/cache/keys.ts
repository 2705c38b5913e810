/** What a key may be, and what the name of a namespace. */
import { InvalidKeyError, InvalidOptionError } from '../errors.ts';
import { NAME, NAME_RULE } from '../ring/members.ts';

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
  if (typeof key !== 'string') throw new InvalidKeyError(`it is ${kindOf(key)}`, key);
  if (key.length === 0) throw new InvalidKeyError('it is empty', key);
  if (key.length > SURELY_SHORT) {
    const bytes = key.length > MAX_KEY_BYTES ? key.length : Buffer.byteLength(key);
    if (bytes > MAX_KEY_BYTES) throw new InvalidKeyError('it is longer', key);
  }
  if (!key.isWellFormed()) throw new InvalidKeyError('it has a lone surrogate', key);
}

/** @throws InvalidKeyError for the first that is none. */
export function checkKeys(keys: unknown): asserts keys is string[] {
  if (!Array.isArray(keys)) throw new InvalidKeyError('an array of keys is needed', keys);
  for (const key of keys) checkKey(key);
}

/** What stands before the keys of a namespace. @throws InvalidOptionError */
export function namespacePrefix(name: unknown): string {
  if (typeof name === 'string' && NAME.test(name)) return `${name}:`;
  throw new InvalidOptionError('name', NAME_RULE, name);
}

function kindOf(key: unknown): string {
  if (key === null) return 'null';
  return Array.isArray(key) ? 'an array' : `of type ${typeof key}`;
}
