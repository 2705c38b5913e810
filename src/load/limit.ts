/** At most so many at once; the others wait in order. */
export class Limit {
  readonly #most: number;
  #running = 0;
  /** In the order of arrival; one that gave up leaves at once. */
  readonly #waiting = new Set<() => void>();

  constructor(most: number) {
    this.#most = most;
  }

  get waiting(): number {
    return this.#waiting.size;
  }

  /**
   * Resolves when it is this one's turn; each turn has to be given back with
   * `leave`. Rejects when aborted.
   *
   * @param queued Called if it has to wait, with what lets it in at once, over the limit.
   */
  enter(signal: AbortSignal, queued?: (jump: () => void) => void): Promise<void> {
    if (signal.aborted) return Promise.reject(signal.reason);
    if (this.#running < this.#most) {
      this.#running++;
      return Promise.resolve();
    }
    return new Promise((resolve, reject) => {
      const giveUp = (): void => {
        this.#waiting.delete(takeTurn);
        reject(signal.reason);
      };
      const takeTurn = (): void => {
        signal.removeEventListener('abort', giveUp);
        resolve();
      };
      this.#waiting.add(takeTurn);
      signal.addEventListener('abort', giveUp, { once: true });
      queued?.(() => {
        if (!this.#waiting.delete(takeTurn)) return;
        this.#running++;
        takeTurn();
      });
    });
  }

  leave(): void {
    if (this.#running > this.#most) {
      this.#running--;
      return;
    }
    for (const next of this.#waiting) {
      // The turn is handed over, so nobody who arrives now gets in between.
      this.#waiting.delete(next);
      next();
      return;
    }
    this.#running--;
  }
}
