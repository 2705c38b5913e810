/**
 * A lock that is held: how long it is certainly ours, its renewal, and the
 * moment at which it is lost.
 *
 * Method. One timer at a time: for the next renewal, and while one is under way
 * for the end of validity, so that a holder learns of the loss when it happens,
 * though the connection hangs. What a late answer says no longer counts.
 */
import type { Clock, Timer } from '../clock.ts';
import type { Duration } from '../duration.ts';
import {
  type LockLoss,
  LockLostError,
  LockUnavailableError,
  NodeUnavailableError,
} from '../errors.ts';
import type { Grip } from './homes.ts';
import type { Seated } from './roster.ts';
import { type LockSettings, lockTtl } from './settings.ts';
import { type Moment, momentOf, remainingMs, type Validity } from './validity.ts';

/** A lock that was acquired. Ends by `release()`, or by being lost. */
export interface Lock extends AsyncDisposable {
  readonly name: string;
  /** Of this acquisition alone: random for the process, counted in it. */
  readonly token: string;
  /** Grows with every grant of this name: hand it to whatever the lock protects, which refuses smaller ones. */
  readonly fence: number;
  /** Aborts with a LockLostError the moment the lock can no longer be relied on. Not by `release()`. */
  readonly signal: AbortSignal;
  /** Whether it is certainly ours now. */
  readonly held: boolean;
  /** Milliseconds for which it is certainly ours, if it is not renewed. 0: it is not. */
  remaining(): number;
  /** @throws LockLostError when it is not certainly ours. */
  assertHeld(): void;
  /**
   * Sets the time left (it is not added to), now and for later renewals.
   *
   * @param ttl As in LockOptions; without it, the ttl it was acquired with.
   * @returns What `remaining()` is then.
   * @throws LockLostError, LockUnavailableError (its node does not answer; it is held still, for
   *   `remaining()`, the shorter of the old time and the new), InvalidOptionError.
   */
  extend(ttl?: Duration): Promise<number>;
  /**
   * Gives it back: the next who waits has it within about a round trip.
   * Idempotent; never rejects; never ends another holder's lock.
   *
   * @returns True: it was still ours. False: it was lost before, or its node does not
   *   answer; then it is repeated in the background, and the ttl ends it at last.
   */
  release(): Promise<boolean>;
}

/** What a lock tells of itself. Must not throw. */
export interface LockHost {
  readonly clock: Clock;
  renewed(): void;
  released(lock: HeldLock, heldMs: number, confirmed: boolean): void;
  lost(lock: HeldLock, error: LockLostError, heldMs: number): void;
}

/** What was granted. */
export interface Grant {
  readonly name: string;
  readonly token: string;
  readonly number: number;
  readonly grip: Grip;
  readonly since: Moment;
}

const RENEW_PART = 1 / 3;
/** A renewal that failed is repeated after a tenth of the ttl, and at least this. */
const RETRY_PART = 1 / 10;
const LEAST_RETRY_MS = 50;

const noop = (): void => undefined;

export class HeldLock implements Lock, Seated {
  readonly name: string;
  readonly token: string;
  readonly fence: number;
  seat = -1;
  readonly #host: LockHost;
  readonly #grip: Grip;
  readonly #settings: LockSettings;
  readonly #since: Moment;
  #validity: Validity;
  /** What the last request asks for. */
  #asked: Validity | undefined;
  #timer: Timer | undefined;
  #controller: AbortController | undefined;
  #loss: LockLostError | undefined;
  #releasing: Promise<boolean> | undefined;
  /** A renewal was begun that has not succeeded. */
  #failing = false;

  constructor(grant: Grant, settings: LockSettings, host: LockHost) {
    this.name = grant.name;
    this.token = grant.token;
    this.fence = grant.number;
    this.#grip = grant.grip;
    this.#since = grant.since;
    this.#settings = settings;
    this.#host = host;
    this.#validity = { since: grant.since, ttlMs: settings.ttlMs };
    this.#arm();
  }

  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController();
      if (this.#loss !== undefined) this.#controller.abort(this.#loss);
    }
    return this.#controller.signal;
  }

  get held(): boolean {
    return this.remaining() > 0;
  }

  remaining(): number {
    if (this.#loss !== undefined || this.#releasing !== undefined) return 0;
    return remainingMs(this.#host.clock, this.#validity);
  }

  assertHeld(): void {
    if (this.held) return;
    throw this.lossNow() ?? this.#lossOf('released');
  }

  /** Why it cannot be relied on; undefined while it can, or was released before it was lost. */
  lossNow(): LockLostError | undefined {
    // The end may have come while this process did not get to run its timers.
    const ended = this.#loss !== undefined || this.#releasing !== undefined;
    if (!ended && this.remaining() === 0) this.#lose(this.#whyOver());
    return this.#loss;
  }

  async extend(ttl?: Duration): Promise<number> {
    const { ttlMs, maxTtlMs } = this.#settings;
    const wantedMs = ttl === undefined ? ttlMs : lockTtl(ttl, maxTtlMs);
    this.assertHeld();
    const prolonged = this.#prolong(wantedMs);
    // A renewal in between would set the old time again.
    this.#awaitEnd();
    try {
      await prolonged;
    } catch (error) {
      if (!(error instanceof NodeUnavailableError)) throw error;
      this.#retryRenewal();
      this.assertHeld();
      const why = `${error.message}; it is held still, for what remaining() says`;
      throw new LockUnavailableError(this.name, error.node, { why, cause: error });
    }
    this.assertHeld();
    this.#arm();
    return this.remaining();
  }

  release(): Promise<boolean> {
    if (this.lossNow() !== undefined) return Promise.resolve(false);
    const { minHoldMs } = this.#settings;
    this.#releasing ??= this.#release(minHoldMs === 0 ? 0 : minHoldMs - this.#heldMs());
    return this.#releasing;
  }

  /** Gives it back though `minHold` is not over: nothing was done under it. */
  undo(): Promise<boolean> {
    if (this.lossNow() !== undefined) return Promise.resolve(false);
    this.#releasing ??= this.#release(0);
    return this.#releasing;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.release();
  }

  /** The locks are closed: it is left to end by itself, since the work under it may go on. */
  close(): void {
    if (this.#loss === undefined && this.#releasing === undefined) this.#lose('closed');
  }

  async #release(keepMs: number): Promise<boolean> {
    this.#timer?.cancel();
    const heldMs = this.#heldMs();
    const confirmed = await this.#grip.release(keepMs);
    this.#host.released(this, heldMs, confirmed);
    return confirmed;
  }

  /** Sets the one timer: for the next renewal, or the end when there is none. */
  #arm(): void {
    const { ttlMs, since } = this.#validity;
    const { renewEveryMs = ttlMs * RENEW_PART } = this.#settings;
    if (renewEveryMs === 0) {
      this.#awaitEnd();
      return;
    }
    const passedMs = this.#host.clock.now() - since.monotonic;
    // An interval for a longer ttl than `extend` has set since.
    const everyMs = renewEveryMs < ttlMs ? renewEveryMs : ttlMs * RENEW_PART;
    this.#after(everyMs - passedMs, () => this.#renew());
  }

  #awaitEnd(): void {
    this.#after(this.remaining(), () => {
      // A timer may come early, and the validity may have been renewed.
      if (this.lossNow() === undefined) this.#awaitEnd();
    });
  }

  #renew(): void {
    if (this.lossNow() !== undefined) return;
    this.#failing = true;
    const prolonged = this.#prolong(this.#validity.ttlMs);
    this.#awaitEnd();
    prolonged.then(
      () => {
        if (this.remaining() > 0) this.#arm();
      },
      () => this.#retryRenewal(),
    );
  }

  #retryRenewal(): void {
    // Released while it was under way: no end is awaited any more, nor found.
    if (this.#releasing !== undefined || this.lossNow() !== undefined) return;
    const retryMs = Math.max(LEAST_RETRY_MS, this.#validity.ttlMs * RETRY_PART);
    if (this.#settings.renewEveryMs === 0 || retryMs >= this.remaining()) this.#awaitEnd();
    else this.#after(retryMs, () => this.#renew());
  }

  /** @throws NodeUnavailableError when nothing is known. Loses the lock when it is not ours any more. */
  async #prolong(ttlMs: number): Promise<void> {
    const { clock } = this.#host;
    const validity = { since: momentOf(clock), ttlMs };
    this.#asked = validity;
    // The node may act on it though no answer comes: a shorter time counts at once.
    if (remainingMs(clock, validity) < this.remaining()) this.#validity = validity;
    const answer = await this.#grip.prolong(ttlMs);
    if (this.#loss !== undefined || this.#releasing !== undefined) return;
    if (answer === 'lost') return this.#lose('taken');
    // Too late: the time that was known to be ours is over.
    if (this.lossNow() !== undefined) return;
    this.#failing = false;
    this.#host.renewed();
    // The node acts in the order of the requests, so what was asked last is what counts there.
    if (this.#asked === validity) this.#validity = validity;
  }

  #whyOver(): LockLoss {
    if (this.#settings.renewEveryMs === 0) return 'expired';
    return this.#failing ? 'unreachable' : 'stalled';
  }

  #lose(reason: LockLoss): void {
    const error = this.#lossOf(reason);
    this.#loss = error;
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#host.lost(this, error, this.#heldMs());
    // Compared with the token: at most it spares others the wait for the ttl.
    if (reason !== 'closed') this.#grip.release(0).catch(noop);
    this.#controller?.abort(error);
  }

  #lossOf(reason: LockLoss): LockLostError {
    return new LockLostError(this.name, { reason, fence: this.fence });
  }

  #heldMs(): number {
    return this.#host.clock.now() - this.#since.monotonic;
  }

  #after(delayMs: number, run: () => void): void {
    this.#timer?.cancel();
    this.#timer = this.#host.clock.after(Math.max(0, delayMs), () => {
      this.#timer = undefined;
      run();
    });
  }
}
