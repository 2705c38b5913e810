/**
 * The way of one caller to one lock: in line, a try, waiting for news or a
 * while, the next try, until it is granted or patience is over.
 *
 *     1. Be the head of this process's line for the name.
 *     2. Ask. Granted, and still valid now: done.
 *     3. Busy, and nothing could be heard so far: listen, and ask again, this
 *        time with a place in the queue.
 *     4. Wait: for the message that the lock is reserved for us; until what is
 *        left of the holder's time is over; or for a pause, in case a message
 *        was lost. Then 2 again. A reservation is only a hint: it was made at a
 *        time that is not known here, so it is asked for like any other lock.
 *     5. Patience over: leave the queue, and give back what may have been
 *        granted meanwhile.
 */
import type { Clock } from '../clock.ts';
import {
  LockTimeoutError,
  LockUnavailableError,
  NodeUnavailableError,
  QuorumError,
} from '../errors.ts';
import type { Attempt, Granted, LockHomes, Refusal } from './homes.ts';
import { HeldLock, type LockHost } from './lock.ts';
import type { Seated } from './roster.ts';
import type { LockSettings } from './settings.ts';
import { remainingMs } from './validity.ts';
import { type Lines, Patience, type Wakes } from './wait.ts';

export interface AcquisitionParts {
  readonly clock: Clock;
  readonly homes: LockHomes;
  readonly wakes: Wakes;
  readonly lines: Lines<Refusal>;
  readonly host: LockHost;
  readonly nodeTimeoutMs: number;
}

export interface Wanted {
  readonly name: string;
  /** Makes a token that was never used. */
  readonly newToken: () => string;
  readonly settings: LockSettings;
  /** False: one try, past the line, with no place in the queue; busy is an answer. */
  readonly waits: boolean;
}

export type Busy = Extract<Attempt, { kind: 'busy' }>;

/** Pauses grow to this, unless the caller chose a longer one; each is shortened by up to a fifth: one request a second at most. */
const MAX_PAUSE_MS = 1_250;
const PAUSE_JITTER = 0.2;
/** Those who wait for the same end do not all ask at the same moment. */
const SPREAD_MS = 20;

export class Acquisition implements Seated {
  seat = -1;
  readonly #parts: AcquisitionParts;
  readonly #wanted: Wanted;
  readonly startedAt: number;
  readonly #patience: Patience;
  #token: string;
  #refusal: Refusal | undefined;
  #mayHold = false;
  #placed = false;
  #trying: Promise<Attempt> | undefined;

  constructor(parts: AcquisitionParts, wanted: Wanted) {
    const { clock, nodeTimeoutMs } = parts;
    const { waitMs, signal } = wanted.settings;
    this.#parts = parts;
    this.#wanted = wanted;
    this.startedAt = clock.now();
    this.#token = wanted.newToken();
    // One try has the time that a node has to answer.
    const bounds = { waitMs: waitMs === 0 ? nodeTimeoutMs : waitMs, signal };
    this.#patience = new Patience(clock, bounds, () => this.#error());
  }

  /** That of the last try. */
  get token(): string {
    return this.#token;
  }

  /** Ends the wait. */
  end(why: Error): void {
    this.#patience.end(why);
  }

  /** For the one who waits. */
  async inLine(): Promise<HeldLock> {
    const { lines } = this.#parts;
    const { name } = this.#wanted;
    const place = lines.enter(name);
    try {
      if (place !== undefined) await this.#patience.while(place.turn);
      return await this.#untilGranted();
    } catch (error) {
      this.#giveUp();
      throw error;
    } finally {
      this.#patience.settle();
      if (place === undefined) lines.leave(name);
      else place.leave();
    }
  }

  /** One try. */
  async once(): Promise<HeldLock | Busy> {
    try {
      const attempt = await this.#try(false);
      this.#heard(attempt, false);
      if (attempt.kind === 'granted')
        return this.#lockOf(attempt) ?? { kind: 'busy', remainingMs: 1 };
      if (attempt.kind === 'busy') return attempt;
      throw this.#error();
    } catch (error) {
      this.#giveUp();
      throw error;
    } finally {
      this.#patience.settle();
    }
  }

  async #untilGranted(): Promise<HeldLock> {
    const { homes } = this.#parts;
    const { name, settings } = this.#wanted;
    for (let tries = 0; ; ) {
      const queue = settings.waitMs > 0;
      const attempt = await this.#try(queue);
      this.#heard(attempt, queue);
      if (attempt.kind === 'granted') {
        const lock = this.#lockOf(attempt);
        if (lock !== undefined) return lock;
      } else if (attempt.kind === 'conflict') throw attempt.error;
      const isLast = settings.waitMs === 0 || tries >= settings.retries;
      if (isLast) throw this.#error();
      // The answer to the question that came with no place in the queue is old by now.
      if (attempt.kind === 'busy' && (await this.#patience.while(homes.listen(name)))) continue;
      await this.#pause(attempt, tries);
      tries++;
    }
  }

  #try(queue: boolean): Promise<Attempt> {
    const { name, settings } = this.#wanted;
    const { ttlMs } = settings;
    const token = this.#token;
    const over = (): boolean => this.#patience.over;
    const placed = this.#placed;
    if (queue) this.#parts.wakes.expect(token);
    this.#trying = this.#parts.homes.attempt({ name, token, ttlMs, queue, placed, over });
    return this.#patience.while(this.#trying);
  }

  #heard(attempt: Attempt, queue: boolean): void {
    this.#trying = undefined;
    if (attempt.kind === 'granted') return;
    this.#placed ||= queue && attempt.kind === 'busy';
    this.#refused(attempt);
    if (attempt.spent === true) this.#changeToken();
  }

  #refused(refusal: Refusal): void {
    this.#refusal = refusal;
    if (this.#wanted.waits) this.#parts.lines.tell(this.#wanted.name, refusal);
    // A place in the queue, or a request whose answer did not come.
    this.#mayHold ||= refusal.kind !== 'unavailable' || wasSent(refusal.cause);
  }

  /** What was taken with the old one is being given back: see `Aftermath` in homes.ts. */
  #changeToken(): void {
    const { wakes } = this.#parts;
    wakes.forget(this.#token);
    this.#token = this.#wanted.newToken();
    this.#mayHold = false;
    this.#placed = false;
  }

  /** Undefined when its time was over before this process heard of it. */
  #lockOf(granted: Granted): HeldLock | undefined {
    const { clock, host } = this.#parts;
    const { name, settings } = this.#wanted;
    const { grip, since } = granted;
    if (remainingMs(clock, { since, ttlMs: settings.ttlMs }) === 0) {
      void grip.release(0);
      this.#changeToken();
      return undefined;
    }
    return new HeldLock({ name, token: this.#token, ...granted }, settings, host);
  }

  async #pause(attempt: Attempt, tries: number): Promise<void> {
    const { clock, wakes } = this.#parts;
    const { retries, retryDelayMs } = this.#wanted.settings;
    let ms = retryDelayMs;
    if (retries === Number.POSITIVE_INFINITY) {
      const cap = Math.min(retryDelayMs * 2 ** Math.min(tries, 20), MAX_PAUSE_MS);
      const longest = Math.max(cap, retryDelayMs);
      ms = longest * (1 - Math.random() * PAUSE_JITTER);
      if (attempt.kind === 'busy') {
        ms = Math.min(ms, attempt.remainingMs + Math.random() * SPREAD_MS);
      }
    }
    const wait = wakes.wait(clock, this.#token, ms);
    try {
      await this.#patience.while(wait.woken);
    } finally {
      wait.cancel();
    }
  }

  /** Nothing is to be held, and no place to be kept, whatever is still on its way. */
  #giveUp(): void {
    const { homes } = this.#parts;
    const { name, settings } = this.#wanted;
    const token = this.#token;
    const abandon = (): void => homes.abandon(name, { token, ttlMs: settings.ttlMs });
    // The try goes on until its node has answered, and might be granted then.
    if (this.#trying !== undefined) void this.#trying.then(abandon);
    else if (this.#mayHold) abandon();
  }

  /** Why it was not granted, by the last answer. */
  #error(): Error {
    const { name } = this.#wanted;
    const waitedMs = this.#parts.clock.now() - this.startedAt;
    const refusal = this.#refusal ?? this.#newsOfHead();
    switch (refusal?.kind) {
      case 'conflict':
        return refusal.error;
      case 'no-quorum':
        return new QuorumError(name, refusal.votes);
      case 'unavailable': {
        const { node, why, retryAfterMs, cause } = refusal;
        return new LockUnavailableError(name, node, { why, retryAfterMs, cause });
      }
      case 'busy':
        return new LockTimeoutError(name, waitedMs, Math.max(1, refusal.remainingMs));
      case undefined:
        break;
    }
    const why = `its node did not answer within ${Math.round(waitedMs)} ms`;
    return new LockUnavailableError(name, this.#parts.homes.nodeOf(name), { why });
  }

  /** Who is still in line knows of the lock what the head was told. */
  #newsOfHead(): Refusal | undefined {
    const { name, waits } = this.#wanted;
    if (!waits || this.#trying !== undefined) return undefined;
    return this.#parts.lines.news(name);
  }
}

function wasSent(failure: NodeUnavailableError | undefined): boolean {
  return failure?.reason === 'timeout' || failure?.reason === 'connection';
}

/** @throws What it is given, if it is no NodeUnavailableError. */
export function asUnavailable(name: string, error: unknown): LockUnavailableError {
  if (!(error instanceof NodeUnavailableError)) throw error;
  return new LockUnavailableError(name, error.node, { why: error.message, cause: error });
}
