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

/** A key, or the name of a lock, is not a string of 1 to 1,024 bytes of well-formed UTF-8. Thrown before any I/O. */
export class InvalidKeyError extends RingCacheError {
  readonly code = 'RINGCACHE_INVALID_KEY';

  constructor(why: string, given: unknown, what = 'a key') {
    super(
      `${what} must be a well-formed string of 1 to 1024 bytes of UTF-8: ${why} (${show(given)})`,
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
  | 'unconfirmed' // not asked: too few nodes have told this process of late that its topology is the newest
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
  /** What is known beyond the reason, for people: `connect ECONNREFUSED 10.0.0.1:6379`; may be ''. */
  readonly detail: string;

  constructor(node: string, reason: Unavailability, detail = '', options?: ErrorOptions) {
    super(`node ${node} is unavailable (${reason}${detail === '' ? '' : `: ${detail}`})`, options);
    this.node = node;
    this.reason = reason;
    this.detail = detail;
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

  constructor(epoch: number, why = 'is being changed already; wait for that change to be done') {
    super(`the ring (epoch ${epoch}) ${why}`);
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

/** The base of what locks reject with. Nothing is held then. */
export abstract class LockError extends RingCacheError {
  /** The name of the lock. */
  readonly lock: string;

  constructor(lock: string, message: string, options?: ErrorOptions) {
    super(`lock ${show(lock)} ${message}`, options);
    this.lock = lock;
  }
}

/** Somebody else held the lock until the wait was over. */
export class LockTimeoutError extends LockError {
  readonly code = 'RINGCACHE_LOCK_TIMEOUT';
  readonly waitedMs: number;
  /** What is left of the holder's time, if it is neither renewed nor released; at least 1. */
  readonly retryAfterMs: number;

  constructor(lock: string, waitedMs: number, retryAfterMs: number) {
    super(
      lock,
      `is held by another: not acquired within ${Math.round(waitedMs)} ms ` +
        `(what is left of the holder's time: ${retryAfterMs} ms, if it is not renewed)`,
    );
    this.waitedMs = waitedMs;
    this.retryAfterMs = retryAfterMs;
  }
}

/** Why a lock can no longer be relied on. */
export type LockLoss =
  | 'expired' // its time is over, and it was not to be renewed
  | 'stalled' // this process stood still for longer than its time
  | 'unreachable' // its node did not answer until its time was over
  | 'taken' // its node does not have it any more: deleted, evicted, lost by a restart
  | 'closed' // the locks were closed in this process
  | 'released'; // it was given back

const LOSSES: Readonly<Record<LockLoss, string>> = {
  expired: 'its time was over',
  stalled: 'this process stood still until its time was over',
  unreachable: 'it could not be renewed until its time was over',
  taken: 'its node does not have it any more',
  closed: 'the locks were closed',
  released: 'it was released',
};

/** The lock was held, and cannot be relied on any more: another may hold it now. */
export class LockLostError extends LockError {
  readonly code = 'RINGCACHE_LOCK_LOST';
  readonly reason: LockLoss;
  /** The number that was granted with it. */
  readonly fence: number;
  /** From `using`: what the work returned that ran on after the loss. */
  readonly value: unknown;

  constructor(lock: string, loss: { reason: LockLoss; fence: number; value?: unknown }) {
    super(lock, `is not held: ${LOSSES[loss.reason]} (fence ${loss.fence})`);
    this.reason = loss.reason;
    this.fence = loss.fence;
    this.value = loss.value;
  }
}

/**
 * The node of this lock cannot grant it: it does not answer, or has lost its
 * data and waits until what it granted before has run out. Locks fail closed:
 * no other node takes its place.
 */
export class LockUnavailableError extends LockError {
  readonly code = 'RINGCACHE_LOCK_UNAVAILABLE';
  /** The node's id. */
  readonly node: string;
  /** When it may grant again; undefined when that is not known. */
  readonly retryAfterMs: number | undefined;

  constructor(
    lock: string,
    node: string,
    fault: { why: string; retryAfterMs?: number | undefined; cause?: unknown },
  ) {
    const { why, retryAfterMs, cause } = fault;
    super(lock, `cannot be had: ${why}`, cause === undefined ? undefined : { cause });
    this.node = node;
    this.retryAfterMs = retryAfterMs;
  }
}

/** How one node answered when a majority was asked for. */
export interface Vote {
  readonly node: string;
  /** `unanswered`: not yet, when the others had decided it. */
  readonly vote: 'granted' | 'busy' | 'unavailable' | 'unanswered';
  /** Why it is unavailable. */
  readonly error?: Error;
}

/** Too many nodes could not be asked for a majority to be possible. */
export class QuorumError extends LockError {
  readonly code = 'RINGCACHE_QUORUM';
  readonly votes: readonly Vote[];

  constructor(lock: string, votes: readonly Vote[]) {
    const told = votes.map(({ node, vote, error }) => {
      return `${node} ${vote}${error === undefined ? '' : ` (${error.message})`}`;
    });
    super(lock, `cannot have a majority of ${votes.length} nodes: ${told.join('; ')}`);
    this.votes = votes;
  }
}
