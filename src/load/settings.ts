/** How an entry is to live and how it is loaded: the options, and what a call makes of them. */
import { type Duration, requireDuration } from '../duration.ts';
import { InvalidOptionError } from '../errors.ts';
import type { Life } from '../node/node.ts';

/** Options of one call; each one that is absent is taken from the cache. */
export interface EntryOptions {
  /** Fresh for this long. At least 1 ms. */
  ttl?: Duration;
  /** After that, served for this long while one process reloads it, or when loading fails. */
  staleTtl?: Duration;
  /** The ttl of a `null` that was loaded or set. At least 1 ms. */
  negativeTtl?: Duration;
  /** Shortens the ttl by a random part of itself, 0 to this. 0 to 1. */
  jitter?: number;
  /** False: this value is not held in the memory of the process, and not looked for there. @default true */
  memory?: boolean;
  /** Aborted: this caller stops waiting. The load goes on for the others, and ends when nobody waits. */
  signal?: AbortSignal;
}

export interface LoadOptions {
  /** Longest time for a load, its wait for a turn or for another process included. At least 1 ms. @default '30s' */
  timeout?: Duration;
  /** How long to wait for a fresh value when there is a stale one. 0: not at all. @default 0 */
  softTimeout?: Duration;
  /** Most loads that run at once in this process; further ones wait in order. Integer, 1 to 100,000. @default 100 */
  concurrency?: number;
  /** How long a process that died while loading keeps others from loading. 100 ms to 10 minutes. @default '10s' */
  lease?: Duration;
}

export const LOAD_DEFAULTS = {
  timeout: '30s',
  softTimeout: 0,
  concurrency: 100,
  lease: '10s',
} as const satisfies Required<LoadOptions>;

export const ENTRY_DEFAULTS = {
  ttl: '1h',
  staleTtl: 0,
  jitter: 0.1,
} as const;

export interface LoadTuning {
  readonly timeoutMs: number;
  readonly softTimeoutMs: number;
  readonly concurrency: number;
  readonly leaseMs: number;
  /** XFetch's beta; 0 is off. */
  readonly earlyRefresh: number;
  /** A node's whole budget for one read, however many requests it takes. */
  readonly nodeTimeoutMs: number;
}

export interface EntrySettings {
  readonly ttlMs: number;
  readonly staleMs: number;
  readonly negativeTtlMs: number;
  readonly jitter: number;
  readonly memory: boolean;
}

const ENTRY_OPTIONS: ReadonlySet<string> = new Set([
  'ttl',
  'staleTtl',
  'negativeTtl',
  'jitter',
  'memory',
  'signal',
] satisfies (keyof EntryOptions)[]);

/** Options of a touch; each one that is absent is taken from the cache. */
export type TouchOptions = Pick<EntryOptions, 'ttl' | 'staleTtl' | 'jitter'>;

const TOUCH_OPTIONS: readonly string[] = [
  'ttl',
  'staleTtl',
  'jitter',
] satisfies (keyof TouchOptions)[];

/** @throws InvalidOptionError */
export function touchSettings(
  defaults: EntrySettings,
  given: TouchOptions | Duration | undefined,
): EntrySettings {
  if (typeof given === 'number' || typeof given === 'string') {
    return entrySettings(defaults, { ttl: given });
  }
  const settings = entrySettings(defaults, given);
  const other = Object.keys(given ?? {}).find((option) => !TOUCH_OPTIONS.includes(option));
  if (other === undefined) return settings;
  const rule = 'absent: a touch changes the life of a value alone';
  throw new InvalidOptionError(other, rule, Reflect.get(given ?? {}, other));
}

/** @throws InvalidOptionError */
export function entrySettings(
  defaults: EntrySettings,
  options: EntryOptions | undefined,
): EntrySettings {
  if (options === undefined) return defaults;
  if (typeof options !== 'object' || (options as unknown) === null) {
    throw new InvalidOptionError('options', 'an object of options', options);
  }
  for (const option of Object.keys(options)) {
    if (ENTRY_OPTIONS.has(option)) continue;
    throw new InvalidOptionError(
      option,
      'absent: there is no such option',
      Reflect.get(options, option),
    );
  }
  const { ttl, staleTtl, negativeTtl, signal } = options;
  const { jitter = defaults.jitter, memory = defaults.memory } = options;
  if (typeof jitter !== 'number' || !(jitter >= 0 && jitter <= 1)) {
    throw new InvalidOptionError('jitter', 'a number of 0 to 1', jitter);
  }
  if (typeof memory !== 'boolean') {
    throw new InvalidOptionError('memory', 'true or false', memory);
  }
  if (signal !== undefined && !((signal as unknown) instanceof AbortSignal)) {
    throw new InvalidOptionError('signal', 'an AbortSignal', signal);
  }
  const ttlMs = ttl === undefined ? defaults.ttlMs : requireDuration(ttl, 'ttl', 1);
  // Unless it is said, a null lives as long as the other values of this call.
  const inheritedMs = ttl === undefined ? defaults.negativeTtlMs : ttlMs;
  return {
    ttlMs,
    staleMs: staleTtl === undefined ? defaults.staleMs : requireDuration(staleTtl, 'staleTtl'),
    negativeTtlMs:
      negativeTtl === undefined ? inheritedMs : requireDuration(negativeTtl, 'negativeTtl', 1),
    jitter,
    memory,
  };
}

/** The life of a value that is stored now. */
export function lifeOf(
  settings: EntrySettings,
  value: unknown,
  origin: { loadMs: number; ttlMs?: number | undefined },
): Life {
  const ttlMs = origin.ttlMs ?? (value === null ? settings.negativeTtlMs : settings.ttlMs);
  return { ...lifeWithin(settings, ttlMs), loadMs: origin.loadMs };
}

/** The life of a value that is fresh for `ttlMs` at most. */
export function lifeWithin(
  settings: Pick<EntrySettings, 'jitter' | 'staleMs'>,
  ttlMs: number,
): { ttlMs: number; staleMs: number } {
  // Only ever shorter: the ttl stays the bound that was asked for.
  const shortened = ttlMs * (1 - Math.random() * settings.jitter);
  return {
    ttlMs: Math.max(1, Math.floor(shortened)),
    staleMs: Math.round(settings.staleMs),
  };
}

/**
 * Whether a value should be reloaded before it expires: the probability grows
 * as the end comes near, and the more so the longer a load takes (XFetch:
 * Vattani, Chierichetti, Lowenstein, "Optimal Probabilistic Cache Stampede
 * Prevention", VLDB 2015).
 */
export function isDueEarly(beta: number, entry: { loadMs: number; freshForMs: number }): boolean {
  return beta > 0 && -beta * entry.loadMs * Math.log(Math.random()) >= entry.freshForMs;
}
