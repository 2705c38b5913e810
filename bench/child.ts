/**
 * Rows in processes of their own: two caches in one process share a heap, the
 * collector's pauses and what V8 has learned about calls, and the second one
 * measured pays for the first.
 *
 * The parent keeps all of them alive and lets them work in turns, so that the
 * rounds are interleaved as in `measure`. A child times itself: wall clock, and
 * the processor time of its whole process, which holds on a shared machine.
 */

import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { quantile, Timing } from './bench.ts';

/** What a child can be asked: one argument, and an answer, both as JSON. */
// biome-ignore lint/suspicious/noExplicitAny: parameters of functions differ, and each child has its own
export type Handlers = Readonly<Record<string, (argument: any) => unknown>>;

type Answer =
  | { readonly kind: 'value'; readonly value: unknown }
  | { readonly kind: 'error'; readonly message: string };

interface Question {
  readonly name: string;
  readonly argument: unknown;
}

/** The child's side: answers one question after the other until the parent is gone. */
export function obey(handlers: Handlers): void {
  process.on('disconnect', () => process.exit());
  process.on('message', (question: Question) => {
    void answer(handlers, question).then((reply) => process.send?.(reply));
  });
}

async function answer(handlers: Handlers, { name, argument }: Question): Promise<Answer> {
  try {
    return { kind: 'value', value: await handlers[name]?.(argument) };
  } catch (error) {
    return { kind: 'error', message: error instanceof Error ? `${error.stack}` : String(error) };
  }
}

export class Child<H extends Handlers> implements Disposable {
  readonly pid: number;
  readonly #process: ChildProcess;

  /** @param module The child's file, in this folder. */
  constructor(module: string) {
    this.#process = fork(new URL(module, import.meta.url));
    this.pid = this.#process.pid ?? 0;
  }

  /** One question at a time. Rejects with what the child threw, and when it ends. */
  async ask<Name extends keyof H & string>(
    name: Name,
    argument: Parameters<H[Name]>[0],
  ): Promise<Awaited<ReturnType<H[Name]>>> {
    const over = new AbortController();
    const { signal } = over;
    this.#process.send({ name, argument });
    try {
      const [reply] = (await Promise.race([
        once(this.#process, 'message', { signal }),
        once(this.#process, 'exit', { signal }).then(() => [
          { kind: 'error', message: 'the process has ended' },
        ]),
      ])) as [Answer];
      if (reply.kind === 'error') throw new Error(`${name}: ${reply.message}`);
      return reply.value as Awaited<ReturnType<H[Name]>>;
    } finally {
      over.abort();
    }
  }

  [Symbol.dispose](): void {
    this.#process.kill('SIGKILL');
  }
}

/** What a round took, timed by the child that did the work. */
export interface Spent {
  readonly wallMs: number;
  /** All threads of the process, in user and kernel mode. */
  readonly cpuMs: number;
  /** A number that depends on every answer. */
  readonly answer: number;
}

/** In a child: does the work once and says what it took. */
export async function spend(work: () => number | Promise<number>): Promise<Spent> {
  const cpu = process.cpuUsage();
  const start = performance.now();
  const answered = work();
  const result = typeof answered === 'number' ? answered : await answered;
  const wallMs = performance.now() - start;
  const { user, system } = process.cpuUsage(cpu);
  return { wallMs, cpuMs: (user + system) / 1000, answer: result };
}

/** A row of a table, measured elsewhere. */
export interface RemoteCase {
  readonly name: string;
  readonly operations: number;
  run(): Promise<Spent>;
}

/** Nanoseconds per operation, by the clock on the wall and of the processor. */
export class RemoteTiming {
  readonly name: string;
  readonly wall: Timing;
  readonly cpu: Timing;
  readonly answer: number;

  constructor({ name, operations }: RemoteCase, rounds: readonly Spent[]) {
    const perOperation = (ms: number): number => (ms * 1e6) / operations;
    this.name = name;
    this.wall = new Timing(
      name,
      rounds.map(({ wallMs }) => perOperation(wallMs)),
    );
    this.cpu = new Timing(
      name,
      rounds.map(({ cpuMs }) => perOperation(cpuMs)),
    );
    this.answer = rounds[0]!.answer;
  }

  get perSecond(): number {
    return 1e9 / this.wall.median;
  }

  /** Processor time per operation, in microseconds. */
  get cpuMicros(): number {
    return quantile(this.cpu.samples, 0.5) / 1000;
  }
}

/** As `measure`, with each case in its child. Rejects when a case does not answer as it did before. */
export async function measureRemote(
  cases: readonly RemoteCase[],
  options: { rounds: number; warmup: number },
): Promise<RemoteTiming[]> {
  const spent = cases.map((): Spent[] => []);
  const answers = cases.map((): number | undefined => undefined);
  for (let round = -options.warmup; round < options.rounds; round++) {
    for (let turn = 0; turn < cases.length; turn++) {
      const index = (turn + round + options.warmup) % cases.length;
      const item = cases[index]!;
      const one = await item.run();
      answers[index] ??= one.answer;
      if (one.answer !== answers[index]) {
        throw new Error(`${item.name} answered ${answers[index]} first and ${one.answer} later`);
      }
      if (round >= 0) spent[index]!.push(one);
    }
  }
  return cases.map((item, index) => new RemoteTiming(item, spent[index]!));
}
