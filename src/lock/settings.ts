/** How a lock is taken and kept: the options, and what a call makes of them. */
import { type Duration, durationMs, requireDuration } from '../duration.ts';
import { InvalidOptionError } from '../errors.ts';

/** Options of one call; each one that is absent is taken from the locks. */
export interface LockOptions {
  /**
   * How long the lock lasts unless it is renewed: for so long a crashed holder
   * keeps others out. 10 ms to 60 s, and not more than `maxTtl`.
   *
   * @default '10s'
   */
  ttl?: Duration;
  /**
   * Longest time to wait for it. 0: one try, which the node's own budget
   * bounds. Infinity: until it is there.
   *
   * @default '5s'
   */
  waitTimeout?: Duration;
  /**
   * Most further tries after the first, `retryDelay` apart, within
   * `waitTimeout`. Integer, 0 or more, or Infinity.
   *
   * @default Infinity
   */
  retries?: number;
  /**
   * How long to wait before asking again when nothing is heard. Who waits is
   * told when it is his turn; this is for messages that are lost and nodes that
   * do not answer. Without `retries` it grows to 1 s. At least 1 ms.
   *
   * @default 250
   */
  retryDelay?: Duration;
  /**
   * Lengthens the lock while it is held, every `interval` (shorter than the
   * ttl; a third of it by default). False: it ends after the ttl.
   *
   * @default true
   */
  renew?: boolean | { interval?: Duration };
  /**
   * Kept from others at least this long from when it was acquired, even if it
   * is released earlier: for work that is to be done once in a period. If the
   * holder dies, the ttl counts. At most 1 day.
   *
   * @default 0
   */
  minHold?: Duration;
  /** Aborted: the wait ends at once, and nothing is held. Has no effect on a lock that is held. */
  signal?: AbortSignal;
}

/** Options of all locks of one `Locks`. */
export interface LocksOptions extends LockOptions {
  /**
   * The longest ttl that anybody may ask for. A node that was restarted or has
   * lost its data grants nothing for so long. 100 ms to 60 s; all processes
   * that share the locks must be given the same.
   *
   * @default '60s'
   */
  maxTtl?: Duration;
}

export const LOCK_DEFAULTS = {
  ttl: '10s',
  waitTimeout: '5s',
  retries: Number.POSITIVE_INFINITY,
  retryDelay: 250,
  renew: true,
  minHold: 0,
  maxTtl: '60s',
} as const satisfies Required<Omit<LocksOptions, 'signal'>>;

const LEAST_TTL_MS = 10;
const MOST_TTL_MS = 60_000;
const LEAST_MAX_TTL_MS = 100;
const MOST_HOLD_MS = 24 * 3_600_000;

export interface LockSettings {
  readonly ttlMs: number;
  readonly maxTtlMs: number;
  readonly waitMs: number;
  readonly retries: number;
  readonly retryDelayMs: number;
  /** 0: not renewed. `undefined`: every third of the ttl. */
  readonly renewEveryMs: number | undefined;
  readonly minHoldMs: number;
  readonly signal: AbortSignal | undefined;
}

/** What counts when no option is given. */
export const PLAIN_SETTINGS: LockSettings = {
  ttlMs: 10_000,
  maxTtlMs: MOST_TTL_MS,
  waitMs: 5_000,
  retries: LOCK_DEFAULTS.retries,
  retryDelayMs: LOCK_DEFAULTS.retryDelay,
  renewEveryMs: undefined,
  minHoldMs: LOCK_DEFAULTS.minHold,
  signal: undefined,
};

const OPTIONS: ReadonlySet<string> = new Set([
  'ttl',
  'waitTimeout',
  'retries',
  'retryDelay',
  'renew',
  'minHold',
  'signal',
] satisfies (keyof LockOptions)[]);

/** The settings of all locks. @param under What stands before an option's name in messages. @throws InvalidOptionError */
export function locksSettings(options: LocksOptions = {}, under = ''): LockSettings {
  const { maxTtl, ...own } = checkedObject(options, under);
  const maxTtlMs =
    maxTtl === undefined
      ? PLAIN_SETTINGS.maxTtlMs
      : bounded(maxTtl, `${under}maxTtl`, { least: LEAST_MAX_TTL_MS, most: MOST_TTL_MS });
  // A smaller maximum bounds the default as well.
  const ttlMs = Math.min(PLAIN_SETTINGS.ttlMs, maxTtlMs);
  return lockSettings({ ...PLAIN_SETTINGS, maxTtlMs, ttlMs }, own, under);
}

/** The settings of one call. @throws InvalidOptionError */
export function lockSettings(
  defaults: LockSettings,
  options: LockOptions | undefined,
  under = '',
): LockSettings {
  if (options === undefined) return defaults;
  checkedObject(options, under);
  for (const option of Object.keys(options)) {
    if (OPTIONS.has(option)) continue;
    const value: unknown = Reflect.get(options, option);
    throw new InvalidOptionError(under + option, 'absent: there is no such option', value);
  }
  const { ttl, waitTimeout, retryDelay, minHold, signal } = options;
  const { retries = defaults.retries } = options;
  if (!(Number.isInteger(retries) || retries === Number.POSITIVE_INFINITY) || retries < 0) {
    throw new InvalidOptionError(
      `${under}retries`,
      'an integer of 0 or more, or Infinity',
      retries,
    );
  }
  if (signal !== undefined && !((signal as unknown) instanceof AbortSignal)) {
    throw new InvalidOptionError(`${under}signal`, 'an AbortSignal', signal);
  }
  const { maxTtlMs } = defaults;
  const ttlMs = ttl === undefined ? defaults.ttlMs : lockTtl(ttl, maxTtlMs, `${under}ttl`);
  return {
    ttlMs,
    maxTtlMs,
    waitMs: waitTimeout === undefined ? defaults.waitMs : waitTime(waitTimeout, under),
    retries,
    retryDelayMs:
      retryDelay === undefined
        ? defaults.retryDelayMs
        : requireDuration(retryDelay, `${under}retryDelay`, 1),
    renewEveryMs: renewal(defaults, options.renew, { ttlMs, under }),
    minHoldMs:
      minHold === undefined
        ? defaults.minHoldMs
        : bounded(minHold, `${under}minHold`, { least: 0, most: MOST_HOLD_MS }),
    signal: signal ?? defaults.signal,
  };
}

/** @throws InvalidOptionError */
export function lockTtl(ttl: Duration, maxTtlMs: number, path = 'ttl'): number {
  return bounded(ttl, path, { least: Math.min(LEAST_TTL_MS, maxTtlMs), most: maxTtlMs });
}

function renewal(
  defaults: LockSettings,
  renew: LockOptions['renew'],
  to: { readonly ttlMs: number; readonly under: string },
): number | undefined {
  const { ttlMs, under } = to;
  if (renew === undefined) {
    // An interval meant for a longer ttl is not one for this.
    const { renewEveryMs } = defaults;
    return renewEveryMs === undefined || renewEveryMs < ttlMs ? renewEveryMs : undefined;
  }
  if (renew === true) return undefined;
  if (renew === false) return 0;
  const path = `${under}renew`;
  if (typeof renew !== 'object' || (renew as unknown) === null) {
    throw new InvalidOptionError(path, 'true, false or an object { interval }', renew);
  }
  const { interval, ...rest } = renew;
  for (const [option, value] of Object.entries(rest)) {
    throw new InvalidOptionError(`${path}.${option}`, 'absent: there is no such option', value);
  }
  if (interval === undefined) return undefined;
  const ms = durationMs(interval);
  if (ms === undefined || ms < 1 || ms >= ttlMs) {
    const rule = `a duration of at least 1 ms, shorter than the ttl (${ttlMs} ms)`;
    throw new InvalidOptionError(`${path}.interval`, rule, interval);
  }
  return ms;
}

function waitTime(given: Duration, under: string): number {
  if (given === Number.POSITIVE_INFINITY) return given;
  const ms = durationMs(given);
  if (ms !== undefined) return ms;
  const rule = "a duration in ms or with a unit ('500ms', '5s'), or Infinity";
  throw new InvalidOptionError(`${under}waitTimeout`, rule, given);
}

function bounded(
  given: Duration,
  path: string,
  range: { readonly least: number; readonly most: number },
): number {
  const { least, most } = range;
  const ms = durationMs(given);
  if (ms !== undefined && ms >= least && ms <= most) return ms;
  const rule = `a duration in ms or with a unit ('500ms', '30s') of ${least} ms to ${most} ms`;
  throw new InvalidOptionError(path, rule, given);
}

function checkedObject<T extends object>(options: T, under: string): T {
  if (typeof options === 'object' && (options as unknown) !== null && !Array.isArray(options)) {
    return options;
  }
  throw new InvalidOptionError(
    under.replace(/\.$/, '') || 'options',
    'an object of options',
    options,
  );
}
