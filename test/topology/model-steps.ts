/** Processes that take turns at random: between two steps of one, any others may take theirs. */
import { Chance } from '../lock/ring-model-time.ts';

/** Yields wherever a request or an answer is under way. What lies between two yields is done in one step. */
export type Steps<T = void> = Generator<void, T, void>;

export class Dice extends Chance {
  oneOf<T>(of: readonly T[]): T {
    return of[Math.floor(this.between(0, of.length))]!;
  }
}

/** Under way for long, sometimes: whole operations of others fit in. */
export function* dawdle(dice: Dice): Steps {
  yield;
  if (dice.happens(0.4)) for (let i = 0; i < 2; i++) yield;
  if (dice.happens(0.15)) for (let i = 0; i < 5; i++) yield;
}

/** More than any history needs. */
const MOST_TURNS = 100_000;

export interface Play {
  /** How many operations are started in all. */
  readonly operations: number;
  /** How many are under way at once. */
  readonly atOnce: number;
  readonly start: () => Steps;
  /** Called before each step: what goes wrong meanwhile. May start processes of its own. */
  readonly disturb: (also: (steps: Steps) => void) => void;
}

/** Runs operations until all have ended. Of what was started besides, some may not have. */
export function play(dice: Dice, { operations, atOnce, start, disturb }: Play): void {
  const running: { readonly steps: Steps; readonly isOperation: boolean }[] = [];
  let [started, ended] = [0, 0];
  for (let turns = 0; ended < operations; turns++) {
    if (turns > MOST_TURNS) throw new Error('it does not come to an end');
    disturb((steps) => running.push({ steps, isOperation: false }));
    if (started < operations && running.length < atOnce && dice.happens(0.5)) {
      running.push({ steps: start(), isOperation: true });
      started += 1;
    }
    if (running.length === 0) continue;
    const at = Math.floor(dice.between(0, running.length));
    const { steps, isOperation } = running[at]!;
    if (steps.next().done !== true) continue;
    running.splice(at, 1);
    ended += Number(isOperation);
  }
}

/** The source of the values, a version for each key, and what readers may rely on. */
export class Truth<Key extends string> {
  readonly #newest = new Map<Key, number>();
  readonly #acknowledged = new Map<Key, number>();

  /** As an application writes its database first. */
  raise(key: Key): number {
    const version = this.load(key) + 1;
    this.#newest.set(key, version);
    return version;
  }

  put(key: Key, version: number): void {
    this.#newest.set(key, version);
  }

  load(key: Key): number {
    return this.#newest.get(key) ?? 1;
  }

  acknowledge(key: Key, version: number): void {
    this.#acknowledged.set(key, Math.max(version, this.acknowledged(key)));
  }

  /** No read that starts now may return an older version. */
  acknowledged(key: Key): number {
    return this.#acknowledged.get(key) ?? 1;
  }
}

export interface Survey<Counts> {
  readonly histories: number;
  /** How many of them have a stale read. */
  readonly stale: number;
  readonly firstStale: number | undefined;
  readonly counts: Counts;
}

export interface Outcome<Counts> {
  readonly stale: readonly string[];
  readonly counts: Counts;
}

/** Plays histories, always the same ones: the seeds from 1 on. */
export function survey<Counts extends Record<string, number>>(
  history: (seed: number) => Outcome<Counts>,
  of: { readonly histories: number; readonly untilStale?: number },
): Survey<Counts> {
  let [stale, seed] = [0, 0];
  let firstStale: number | undefined;
  const counts: Record<string, number> = {};
  while (seed < of.histories && stale < (of.untilStale ?? Number.POSITIVE_INFINITY)) {
    seed += 1;
    const outcome = history(seed);
    for (const [name, count] of Object.entries(outcome.counts)) {
      counts[name] = (counts[name] ?? 0) + count;
    }
    if (outcome.stale.length === 0) continue;
    stale += 1;
    firstStale ??= seed;
  }
  return { histories: seed, stale, firstStale, counts: counts as Counts };
}
