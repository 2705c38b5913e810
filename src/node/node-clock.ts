/**
 * The clock of a node, seen from here: freshness is kept in it, so that two
 * processes whose hosts disagree about the time agree about an entry.
 *
 * One sample is our clock before and after, and the node's TIME in between:
 * the node answered at the midpoint, give or take half the round trip.
 */
import type { Clock } from '../clock.ts';

/** A crystal drifts by at most some 50 ppm: 1.5 ms in this time. */
const RESAMPLE_MS = 30_000;
/** After a sample too vague to be taken. */
const RETRY_MS = 1_000;
/** Samples at least this sharp are always taken. */
const GOOD_MS = 5;

export class NodeClock {
  readonly #clock: Clock;
  #offset = 0;
  #vagueness = Number.POSITIVE_INFINITY;
  #nextAt = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Milliseconds since 1970 on the node; means nothing before the first sample, which an admission takes. */
  now(): number {
    return this.#clock.now() + this.#offset;
  }

  /** Whether it is time to ask again; says so once. */
  due(now: number): boolean {
    if (now < this.#nextAt) return false;
    this.#nextAt = now + RETRY_MS;
    // What is known grows old: let a sample as sharp as the last one be taken.
    this.#vagueness *= 2;
    return true;
  }

  /** It is not what we think: asked again with the next requests, and taken as it is. */
  mistrust(): void {
    this.forget();
    this.#nextAt = 0;
  }

  /** Another server may stand behind the connection: the next sample is taken as it is. */
  forget(): void {
    this.#vagueness = Number.POSITIVE_INFINITY;
  }

  /**
   * @param sentAt Our clock just before the question.
   * @param time The answer to TIME: seconds, microseconds.
   */
  sample(sentAt: number, time: readonly unknown[]): void {
    const receivedAt = this.#clock.now();
    const nodeMs = Number(String(time[0])) * 1000 + Number(String(time[1])) / 1000;
    const vagueness = (receivedAt - sentAt) / 2;
    if (!Number.isFinite(nodeMs) || (vagueness > GOOD_MS && vagueness > this.#vagueness)) return;
    this.#offset = nodeMs - (sentAt + receivedAt) / 2;
    this.#vagueness = vagueness;
    this.#nextAt = receivedAt + RESAMPLE_MS;
  }
}
