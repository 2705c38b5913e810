/**
 * What is to be sent to a node, gathered until the I/O of this turn of the
 * event loop is over, then gated, capped and sent as one `Turn`.
 */
import type { NodeUnavailableError } from '../errors.ts';
import { type ReadHost, Reads } from './batch.ts';
import type { Breaker } from './breaker.ts';
import type { Client, Connection } from './connection.ts';
import type { Reader } from './node.ts';
import { type Argument, Question, runScript } from './question.ts';
import type { Script } from './scripts.ts';
import { type Request, Turn, type TurnHost } from './turn.ts';

export interface OutboxParts {
  readonly turns: TurnHost;
  readonly reads: ReadHost;
  readonly connection: Connection;
  readonly breaker: Breaker;
  readonly maxInFlight: number;
  /** Why nothing may be sent now. */
  refusal(): NodeUnavailableError | undefined;
}

export class Outbox {
  readonly #parts: OutboxParts;
  #reads = new Reads();
  #questions: Request[] = [];
  #flushing = false;

  constructor(parts: OutboxParts) {
    this.#parts = parts;
  }

  get inFlight(): number {
    return this.#parts.turns.inFlight;
  }

  read(valueKey: string, reader: Reader, position: number): void {
    this.#reads.add(valueKey, reader, position);
    if (!this.#flushing) this.#schedule();
  }

  script<T>(script: Script, operands: Argument[], read: (reply: unknown) => T): Promise<T> {
    return this.ask((client) => {
      this.#parts.turns.counters.scripts += 1;
      return runScript(client, script, operands);
    }, read);
  }

  ask<T>(ask: (client: Client) => Promise<unknown>, read: (reply: unknown) => T): Promise<T> {
    const question = new Question(ask, read);
    this.#questions.push(question);
    if (!this.#flushing) this.#schedule();
    return question.answer;
  }

  /** All that is unanswered or unsent fails with `error`. */
  abort(error: NodeUnavailableError): void {
    for (const turn of this.#parts.turns.underWay) turn.abort(error);
    this.#refuse(this.#take(), error);
  }

  #schedule(): void {
    this.#flushing = true;
    // A server fed by sockets would send batches of one if this were a microtask.
    this.#parts.turns.clock.soon(() => this.#flush());
  }

  // Writes first: a read of the same turn then sees them.
  #take(): Request[] {
    const requests = this.#questions.concat(this.#reads.chunks(this.#parts.reads));
    this.#questions = [];
    if (this.#reads.count > 0) this.#reads = new Reads();
    return requests;
  }

  #flush(): void {
    this.#flushing = false;
    const { turns, reads, breaker, connection } = this.#parts;
    const requests = this.#cut(this.#take());
    if (requests.length === 0) return;
    if (reads.nodeClock.due(turns.clock.now())) requests.push(this.#timeQuestion());
    const turn = new Turn(turns, requests, breaker.begin());
    connection.send((client) => turn.send(client));
  }

  // Leaves what may be sent; the rest is told why not.
  #cut(requests: Request[]): Request[] {
    const refusal = this.#parts.refusal();
    if (refusal !== undefined) {
      this.#refuse(requests, refusal);
      return [];
    }
    const room = Math.max(0, this.#parts.maxInFlight - this.inFlight);
    if (requests.length > room) {
      const detail = `${this.inFlight} requests are unanswered`;
      const overloaded = this.#parts.turns.failures.plain('overloaded', detail);
      this.#refuse(requests.splice(room), overloaded);
    }
    return requests;
  }

  #refuse(requests: Request[], error: NodeUnavailableError): void {
    this.#parts.turns.counters.rejected += requests.length;
    for (const request of requests) request.failed(error);
  }

  #timeQuestion(): Request {
    const { turns, reads } = this.#parts;
    const sentAt = turns.clock.now();
    return {
      send: (client) => client.time(),
      answered: (reply) => reads.nodeClock.sample(sentAt, reply as unknown[]),
      failed: () => undefined,
    };
  }
}
