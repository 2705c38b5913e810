/**
 * Calls the caller's loader: in its turn, within its time, with its context.
 * Knows nothing of nodes or leases, nor what becomes of the value.
 */
import { AsyncLocalStorage } from 'node:async_hooks';
import type { Clock } from '../clock.ts';
import { type Duration, requireDuration } from '../duration.ts';
import { LoadTimeoutError } from '../errors.ts';
import type { CacheCounters } from '../metrics/metrics.ts';
import { Limit } from './limit.ts';
import type { LoadTuning } from './settings.ts';
import { checkTags } from './tags.ts';

/** What a loader is told, and what it can say besides its value. */
export interface LoadContext {
  /** The key; in a bulk load, the first of the missing ones. */
  readonly key: string;
  /** Aborted when `load.timeout` is over, or when nobody waits for the value any more. */
  readonly signal: AbortSignal;
  /** The value past its ttl, if there is one. */
  readonly stale?: unknown;
  /** Gives this value another ttl than the call's. @throws InvalidOptionError */
  setTtl(ttl: Duration): void;
  /** Gives this value other tags than the call's. @throws InvalidOptionError */
  setTags(tags: readonly string[]): void;
  /** The value is returned to those who wait, and not stored. */
  skip(): void;
}

/**
 * Loads a value. `undefined` is returned and not stored; `null` is a value.
 * What it throws is thrown to every caller that waits for this key.
 */
export type Loader<T> = (context: LoadContext) => T | Promise<T>;

export interface Loaded {
  readonly value: unknown;
  /** False when the loader asked for that. */
  readonly store: boolean;
  readonly ttlMs: number | undefined;
  readonly tags: readonly string[] | undefined;
  readonly loadMs: number;
}

export interface LoadCall {
  readonly key: string;
  readonly stale: unknown;
  /** In a bulk load, the keys besides `key`. */
  readonly others?: readonly string[];
  /** Ends the load from outside. */
  readonly signal: AbortSignal;
  /** Another load waits for it: it does not wait for a turn. */
  readonly urgent?: boolean;
  readonly invoke: (context: LoadContext) => unknown;
}

/** Before Node 24 it slows down every promise of the process, which took 30 times as long in our own tests. */
const CONTEXT_IS_CHEAP = Number.parseInt(process.versions.node, 10) >= 24;

export class LoadRunner {
  readonly #clock: Clock;
  readonly #counters: CacheCounters;
  readonly #timeoutMs: number;
  readonly #limit: Limit;
  /** Set within the loaders that run. */
  readonly #loading: AsyncLocalStorage<true> | undefined = CONTEXT_IS_CHEAP
    ? new AsyncLocalStorage<true>()
    : undefined;
  /** What lets the load of a key in that waits for its turn. */
  readonly #jumps = new Map<string, () => void>();

  constructor(clock: Clock, counters: CacheCounters, tuning: LoadTuning) {
    this.#clock = clock;
    this.#counters = counters;
    this.#timeoutMs = tuning.timeoutMs;
    this.#limit = new Limit(tuning.concurrency);
  }

  get waiting(): number {
    return this.#limit.waiting;
  }

  /**
   * To be called with what a caller is going to wait for. If the caller is a
   * loader itself, that does not wait for a turn: the loader has one, and keeps
   * it. A hundred pages that each load a product would wait for turns that they
   * have themselves, until their time is over.
   */
  hasten(flight: { readonly key: string; urgent: boolean }): void {
    if (this.#loading?.getStore() === undefined) return;
    flight.urgent = true;
    this.#jumps.get(flight.key)?.();
  }

  /** @throws What the loader throws; LoadTimeoutError; the reason of `call.signal`. */
  async run(call: LoadCall): Promise<Loaded> {
    const control = new AbortController();
    const end = (): void => control.abort(call.signal.reason);
    call.signal.addEventListener('abort', end, { once: true });
    if (call.signal.aborted) end();
    const timer = this.#clock.after(this.#timeoutMs, () => {
      control.abort(new LoadTimeoutError(call.key, this.#timeoutMs));
    });
    try {
      await this.#enter(call, control.signal);
      try {
        // Aborted between the turn and here: its event has passed, and a loader that hangs would keep the turn.
        control.signal.throwIfAborted();
        return await this.#call(call, control.signal);
      } finally {
        // A loader that does not heed its signal gives its turn back all the
        // same: else a few that hang would stop every load of the process.
        // Those whose time is over in the same turn of the event loop leave first:
        // else a database that hangs is called for each of them.
        if (control.signal.aborted) this.#clock.soon(() => this.#limit.leave());
        else this.#limit.leave();
      }
    } catch (error) {
      this.#counters.loadErrors++;
      throw error;
    } finally {
      timer.cancel();
      call.signal.removeEventListener('abort', end);
    }
  }

  async #enter(call: LoadCall, signal: AbortSignal): Promise<void> {
    const keys = [call.key, ...(call.others ?? [])];
    let jump: (() => void) | undefined;
    const entered = this.#limit.enter(signal, (letIn) => {
      jump = letIn;
      for (const key of keys) this.#jumps.set(key, letIn);
      if (call.urgent) letIn();
    });
    try {
      await entered;
    } finally {
      for (const key of keys) {
        if (jump !== undefined && this.#jumps.get(key) === jump) this.#jumps.delete(key);
      }
    }
  }

  async #call(call: LoadCall, signal: AbortSignal): Promise<Loaded> {
    let store = true;
    let ttlMs: number | undefined;
    let tags: readonly string[] | undefined;
    const context: LoadContext = {
      key: call.key,
      signal,
      stale: call.stale,
      setTtl(ttl) {
        ttlMs = requireDuration(ttl, 'ttl', 1);
      },
      setTags(given) {
        tags = checkTags(given);
      },
      skip() {
        store = false;
      },
    };
    this.#counters.loads++;
    const startedAt = this.#clock.now();
    const invoke = async (): Promise<unknown> => call.invoke(context);
    const value = await unlessAborted(() => this.#loading?.run(true, invoke) ?? invoke(), signal);
    const loadMs = this.#clock.now() - startedAt;
    this.#counters.loadLatency.record(loadMs);
    return { value, store, ttlMs, tags, loadMs };
  }
}

/** What `work` resolves to, or the reason of the abort, whichever comes first. What it does later is ignored. */
function unlessAborted<T>(work: () => Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const giveUp = (): void => reject(signal.reason);
    signal.addEventListener('abort', giveUp, { once: true });
    work()
      .then(resolve, reject)
      .finally(() => signal.removeEventListener('abort', giveUp));
  });
}
