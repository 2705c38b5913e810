/** Objects that are there for a moment, to be counted and gone through. */

export interface Seated {
  /** Where it is; kept by its roster. */
  seat: number;
}

/**
 * As a Set, at a third of the cost for what comes and goes with each lock: no
 * hash of an object, and no table that is made anew again and again.
 */
export class Roster<T extends Seated> {
  readonly #items: T[] = [];

  get size(): number {
    return this.#items.length;
  }

  add(item: T): void {
    item.seat = this.#items.push(item) - 1;
  }

  /** Does nothing when it is not there. */
  delete(item: T): void {
    const { seat } = item;
    if (this.#items[seat] !== item) return;
    const last = this.#items.pop();
    if (last === undefined || last === item) return;
    this.#items[seat] = last;
    last.seat = seat;
  }

  /** Those that are there now. */
  all(): T[] {
    return [...this.#items];
  }
}
