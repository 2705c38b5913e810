/**
 * All that is sent to a node in one turn of the event loop: one budget, one
 * call of the breaker, however many requests it is.
 *
 * A request is told exactly once how it went. Knows nothing of what it asks.
 */
import type { Clock } from '../clock.ts';
import type { NodeUnavailableError } from '../errors.ts';
import type { NodeCounters } from '../metrics/metrics.ts';
import type { Outcome } from './breaker.ts';
import type { Budgets, Spender } from './budgets.ts';
import type { Client } from './connection.ts';
import { type Failures, judge } from './failure.ts';

/** One command, or a few that are answered together. */
export interface Request {
  /** Whether it is written by itself; the others of a turn leave in one piece. */
  readonly large?: boolean;
  /** Sent though the topology of this process is not confirmed. */
  readonly unguarded?: boolean;
  /** Sends it. The promise always settles: the client rejects it when the connection is lost. */
  send(client: Client): Promise<unknown>;
  answered(reply: unknown): void;
  failed(error: NodeUnavailableError): void;
}

/** Where requests are written; all of one call leave in one piece. */
export interface Line {
  send(write: (client: Client) => void): void;
}

/** Requests that are written at once: enough to spare system calls, few enough for the server to begin with. */
const MAX_PIECE = 16;

/** What the turns of one node share. */
export interface TurnHost {
  readonly clock: Clock;
  readonly timeoutMs: number;
  readonly failures: Failures;
  readonly counters: NodeCounters;
  /** Turns that are not finished. */
  readonly underWay: Budgets<Turn>;
  /** Commands that the server has not answered, given up on or not. */
  inFlight: number;
  /** Those that are waited for still. */
  awaited: number;
  /** A turn is over: there may be room for what waits to be sent. */
  finished(): void;
  /** The connection is out of step. */
  distrust(): void;
  /** Something a person should hear of. */
  tell(error: NodeUnavailableError): void;
}

export class Turn implements Spender {
  readonly #host: TurnHost;
  readonly #outcome: Outcome;
  readonly sentAt: number;
  readonly #requests: (Request | undefined)[];
  #left: number;
  #nodeFailed = false;

  constructor(host: TurnHost, requests: Request[], outcome: Outcome) {
    this.#host = host;
    this.#outcome = outcome;
    this.#requests = requests;
    this.#left = requests.length;
    this.sentAt = host.clock.now();
  }

  send(connection: Line): void {
    this.#host.underWay.add(this);
    // In one piece the server would answer the first when it has read the last, and work in turns
    // with the client: 512 reads in flight then took 1.4 times as long, 50 locks 1.2 times.
    for (let from = 0; from < this.#requests.length; ) {
      const to = this.#pieceEnd(from);
      connection.send((client) => {
        for (let at = from; at < to; at += 1) this.#sendOne(at, client);
      });
      from = to;
    }
  }

  #pieceEnd(from: number): number {
    const most = Math.min(this.#requests.length, from + MAX_PIECE);
    let to = from + 1;
    if (this.#requests[from]?.large === true) return to;
    while (to < most && this.#requests[to]?.large !== true) to += 1;
    return to;
  }

  #sendOne(at: number, client: Client): void {
    this.#host.inFlight += 1;
    this.#host.awaited += 1;
    this.#requests[at]?.send(client).then(
      (reply) => this.#answered(at, reply),
      (error: unknown) => this.#rejected(at, error),
    );
  }

  /** The node is closed: nobody waits any longer. */
  abort(error: NodeUnavailableError): void {
    this.#failAll(error);
    this.#finish();
  }

  #answered(at: number, reply: unknown): void {
    const request = this.#take(at);
    if (request === undefined) return;
    try {
      request.answered(reply);
    } catch (error) {
      // Not what this question is answered with: what comes next may be the
      // answer to this one, so nothing on this connection can be believed.
      this.#nodeFailed = true;
      this.#host.counters.failures += 1;
      request.failed(this.#host.failures.from(error, 'connection', ' (an answer out of place)'));
      this.#host.distrust();
    }
    if (this.#left === 0) this.#finish();
  }

  #rejected(at: number, error: unknown): void {
    const request = this.#take(at);
    if (request === undefined) return;
    const host = this.#host;
    const verdict = judge(error);
    const told = host.failures.from(error, verdict.reason);
    host.counters.failures += 1;
    if (verdict.counts) this.#nodeFailed = true;
    if (verdict.tell) host.tell(told);
    request.failed(told);
    if (this.#left === 0) this.#finish();
  }

  // Undefined for what was given up on: the late answer of a request is nobody's.
  #take(at: number): Request | undefined {
    this.#host.inFlight -= 1;
    const request = this.#requests[at];
    if (request === undefined) return undefined;
    this.#requests[at] = undefined;
    this.#left -= 1;
    this.#host.awaited -= 1;
    return request;
  }

  expire(): void {
    if (this.#left === 0) return;
    const { failures, counters, timeoutMs } = this.#host;
    this.#nodeFailed = true;
    counters.failures += this.#left;
    counters.timeouts += this.#left;
    this.#failAll(failures.plain('timeout', `no answer within ${timeoutMs} ms`));
    this.#finish();
  }

  #failAll(error: NodeUnavailableError): void {
    const requests = this.#requests.filter((request) => request !== undefined);
    this.#requests.fill(undefined);
    this.#host.awaited -= this.#left;
    this.#left = 0;
    for (const request of requests) request.failed(error);
  }

  #finish(): void {
    const host = this.#host;
    if (!host.underWay.delete(this)) return;
    host.counters.latency.record(host.clock.now() - this.sentAt);
    if (this.#nodeFailed) this.#outcome.fail();
    else this.#outcome.succeed();
    host.finished();
  }
}
