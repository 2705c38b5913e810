/**
 * Every error that ringcache throws on purpose.
 *
 * Match on `code`: it is stable across releases and across two copies of the
 * package in one process; `message` is for people and may change. No message,
 * field or cause carries a password, a value or the arguments of a command.
 */

/** The base of all of them. */
export abstract class RingCacheError extends Error {
  abstract readonly code: `RINGCACHE_${string}`;
  override get name(): string {
    return this.constructor.name;
  }
}

/** Stands for a value that must not be shown. */
export const UNSHOWN: unique symbol = Symbol('a value that is not shown');

/** Shows a value in a message: short, on one line, without the password of a URL. */
export function show(value: unknown): string {
  let text: string;
  if (value === UNSHOWN) text = 'something else (not shown: there may be a password in it)';
  else if (typeof value === 'string') text = JSON.stringify(hideCredentials(value));
  else if (typeof value === 'function') text = 'a function';
  else if (typeof value === 'bigint') text = `${value}n`;
  else if (Array.isArray(value)) text = `an array of ${value.length}`;
  else if (typeof value === 'object' && value !== null) text = 'an object';
  else text = String(value);
  return text.length > 80 ? `${text.slice(0, 77)}...` : text;
}

/** Replaces what stands between `//` and `@` in a URL. */
export function hideCredentials(text: string): string {
  return text.replace(/\/\/[^/]*@/g, '//***@');
}

/**
 * An option is missing, unknown, of the wrong type or out of range. Thrown
 * before any I/O: nothing was connected, sent or changed.
 */
export class InvalidOptionError extends RingCacheError {
  readonly code = 'RINGCACHE_INVALID_OPTION';
  /** Where it stands, dotted: `memory.maxEntries`, `nodes.2.url`. */
  readonly path: string;

  constructor(path: string, expected: string, given: unknown, options?: ErrorOptions) {
    super(`${path} must be ${expected}, but was given ${show(given)}`, options);
    this.path = path;
  }
}

/** A key is not a string of 1 to 1,024 bytes of well-formed UTF-8. Thrown before any I/O. */
export class InvalidKeyError extends RingCacheError {
  readonly code = 'RINGCACHE_INVALID_KEY';

  constructor(why: string, given: unknown) {
    super(
      `a key must be a well-formed string of 1 to 1024 bytes of UTF-8: ${why} (${show(given)})`,
    );
  }
}

/** A value that the codec cannot carry, or that is too large once encoded. Thrown before any I/O. */
export class InvalidValueError extends RingCacheError {
  readonly code = 'RINGCACHE_INVALID_VALUE';

  constructor(why: string, options?: ErrorOptions) {
    super(`the value cannot be cached: ${why}`, options);
  }
}

/** Why a node could not be used for a request. */
export type Unavailability =
  | 'breaker-open' // not asked at all: it failed before and is not back yet
  | 'timeout' // asked, no answer within the budget; whether it acted is unknown
  | 'connection' // the connection was lost or refused; whether it acted is unknown
  | 'overloaded' // not asked: too many requests to it are unanswered
  | 'refused' // it answered that it cannot serve now (LOADING, READONLY, MISCONF, BUSY)
  | 'configuration' // it answered that we may not (NOAUTH, WRONGPASS, NOPERM) or does not understand
  | 'fenced' // its topology is not the one this process knows
  | 'closed'; // it was closed by this process

/**
 * One node did not serve a request. Reads and loads never reject with it:
 * they fall back to the loader. Nothing is known about a write that was sent.
 */
export class NodeUnavailableError extends RingCacheError {
  readonly code = 'RINGCACHE_NODE_UNAVAILABLE';
  /** The node's id, never its address. */
  readonly node: string;
  readonly reason: Unavailability;

  constructor(node: string, reason: Unavailability, detail = '', options?: ErrorOptions) {
    super(`node ${node} is unavailable (${reason}${detail === '' ? '' : `: ${detail}`})`, options);
    this.node = node;
    this.reason = reason;
  }
}

/** A load, or the wait for another process's load, took longer than `load.timeout`. */
export class LoadTimeoutError extends RingCacheError {
  readonly code = 'RINGCACHE_LOAD_TIMEOUT';
  readonly timeoutMs: number;

  constructor(key: string, timeoutMs: number) {
    super(`loading ${show(key)} took longer than load.timeout (${timeoutMs} ms)`);
    this.timeoutMs = timeoutMs;
  }
}

/** Another change of the ring is under way. Nothing was changed; try again when it is done. */
export class TopologyBusyError extends RingCacheError {
  readonly code = 'RINGCACHE_TOPOLOGY_BUSY';

  constructor(epoch: number) {
    super(`the ring is being changed already (epoch ${epoch}); wait for that change to be done`);
  }
}

/** The nodes serve another list of members than this process was given, under the same epoch. */
export class TopologyConflictError extends RingCacheError {
  readonly code = 'RINGCACHE_TOPOLOGY_CONFLICT';
  readonly node: string;

  constructor(node: string, why: string) {
    super(`node ${node} ${why}`);
    this.node = node;
  }
}

/** The cache was closed. Nothing was sent. */
export class ClosedError extends RingCacheError {
  readonly code = 'RINGCACHE_CLOSED';

  constructor(what = 'the cache') {
    super(`${what} is closed`);
  }
}
