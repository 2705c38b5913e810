/**
 * A worker process, as the one who started it sees it: is asked questions, and
 * can be stopped and killed.
 *
 * The worker is a .ts file that ends in `serve({ … })` (see serve.ts) and
 * exports the type of what it serves. Knows nothing of the test runner: see
 * fork.ts for tests.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { Answer, Handlers, Request } from './serve.ts';

// Node before 22.18 has to be told to run .ts files.
const FLAGS = process.features.typescript ? [] : ['--experimental-strip-types', '--no-warnings'];

export interface ForkOptions {
  /** Handed to the worker as its arguments (process.argv from 2 on). */
  readonly args?: readonly string[];
  /** Added to the environment. */
  readonly env?: Readonly<Record<string, string>>;
}

interface Waiting {
  resolve(value: unknown): void;
  reject(error: Error): void;
}

export class App<H extends Handlers> {
  readonly pid: number;
  /** Resolves when the worker serves; rejects when it exits before. */
  readonly ready: Promise<void>;
  /** Resolves to how it ended: an exit code or the name of a signal. */
  readonly exited: Promise<number | NodeJS.Signals | null>;
  /** What it has printed so far, to stdout and stderr. */
  output = '';
  readonly #child: ChildProcess;
  readonly #waiting = new Map<number, Waiting>();
  #asked = 0;

  /** @param worker A file; its path from test/support on. */
  constructor(worker: string, options: ForkOptions = {}) {
    const path = fileURLToPath(new URL(worker, import.meta.url));
    this.#child = fork(path, [...(options.args ?? [])], {
      execArgv: FLAGS,
      // Keeps undefined, Map, Date and Buffer as they are.
      serialization: 'advanced',
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
      env: { ...process.env, ...options.env },
    });
    this.pid = this.#child.pid ?? 0;
    for (const stream of [this.#child.stdout, this.#child.stderr]) {
      stream?.setEncoding('utf8').on('data', (text: string) => {
        this.output += text;
      });
    }
    this.exited = once(this.#child, 'close').then(([code, signal]) => code ?? signal);
    const ready = Promise.withResolvers<void>();
    this.ready = ready.promise;
    this.ready.catch(() => {}); // reported by whoever awaits it
    this.#child.on('message', (answer: Answer) => {
      if (answer.kind === 'ready') ready.resolve();
      else this.#settle(answer);
    });
    this.#child.once('close', () => {
      const gone = new Error(`${worker} has exited: ${this.output.slice(-2000)}`);
      ready.reject(gone);
      for (const waiting of this.#waiting.values()) waiting.reject(gone);
      this.#waiting.clear();
    });
  }

  /** Runs a function of the worker. Rejects with what it threw, or when the worker exits. */
  call<Name extends keyof H & string>(
    name: Name,
    ...args: Parameters<H[Name]>
  ): Promise<Awaited<ReturnType<H[Name]>>> {
    this.#asked += 1;
    const request: Request = { id: this.#asked, name, args };
    return new Promise((resolve, reject) => {
      // The answer is what the worker's function returned, copied.
      const settle = resolve as (value: unknown) => void;
      this.#waiting.set(request.id, { resolve: settle, reject });
      this.#child.send(request, (error) => {
        if (error !== null) reject(error);
      });
    });
  }

  /** SIGSTOP, SIGCONT, SIGTERM …; SIGKILL: see `kill`. */
  signal(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  /** Ends it without warning; resolves when it is gone. Idempotent. */
  async kill(): Promise<void> {
    this.#child.kill('SIGKILL');
    await this.exited;
  }

  #settle(answer: Exclude<Answer, { kind: 'ready' }>): void {
    const waiting = this.#waiting.get(answer.id);
    this.#waiting.delete(answer.id);
    if (answer.kind === 'value') waiting?.resolve(answer.value);
    else waiting?.reject(Object.assign(new Error(answer.message), answer.fields));
  }
}
