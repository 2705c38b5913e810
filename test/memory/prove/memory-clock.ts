/**
 * When memory read its clock for a hit, at the earliest. It reads it for the
 * first hit in a turn of the event loop and for every 16th, so that a hit is
 * cheap; a process that is stopped in between goes on by what it had read.
 */

/** Hits for which memory reads its clock once. */
const HITS = 16;

export class MemoryClock {
  /** When the hits of this turn began, as many as one reading may be for. */
  readonly #hitsAt: number[] = [];
  #turnAt: number | undefined;
  #startedAt = 0;

  /** @param start When the read begins, which is now. */
  asOf(start: number): number {
    if (this.#turnAt === undefined) {
      this.#turnAt = start;
      // Asked for before memory does so: it is over before memory's is.
      setImmediate(() => this.#endTurn());
    }
    this.#startedAt = start;
    return this.#hitsAt.length < HITS - 1 ? this.#turnAt : (this.#hitsAt[0] ?? start);
  }

  /** What began last was a hit. */
  hit(): void {
    this.#hitsAt.push(this.#startedAt);
    if (this.#hitsAt.length > HITS - 1) this.#hitsAt.shift();
  }

  #endTurn(): void {
    this.#turnAt = undefined;
    this.#hitsAt.length = 0;
  }
}
