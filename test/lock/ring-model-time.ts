/** Virtual time and seeded chance: a history is a function of its seed, and takes no time. */
import { randomOf } from '../cache/random.ts';

/** A process as its steps: it yields how long it waits, in ms, and is resumed then. */
export type Steps<T> = Generator<number, T, void>;

interface Due {
  readonly atMs: number;
  /** What is due at the same time happens in the order in which it was asked for. */
  readonly order: number;
  readonly act: () => void;
}

const isBefore = (a: Due, b: Due): boolean =>
  a.atMs < b.atMs || (a.atMs === b.atMs && a.order < b.order);

export class VirtualTime {
  nowMs = 0;
  #order = 0;
  /** A binary heap: the children of `i` are at `2i + 1` and `2i + 2`, and no earlier than it. */
  readonly #due: Due[] = [];

  after(ms: number, act: () => void): void {
    this.#order += 1;
    this.#rise({ atMs: this.nowMs + ms, order: this.#order, act });
  }

  /** Runs a process until it ends or time does. */
  start(steps: Steps<void>): void {
    const step = () => {
      const { done, value } = steps.next();
      if (done !== true) this.after(value, step);
    };
    step();
  }

  runUntil(endMs: number): void {
    for (let next = this.#due[0]; next !== undefined; next = this.#due[0]) {
      if (next.atMs > endMs) return;
      const last = this.#due.pop()!;
      if (last !== next) this.#sink(last);
      this.nowMs = next.atMs;
      next.act();
    }
  }

  #rise(due: Due): void {
    let at = this.#due.push(due) - 1;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!isBefore(due, this.#due[parent]!)) break;
      this.#due[at] = this.#due[parent]!;
      at = parent;
    }
    this.#due[at] = due;
  }

  /** Puts `due` in the place of the first. */
  #sink(due: Due): void {
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= this.#due.length) break;
      const other = child + 1;
      if (other < this.#due.length && isBefore(this.#due[other]!, this.#due[child]!)) child = other;
      if (!isBefore(this.#due[child]!, due)) break;
      this.#due[at] = this.#due[child]!;
      at = child;
    }
    this.#due[at] = due;
  }
}

export class Chance {
  readonly #random: () => number;

  constructor(seed: number) {
    this.#random = randomOf(seed);
  }

  happens(share: number): boolean {
    return this.#random() < share;
  }

  between(least: number, most: number): number {
    return least + this.#random() * (most - least);
  }

  shuffled<T>(items: readonly T[]): T[] {
    return items
      .map((item) => ({ item, at: this.#random() }))
      .sort((a, b) => a.at - b.at)
      .map(({ item }) => item);
  }

  /** Exponentially distributed: mostly short, now and then long. */
  around(mean: number): number {
    return -Math.log(1 - this.#random()) * mean;
  }
}
