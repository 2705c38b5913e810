/** The processes of a run: begun, counted, replaced when they were killed, and ended. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { App } from '../app.ts';
import type { Handlers } from '../serve.ts';
import { readDiary } from './diary.ts';

/** What every worker of a run serves. */
export type Actor<Account> = {
  begin(): unknown;
  /** How far it is. */
  account(): Account;
  /** Comes to an end and gives back all that it has. */
  end(): Promise<Account>;
  /** Nothing but its own doings keeps it alive from then on. */
  leave(): void;
};

/** What each process of a run is told besides what all are. */
export interface Part {
  readonly label: string;
  /** Where it writes down what it does. */
  readonly diary: string;
  readonly seed: number;
  /** Its place among those that play at the same time, from 0 on; who replaces another takes over his. */
  readonly place: number;
}

export interface CastPlan {
  /** The worker's file, as for `App`. It gets a `Part` with all of `rest` as JSON. */
  readonly worker: string;
  readonly rest: object;
  readonly processes: number;
  readonly seed: number;
  /** Where they write. */
  readonly folder: string;
}

/** A process that has not come to an end by then never will. */
const END_MS = 10_000;
const ASK_MS = 100;

export class Cast<Account, Worker extends Actor<Account> & Handlers> {
  readonly #plan: CastPlan;
  readonly #diaries: string[] = [];
  readonly #accounts = new Map<App<Worker>, Account>();
  readonly #parts = new Map<App<Worker>, Part>();
  readonly #expectedToEnd = new Set<App<Worker>>();
  #playing: App<Worker>[] = [];
  #failure: Error | undefined;

  constructor(plan: CastPlan) {
    this.#plan = plan;
  }

  get playing(): readonly App<Worker>[] {
    return this.#playing;
  }

  /** Of all that have ever played, as far as they have told. */
  get accounts(): readonly Account[] {
    return [...this.#accounts.values()];
  }

  labelOf(one: App<Worker>): string {
    return this.#parts.get(one)?.label ?? '';
  }

  placeOf(one: App<Worker>): number {
    return this.#parts.get(one)?.place ?? 0;
  }

  async begin(): Promise<void> {
    const all = Array.from({ length: this.#plan.processes }, (_, place) => this.#hire(place));
    await Promise.all(all.map(async (one) => this.#enter(await one)));
  }

  /** Kills it; another one takes its place. */
  async replace(one: App<Worker>): Promise<void> {
    this.#expectedToEnd.add(one);
    this.#playing = this.#playing.filter((other) => other !== one);
    await one.kill();
    await this.#enter(await this.#hire(this.#parts.get(one)?.place ?? 0));
  }

  /** Asks all how far they are; does not wait for those that are stopped. @throws When one has ended. */
  async ask(): Promise<void> {
    this.check();
    const asked = this.#playing.map((one) => this.#askOne(one));
    await Promise.race([Promise.all(asked), sleep(ASK_MS)]);
  }

  /** @throws When one has ended by itself. */
  check(): void {
    if (this.#failure !== undefined) throw this.#failure;
  }

  /**
   * Lets them come to an end, and exit.
   *
   * @throws When one does not: something of it is left that should have been given back.
   */
  async end(): Promise<void> {
    this.check();
    await Promise.all(this.#playing.map((one) => this.#endOne(one)));
  }

  /** Whatever they do. */
  async kill(): Promise<void> {
    for (const one of this.#playing) this.#expectedToEnd.add(one);
    await Promise.all(this.#playing.map((one) => one.kill()));
  }

  /** What all of them wrote. */
  history<Event>(): Event[] {
    const written = this.#diaries.filter((path) => existsSync(path));
    return written.flatMap((path) => readDiary<Event>(path));
  }

  /** A process that is up and has not begun. */
  async #hire(place: number): Promise<App<Worker>> {
    const { folder, seed, worker, rest } = this.#plan;
    const number = this.#diaries.length + 1;
    const diary = join(folder, `process-${number}.jsonl`);
    this.#diaries.push(diary);
    const part: Part = { diary, label: `p${number}`, seed: seed * 1_000 + number, place };
    const one = new App<Worker>(worker, { args: [JSON.stringify({ ...rest, ...part })] });
    this.#parts.set(one, part);
    void one.exited.then((how) => {
      if (this.#expectedToEnd.has(one)) return;
      this.#failure ??= new Error(`process ${number} has ended by itself (${how}): ${one.output}`);
    });
    await one.ready;
    return one;
  }

  async #enter(one: App<Worker>): Promise<void> {
    this.#playing.push(one);
    await asActor<Account>(one).call('begin');
  }

  async #askOne(one: App<Worker>): Promise<void> {
    try {
      this.#accounts.set(one, await asActor<Account>(one).call('account'));
    } catch {
      // It was killed: what it told last counts.
    }
  }

  async #endOne(one: App<Worker>): Promise<void> {
    this.#expectedToEnd.add(one);
    const actor = asActor<Account>(one);
    const account = await inTime(actor.call('end'));
    if (account === 'late') throw new Error(`a process hangs at the end: ${one.output}`);
    this.#accounts.set(one, account);
    const left = actor.call('leave').catch(() => {}); // it may exit before it has answered
    const how = await inTime(one.exited);
    await left;
    if (how === 0) return;
    const what = how === 'late' ? 'does not exit by itself' : `has exited with ${how}`;
    throw new Error(`a process ${what} at the end: ${one.output}`);
  }
}

/** Whatever else it serves. */
function asActor<Account>(one: unknown): App<Actor<Account>> {
  return one as App<Actor<Account>>;
}

async function inTime<T>(work: Promise<T>): Promise<T | 'late'> {
  const enough = new AbortController();
  const late = sleep(END_MS, 'late' as const, { signal: enough.signal }).catch(
    () => 'late' as const,
  );
  try {
    return await Promise.race([work, late]);
  } finally {
    enough.abort();
  }
}
