/**
 * One redis-server process, from its start to its exit. It does not keep this
 * process alive, except while something is awaited of it.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { Socket } from 'node:net';
import { pause, systemClock } from '../clock.ts';
import type { ServerBinary } from './provide.ts';
import { schedulingState } from './scheduling-state.ts';
import type { Watchdog } from './watchdog.ts';

export interface Launch {
  readonly server: ServerBinary;
  readonly port: number;
  /** Its working folder; must exist. */
  readonly dir: string;
  /** After our own, so that they win. */
  readonly args: readonly string[];
  readonly watchdog: Watchdog;
}

export type Launched =
  | { readonly kind: 'ready'; readonly process: ServerProcess }
  | { readonly kind: 'port-taken' }
  | { readonly kind: 'failed'; readonly why: string };

/** From the start to the first connection it takes about 30 ms; this is for a machine in trouble. */
const START_TIMEOUT_MS = 15_000;
/** A server that runs a script, or waits for a replica, does not obey SIGTERM at once. */
const STOP_TIMEOUT_MS = 5_000;
const POLL_MS = 1;

/** Starts a server and waits until it takes connections. */
export async function launch(plan: Launch): Promise<Launched> {
  const child = spawn(plan.server.path, argumentsFor(plan), {
    cwd: plan.dir,
    // Its own process group: a Ctrl-C in the terminal is for the application,
    // which may still need its cache to shut down in order.
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, ...plan.server.env },
  });
  const { pid } = child;
  if (pid === undefined) {
    const [error] = (await once(child, 'error')) as [Error];
    return { kind: 'failed', why: error.message };
  }
  // In the same turn as the start: there is no moment in which nobody would end it.
  plan.watchdog.watch(pid);
  const output = await untilReady(child, () => plan.watchdog.forget(pid));
  if (output === undefined) return { kind: 'ready', process: new ServerProcess(child, pid) };
  if (/Address already in use/i.test(output)) return { kind: 'port-taken' };
  return { kind: 'failed', why: `did not start: ${output.trim().slice(-400)}` };
}

function argumentsFor({ port, dir, args }: Launch): string[] {
  return [
    ...['--port', String(port), '--bind', '127.0.0.1', '--protected-mode', 'yes'],
    ...['--save', '', '--appendonly', 'no', '--dir', dir, '--daemonize', 'no'],
    ...args,
  ];
}

/** Undefined when it is ready; otherwise it has exited, and this is what it printed. */
function untilReady(child: ChildProcess, onExit: () => void): Promise<string | undefined> {
  return new Promise((resolve) => {
    let output = '';
    let ready = false;
    const late = systemClock.after(START_TIMEOUT_MS, () => child.kill('SIGKILL'));
    const read = (chunk: Buffer): void => {
      // After the start it is only drained: a full pipe would block the server.
      if (ready) return;
      output += chunk.toString();
      if (!output.includes('Ready to accept connections')) return;
      ready = true;
      late.cancel();
      release(child);
      resolve(undefined);
    };
    child.stdout?.on('data', read);
    child.stderr?.on('data', read);
    // Exit may come before the last output does; close is after both.
    child.once('exit', onExit);
    child.once('close', () => {
      late.cancel();
      if (!ready) resolve(output);
    });
  });
}

/** Lets this process end while the child runs. */
function release(child: ChildProcess): void {
  child.unref();
  for (const stream of [child.stdout, child.stderr]) {
    if (stream instanceof Socket) stream.unref();
  }
}

export class ServerProcess {
  readonly pid: number;
  readonly #child: ChildProcess;
  #awaited = 0;

  constructor(child: ChildProcess, pid: number) {
    this.#child = child;
    this.pid = pid;
  }

  /** A paused process runs, too. */
  get running(): boolean {
    return this.#child.exitCode === null && this.#child.signalCode === null;
  }

  /** Resolves when it has exited, at once if it has already. */
  end(signal: 'SIGTERM' | 'SIGKILL'): Promise<void> {
    return this.#await(async () => {
      if (!this.running) return;
      const exited = once(this.#child, 'exit');
      this.#child.kill(signal);
      this.#child.kill('SIGCONT'); // a paused process takes no SIGTERM
      const late = systemClock.after(STOP_TIMEOUT_MS, () => this.#child.kill('SIGKILL'));
      await exited;
      late.cancel();
    });
  }

  /** Resolves to whether it is stopped; false: it has exited. */
  pause(): Promise<boolean> {
    this.#child.kill('SIGSTOP');
    return this.#becomes((state) => state === 'T');
  }

  /** Resolves to whether it runs again; false: it has exited. */
  resume(): Promise<boolean> {
    this.#child.kill('SIGCONT');
    return this.#becomes((state) => state !== 'T');
  }

  // A signal is delivered when the process is next scheduled, not when kill() returns.
  #becomes(wanted: (state: string) => boolean): Promise<boolean> {
    return this.#await(async () => {
      while (this.running) {
        if (wanted(await schedulingState(this.pid))) return true;
        await pause(systemClock, POLL_MS);
      }
      return false;
    });
  }

  async #await<T>(work: () => Promise<T>): Promise<T> {
    this.#awaited += 1;
    this.#child.ref();
    try {
      return await work();
    } finally {
      this.#awaited -= 1;
      if (this.#awaited === 0) this.#child.unref();
    }
  }
}
