/** What the readers of one phase got: how many, how fast, and what went wrong. */

/** Latencies are kept for the last second only, in as many parts. */
const PARTS = 10;
/** A timer may be late by so much without anything standing still. */
const LATE_TICK_MS = 4;

export class Tally {
  /** Of all phases. */
  total = 0;
  requests = 0;
  errors = 0;
  /** Text of the first error: one is enough to look into it. */
  firstError: string | undefined;
  staleReads = 0;
  /** Deletes after which the second client looked. */
  lookedAfter = 0;
  worstMs = 0;
  /** Longest time that a reader waited beyond the load of its own key. */
  worstWaitMs = 0;
  /** Longest time for which this process itself stood still. */
  stallMs = 0;
  /** Longest since the start. */
  worstStallMs = 0;
  /** All such times together, since the start. */
  stalledMs = 0;
  #latencies: number[] = [];
  readonly #recent: number[][] = [];

  beginPhase(): void {
    this.requests = 0;
    this.errors = 0;
    this.firstError = undefined;
    this.staleReads = 0;
    this.lookedAfter = 0;
    this.worstMs = 0;
    this.worstWaitMs = 0;
    this.stallMs = 0;
  }

  answered(tookMs: number, waitedMs: number): void {
    this.total += 1;
    this.requests += 1;
    this.worstMs = Math.max(this.worstMs, tookMs);
    this.worstWaitMs = Math.max(this.worstWaitMs, waitedMs);
    this.#latencies.push(tookMs);
  }

  failed(error: unknown): void {
    this.total += 1;
    this.requests += 1;
    this.errors += 1;
    this.firstError ??= String(error);
  }

  stalled(ms: number): void {
    if (ms < LATE_TICK_MS) return;
    this.stalledMs += ms;
    this.stallMs = Math.max(this.stallMs, ms);
    this.worstStallMs = Math.max(this.worstStallMs, ms);
  }

  /** Latencies of the last second; to be called ten times in it. */
  recent(): { p50Ms: number; p99Ms: number; worstMs: number } {
    this.#recent.push(this.#latencies);
    this.#latencies = [];
    if (this.#recent.length > PARTS) this.#recent.shift();
    const sorted = Float64Array.from(this.#recent.flat()).sort();
    const at = (share: number): number => sorted[Math.floor(share * (sorted.length - 1))] ?? 0;
    return { p50Ms: at(0.5), p99Ms: at(0.99), worstMs: at(1) };
  }
}
