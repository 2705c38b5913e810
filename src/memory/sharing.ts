/**
 * Who may have an object twice. As a rule a process shares what memory holds,
 * and what was loaded for several callers: cheap, and whoever changes it
 * changes it for all. `copied` gives everybody his own; `frozen` shares what
 * nobody can change, so that whoever tries is found.
 *
 * Decided once, when the cache is made: a hit of a cache that shares as a rule
 * runs no instruction of this file.
 */
import type { Clock } from '../clock.ts';
import { type Arrival, Memory } from './memory.ts';
import type { MemoryTuning } from './settings.ts';

export type Sharing = 'shared' | 'copied' | 'frozen';

/** What one more owner of a value gets. */
export type Share = (value: unknown) => unknown;

/** Puts away, and hands out, copies. */
export class CopyingMemory extends Memory {
  readonly #copy: Share;

  constructor(tuning: MemoryTuning | false, clock: Clock, copy: Share) {
    super(tuning, clock);
    this.#copy = copy;
  }

  override get(key: string): unknown {
    return this.#copy(super.get(key));
  }

  /** A copy, since whoever loaded or set the value has it still. */
  override put(key: string, value: unknown, from: Arrival): boolean {
    return super.put(key, this.#copy(value), from);
  }
}

/** Freezes what it holds: once, when it is put. */
export class FreezingMemory extends Memory {
  override put(key: string, value: unknown, from: Arrival): boolean {
    return super.put(key, freezeDeep(value), from);
  }
}

/**
 * A copy by structuredClone; of what that refuses (functions, for one), what
 * `otherwise` makes of it.
 */
export function copier(otherwise: Share): Share {
  return (value) => {
    if (isPrimitive(value)) return value;
    try {
      return structuredClone(value);
    } catch {
      return otherwise(value);
    }
  };
}

/**
 * Freezes plain objects and arrays, and those in them. Everything else is left
 * as it is, with what it holds: typed arrays cannot be frozen, a frozen Map can
 * be changed all the same, and an object with a class of its own may need to
 * change itself, and may belong to somebody else (an ORM, a pool).
 *
 * @returns The same value.
 */
export function freezeDeep(value: unknown): unknown {
  const waiting = [value];
  // Not by asking whether it is frozen: what is in it may not be.
  const seen = new Set<object>();
  while (waiting.length > 0) {
    const next = waiting.pop();
    if (!isPlain(next) || seen.has(next)) continue;
    seen.add(next);
    for (const { value: part } of Object.values(Object.getOwnPropertyDescriptors(next))) {
      waiting.push(part);
    }
    Object.freeze(next);
  }
  return value;
}

function isPlain(value: unknown): value is object {
  if (typeof value !== 'object' || value === null) return false;
  if (Array.isArray(value)) return true;
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null;
}

function isPrimitive(value: unknown): boolean {
  return value === null || (typeof value !== 'object' && typeof value !== 'function');
}
