/**
 * Whether a node is in use, and everything that changes it: the connection
 * comes and goes, the breaker opens and tries again, the topology admits it or
 * does not, somebody closes it. Tells the listener, each thing once.
 *
 * Method. The breaker is the only state: in use = closed. It starts open, the
 * loss of the connection opens it at once, and only an admission closes it.
 */
import { type Clock, pause } from '../clock.ts';
import type { NodeUnavailableError } from '../errors.ts';
import type { NodeCounters } from '../metrics/metrics.ts';
import type { Place } from './address.ts';
import { AdmissionProcedure } from './admission.ts';
import { Breaker } from './breaker.ts';
import { type Client, Connection } from './connection.ts';
import type { Greeting, NodeHost, NodeListener, NodeState } from './node.ts';
import type { NodeClock } from './node-clock.ts';
import type { NodeKeys } from './node-keys.ts';
import type { RedisTagNode } from './redis-tag-node.ts';
import type { Removals } from './removals.ts';
import type { BreakerTuning, NodeTuning } from './tuning.ts';

/** Texts of trouble remembered as told. */
const MAX_TOLD = 100;
/** So long a connection that was lost is waited for: longer than the longest pause between two attempts. */
const RETURN_MS = 1_500;

export interface StandingParts {
  readonly clock: Clock;
  readonly tuning: NodeTuning;
  readonly breaker: BreakerTuning;
  readonly host: NodeHost;
  readonly listener: NodeListener;
  readonly keys: NodeKeys;
  readonly nodeClock: NodeClock;
  readonly removals: Removals;
  readonly orphans: Removals;
  readonly tags: RedisTagNode;
  readonly counters: NodeCounters;
}

export class Standing {
  readonly connection: Connection;
  readonly breaker: Breaker;
  readonly #id: string;
  readonly #parts: StandingParts;
  readonly #admission: AdmissionProcedure;
  readonly #told = new Set<string>();
  #generation = 0;
  /** The first attempt to connect. */
  #opening: Promise<void> | undefined;
  #lostAt = Number.NEGATIVE_INFINITY;
  /** Aborted when the connection stands again, or never will. */
  #missing: AbortController | undefined;
  #attempted = false;
  #closed = false;
  #reported: NodeState['state'] = 'connecting';
  #runId = '';
  #known = false;
  #forgetful = false;
  /** Why it is down: told to those who are turned away. */
  #problem = '';

  constructor(place: Place, parts: StandingParts) {
    const { clock, tuning, keys, nodeClock, removals, orphans, tags, host } = parts;
    this.#id = place.id;
    this.#parts = parts;
    this.connection = new Connection(place, {
      clock,
      tuning,
      listener: {
        ready: () => this.#ready(),
        lost: () => this.#lost(),
        trouble: (error, tell) => this.#troubled(error, tell),
      },
    });
    this.breaker = new Breaker(parts.breaker, {
      opened: () => this.#opened(),
      probe: () => this.#admit(tuning.timeoutMs),
    });
    this.#admission = new AdmissionProcedure({
      id: place.id,
      clock,
      keys,
      admit: host.admit,
      connection: this.connection,
      nodeClock,
      removals,
      orphans,
      tags,
      generation: () => this.#generation,
      admitted: (greeting) => this.#admitted(greeting),
      tell: (error) => this.tell(error),
    });
  }

  get state(): NodeState {
    const breaker = this.breaker.state;
    if (breaker === 'closed') return { state: 'up', breaker };
    return { state: this.#attempted ? 'down' : 'connecting', breaker };
  }

  /** Of the server as it was last admitted. */
  get runId(): string {
    return this.#runId;
  }

  /** Whether the server was restarted or emptied since it was first admitted. */
  get forgetful(): boolean {
    return this.#forgetful;
  }

  /** Why nothing may be asked now. Half-open is not open to callers: the probe is our own. */
  refusal(): NodeUnavailableError | undefined {
    if (this.#closed) return this.connection.failures.plain('closed');
    if (this.breaker.closed) return undefined;
    return this.connection.failures.plain('breaker-open', this.#problem);
  }

  /** Whether it may be asked for more than what it knows of the topology. */
  get trusted(): boolean {
    return this.#parts.host.trusted();
  }

  /** As `CacheNode.open`. */
  async open(): Promise<void> {
    this.#opening ??= this.connection.open();
    await this.#opening;
    await this.#admission.settled();
    this.#attempted = true;
    this.#report();
  }

  /** As `CacheNode.readmit`. */
  async readmit(): Promise<void> {
    this.breaker.open();
    await this.#admit(this.#parts.tuning.connectTimeoutMs);
  }

  /** From now on nothing is told and nothing is used; `connection` remains to be closed. */
  end(): void {
    this.#closed = true;
    this.#missing?.abort();
    this.breaker.shutdown();
  }

  /**
   * Asks what needs no admission, in use or not; waits for a connection that
   * is being made, or was lost just now. Rejects with `NodeUnavailableError`.
   */
  async askAnyway<T>(send: (client: Client) => Promise<T>): Promise<T> {
    if (!this.connection.ready) await this.#connected();
    if (this.#closed) throw this.connection.failures.plain('closed');
    if (!this.connection.ready) throw this.connection.failures.plain('connection', this.#problem);
    const { connectTimeoutMs } = this.#parts.tuning;
    return this.#admission.ask(connectTimeoutMs, send, 'a question about another node');
  }

  async #connected(): Promise<void> {
    if (this.#generation === 0) return this.#opening;
    const { clock } = this.#parts;
    const leftMs = this.#lostAt + RETURN_MS - clock.now();
    if (leftMs > 0) await pause(clock, leftMs, this.#missing?.signal);
  }

  /** Once per text, until the node has been admitted again. */
  tell(error: Error): void {
    if (this.#closed || this.#told.has(error.message)) return;
    if (this.#told.size < MAX_TOLD) this.#told.add(error.message);
    this.#parts.listener.trouble(this.#id, error);
  }

  #ready(): void {
    this.#generation += 1;
    this.#missing?.abort();
    this.#missing = undefined;
    void this.#admit(this.#parts.tuning.connectTimeoutMs);
  }

  async #admit(budgetMs: number): Promise<boolean> {
    if (this.#closed || !this.connection.ready) return false;
    const admitted = await this.#admission.run(budgetMs);
    this.#attempted = true;
    this.#report();
    return admitted;
  }

  #admitted({ runId, fence }: Greeting): void {
    if (this.#closed) return;
    // Not at the first one: it may be new then.
    if (this.#known && (fence === undefined || runId !== this.#runId)) this.#forgetful = true;
    this.#known = true;
    this.#runId = runId;
    this.#problem = '';
    this.#told.clear();
    this.breaker.close();
    this.#report();
  }

  #opened(): void {
    this.#parts.counters.opened += 1;
    this.#report();
  }

  #lost(): void {
    if (this.#closed) return;
    // Not for every attempt that fails after it.
    if (this.#missing === undefined) {
      this.#missing = new AbortController();
      this.#lostAt = this.#parts.clock.now();
    }
    this.#attempted = true;
    this.breaker.open();
    this.#report();
  }

  #troubled(error: NodeUnavailableError, tell: boolean): void {
    this.#problem = error.cause instanceof Error ? error.cause.message : error.message;
    if (tell) this.tell(error);
  }

  #report(): void {
    const { state } = this;
    if (state.state === this.#reported || this.#closed) return;
    this.#reported = state.state;
    this.#parts.listener.state(this.#id, state);
  }
}
