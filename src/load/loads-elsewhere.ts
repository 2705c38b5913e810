/**
 * Loads of other processes that this one waits for, by key: who waits is told
 * by the node when such a load is over, whatever became of it.
 */
import { type Clock, pause } from '../clock.ts';

/** One who may have to wait. */
export class Expectation {
  readonly #ended: (expectation: Expectation) => void;
  #told = false;
  #woken = new AbortController();

  constructor(ended: (expectation: Expectation) => void) {
    this.#ended = ended;
  }

  tell(): void {
    this.#told = true;
    this.#woken.abort();
  }

  /** Resolves when it has been told since the last wait, or after `ms`, or when `signal` aborts. Never rejects. */
  async wait(clock: Clock, ms: number, signal: AbortSignal): Promise<void> {
    if (!this.#told) await pause(clock, ms, AbortSignal.any([signal, this.#woken.signal]));
    this.#told = false;
    this.#woken = new AbortController();
  }

  /** Nothing is waited for any more. */
  end(): void {
    this.#ended(this);
  }
}

export class LoadsElsewhere {
  readonly #expected = new Map<string, Set<Expectation>>();

  /** To be called before the node is asked: what it tells may come before its answer. */
  expect(key: string): Expectation {
    const all = this.#expected.get(key) ?? new Set();
    this.#expected.set(key, all);
    const expectation = new Expectation((ended) => {
      all.delete(ended);
      if (all.size === 0 && this.#expected.get(key) === all) this.#expected.delete(key);
    });
    all.add(expectation);
    return expectation;
  }

  /** The load of `key` is over somewhere. */
  tell(key: string): void {
    for (const expectation of this.#expected.get(key) ?? []) expectation.tell();
  }

  /** What a node would have told may have been lost. */
  tellAll(): void {
    for (const key of this.#expected.keys()) this.tell(key);
  }
}
