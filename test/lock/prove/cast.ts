/** The processes of a run: begun, counted, replaced when they were killed, and ended. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { App } from '../../support/app.ts';
import type { HistoryEvent } from '../history.ts';
import { readDiary } from './diary.ts';
import type { Account, Worker, WorkerPlan } from './worker.ts';

export type Process = App<Worker>;

/** What is the same for all processes. */
export type CastPlan = Omit<WorkerPlan, 'label' | 'diary' | 'seed'> & {
  readonly processes: number;
  readonly seed: number;
  /** Where they write. */
  readonly folder: string;
};

/** A process that has not come to an end by then never will. */
const END_MS = 10_000;
const NOTHING: Account = { acquired: 0, overMs: 0, lateMs: 0, longestStallMs: 0 };

export class Cast {
  readonly #plan: CastPlan;
  readonly #diaries: string[] = [];
  readonly #accounts = new Map<Process, Account>();
  readonly #expectedToEnd = new Set<Process>();
  #playing: Process[] = [];
  #failure: Error | undefined;

  constructor(plan: CastPlan) {
    this.#plan = plan;
  }

  get playing(): readonly Process[] {
    return this.#playing;
  }

  /** Of all that have ever played, as far as they have told. */
  get account(): Account {
    return [...this.#accounts.values()].reduce(
      (sum, one) => ({
        acquired: sum.acquired + one.acquired,
        overMs: Math.max(sum.overMs, one.overMs),
        lateMs: Math.max(sum.lateMs, one.lateMs),
        longestStallMs: Math.max(sum.longestStallMs, one.longestStallMs),
      }),
      NOTHING,
    );
  }

  async begin(): Promise<void> {
    const all = Array.from({ length: this.#plan.processes }, () => this.hire());
    await Promise.all(all.map(async (one) => this.enter(await one)));
  }

  /** A process that is up and has not begun. */
  async hire(): Promise<Process> {
    const { processes: _, folder, seed, ...rest } = this.#plan;
    const number = this.#diaries.length + 1;
    const diary = join(folder, `process-${number}.jsonl`);
    this.#diaries.push(diary);
    const plan: WorkerPlan = { ...rest, diary, label: `p${number}`, seed: seed * 1_000 + number };
    const one: Process = new App<Worker>('../lock/prove/worker.ts', {
      args: [JSON.stringify(plan)],
    });
    void one.exited.then((how) => {
      if (this.#expectedToEnd.has(one)) return;
      this.#failure ??= new Error(`process ${number} has ended by itself (${how}): ${one.output}`);
    });
    await one.ready;
    return one;
  }

  async enter(one: Process): Promise<void> {
    this.#playing.push(one);
    await one.call('begin');
  }

  /** Kills it; another one takes its place. */
  async replace(one: Process): Promise<void> {
    this.#expectedToEnd.add(one);
    await one.kill();
    this.#playing = this.#playing.filter((other) => other !== one);
    await this.enter(await this.hire());
  }

  /** Asks all how far they are; does not wait for those that are stopped. @throws When one has ended. */
  async ask(): Promise<void> {
    if (this.#failure !== undefined) throw this.#failure;
    const asked = this.#playing.map((one) => this.#askOne(one));
    await Promise.race([Promise.all(asked), sleep(100)]);
  }

  async #askOne(one: Process): Promise<void> {
    try {
      this.#accounts.set(one, await one.call('account'));
    } catch {
      // It was killed: what it told last counts.
    }
  }

  /** Lets them come to an end. @throws When one does not. */
  async end(): Promise<void> {
    const ending = this.#playing.map(async (one) => {
      this.#expectedToEnd.add(one);
      const account = await Promise.race([
        one.call('end'),
        sleep(END_MS, undefined, { ref: false }),
      ]);
      if (account === undefined) throw new Error(`a process hangs at the end: ${one.output}`);
      this.#accounts.set(one, account);
    });
    await Promise.all(ending);
  }

  /** Whatever they do. */
  async kill(): Promise<void> {
    for (const one of this.#playing) this.#expectedToEnd.add(one);
    await Promise.all(this.#playing.map((one) => one.kill()));
  }

  /** What all of them wrote. */
  history(): HistoryEvent[] {
    return this.#diaries.filter((path) => existsSync(path)).flatMap(readDiary);
  }
}
