/**
 * What is to be sent to a node, gathered until the I/O of this turn of the
 * event loop is over, then gated, capped and sent as one `Turn`.
 */
import type { Clock } from '../clock.ts';
import type { NodeUnavailableError } from '../errors.ts';
import type { NodeCounters } from '../metrics/metrics.ts';
import { type ReadHost, Reads } from './batch.ts';
import type { Client } from './connection.ts';
import type { Reader } from './node.ts';
import { type Argument, Question, runScript } from './question.ts';
import type { Script } from './scripts.ts';
import type { Standing } from './standing.ts';
import type { NodeTuning } from './tuning.ts';
import { type Request, Turn, type TurnHost } from './turn.ts';

export interface OutboxParts {
  readonly clock: Clock;
  readonly tuning: NodeTuning;
  readonly reads: ReadHost;
  readonly standing: Standing;
  readonly counters: NodeCounters;
}

export class Outbox {
  readonly #turns: TurnHost;
  readonly #readHost: ReadHost;
  readonly #standing: Standing;
  readonly #maxInFlight: number;
  #reads = new Reads();
  #questions: Request[] = [];
  #flushing = false;

  constructor(parts: OutboxParts) {
    const { standing } = parts;
    this.#readHost = parts.reads;
    this.#standing = standing;
    this.#maxInFlight = parts.tuning.maxInFlight;
    this.#turns = {
      clock: parts.clock,
      timeoutMs: parts.tuning.timeoutMs,
      failures: standing.connection.failures,
      counters: parts.counters,
      underWay: new Set(),
      inFlight: 0,
      tell: (error) => standing.tell(error),
    };
  }

  get inFlight(): number {
    return this.#turns.inFlight;
  }

  read(valueKey: string, reader: Reader, position: number): void {
    this.#reads.add(valueKey, reader, position);
    if (!this.#flushing) this.#schedule();
  }

  script<T>(script: Script, operands: Argument[], read: (reply: unknown) => T): Promise<T> {
    return this.ask((client) => {
      this.#turns.counters.scripts += 1;
      return runScript(client, script, operands);
    }, read);
  }

  ask<T>(ask: (client: Client) => Promise<unknown>, read: (reply: unknown) => T): Promise<T> {
    const question = new Question(ask, read);
    this.#questions.push(question);
    if (!this.#flushing) this.#schedule();
    return question.answer;
  }

  /** All that is unanswered fails with `error`; what is not sent yet is refused when it would be. */
  abort(error: NodeUnavailableError): void {
    for (const turn of this.#turns.underWay) turn.abort(error);
  }

  #schedule(): void {
    this.#flushing = true;
    // A server fed by sockets would send batches of one if this were a microtask.
    this.#turns.clock.soon(() => this.#flush());
  }

  // Writes first: a read of the same turn then sees them.
  #take(): Request[] {
    const requests = this.#questions.concat(this.#reads.chunks(this.#readHost));
    this.#questions = [];
    if (this.#reads.count > 0) this.#reads = new Reads();
    return requests;
  }

  #flush(): void {
    this.#flushing = false;
    const turns = this.#turns;
    const { breaker, connection } = this.#standing;
    const requests = this.#cut(this.#take());
    if (requests.length === 0) return;
    if (this.#readHost.nodeClock.due(turns.clock.now())) requests.push(this.#timeQuestion());
    const turn = new Turn(turns, requests, breaker.begin());
    connection.send((client) => turn.send(client));
  }

  // Leaves what may be sent; the rest is told why not.
  #cut(requests: Request[]): Request[] {
    const refusal = this.#standing.refusal();
    if (refusal !== undefined) {
      this.#refuse(requests, refusal);
      return [];
    }
    const room = Math.max(0, this.#maxInFlight - this.inFlight);
    if (requests.length > room) {
      const detail = `${this.inFlight} requests are unanswered`;
      const overloaded = this.#turns.failures.plain('overloaded', detail);
      this.#refuse(requests.splice(room), overloaded);
    }
    return requests;
  }

  #refuse(requests: Request[], error: NodeUnavailableError): void {
    this.#turns.counters.rejected += requests.length;
    for (const request of requests) request.failed(error);
  }

  #timeQuestion(): Request {
    const sentAt = this.#turns.clock.now();
    return {
      send: (client) => client.time(),
      answered: (reply) => this.#readHost.nodeClock.sample(sentAt, reply as unknown[]),
      failed: () => undefined,
    };
  }
}
