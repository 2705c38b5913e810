/**
 * One key being read or loaded in this process, and all who wait for it.
 *
 * It is its own entry in the batch to the node: the answer arrives here
 * without a promise or closure of its own.
 */
import type { Timer } from '../clock.ts';
import type { NodeUnavailableError } from '../errors.ts';
import type { Budget, CacheNode, Reader, Stored } from '../node/node.ts';
import type { Snapshot } from '../topology/snapshot.ts';
import type { Expectation } from './loads-elsewhere.ts';
import type { Loaded } from './runner.ts';
import type { EntrySettings } from './settings.ts';

/** What brings a flight on when the node has answered. */
export interface FlightControl {
  arrived(flight: Flight, stored: Stored | undefined, epoch: number): void;
  unavailable(flight: Flight, error: NodeUnavailableError): void;
  abandoned(flight: Flight): void;
}

/** Loads the value of a flight; called at most once in the life of the flight. */
export type Work = (flight: Flight) => Promise<Loaded>;

export interface FlightPlan {
  readonly key: string;
  readonly hash: number;
  readonly work: Work;
  readonly settings: EntrySettings;
  readonly snapshot: Snapshot;
  readonly ticket: number;
  /** Told when it is known whether the work is wanted now: called, or not needed yet, or not at all. */
  readonly decided?: ((flight: Flight) => void) | undefined;
}

export class Flight implements Reader {
  readonly key: string;
  readonly hash: number;
  readonly work: Work;
  readonly settings: EntrySettings;
  readonly ticket: number;
  readonly promise: Promise<unknown>;
  /** Replaced, with the owner, when a node says that it is outdated. */
  snapshot: Snapshot;
  owner: CacheNode;
  /** When it was known to be no hit: a hit needs no clock. */
  missedAt = 0;
  /** The time that nodes have from then on for those who wait here; undefined: each request has its own. */
  budget: Budget | undefined = undefined;
  /** What the node has that is not good enough: the lease is asked for besides it. */
  seen: Stored | undefined = undefined;
  /** What may be served if nothing better comes. */
  stale: Stored | undefined = undefined;
  /** Whether those who waited have their answer already; what goes on is a refresh. */
  answered = false;
  /** Whether another load waits for it. */
  urgent = false;
  /** Whether its loader was called. */
  loading = false;
  /** Whether nobody waits any more, or the cache was closed. */
  cancelled = false;
  /** Whether another process was found loading it. */
  decidedToWait = false;
  /** Told when such a load is over. */
  elsewhere: Expectation | undefined = undefined;
  /** Serves the stale value when it runs out. */
  softTimer: Timer | undefined = undefined;
  readonly #control: FlightControl;
  #decided: ((flight: Flight) => void) | undefined;
  #abort: AbortController | undefined;
  #waiting = 0;
  #resolve!: (value: unknown) => void;
  #reject!: (error: unknown) => void;

  constructor(plan: FlightPlan, control: FlightControl) {
    this.key = plan.key;
    this.hash = plan.hash;
    this.work = plan.work;
    this.settings = plan.settings;
    this.ticket = plan.ticket;
    this.snapshot = plan.snapshot;
    this.owner = plan.snapshot.owner(plan.hash);
    this.#decided = plan.decided;
    this.#control = control;
    this.promise = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
  }

  found(_position: number, stored: Stored | undefined, epoch: number): void {
    this.#control.arrived(this, stored, epoch);
  }

  failed(_position: number, error: NodeUnavailableError): void {
    this.#control.unavailable(this, error);
  }

  /** Aborted when nobody waits any more. */
  get signal(): AbortSignal {
    this.#abort ??= new AbortController();
    return this.#abort.signal;
  }

  /** The answer, for one more caller, who may leave before the others. */
  join(signal: AbortSignal | undefined): Promise<unknown> {
    this.#waiting++;
    if (signal === undefined) return this.promise;
    return new Promise((resolve, reject) => {
      const leave = (): void => {
        reject(signal.reason);
        if (--this.#waiting === 0 && !this.answered) this.#abandon(signal.reason);
      };
      signal.addEventListener('abort', leave, { once: true });
      const settle = (): void => signal.removeEventListener('abort', leave);
      this.promise.then(
        (value) => {
          settle();
          resolve(value);
        },
        (error: unknown) => {
          settle();
          reject(error);
        },
      );
    });
  }

  /** Answers those who wait; the first answer counts. */
  answer(value: unknown): void {
    this.answered = true;
    this.#resolve(value);
  }

  fail(error: unknown): void {
    this.answered = true;
    this.#reject(error);
  }

  /** Ends the work and, if they have no answer yet, tells those who wait why. */
  cancel(reason: unknown): void {
    this.cancelled = true;
    this.#abort ??= new AbortController();
    this.#abort.abort(reason);
    if (!this.answered && this.#waiting > 0) this.fail(reason);
  }

  decided(): void {
    this.#decided?.(this);
  }

  /** Whether others are loaded by the same call. */
  get isOfBulk(): boolean {
    return this.#decided !== undefined;
  }

  /** Leaves it to another flight of this key to say whether the work is wanted. */
  handOver(): ((flight: Flight) => void) | undefined {
    const decided = this.#decided;
    this.#decided = undefined;
    return decided;
  }

  #abandon(reason: unknown): void {
    this.cancel(reason);
    this.#control.abandoned(this);
  }
}
