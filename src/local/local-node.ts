/** One Redis server on this machine, with everything a failure test wants to do to it. */
import { mkdirSync, rmSync } from 'node:fs';
import { pause, systemClock } from '../clock.ts';
import { ClosedError } from '../errors.ts';
import { LocalNodeError } from './local-errors.ts';
import { freePort } from './port.ts';
import { type Launch, launch, type ServerProcess } from './server-process.ts';

/** What stays the same over all starts of one node. */
export type LocalNodePlan = Omit<Launch, 'port'>;

/** How often another port is tried, or the same one again. */
const ATTEMPTS = 20;
const ATTEMPT_PAUSE_MS = 50;

/**
 * `id` and `url` are its only own properties, so that it can be passed to
 * `createCache` as one of `nodes`.
 *
 * Each method resolves when what it says is a fact. They run one after the
 * other, in the order in which they were called.
 */
export class LocalNode {
  readonly id: string;
  readonly url: string;
  readonly #plan: LocalNodePlan;
  readonly #port: number;
  #process: ServerProcess;
  #last: Promise<unknown> = Promise.resolve();

  private constructor(id: string, plan: LocalNodePlan, started: Started) {
    this.id = id;
    this.url = `redis://127.0.0.1:${started.port}`;
    this.#plan = plan;
    this.#port = started.port;
    this.#process = started.process;
  }

  /** @internal */
  static async start(id: string, plan: LocalNodePlan): Promise<LocalNode> {
    return new LocalNode(id, plan, await startSomewhere(id, plan));
  }

  get port(): number {
    return this.#port;
  }

  /** Undefined while it is not running. Another one after each restart. */
  get pid(): number | undefined {
    return this.running ? this.#process.pid : undefined;
  }

  /** Whether the process exists; a paused one does. */
  get running(): boolean {
    return this.#process.running;
  }

  /** Asks it to exit (SIGTERM), as a service manager would; after 5 s in vain, kills it. */
  stop(): Promise<void> {
    return this.#next(() => this.#process.end('SIGTERM'));
  }

  /** Ends it without warning (SIGKILL). */
  kill(): Promise<void> {
    return this.#next(() => this.#process.end('SIGKILL'));
  }

  /**
   * Freezes it (SIGSTOP): connections stay open, new ones are accepted by the
   * kernel, and nothing is answered.
   *
   * @throws LocalNodeError if it is not running.
   */
  pause(): Promise<void> {
    return this.#next(async () => this.#ran(await this.#process.pause(), 'paused'));
  }

  /**
   * Ends a pause; what was sent to it meanwhile is carried out now.
   *
   * @throws LocalNodeError if it is not running.
   */
  resume(): Promise<void> {
    return this.#next(async () => this.#ran(await this.#process.resume(), 'resumed'));
  }

  /**
   * Starts it again on the same port, empty; kills it before if it is running.
   *
   * @throws LocalNodeError if somebody else has taken the port; ClosedError
   *   after its group was closed.
   */
  restart(): Promise<void> {
    return this.#next(async () => {
      await this.#process.end('SIGKILL');
      this.#process = await startAgain(this.id, this.#plan, this.#port);
    });
  }

  #ran(ran: boolean, what: string): void {
    if (!ran) throw new LocalNodeError(this.id, `is not running and cannot be ${what}`);
  }

  #next(work: () => Promise<void>): Promise<void> {
    const done = this.#last.then(work);
    this.#last = done.catch(() => {}); // whoever called hears of it; the next one starts afresh
    return done;
  }
}

interface Started {
  readonly port: number;
  readonly process: ServerProcess;
}

async function startSomewhere(id: string, plan: LocalNodePlan): Promise<Started> {
  for (let attempt = 0; attempt < ATTEMPTS; attempt += 1) {
    const port = await freePort();
    const process = await start(id, plan, port);
    if (process !== undefined) return { port, process };
  }
  throw new LocalNodeError(id, 'found no free port');
}

async function startAgain(id: string, plan: LocalNodePlan, port: number): Promise<ServerProcess> {
  for (let attempt = 0; attempt < ATTEMPTS; attempt += 1) {
    const process = await start(id, plan, port);
    if (process !== undefined) return process;
    await pause(systemClock, ATTEMPT_PAUSE_MS);
  }
  throw new LocalNodeError(id, `cannot be restarted: port ${port} is taken`);
}

/** Undefined if the port is taken. */
async function start(
  id: string,
  plan: LocalNodePlan,
  port: number,
): Promise<ServerProcess | undefined> {
  if (plan.watchdog.closed) throw new ClosedError(`local node ${id}`);
  // A new folder each time: whatever the arguments made the last server save is gone.
  rmSync(plan.dir, { recursive: true, force: true });
  mkdirSync(plan.dir, { recursive: true });
  const launched = await launch({ ...plan, port });
  switch (launched.kind) {
    case 'ready':
      return launched.process;
    case 'port-taken':
      return undefined;
    case 'failed':
      throw new LocalNodeError(id, launched.why);
  }
}
