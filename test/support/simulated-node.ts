/**
 * One process's view of a simulated server: the contract of `CacheNode` in the
 * time of a clock that the test moves, with faults of its own.
 *
 * A connection that keeps the order of requests and of answers. Between a
 * request and its effect, and between the effect and its answer, stands a
 * `Hop`, so that a scheduler can put any two processes' steps in any order.
 *
 * An admission follows every connect. There is no breaker, and no batch: each
 * read of a batch acts by itself, which allows more interleavings, not fewer.
 */
import { within } from '../../src/clock.ts';
import { NodeUnavailableError, type Unavailability } from '../../src/errors.ts';
import type { GuardNode } from '../../src/node/guard-node.ts';
import type { TagHost } from '../../src/node/known-tags.ts';
import type { LifeNode } from '../../src/node/life-node.ts';
import type { LockNode } from '../../src/node/lock-node.ts';
import type {
  Budget,
  CacheNode,
  CopyAnswer,
  FillAnswer,
  Greeting,
  Inspection,
  LeaseAnswer,
  NodeHost,
  NodeState,
  NodeStats,
  Reader,
  RemoveAnswer,
  ScanStep,
  WriteAnswer,
} from '../../src/node/node.ts';
import { readReport, type ServerReport } from '../../src/node/report.ts';
import type { Sequence } from '../../src/node/sequence.ts';
import { simulatedLockNode } from './simulated-locks.ts';
import type { SimulatedServer } from './simulated-server.ts';
import { SimulatedTags } from './simulated-tags.ts';

/** Passed before a request has its effect, and before its answer arrives. */
export type Hop = (what: string) => Promise<void>;

/** What is wrong between one process and a server. */
export type Fault =
  | 'none'
  | 'down' // every request is rejected at once
  | 'request-lost' // does not act; the asker's budget runs out
  | 'answer-lost'; // acts; the asker's budget runs out

export interface SimulatedNodeOptions {
  readonly host: NodeHost;
  readonly hop?: Hop | undefined;
  readonly tagHost?: TagHost | undefined;
  /** One request's budget. @default 100 */
  readonly timeoutMs?: number | undefined;
}

const ROUNDS = 3;
/** As in admission.ts. */
const DECISION_MS = 5_000;

/** One process's view of a server. */
export class SimulatedNode implements CacheNode {
  readonly id: string;
  readonly server: SimulatedServer;
  readonly locks: LockNode;
  readonly guard: GuardNode;
  readonly tags: SimulatedTags;
  readonly life: LifeNode;
  fault: Fault = 'none';
  /** Requests that were sent, by what they asked. */
  readonly sent: string[] = [];
  readonly #host: NodeHost;
  readonly #hop: Hop;
  readonly #timeoutMs: number;
  readonly #requests: (() => void)[] = [];
  readonly #answers: (() => void)[] = [];
  readonly #underWay = new Set<(error: NodeUnavailableError) => void>();
  readonly #removals = new Set<string>();
  #state: NodeState['state'] = 'connecting';
  #run = 0;
  closed = false;
  /** How long the read took whose answer is being told. */
  lastReadMs = 0;
  announces = false;

  constructor(server: SimulatedServer, options: SimulatedNodeOptions) {
    this.id = server.id;
    this.server = server;
    this.#host = options.host;
    this.#hop = options.hop ?? (() => Promise.resolve());
    this.#timeoutMs = options.timeoutMs ?? 100;
    this.guard = this.#newGuard();
    this.tags = new SimulatedTags({
      id: this.id,
      clock: server.clock,
      host: options.tagHost,
      server,
      ask: (what, act) => this.#ask(what, act),
      late: () => this.#unavailable('timeout'),
    });
    this.life = {
      expire: (key, fence) => this.#ask(`expire ${key}`, () => server.expire(key, fence)),
      touch: (key, ask) => this.#ask(`touch ${key}`, () => server.touch(key, ask)),
    };
    this.locks = simulatedLockNode(server.locks, (what, act) => this.#ask(what, act));
  }

  #newGuard(): GuardNode {
    const { server } = this;
    return {
      note: (node, ask) => {
        if (this.#state !== 'up') return Promise.reject(this.#unavailable('breaker-open'));
        return this.#exchange(`note for ${node}`, () => server.note(node, ask));
      },
      // In use or not.
      notesFor: (node, epoch) =>
        this.#exchange(`notes for ${node}`, () => server.notesFor(node, epoch)),
      takeOff: (node, notes) =>
        this.#exchange(`take off for ${node}`, () => server.takeOff(node, notes)),
    };
  }

  get gone(): boolean {
    return this.fault === 'down';
  }

  state(): NodeState {
    const state = this.fault === 'down' && this.#state === 'up' ? 'down' : this.#state;
    return { state, breaker: state === 'up' ? 'closed' : 'open' };
  }

  stats(): NodeStats {
    const zero = { reads: 0, batches: 0, scripts: 0, failures: 0, timeouts: 0, rejected: 0 };
    const latency = { count: 0, meanMs: 0, p50Ms: 0, p99Ms: 0, maxMs: 0 };
    const unconfirmed = this.#removals.size;
    return {
      ...zero,
      broken: 0,
      opened: 0,
      latency,
      inFlight: this.#underWay.size,
      unconfirmed,
      tracked: false,
    };
  }

  async open(): Promise<void> {
    await this.readmit();
  }

  async openPush(): Promise<void> {}

  async readmit(): Promise<void> {
    if (this.closed) return;
    this.#state = 'connecting';
    this.#run = this.server.run;
    const passed = await this.#pass().catch(() => false);
    if (!this.closed) this.#state = passed ? 'up' : 'down';
  }

  /** The admission: greeting, decision, installation, missed deletes. */
  async #pass(): Promise<boolean> {
    for (let round = 0; round < ROUNDS; round++) {
      const greeting = await this.#greet();
      const decision = await within(
        Promise.resolve(this.#host.admit(this.id, greeting)),
        DECISION_MS,
        { clock: this.server.clock, late: () => this.#unavailable('timeout') },
      );
      if (decision.kind === 'reject') return false;
      const { fence, document, missed } = decision;
      const install = () => this.server.install(fence, document, true);
      if ((await this.#exchange('install', install)).kind !== 'installed') continue;
      decision.accepted?.();
      for (const key of [...this.#removals]) {
        await this.#exchange('remove', () => this.server.removeAnyway(key));
        this.#removals.delete(key);
      }
      const told = missed?.invalidations ?? [];
      await this.tags.replay(told, (what, act) => this.#exchange(what, act));
      for (const key of missed?.keys ?? []) {
        await this.#exchange('remove', () => this.server.removeAnyway(key));
      }
      missed?.removed();
      return true;
    }
    return false;
  }

  read(key: string, reader: Reader, position: number): void {
    const sentAt = this.server.clock.now();
    const failed = (error: NodeUnavailableError): void => reader.failed(position, error);
    const look = () => {
      const [stored, epoch] = [this.server.stored(key), this.server.epoch()];
      return { stored, epoch, at: this.server.sequence };
    };
    this.#ask(`read ${key}`, look).then(({ stored, epoch, at }) => {
      const found = (): void => {
        this.lastReadMs = this.server.clock.now() - sentAt;
        reader.found(position, stored, epoch);
      };
      const later = this.tags.judge(key, stored, at);
      if (later === undefined) return found();
      return later.then(found, failed);
    }, failed);
  }

  lease(...[key, ask]: Parameters<CacheNode['lease']>): Promise<LeaseAnswer> {
    const act = () => this.server.lease(key, ask);
    return this.#ask(`lease ${key}`, this.#withSequence(act), ask.budget).then((found) =>
      this.#judged(key, found),
    );
  }

  extendLease(...[key, ask]: Parameters<CacheNode['extendLease']>): Promise<boolean> {
    return this.#ask(`extend ${key}`, () => this.server.extendLease(key, ask));
  }

  dropLease(key: string, token: string): Promise<void> {
    return this.#ask(`drop ${key}`, () => this.server.dropLease(key, token));
  }

  fill(...[key, entry]: Parameters<CacheNode['fill']>): Promise<FillAnswer> {
    return this.#ask(`fill ${key}`, () => this.server.fill(key, entry));
  }

  write(...[key, entry]: Parameters<CacheNode['write']>): Promise<WriteAnswer> {
    return this.#ask(`write ${key}`, () => this.server.write(key, entry));
  }

  remove(key: string, fence: string): Promise<RemoveAnswer> {
    return this.#ask(`remove ${key}`, () => this.server.remove(key, fence));
  }

  /** Kept until the next admission. */
  removeLater(key: string): void {
    this.#removals.add(key);
  }

  async removeAll(keys: readonly string[]): Promise<void> {
    for (const key of keys) {
      await this.#ask(`remove ${key}`, () => this.server.removeAnyway(key));
    }
  }

  copy(key: string, fence: string, budget?: Budget): Promise<CopyAnswer> {
    const act = () => this.server.copy(key, fence);
    return this.#ask(`copy ${key}`, this.#withSequence(act), budget).then((found) =>
      this.#judged(key, found),
    );
  }

  #withSequence<T>(act: () => T): () => { answer: T; at: Sequence } {
    return () => ({ answer: act(), at: this.server.sequence });
  }

  #judged<T extends LeaseAnswer | CopyAnswer>(
    key: string,
    { answer, at }: { answer: T; at: Sequence },
  ): T | Promise<T> {
    const stored = answer.kind === 'value' ? answer.stored : undefined;
    return this.tags.judge(key, stored, at)?.then(() => answer) ?? answer;
  }

  inspect(key: string): Promise<Inspection> {
    return this.#ask(`inspect ${key}`, () => this.server.inspect(key));
  }

  announce(document: string): Promise<void> {
    return this.#ask('announce', () => {
      this.server.announced = document;
    });
  }

  scan(cursor: string, step: ScanStep): Promise<{ cursor: string; keys: string[] }> {
    return this.#ask(`scan ${step.of}`, () => this.server.scan(cursor, step));
  }

  size(): Promise<number> {
    return this.#ask('size', () => this.server.size);
  }

  report(): Promise<ServerReport> {
    return this.#ask('report', () => readReport(['', this.server.size, 0]));
  }

  async greet(): Promise<Greeting> {
    this.#checkUp();
    return this.#greet();
  }

  #checkUp(): void {
    if (this.closed) throw this.#unavailable('closed');
    if (this.#state !== 'up') throw this.#unavailable('breaker-open');
  }

  async #greet(): Promise<Greeting> {
    const askedAt = this.server.clock.now();
    const greeting = await this.#exchange('greet', () => this.server.greeting());
    return { ...greeting, askedAt };
  }

  async install(fence: string, document: string): ReturnType<CacheNode['install']> {
    this.#checkUp();
    return this.#exchange('install', () => this.server.install(fence, document));
  }

  async close(): Promise<void> {
    this.closed = true;
    this.#state = 'down';
    for (const reject of this.#underWay) reject(this.#unavailable('closed'));
  }

  #ask<T>(what: string, act: () => T, budget?: Budget): Promise<T> {
    if (this.closed) return Promise.reject(this.#unavailable('closed'));
    if (this.#state !== 'up') return Promise.reject(this.#unavailable('breaker-open'));
    if (!this.#host.trusted()) return Promise.reject(this.#unavailable('unconfirmed'));
    if (budget === undefined) return this.#exchange(what, act);
    const sentAt = this.server.clock.now();
    return this.#exchange(what, act, budget.leftMs).finally(() => {
      budget.leftMs -= this.server.clock.now() - sentAt;
    });
  }

  #exchange<T>(what: string, act: () => T, leftMs = this.#timeoutMs): Promise<T> {
    this.sent.push(what);
    const run = this.#run;
    return new Promise((resolve, reject) => {
      const fail = (error: NodeUnavailableError): void => {
        timer.cancel();
        this.#underWay.delete(fail);
        reject(error);
      };
      const timer = this.server.clock.after(Math.min(leftMs, this.#timeoutMs), () => {
        fail(this.#unavailable('timeout'));
      });
      this.#underWay.add(fail);
      this.#requests.push(() => {
        if (this.fault === 'down' || this.closed) return fail(this.#unavailable('connection'));
        // What was sent to a server is not sent again to the next one.
        if (run !== this.server.run) {
          if (this.#run === run) this.#state = 'down';
          return fail(this.#unavailable('connection'));
        }
        if (this.fault === 'request-lost') return;
        const answer = act();
        if (this.fault === 'answer-lost') return;
        this.#answers.push(() => {
          timer.cancel();
          this.#underWay.delete(fail);
          resolve(answer);
        });
        this.#deliver(`${this.id} answers ${what}`, this.#answers);
      });
      this.#deliver(`${this.id}: ${what}`, this.#requests);
    });
  }

  /** The oldest first, whichever hop was passed: a connection keeps its order. */
  #deliver(what: string, queue: (() => void)[]): void {
    void this.#hop(what).then(() => queue.shift()?.());
  }

  #unavailable(reason: Unavailability): NodeUnavailableError {
    return new NodeUnavailableError(this.id, reason);
  }
}
