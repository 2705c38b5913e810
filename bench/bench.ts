/**
 * What a benchmark is, and how work is timed here.
 *
 * Rows that are compared are measured in interleaved rounds: every round runs
 * each of them once, beginning with another one each time, so that a slow
 * minute of the machine hits all of them alike. Ratios are taken within a round
 * and then the median of them: on a shared machine they hold when nanoseconds
 * do not.
 *
 * To add one: a module that exports a `Bench`, and its line in registry.ts.
 * Check that the rows give the right answers before timing them, load heavy
 * peers inside `run`, and give every number a small value through
 * `context.parameter`: test/bench.test.ts runs all of them so.
 */

import type { Cell, Table } from './report.ts';

export interface Bench {
  /** How it is called on the command line, and the name of its saved results. */
  readonly name: string;
  /** One line: what it measures. */
  readonly about: string;
  run(context: BenchContext): Promise<Report>;
}

export interface BenchContext {
  /** The quick form that every test run uses. Its figures mean nothing. */
  readonly small: boolean;
  /** `small` in the quick form, `full` otherwise. */
  parameter<T>(small: T, full: T): T;
  /** Tells a person who waits what happens now (on stderr). */
  progress(text: string): void;
}

export interface Report {
  /** A sentence or two: what the figures show, with the figures in it. */
  readonly summary: string;
  readonly parameters: Readonly<Record<string, Cell>>;
  readonly tables: readonly Table[];
  readonly targets?: readonly Target[];
  /** Depends on every answer the measured code gave; equal in every run with the same parameters. */
  readonly checksum: string;
  /** Answers that were wrong, in words: the figures are shown and not saved, and the command fails. */
  readonly wrong?: string;
  /** What the tables are made from, where that is worth keeping; in the JSON only. */
  readonly details?: unknown;
  /** Pictures and pages, written with --save; `file` from the root of the repository. */
  readonly files?: readonly { readonly file: string; readonly text: string }[];
  /** Packages whose versions matter beside ours. */
  readonly peers?: readonly string[];
}

/** A bound of PERF, and whether this run kept it. */
export interface Target {
  readonly what: string;
  readonly measured: number;
  readonly bound: string;
  readonly met: boolean;
}

export function atMost(what: string, measured: number, bound: number): Target {
  return { what, measured, bound: `≤ ${bound}`, met: measured <= bound };
}

export function atLeast(what: string, measured: number, bound: number): Target {
  return { what, measured, bound: `≥ ${bound}`, met: measured >= bound };
}

/** One row: does `operations` of something and returns a number that depends on all their answers. */
export interface Case {
  readonly name: string;
  readonly operations: number;
  run(): number | Promise<number>;
}

/** What the rounds of one case took. */
export class Timing {
  readonly name: string;
  /** Nanoseconds per operation, a value for each round. */
  readonly samples: readonly number[];

  constructor(name: string, samples: readonly number[]) {
    this.name = name;
    this.samples = samples;
  }

  get median(): number {
    return quantile(this.samples, 0.5);
  }

  get best(): number {
    return quantile(this.samples, 0);
  }

  /** Half of the rounds were within this part of the median: 0.1 is ±5 %. */
  get spread(): number {
    return (quantile(this.samples, 0.75) - quantile(this.samples, 0.25)) / this.median;
  }

  /** How many times the time of `base` this took: the median over the rounds they shared. */
  ratioTo(base: Timing): number {
    return quantile(
      this.samples.map((sample, round) => sample / base.samples[round]!),
      0.5,
    );
  }
}

/** Times `cases` in interleaved rounds. Rejects when a case does not answer as it did before. */
export async function measure(
  cases: readonly Case[],
  options: { rounds: number; warmup: number },
): Promise<Timing[]> {
  const samples = cases.map((): number[] => []);
  const answers = cases.map((): number | undefined => undefined);
  for (let round = -options.warmup; round < options.rounds; round++) {
    for (let turn = 0; turn < cases.length; turn++) {
      const index = (turn + round + options.warmup) % cases.length;
      const item = cases[index]!;
      const start = performance.now();
      const running = item.run();
      const answer = typeof running === 'number' ? running : await running;
      const tookMs = performance.now() - start;
      answers[index] ??= answer;
      if (answer !== answers[index]) {
        throw new Error(`${item.name} answered ${answers[index]} first and ${answer} later`);
      }
      if (round >= 0) samples[index]!.push((tookMs * 1e6) / item.operations);
    }
  }
  return cases.map((item, index) => new Timing(item.name, samples[index]!));
}

/** The value below which the part `q` (0 to 1) of `values` lies, interpolated. */
export function quantile(values: readonly number[], q: number): number {
  const sorted = Float64Array.from(values).sort();
  const at = q * (sorted.length - 1);
  const below = sorted[Math.floor(at)]!;
  return below + (sorted[Math.ceil(at)]! - below) * (at % 1);
}

export function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

/** The checksum of a report, taken over everything added (FNV-1a, 32 bits). */
export class Checksum {
  #state = 0x811c9dc5;

  add(value: string | number): void {
    for (const char of `${value};`) {
      this.#state = Math.imul(this.#state ^ (char.codePointAt(0) ?? 0), 0x01000193);
    }
  }

  toString(): string {
    return (this.#state >>> 0).toString(16).padStart(8, '0');
  }
}
