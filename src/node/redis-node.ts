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
import { announceAt, greetingOf, orphanOf, removeKeys } from './admission.ts';
import { type BacklogHost, orphansOf, removalsOf } from './backlog.ts';
import { EpochMemo, type ReadHost } from './batch.ts';
import type { PayloadCodec } from './codec.ts';
import { Deadlines } from './deadlines.ts';
import { aroundSequence, identityOf, sealEntry } from './entry.ts';
import type { GuardNode } from './guard-node.ts';
import type { TagHost } from './known-tags.ts';
import type { LifeNode } from './life-node.ts';
import type {
  Budget,
  CacheNode,
  CopyAnswer,
  FillAnswer,
  Greeting,
  Inspection,
  LeaseAnswer,
  LeaseAsk,
  Life,
  NodeHost,
  NodeListener,
  NodeState,
  NodeStats,
  Payload,
  Reader,
  RemoveAnswer,
  ScanStep,
  WriteAnswer,
} from './node.ts';
import { NodeClock } from './node-clock.ts';
import { keysOf, type NodeKeys } from './node-keys.ts';
import { Outbox } from './outbox.ts';
import { PushChannel, type PushWatch } from './push.ts';
import { runScript } from './question.ts';
import { RedisGuardNode } from './redis-guard-node.ts';
import { RedisLifeNode } from './redis-life-node.ts';
import { RedisLockNode } from './redis-lock-node.ts';
import { RedisTagNode } from './redis-tag-node.ts';
import { inPieces, type Removals } from './removals.ts';
import { ReplyReader } from './replies.ts';
import { askReport, readReport, type ServerReport } from './report.ts';
import { scanOf } from './scan.ts';
import {
  COPY,
  DROP,
  EXTEND,
  FILL,
  INSPECT,
  INSTALL,
  LEASE,
  REMOVE,
  REPLY,
  SEEN_ANY,
  WRITE,
} from './scripts.ts';
import { Standing } from './standing.ts';
import { BREAKER_DEFAULTS, type BreakerTuning, NODE_DEFAULTS, type NodeTuning } from './tuning.ts';

export interface NodeParts {
  readonly clock: Clock;
  /** Before every key on the node; no braces. */
  readonly namespace: string;
  readonly codec: PayloadCodec;
  readonly host: NodeHost;
  readonly listener: NodeListener;
  readonly tuning?: NodeTuning;
  readonly breaker?: BreakerTuning;
  /** Who is told what the node tells by itself. */
  readonly watch?: PushWatch;
  readonly tagHost?: TagHost;
}

export class RedisNode implements CacheNode {
  readonly id: string;
  readonly locks: RedisLockNode;
  readonly guard: GuardNode;
  readonly tags: RedisTagNode;
  readonly life: LifeNode;
  readonly #clock: Clock;
  readonly #keys: NodeKeys;
  readonly #nodeClock: NodeClock;
  readonly #counters = new NodeCounters();
  readonly #removals: Removals;
  readonly #orphans: Removals;
  readonly #standing: Standing;
  readonly #outbox: Outbox;
  readonly #replies: ReplyReader;
  readonly #push: PushChannel;
  readonly #deadlines: Deadlines;
  #closing: Promise<void> | undefined;

  constructor(place: Place, parts: NodeParts) {
    const { clock, codec, listener } = parts;
    const tuning = parts.tuning ?? NODE_DEFAULTS;
    this.id = place.id;
    this.#clock = clock;
    this.#keys = keysOf(parts.namespace);
    const nodeClock = new NodeClock(clock);
    this.#nodeClock = nodeClock;
    const backlog = this.#backlogHost(parts);
    this.#removals = removalsOf(backlog);
    this.#orphans = orphansOf(backlog);
    this.tags = this.#newTags(backlog, parts, tuning);
    this.#standing = new Standing(place, {
      clock,
      tuning,
      breaker: parts.breaker ?? BREAKER_DEFAULTS,
      host: parts.host,
      listener,
      keys: this.#keys,
      nodeClock,
      removals: this.#removals,
      orphans: this.#orphans,
      tags: this.tags,
      counters: this.#counters,
    });
    const reads: ReadHost = {
      clock,
      keys: this.#keys,
      tags: this.tags,
      timeoutMs: tuning.timeoutMs,
      codec,
      nodeClock: this.#nodeClock,
      counters: this.#counters,
      epochs: new EpochMemo(),
      lastReadMs: 0,
    };
    this.#replies = new ReplyReader(reads);
    const [standing, counters] = [this.#standing, this.#counters];
    this.#outbox = new Outbox({ clock, tuning, reads, standing, counters });
    const own = { keys: this.#keys, outbox: this.#outbox };
    this.guard = new RedisGuardNode({ ...own, standing });
    this.#deadlines = new Deadlines(this.#nodeClock, tuning.timeoutMs, () =>
      this.#standing.connection.failures.plain('timeout', 'its clock was set'),
    );
    this.life = new RedisLifeNode({ ...own, nodeClock, deadlines: this.#deadlines });
    this.#push = new PushChannel(place, { clock, tuning, keys: this.#keys, watch: parts.watch });
    this.locks = new RedisLockNode({
      ...own,
      push: this.#push,
      orphans: this.#orphans,
      runId: () => this.#standing.runId,
      forgetful: () => this.#standing.forgetful,
    });
  }

  #newTags(backlog: BacklogHost, parts: NodeParts, { timeoutMs }: NodeTuning): RedisTagNode {
    return new RedisTagNode({
      outbox: () => this.#outbox,
      host: parts.tagHost,
      backlog,
      timeoutMs,
      late: () => this.#standing.connection.failures.plain('timeout'),
    });
  }

  #backlogHost({ clock, listener }: NodeParts): BacklogHost {
    return {
      id: this.id,
      clock,
      keys: this.#keys,
      listener,
      usable: () => this.#standing.breaker.closed,
      ask: (send) => this.#outbox.ask(send, Boolean),
      tell: (error) => this.#standing.tell(error),
    };
  }

  state(): NodeState {
    return this.#standing.state;
  }

  get gone(): boolean {
    return this.#standing.connection.refused;
  }

  stats(): NodeStats {
    const { latency, ...counters } = this.#counters;
    return {
      ...counters,
      latency: latency.summary(),
      inFlight: this.#outbox.inFlight,
      unconfirmed: this.#removals.count + this.tags.pending.count,
      tracked: this.#push.tracked,
    };
  }

  // What is printed of a node in passing: no address, no password.
  toJSON(): { id: string } & NodeState {
    return { id: this.id, ...this.state() };
  }

  [inspect.custom](): string {
    const { state, breaker } = this.state();
    return `RedisNode { id: ${JSON.stringify(this.id)}, state: '${state}', breaker: '${breaker}' }`;
  }

  open(): Promise<void> {
    void this.#push.open();
    return this.#standing.open();
  }

  openPush(): Promise<void> {
    return this.#push.open();
  }

  readmit(): Promise<void> {
    return this.#standing.readmit();
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    this.#standing.end();
    this.#removals.end();
    this.#orphans.end();
    this.tags.pending.end();
    this.#outbox.abort(this.#standing.connection.failures.plain('closed'));
    await Promise.all([this.#standing.connection.close(), this.#push.close()]);
  }

  get announces(): boolean {
    return this.#push.stands(this.#keys.loads);
  }

  get lastReadMs(): number {
    return this.#outbox.lastReadMs;
  }

  read(key: string, reader: Reader, position: number): void {
    this.#outbox.read(this.#keys.value(key), reader, position);
  }

  async lease(key: string, ask: LeaseAsk): Promise<LeaseAnswer> {
    try {
      return await this.#lease(key, ask);
    } catch (error) {
      const { reason } = error as NodeUnavailableError;
      // It was sent, and whether it was granted is not known.
      if (reason === 'timeout' || reason === 'connection') {
        this.#orphans.add(orphanOf('lease', ask.token, key), ask.leaseMs);
      }
      throw error;
    }
  }

  async #lease(key: string, ask: LeaseAsk): Promise<LeaseAnswer> {
    const keys = [...this.#keysOf(key), this.#keys.sequence];
    const rest = [ask.fence, ask.token, Math.ceil(ask.leaseMs)];
    const seen = ask.seen === undefined ? '' : identityOf(ask.seen);
    const { budget } = ask;
    const answer = await this.#outbox.script(
      { script: LEASE, operands: [...keys, ...rest, seen], budget },
      (reply) => this.#replies.lease(reply),
    );
    if (answer !== undefined) return this.tags.judged(key, answer, budget);
    // What is there cannot be read by us: it is as if nothing were.
    return this.#outbox.script(
      { script: LEASE, operands: [...keys, ...rest, SEEN_ANY], budget },
      (reply) => this.#replies.leaseAnyway(reply),
    );
  }

  #keysOf(key: string): [fence: string, value: string, lease: string] {
    return [this.#keys.fence, this.#keys.value(key), this.#keys.lease(key)];
  }

  extendLease(key: string, ask: { token: string; leaseMs: number }): Promise<boolean> {
    const operands = [this.#keys.lease(key), ask.token, Math.ceil(ask.leaseMs)];
    return this.#outbox.script({ script: EXTEND, operands }, (reply) => reply === 1);
  }

  dropLease(key: string, token: string): Promise<void> {
    return this.#outbox.script(
      { script: DROP, operands: [this.#keys.lease(key), token, this.#keys.loads] },
      () => undefined,
    );
  }

  fill(key: string, entry: Parameters<CacheNode['fill']>[1]): Promise<FillAnswer> {
    const sealed = sealEntry(entry, this.#nodeClock.now());
    const operands = [...this.#keysOf(key), entry.fence, entry.token, ...sealed, this.#keys.loads];
    return this.#outbox.script({ script: FILL, operands, budget: entry.budget }, (reply) =>
      this.#replies.fill(reply),
    );
  }

  async write(
    key: string,
    entry: { payload: Payload; life: Life; fence: string; epoch: number },
  ): Promise<WriteAnswer> {
    const keys = [...this.#keysOf(key), this.#keys.sequence];
    const answer = await this.#outbox.ask(
      (client) => {
        this.#counters.scripts += 1;
        const [sealed, keepMs] = sealEntry(entry, this.#nodeClock.now());
        const [head, tail] = aroundSequence(sealed);
        const rest = [entry.fence, head, keepMs, this.#deadlines.next(), this.#keys.loads, tail];
        return runScript(client, WRITE, [...keys, ...rest]);
      },
      (reply) => (reply === REPLY.late ? undefined : this.#replies.write(reply)),
    );
    return answer ?? this.#deadlines.missed();
  }

  remove(key: string, fence: string): Promise<RemoveAnswer> {
    const operands = [...this.#keysOf(key), fence, this.#keys.loads];
    return this.#outbox.script({ script: REMOVE, operands }, (reply) =>
      this.#replies.remove(reply),
    );
  }

  removeLater(key: string, untilMs: number): void {
    this.#removals.add(key, untilMs);
  }

  async removeAll(keys: readonly string[]): Promise<void> {
    const removed = inPieces(keys).map((some) => {
      return this.#outbox.ask((client) => removeKeys(client, this.#keys, some), Boolean);
    });
    await Promise.all(removed);
  }

  async copy(key: string, fence: string, budget?: Budget): Promise<CopyAnswer> {
    const operands = [...this.#keysOf(key), this.#keys.sequence, fence];
    const found = await this.#outbox.script({ script: COPY, operands, budget }, (reply) =>
      this.#replies.copy(reply),
    );
    return this.tags.judged(key, found, budget);
  }

  inspect(key: string): Promise<Inspection> {
    const operands = [this.#keys.value(key), this.#keys.lease(key)];
    return this.#outbox.script({ script: INSPECT, operands }, (reply) =>
      this.#replies.inspection(reply, key),
    );
  }

  scan(cursor: string, step: ScanStep): ReturnType<CacheNode['scan']> {
    const prefix = step.of === 'values' ? this.#keys.value('') : this.#keys.lease('');
    const { ask, read } = scanOf(prefix, cursor, step);
    return this.#outbox.ask(ask, read);
  }

  size(): Promise<number> {
    return this.#outbox.ask((client) => client.dbsize(), Number);
  }

  report(): Promise<ServerReport> {
    const read = (reply: unknown) => readReport(reply as [string, number, number]);
    return this.#outbox.ask((client) => askReport(client, this.#clock), read);
  }

  greet(): Promise<Greeting> {
    const times = { nodeClock: this.#nodeClock, clock: this.#clock };
    return this.#outbox.askUnguarded(
      (client) => greetingOf(client, this.#keys, times),
      (reply) => reply as Greeting,
    );
  }

  announce(document: string): Promise<void> {
    return this.#outbox.ask(
      (client) => announceAt(client, this.#keys, document),
      () => undefined,
    );
  }

  async install(fence: string, document: string): ReturnType<CacheNode['install']> {
    const { fence: fenceKey, document: documentKey, run, sequence } = this.#keys;
    const answer = await this.#outbox.askUnguarded(
      (client) => {
        const rest = [fence, document, this.#standing.runId, '', this.#deadlines.next()];
        return runScript(client, INSTALL, [fenceKey, documentKey, run, sequence, ...rest]);
      },
      (reply) => (reply === REPLY.late ? undefined : this.#replies.install(reply)),
    );
    return answer ?? this.#deadlines.missed();
  }
}
