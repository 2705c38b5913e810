/**
 * When memory read its clock for a look-up, at the earliest. It reads it for
 * the first one in a turn of the event loop and for every 16th, so that a hit is
 * cheap; a process that is stopped in between goes on by what it had read.
 */

/** Look-ups for which memory reads its clock once. */
const LOOK_UPS = 16;

export class MemoryClock {
  /** When the latest look-ups of this turn began, as many as one reading may be for. */
  readonly #latest: number[] = [];

  /** @param now When a key is looked up, which is done next. */
  asOf(now: number): number {
    // Asked for before memory does so: it is over before memory's turn is.
    if (this.#latest.length === 0) setImmediate(() => this.#latest.splice(0));
    this.#latest.push(now);
    if (this.#latest.length > LOOK_UPS) this.#latest.shift();
    return this.#latest[0] ?? now;
  }
}
