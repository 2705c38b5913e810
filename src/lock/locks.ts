/**
 * Locks, as applications use them: taking one, with patience; running work
 * under it; several at once. What a lock is on the nodes is decided in
 * ring-homes.ts and quorum-homes.ts, and how it is kept in lock.ts.
 */
import { randomBytes } from 'node:crypto';
import type { Clock } from '../clock.ts';
import type { Emitter } from '../emitter.ts';
import {
  ClosedError,
  InvalidOptionError,
  type LockLoss,
  LockLostError,
  LockTimeoutError,
  LockUnavailableError,
  QuorumError,
} from '../errors.ts';
import { checkLockName } from '../keys.ts';
import { LockCounters, type LockStats } from '../metrics/metrics.ts';
import { Acquisition, type AcquisitionParts, asUnavailable, type Busy } from './acquisition.ts';
import { LockGroup } from './group.ts';
import type { LockHomes, Refusal } from './homes.ts';
import { HeldLock, type Lock, type LockHost } from './lock.ts';
import { Roster } from './roster.ts';
import { type LockOptions, type LockSettings, lockSettings } from './settings.ts';
import { Lines, type Wakes } from './wait.ts';

/** What a `Locks` tells those who listen. Nothing depends on anybody listening. */
export interface LockEvents {
  /** A lock was acquired here. */
  acquired: [{ lock: string; fence: number; waitedMs: number }];
  /** It was given back; `confirmed: false`: its node did not answer, and the ttl ends it at the latest. */
  released: [{ lock: string; fence: number; heldMs: number; confirmed: boolean }];
  /** It cannot be relied on any more, though it was not released. */
  lost: [{ lock: string; fence: number; heldMs: number; reason: LockLoss }];
  /** A node may evict locks when it is full: two holders at once are possible then. Give locks nodes of their own, with `noeviction`. */
  evictable: [{ node: string; policy: string }];
  /** A node was restarted or has lost its data: it grants nothing for so long. Told with each try meanwhile. */
  quarantined: [{ node: string; remainingMs: number }];
  /** From `createLocks`: something at a node that a person should look at, as a cache's `node:trouble`. */
  trouble: [{ node: string; error: Error }];
}

/** How a lock stands now, for people: it may be another by the time you read it. */
export interface LockStatus {
  readonly held: boolean;
  /** What is left of the holder's time, if it is not renewed; 0 when nobody holds it. */
  readonly remaining: number;
  /** The last number granted; 0: none is remembered. */
  readonly fence: number;
  /** Processes in the queue. */
  readonly waiters: number;
  /** The node it is on; for a quorum all of them, with commas. */
  readonly node: string;
}

/**
 * Mutual exclusion between processes.
 *
 * Names are as keys: 1 to 1,024 bytes of well-formed UTF-8; those with the same
 * non-empty `{tag}` are on one node. Every method rejects with InvalidKeyError
 * and InvalidOptionError before anything is sent, and with ClosedError after
 * the locks (or the cache they belong to) were closed.
 */
export interface Locks {
  /**
   * Waits for the lock, at most `waitTimeout`.
   *
   * @throws LockTimeoutError (another has it), LockUnavailableError (its node does not answer, or was
   *   restarted), QuorumError (no majority answers), TopologyConflictError (others share these locks in
   *   another way), the reason of `options.signal`. Nothing is held then.
   */
  acquire(name: string, options?: LockOptions): Promise<Lock>;
  /** One try; null when another has it. @throws As `acquire`, but no LockTimeoutError. */
  tryAcquire(name: string, options?: LockOptions): Promise<Lock | null>;
  /**
   * Runs `work` under the lock and releases it.
   *
   * @throws As `acquire`; what `work` rejects with, unchanged; LockLostError with what `work` returned
   *   as its `value`, when the lock was lost before the work was over.
   */
  using<T>(name: string, options: LockOptions, work: (lock: Lock) => Promise<T>): Promise<T>;
  /** The same after one try. `retryAfter`: what is left of the holder's time, in milliseconds, at least 1. */
  tryUsing<T>(
    name: string,
    options: LockOptions,
    work: (lock: Lock) => Promise<T>,
  ): Promise<{ ran: true; value: T } | { ran: false; retryAfter: number }>;
  /**
   * All of them, or none; in the order of their names, so that two who want some of the same cannot wait
   * for each other for ever. `waitTimeout` is for all together. Its `fence` is the largest of theirs.
   *
   * @throws As `acquire`; LockLostError, when one was lost while others were waited for.
   */
  acquireAll(names: string[], options?: LockOptions): Promise<Lock>;
  /** @throws LockUnavailableError */
  inspect(name: string): Promise<LockStatus>;
  stats(): LockStats;
  on<E extends keyof LockEvents>(event: E, listener: (...args: LockEvents[E]) => void): this;
  once<E extends keyof LockEvents>(event: E, listener: (...args: LockEvents[E]) => void): this;
  off<E extends keyof LockEvents>(event: E, listener: (...args: LockEvents[E]) => void): this;
}

export interface LockServiceParts {
  readonly clock: Clock;
  readonly homes: LockHomes;
  readonly wakes: Wakes;
  readonly settings: LockSettings;
  readonly events: Emitter<LockEvents>;
  /** A node's budget for one request: the least that one try takes. */
  readonly nodeTimeoutMs: number;
}

export class LockService implements Locks {
  readonly #parts: LockServiceParts;
  readonly #counters = new LockCounters();
  readonly #lines = new Lines<Refusal>();
  readonly #held = new Roster<HeldLock>();
  readonly #acquiring = new Roster<Acquisition>();
  readonly #host: LockHost;
  readonly #shared: AcquisitionParts;
  readonly #prefix = randomBytes(12).toString('base64url');
  #tokens = 0;
  #closed = false;

  constructor(parts: LockServiceParts) {
    this.#parts = parts;
    const { clock, homes, wakes, nodeTimeoutMs } = parts;
    const counters = this.#counters;
    this.#host = {
      clock: parts.clock,
      renewed: () => {
        counters.renewals++;
      },
      released: (lock, heldMs, confirmed) => {
        this.#forget(lock);
        counters.released++;
        counters.holds.record(heldMs);
        parts.events.emit('released', { lock: lock.name, fence: lock.fence, heldMs, confirmed });
      },
      lost: (lock, { reason }, heldMs) => {
        this.#forget(lock);
        counters.lost++;
        counters.holds.record(heldMs);
        parts.events.emit('lost', { lock: lock.name, fence: lock.fence, heldMs, reason });
      },
    };
    this.#shared = { clock, homes, wakes, lines: this.#lines, host: this.#host, nodeTimeoutMs };
  }

  async acquire(name: string, options?: LockOptions): Promise<Lock> {
    // Awaited here: handed on as a promise it would be two turns of the microtask queue later.
    const lock = await this.#acquire(name, this.#check(name, options));
    return lock;
  }

  async tryAcquire(name: string, options?: LockOptions): Promise<Lock | null> {
    const taken = await this.#try(name, this.#check(name, options));
    return taken instanceof HeldLock ? taken : null;
  }

  async using<T>(name: string, options: LockOptions, work: (lock: Lock) => Promise<T>): Promise<T> {
    checkWork(work);
    const lock = await this.#acquire(name, this.#check(name, options));
    return runUnder(lock, work);
  }

  async tryUsing<T>(
    name: string,
    options: LockOptions,
    work: (lock: Lock) => Promise<T>,
  ): Promise<{ ran: true; value: T } | { ran: false; retryAfter: number }> {
    checkWork(work);
    const taken = await this.#try(name, this.#check(name, options));
    if (taken instanceof HeldLock) return { ran: true, value: await runUnder(taken, work) };
    return { ran: false, retryAfter: Math.max(1, taken.remainingMs) };
  }

  async acquireAll(names: string[], options?: LockOptions): Promise<Lock> {
    if (!Array.isArray(names) || names.length === 0) {
      throw new InvalidOptionError('names', 'an array of at least one name', names);
    }
    for (const name of names) checkLockName(name);
    const settings = this.#check(names[0]!, options);
    const { clock } = this.#parts;
    const startedAt = clock.now();
    const locks: HeldLock[] = [];
    try {
      // Each once; by code unit, so that every process has the same order.
      for (const name of [...new Set(names)].sort()) {
        const waitMs = settings.waitMs - (clock.now() - startedAt);
        locks.push(await this.#acquire(name, { ...settings, waitMs: Math.max(0, waitMs) }));
      }
      const group = new LockGroup(locks);
      group.assertHeld();
      return group;
    } catch (error) {
      await Promise.all(locks.map((lock) => lock.undo()));
      throw error;
    }
  }

  async inspect(name: string): Promise<LockStatus> {
    this.#check(name);
    try {
      const { held, remainingMs, number, waiters, node } = await this.#parts.homes.look(name);
      return { held, remaining: remainingMs, fence: number, waiters, node };
    } catch (error) {
      throw asUnavailable(name, error);
    }
  }

  stats(): LockStats {
    const { waits, holds, ...counters } = this.#counters;
    return {
      ...counters,
      held: this.#held.size,
      waiting: this.#acquiring.size,
      waits: waits.summary(),
      holds: holds.summary(),
    };
  }

  on<E extends keyof LockEvents>(event: E, listener: (...args: LockEvents[E]) => void): this {
    this.#parts.events.on(event, listener);
    return this;
  }

  once<E extends keyof LockEvents>(event: E, listener: (...args: LockEvents[E]) => void): this {
    this.#parts.events.once(event, listener);
    return this;
  }

  off<E extends keyof LockEvents>(event: E, listener: (...args: LockEvents[E]) => void): this {
    this.#parts.events.off(event, listener);
    return this;
  }

  /**
   * Those who wait are rejected; what is held is lost (`closed`), and left to
   * end by itself, since the work under it may go on.
   */
  end(): void {
    this.#closed = true;
    for (const acquisition of this.#acquiring.all())
      acquisition.end(new ClosedError('the lock service'));
    for (const lock of this.#held.all()) lock.close();
  }

  #check(name: string, options?: LockOptions): LockSettings {
    if (this.#closed) throw new ClosedError('the lock service');
    checkLockName(name);
    const settings = lockSettings(this.#parts.settings, options);
    settings.signal?.throwIfAborted();
    return settings;
  }

  // Random for the process, counted in it: a call to the random source for each
  // lock was 4 % of an uncontended one.
  readonly #newToken = (): string => {
    this.#tokens += 1;
    return `${this.#prefix}.${this.#tokens.toString(36)}`;
  };

  #forget(lock: HeldLock): void {
    this.#held.delete(lock);
    this.#parts.wakes.forget(lock.token);
  }

  async #acquire(name: string, settings: LockSettings): Promise<HeldLock> {
    const acquisition = this.#begin(name, settings, true);
    try {
      return this.#acquired(await acquisition.inLine(), acquisition);
    } catch (error) {
      this.#failed(error, acquisition);
      throw error;
    } finally {
      this.#acquiring.delete(acquisition);
    }
  }

  /** One try. */
  async #try(name: string, settings: LockSettings): Promise<HeldLock | Busy> {
    const acquisition = this.#begin(name, { ...settings, waitMs: 0 }, false);
    try {
      const taken = await acquisition.once();
      if (taken instanceof HeldLock) return this.#acquired(taken, acquisition);
      this.#parts.wakes.forget(acquisition.token);
      this.#counters.busy++;
      return taken;
    } catch (error) {
      this.#failed(error, acquisition);
      throw error;
    } finally {
      this.#acquiring.delete(acquisition);
    }
  }

  #begin(name: string, settings: LockSettings, waits: boolean): Acquisition {
    const newToken = this.#newToken;
    const acquisition = new Acquisition(this.#shared, { name, newToken, settings, waits });
    this.#acquiring.add(acquisition);
    return acquisition;
  }

  #acquired(lock: HeldLock, acquisition: Acquisition): HeldLock {
    const waitedMs = this.#parts.clock.now() - acquisition.startedAt;
    this.#held.add(lock);
    this.#counters.acquired++;
    this.#counters.waits.record(waitedMs);
    const { name, fence } = lock;
    this.#parts.events.emit('acquired', { lock: name, fence, waitedMs });
    return lock;
  }

  #failed(error: unknown, acquisition: Acquisition): void {
    this.#parts.wakes.forget(acquisition.token);
    if (error instanceof LockTimeoutError) this.#counters.timeouts++;
    else if (error instanceof LockUnavailableError || error instanceof QuorumError) {
      this.#counters.unavailable++;
    }
  }
}

/** @throws InvalidOptionError */
function checkWork(work: unknown): void {
  if (typeof work !== 'function') throw new InvalidOptionError('work', 'a function', work);
}

async function runUnder<T>(lock: HeldLock, work: (lock: Lock) => Promise<T>): Promise<T> {
  let value: T;
  try {
    value = await work(lock);
  } catch (error) {
    await lock.release();
    throw error;
  }
  const loss = lock.lossNow();
  if (loss !== undefined) {
    const { reason, fence } = loss;
    throw new LockLostError(lock.name, { reason, fence, value });
  }
  await lock.release();
  return value;
}
