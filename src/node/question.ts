/**
 * One question that is answered by a promise: a script, or a few plain
 * commands. Knows how a script reaches a server that has never seen it.
 */
import type { Clock, Timer } from '../clock.ts';
import type { NodeUnavailableError } from '../errors.ts';
import { type Client, sendCommand } from './connection.ts';
import { isNoScript } from './failure.ts';
import type { Budget } from './node.ts';
import type { Script } from './scripts.ts';
import type { Request } from './turn.ts';

export type Argument = string | number | Buffer;

/** Sends a script by its hash; in full when the server does not know it. */
export function runScript(
  client: Client,
  script: Script,
  operands: readonly Argument[],
): Promise<unknown> {
  const { sha, lua, keys } = script;
  return sendCommand(client, 'evalsha', [sha, keys, ...operands]).catch((error: unknown) => {
    if (!isNoScript(error)) throw error;
    return sendCommand(client, 'eval', [lua, keys, ...operands]);
  });
}

/** Spares the first burst its full texts. Who may not (`+script|load`) goes without. */
export async function loadScripts(client: Client, scripts: readonly Script[]): Promise<void> {
  await Promise.allSettled(scripts.map((script) => client.script('LOAD', script.lua)));
}

/** The time of one read, as a question spends it. */
export interface Allowance {
  readonly clock: Clock;
  readonly budget: Budget;
  readonly late: () => NodeUnavailableError;
}

export class Question<T> implements Request {
  readonly answer: Promise<T>;
  unguarded = false;
  readonly #ask: (client: Client) => Promise<unknown>;
  readonly #read: (reply: unknown) => T;
  readonly #resolve: (answer: T) => void;
  readonly #reject: (error: unknown) => void;
  readonly #allowance: Allowance | undefined;
  #sentAt = 0;
  #timer: Timer | undefined;

  /** @param read Makes sense of the reply. */
  constructor(
    ask: (client: Client) => Promise<unknown>,
    read: (reply: unknown) => T,
    allowance?: Allowance,
  ) {
    this.#ask = ask;
    this.#read = read;
    this.#allowance = allowance;
    const { promise, resolve, reject } = Promise.withResolvers<T>();
    this.answer = promise;
    this.#resolve = resolve;
    this.#reject = reject;
  }

  send(client: Client): Promise<unknown> {
    this.#start();
    return this.#ask(client);
  }

  answered(reply: unknown): void {
    this.#spend();
    this.#resolve(this.#read(reply));
  }

  failed(error: NodeUnavailableError): void {
    this.#spend();
    this.#reject(error);
  }

  #start(): void {
    if (this.#allowance === undefined) return;
    const { clock, budget, late } = this.#allowance;
    this.#sentAt = clock.now();
    this.#timer = clock.after(Math.max(0, budget.leftMs), () => {
      // What has arrived while the event loop was blocked is in time.
      clock.soon(() => this.#reject(late()));
    });
  }

  #spend(): void {
    if (this.#allowance === undefined || this.#timer === undefined) return;
    this.#timer.cancel();
    this.#allowance.budget.leftMs -= this.#allowance.clock.now() - this.#sentAt;
  }
}
