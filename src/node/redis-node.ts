/**
 * One Redis server: the choke point through which everything goes that is
 * asked of it, so that every request has a budget, a breaker and a limit, and
 * fails with one kind of error.
 *
 * Ties the parts of this folder together. Knows nothing of rings, of other
 * nodes, of memory or of loaders.
 */
import { inspect } from 'node:util';
import type { Clock } from '../clock.ts';
import type { NodeUnavailableError } from '../errors.ts';
import { NodeCounters } from '../metrics/metrics.ts';
import type { Place } from './address.ts';
import { AdmissionProcedure, greetingOf, type NodeKeys, removeKeys } from './admission.ts';
import { EpochMemo, type ReadHost } from './batch.ts';
import { Breaker } from './breaker.ts';
import type { PayloadCodec } from './codec.ts';
import { Connection } from './connection.ts';
import { identityOf, writeEntry } from './entry.ts';
import type {
  Admit,
  CacheNode,
  CopyAnswer,
  FillAnswer,
  Greeting,
  Inspection,
  LeaseAnswer,
  Life,
  NodeListener,
  NodeState,
  NodeStats,
  Payload,
  Reader,
  RemoveAnswer,
  Stored,
  WriteAnswer,
} from './node.ts';
import { NodeClock } from './node-clock.ts';
import { Outbox } from './outbox.ts';
import { Removals } from './removals.ts';
import { ReplyReader } from './replies.ts';
import {
  COPY,
  DROP,
  EXTEND,
  FILL,
  INSPECT,
  INSTALL,
  LEASE,
  REMOVE,
  SEEN_ANY,
  WRITE,
} from './scripts.ts';
import { BREAKER_DEFAULTS, type BreakerTuning, NODE_DEFAULTS, type NodeTuning } from './tuning.ts';

export interface NodeParts {
  readonly clock: Clock;
  /** Before every key on the node; no braces. */
  readonly namespace: string;
  readonly codec: PayloadCodec;
  readonly admit: Admit;
  readonly listener: NodeListener;
  readonly tuning?: NodeTuning;
  readonly breaker?: BreakerTuning;
}

export class RedisNode implements CacheNode {
  readonly id: string;
  readonly #clock: Clock;
  readonly #tuning: NodeTuning;
  readonly #listener: NodeListener;
  readonly #counters = new NodeCounters();
  readonly #keys: NodeKeys;
  readonly #connection: Connection;
  readonly #breaker: Breaker;
  readonly #removals: Removals;
  readonly #admission: AdmissionProcedure;
  readonly #nodeClock: NodeClock;
  readonly #outbox: Outbox;
  readonly #replies: ReplyReader;
  #generation = 0;
  #attempted = false;
  #closing: Promise<void> | undefined;
  #reported: NodeState['state'] = 'connecting';
  /** Why it is down: told to those who are turned away. */
  #problem = '';
  readonly #told = new Set<string>();

  constructor(place: Place, parts: NodeParts) {
    const { clock, codec, namespace } = parts;
    this.id = place.id;
    this.#clock = clock;
    this.#tuning = parts.tuning ?? NODE_DEFAULTS;
    this.#listener = parts.listener;
    this.#keys = keysOf(namespace);
    this.#nodeClock = new NodeClock(clock);
    this.#connection = new Connection(place, {
      clock,
      tuning: this.#tuning,
      listener: {
        ready: () => this.#ready(),
        lost: () => this.#lost(),
        trouble: (error, tell) => this.#troubled(error, tell),
      },
    });
    this.#breaker = new Breaker(parts.breaker ?? BREAKER_DEFAULTS, {
      opened: () => this.#opened(),
      probe: () => this.#admit(this.#tuning.timeoutMs),
    });
    this.#removals = new Removals({
      clock,
      usable: () => this.#breaker.closed,
      remove: (keys) => this.#outbox.ask((client) => removeKeys(client, this.#keys, keys), Boolean),
      confirmed: (key) => this.#listener.confirmed(this.id, key),
      overflowed: (limit) =>
        this.#tell(
          new Error(
            `more than ${limit} deletes wait for node ${this.id}; the oldest were given up`,
          ),
        ),
    });
    this.#admission = this.#newAdmission(parts);
    const reads: ReadHost = {
      fenceKey: this.#keys.fence,
      codec,
      nodeClock: this.#nodeClock,
      counters: this.#counters,
      epochs: new EpochMemo(),
    };
    this.#replies = new ReplyReader(reads);
    this.#outbox = this.#newOutbox(clock, reads);
  }

  #newOutbox(clock: Clock, reads: ReadHost): Outbox {
    return new Outbox({
      turns: {
        clock,
        timeoutMs: this.#tuning.timeoutMs,
        failures: this.#connection.failures,
        counters: this.#counters,
        underWay: new Set(),
        inFlight: 0,
        tell: (error) => this.#tell(error),
      },
      reads,
      connection: this.#connection,
      breaker: this.#breaker,
      maxInFlight: this.#tuning.maxInFlight,
      refusal: () => this.#refusal(),
    });
  }

  #newAdmission(parts: NodeParts): AdmissionProcedure {
    return new AdmissionProcedure({
      id: this.id,
      clock: parts.clock,
      keys: this.#keys,
      admit: parts.admit,
      connection: this.#connection,
      nodeClock: this.#nodeClock,
      removals: this.#removals,
      generation: () => this.#generation,
      admitted: () => this.#admitted(),
      tell: (error) => this.#tell(error),
    });
  }

  state(): NodeState {
    const breaker = this.#breaker.state;
    if (breaker === 'closed') return { state: 'up', breaker };
    return { state: this.#attempted ? 'down' : 'connecting', breaker };
  }

  stats(): NodeStats {
    const { latency, ...counters } = this.#counters;
    return {
      ...counters,
      latency: latency.summary(),
      inFlight: this.#outbox.inFlight,
      unconfirmed: this.#removals.count,
    };
  }

  toJSON(): { id: string } & NodeState {
    return { id: this.id, ...this.state() };
  }

  [inspect.custom](): string {
    const { state, breaker } = this.state();
    return `RedisNode { id: ${JSON.stringify(this.id)}, state: '${state}', breaker: '${breaker}' }`;
  }

  async open(): Promise<void> {
    await this.#connection.open();
    await this.#admission.settled();
    this.#attempted = true;
    this.#report();
  }

  async readmit(): Promise<void> {
    this.#breaker.open();
    await this.#admit(this.#tuning.connectTimeoutMs);
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    const closed = this.#connection.failures.plain('closed');
    this.#breaker.shutdown();
    this.#removals.end();
    this.#outbox.abort(closed);
    await this.#connection.close();
  }

  // `closed` alone counts: while the breaker is open or half-open nobody waits,
  // and the probe is our own.
  #refusal(): NodeUnavailableError | undefined {
    const { failures } = this.#connection;
    if (this.#closing !== undefined) return failures.plain('closed');
    if (!this.#breaker.closed) return failures.plain('breaker-open', this.#problem);
    return undefined;
  }

  #ready(): void {
    this.#generation += 1;
    void this.#admit(this.#tuning.connectTimeoutMs);
  }

  async #admit(budgetMs: number): Promise<boolean> {
    if (this.#closing !== undefined || !this.#connection.ready) return false;
    const admitted = await this.#admission.run(budgetMs);
    this.#attempted = true;
    this.#report();
    return admitted;
  }

  #admitted(): void {
    if (this.#closing !== undefined) return;
    this.#problem = '';
    this.#told.clear();
    this.#breaker.close();
    this.#report();
  }

  #opened(): void {
    this.#counters.opened += 1;
    this.#report();
  }

  #lost(): void {
    if (this.#closing !== undefined) return;
    this.#attempted = true;
    this.#breaker.open();
    this.#report();
  }

  #troubled(error: NodeUnavailableError, tell: boolean): void {
    this.#problem = error.cause instanceof Error ? error.cause.message : error.message;
    if (tell) this.#tell(error);
  }

  // Once per text, until the node has been in use again.
  #tell(error: Error): void {
    if (this.#closing !== undefined || this.#told.has(error.message)) return;
    if (this.#told.size < MAX_TOLD) this.#told.add(error.message);
    this.#listener.trouble(this.id, error);
  }

  #report(): void {
    const state = this.state();
    if (state.state === this.#reported || this.#closing !== undefined) return;
    this.#reported = state.state;
    this.#listener.state(this.id, state);
  }

  read(key: string, reader: Reader, position: number): void {
    this.#outbox.read(this.#keys.value(key), reader, position);
  }

  async lease(
    key: string,
    ask: { token: string; leaseMs: number; fence: string; seen?: Stored | undefined },
  ): Promise<LeaseAnswer> {
    const keys = [this.#keys.fence, this.#keys.value(key), this.#keys.lease(key)];
    const rest = [ask.fence, ask.token, Math.ceil(ask.leaseMs)];
    const seen = ask.seen === undefined ? '' : identityOf(ask.seen);
    const answer = await this.#outbox.script(LEASE, [...keys, ...rest, seen], (r) =>
      this.#replies.lease(r),
    );
    // What is there cannot be read by us: it is as if nothing were.
    return (
      answer ??
      (await this.#outbox.script(LEASE, [...keys, ...rest, SEEN_ANY], (r) =>
        this.#replies.leaseAnyway(r),
      ))
    );
  }

  extendLease(key: string, ask: { token: string; leaseMs: number }): Promise<boolean> {
    const operands = [this.#keys.lease(key), ask.token, Math.ceil(ask.leaseMs)];
    return this.#outbox.script(EXTEND, operands, (reply) => reply === 1);
  }

  dropLease(key: string, token: string): Promise<void> {
    return this.#outbox.script(DROP, [this.#keys.lease(key), token], () => undefined);
  }

  fill(
    key: string,
    entry: { token: string; payload: Payload; life: Life; fence: string; epoch: number },
  ): Promise<FillAnswer> {
    const keys = [this.#keys.fence, this.#keys.value(key), this.#keys.lease(key)];
    const operands = [...keys, entry.fence, entry.token, ...this.#sealed(entry)];
    return this.#outbox.script(FILL, operands, (reply) => this.#replies.fill(reply));
  }

  write(
    key: string,
    entry: { payload: Payload; life: Life; fence: string; epoch: number },
  ): Promise<WriteAnswer> {
    const keys = [this.#keys.fence, this.#keys.value(key), this.#keys.lease(key)];
    const operands = [...keys, entry.fence, ...this.#sealed(entry)];
    return this.#outbox.script(WRITE, operands, (reply) => this.#replies.write(reply));
  }

  // The entry as it stands on the node, and how long it is to be kept there.
  #sealed(entry: { payload: Payload; life: Life; epoch: number }): [Buffer, number] {
    const { ttlMs, staleMs, loadMs } = entry.life;
    const freshUntil = Math.round(this.#nodeClock.now() + ttlMs);
    const bytes = writeEntry(entry.payload, { stamp: entry.epoch, freshUntil, loadMs });
    return [bytes, Math.max(1, Math.ceil(ttlMs + staleMs))];
  }

  remove(key: string, fence: string): Promise<RemoveAnswer> {
    const operands = [this.#keys.fence, this.#keys.value(key), this.#keys.lease(key), fence];
    return this.#outbox.script(REMOVE, operands, (reply) => this.#replies.remove(reply));
  }

  removeLater(key: string, untilMs: number): void {
    this.#removals.add(key, untilMs);
  }

  copy(key: string, fence: string): Promise<CopyAnswer> {
    const operands = [this.#keys.fence, this.#keys.value(key), fence];
    return this.#outbox.script(COPY, operands, (reply) => this.#replies.copy(reply));
  }

  inspect(key: string): Promise<Inspection> {
    const operands = [this.#keys.value(key), this.#keys.lease(key)];
    return this.#outbox.script(INSPECT, operands, (reply) => this.#replies.inspection(reply));
  }

  scan(cursor: string, count: number): Promise<{ cursor: string; keys: string[] }> {
    const prefix = this.#keys.value('');
    const pattern = `${prefix.replace(/[\\*?[\]]/g, '\\$&')}*`;
    return this.#outbox.ask(
      (client) => client.scan(cursor, 'MATCH', pattern, 'COUNT', count),
      (reply) => {
        const [next, keys] = reply as [string, string[]];
        return { cursor: next, keys: keys.map((key) => key.slice(prefix.length)) };
      },
    );
  }

  size(): Promise<number> {
    return this.#outbox.ask((client) => client.dbsize(), Number);
  }

  greet(): Promise<Greeting> {
    return this.#outbox.ask(
      (client) =>
        greetingOf(client, this.#keys, { nodeClock: this.#nodeClock, clock: this.#clock }),
      (reply) => reply as Greeting,
    );
  }

  install(fence: string, document: string): Promise<{ kind: 'installed' } | { kind: 'stale' }> {
    const operands = [this.#keys.fence, this.#keys.document, fence, document];
    return this.#outbox.script(INSTALL, operands, (reply) => ({
      kind: reply === 1 ? 'installed' : 'stale',
    }));
  }
}

/** Texts of trouble remembered as told. */
const MAX_TOLD = 100;

function keysOf(namespace: string): NodeKeys {
  const valuePrefix = `${namespace}:v:`;
  const leasePrefix = `${namespace}:l:`;
  return {
    fence: `${namespace}:e`,
    document: `${namespace}:t`,
    value: (key) => valuePrefix + key,
    lease: (key) => leasePrefix + key,
  };
}
