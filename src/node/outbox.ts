/**
 * What is to be sent to a node, gathered until the I/O of this turn of the
 * event loop is over, then gated, capped and sent as one `Turn`.
 *
 * A large bulk goes out over several turns, each with its own budget, and
 * waits here while enough of it is on its way: sending 10,000 scripts at once
 * would take our own event loop longer than the budget of the first, and their
 * answers would come too late for being read.
 */
import type { Clock } from '../clock.ts';
import type { NodeUnavailableError } from '../errors.ts';
import type { NodeCounters } from '../metrics/metrics.ts';
import { type ReadHost, Reads } from './batch.ts';
import { Budgets } from './budgets.ts';
import type { Client } from './connection.ts';
import type { Budget, Reader } from './node.ts';
import { type Argument, Question, runScript } from './question.ts';
import type { Script } from './scripts.ts';
import type { Standing } from './standing.ts';
import type { NodeTuning } from './tuning.ts';
import { type Request, Turn, type TurnHost } from './turn.ts';

/**
 * Commands of a bulk that are unanswered at most, and sent in one turn: some
 * 10 ms of work here, a tenth of a usual budget, so that a busy process does
 * not take its own delay for the node's.
 */
const WINDOW = 128;
const SCRIPTS_A_TURN = 128;
const CHUNKS_A_TURN = 64;

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
  /** Gathered before, and left for a later turn. */
  #chunks: Request[] = [];
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
      underWay: new Budgets(parts.clock, parts.tuning.timeoutMs),
      inFlight: 0,
      awaited: 0,
      finished: () => {
        if (this.#backlog > 0 && !this.#flushing) this.#schedule();
      },
      distrust: () => standing.connection.cut(),
      tell: (error) => standing.tell(error),
    };
  }

  get lastReadMs(): number {
    return this.#readHost.lastReadMs;
  }

  get inFlight(): number {
    return this.#turns.inFlight;
  }

  read(valueKey: string, reader: Reader, position: number): void {
    this.#reads.add(valueKey, reader, position);
    if (!this.#flushing) this.#schedule();
  }

  script<T>(
    run: { script: Script; operands: Argument[]; budget?: Budget | undefined },
    read: (reply: unknown) => T,
  ): Promise<T> {
    const send = (client: Client): Promise<unknown> => {
      this.#turns.counters.scripts += 1;
      return runScript(client, run.script, run.operands);
    };
    return this.ask(send, read, run.budget);
  }

  ask<T>(
    ask: (client: Client) => Promise<unknown>,
    read: (reply: unknown) => T,
    budget?: Budget,
  ): Promise<T> {
    return this.#queue(this.#question(ask, read, budget));
  }

  /** The same, whether or not the topology of this process is confirmed. */
  askUnguarded<T>(
    ask: (client: Client) => Promise<unknown>,
    read: (reply: unknown) => T,
  ): Promise<T> {
    const question = this.#question(ask, read);
    question.unguarded = true;
    return this.#queue(question);
  }

  #question<T>(
    ask: (client: Client) => Promise<unknown>,
    read: (reply: unknown) => T,
    budget?: Budget,
  ): Question<T> {
    const { clock, failures } = this.#turns;
    const late = (): NodeUnavailableError =>
      failures.plain('timeout', 'the time for this read is over');
    return new Question(ask, read, budget && { clock, budget, late });
  }

  #queue<T>(question: Question<T>): Promise<T> {
    this.#questions.push(question);
    if (!this.#flushing) this.#schedule();
    return question.answer;
  }

  /** All that is unanswered fails with `error`; what is not sent yet is refused when it would be. */
  abort(error: NodeUnavailableError): void {
    for (const turn of this.#turns.underWay.end()) turn.abort(error);
  }

  #schedule(): void {
    this.#flushing = true;
    // A server fed by sockets would send batches of one if this were a microtask.
    this.#turns.clock.soon(() => this.#flush());
  }

  // Writes first: a read of the same turn then sees them. Both move on in each
  // turn, so that neither waits for a bulk of the other kind.
  #take(): Request[] {
    if (this.#reads.count > 0) {
      this.#chunks = this.#chunks.concat(this.#reads.chunks(this.#readHost));
      this.#reads = new Reads();
    }
    this.#chunks = this.#admitted(this.#chunks);
    this.#questions = this.#admitted(this.#questions);
    const room = Math.max(0, WINDOW - this.#turns.awaited);
    const questions = this.#questions.splice(0, Math.min(SCRIPTS_A_TURN, room));
    return questions.concat(this.#chunks.splice(0, Math.min(CHUNKS_A_TURN, room)));
  }

  get #backlog(): number {
    return this.#questions.length + this.#chunks.length;
  }

  #flush(): void {
    this.#flushing = false;
    const turns = this.#turns;
    const { breaker, connection } = this.#standing;
    const requests = this.#take();
    if (requests.length === 0) return;
    if (this.#backlog > 0) this.#schedule();
    if (this.#readHost.nodeClock.due(turns.clock.now())) requests.push(this.#timeQuestion());
    const turn = new Turn(turns, requests, breaker.begin());
    turn.send(connection);
  }

  // What may be sent, now or in a later turn; the rest is told why not.
  #admitted(requests: Request[]): Request[] {
    const refusal = this.#standing.refusal();
    if (refusal !== undefined) {
      this.#refuse(requests, refusal);
      return [];
    }
    if (!this.#standing.trusted) return this.#unguarded(requests);
    const room = Math.max(0, this.#maxInFlight - this.inFlight);
    if (requests.length > room) {
      const detail = `${this.inFlight} requests are unanswered`;
      const overloaded = this.#turns.failures.plain('overloaded', detail);
      this.#refuse(requests.splice(room), overloaded);
    }
    return requests;
  }

  #unguarded(requests: Request[]): Request[] {
    const unconfirmed = this.#turns.failures.plain('unconfirmed');
    this.#refuse(
      requests.filter(({ unguarded }) => unguarded !== true),
      unconfirmed,
    );
    return requests.filter(({ unguarded }) => unguarded === true);
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
