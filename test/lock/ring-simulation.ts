/**
 * Histories of locks on a ring that changes: several processes over simulated
 * servers in virtual time. Requests and answers are delayed and lost, nodes are
 * cut off from one process, processes pause, servers are emptied, and a process
 * hears of a change only when a node turns it away.
 *
 * What is checked: no two locks of one name are certainly held at a moment, and
 * the numbers of a name grow. What is counted: how often a holder is told that
 * another has its lock while it is certainly its own.
 */
import { LockError, RingCacheError } from '../../src/errors.ts';
import type { Lock } from '../../src/lock/lock.ts';
import { HashRing } from '../../src/ring/ring.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { SimulatedServers, seat } from '../support/simulated-process.ts';
import {
  CountingServer,
  type LockProcess,
  type PausableClock,
  startLockProcess,
  type Weakness,
} from './lock-process.ts';

export interface Outcome {
  readonly violations: readonly string[];
  readonly grants: number;
  /** Holders that were told that another has their lock, though nobody can have. */
  readonly crowdedOut: number;
  /** Grants of a name that had two homes or more. */
  readonly movingGrants: number;
  /** Rings that came into force. */
  readonly changes: number;
  /** Eras that ended. */
  readonly settled: number;
}

const LONGEST_MS = 1_000;
const TOTAL_MS = 24_000;
const POOL = ['a', 'b', 'c', 'd'];
const NAMES = ['one', 'two', 'three'];

/** Numbers from 0 to 1, the same for the same seed (mulberry32). */
export function randomOf(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

export class RingHistory {
  readonly #clock = new FakeClock(1_000_000);
  readonly #servers = new SimulatedServers(this.#clock);
  readonly #random: () => number;
  readonly #weakness: Weakness;
  readonly #processes: LockProcess[] = [];
  readonly #held = new Set<Lock>();
  readonly #lastFence = new Map<string, number>();
  readonly #violations: string[] = [];
  /** Servers lose their data in some histories only: a lock can be lost then. */
  readonly #isLossy: boolean;
  readonly #counts = { grants: 0, crowdedOut: 0, movingGrants: 0, changes: 0 };
  /** Epochs in which one ring counted. */
  readonly #settled = new Set<number>();
  #isOver = false;

  constructor(seed: number, weakness: Weakness = {}) {
    this.#random = randomOf(seed);
    this.#weakness = weakness;
    this.#isLossy = this.#random() < 0.3;
    for (const id of POOL) {
      const { server = (...[one, clock]) => new CountingServer(one, clock) } = weakness;
      this.#servers.put(server(id, this.#clock));
    }
  }

  async run(): Promise<Outcome> {
    // The hash is compiled once, in real time: nothing here may wait for that.
    await HashRing.create([{ id: 'a' }]);
    const first = this.#random() < 0.5 ? ['a', 'b'] : ['a', 'b', 'c'];
    const starting = Array.from({ length: 4 }, () => this.#start(first));
    await this.#clock.advance(2_000);
    this.#processes.push(...(await Promise.all(starting)));
    const work = this.#processes.flatMap((process, i) => [
      this.#useLocks(process, i),
      this.#useLocks(process, i),
      this.#disturb(process),
    ]);
    work.push(this.#changeRing(), this.#loseData());
    await this.#clock.advance(TOTAL_MS);
    this.#isOver = true;
    const ends = Promise.all(this.#processes.map((process) => process.end()));
    await this.#clock.advance(10_000);
    await Promise.all([ends, ...work]);
    return { ...this.#counts, settled: this.#settled.size, violations: this.#violations };
  }

  #start(ids: readonly string[]): Promise<LockProcess> {
    return startLockProcess({
      clock: this.#clock,
      servers: this.#servers,
      ids,
      longestMs: LONGEST_MS,
      weakness: this.#weakness,
      hop: (what, clock) => this.#hop(what, clock),
      taken: () => {
        if (!this.#isLossy) this.#counts.crowdedOut++;
      },
      swapped: ({ document: { epoch, history, locks } }) => {
        if (locks.since === history[0]?.since) this.#settled.add(epoch);
      },
    });
  }

  /** One request's way, or its answer's: what is on its way to the process waits while that is paused. */
  async #hop(what: string, clock: PausableClock): Promise<void> {
    const isSlow = this.#random() < 0.05;
    await this.#sleep(isSlow ? this.#between(20, 90) : this.#between(0.2, 5));
    if (what.includes(' answers ')) await clock.running;
  }

  async #useLocks({ topology, service }: LockProcess, number: number): Promise<void> {
    while (!this.#isOver) {
      await this.#sleep(this.#between(1, 300));
      const name = this.#oneOf(NAMES);
      const ttl = this.#between(300, LONGEST_MS);
      const renew = this.#random() < 0.8;
      const waitTimeout = this.#random() < 0.3 ? 0 : this.#between(50, 1_500);
      let lock: Lock;
      try {
        lock = await service.acquire(name, { ttl, waitTimeout, renew });
      } catch (error) {
        if (error instanceof LockError || this.#isOver) continue;
        throw error;
      }
      this.#check(lock, number);
      const { snapshot } = topology;
      if (snapshot.lockHomes(snapshot.ring.hash(name)).length > 1) this.#counts.movingGrants++;
      await this.#hold(lock);
    }
  }

  async #hold(lock: Lock): Promise<void> {
    await this.#sleep(this.#between(1, this.#random() < 0.2 ? 6_000 : 400));
    if (this.#random() < 0.1) await lock.extend(LONGEST_MS).catch(() => undefined);
    // Some are left to end by themselves, as those of a process that crashed.
    if (this.#random() < 0.1) await this.#sleep(this.#between(1, 3_000));
    this.#held.delete(lock);
    await lock.release();
  }

  #check(lock: Lock, number: number): void {
    this.#counts.grants++;
    const at = this.#clock.now() - 1_000_000;
    for (const other of this.#held) {
      if (other.name !== lock.name || other.remaining() === 0) continue;
      this.#violations.push(`${at}: ${lock.name} was granted to ${number} while another had it`);
    }
    const last = this.#lastFence.get(lock.name) ?? 0;
    if (lock.fence <= last) {
      this.#violations.push(`${at}: ${lock.name} was granted with ${lock.fence} after ${last}`);
    }
    this.#lastFence.set(lock.name, Math.max(last, lock.fence));
    this.#held.add(lock);
  }

  /** Now and then the network between a process and a node, or the process itself, stands still. */
  async #disturb({ clock, nodes }: LockProcess): Promise<void> {
    while (!this.#isOver) {
      await this.#sleep(this.#between(50, 1_500));
      if (this.#random() < 0.1) clock.pause(this.#between(50, 2 * LONGEST_MS));
      const node = this.#oneOf([...nodes.values()]);
      if (node.closed) continue;
      node.fault = this.#oneOf(['none', 'request-lost', 'answer-lost', 'down'] as const);
      await this.#sleep(this.#between(10, this.#random() < 0.1 ? 4_000 : 300));
      node.fault = 'none';
      // As a connection that is made anew; one that only lost a few requests is not.
      for (const each of nodes.values()) {
        if (!each.closed && each.state().state !== 'up') await each.readmit();
      }
    }
  }

  /** Each process changes the ring at times; the others hear of it when a node turns them away. */
  async #changeRing(): Promise<void> {
    while (!this.#isOver) {
      await this.#sleep(this.#between(500, 7_000));
      if (this.#isOver) return;
      const { changer, topology } = this.#oneOf(this.#processes);
      const ids = topology.document.members.map(({ id }) => id);
      const id = this.#oneOf(POOL);
      const isMember = ids.includes(id);
      const change = isMember ? { add: [], remove: [id] } : { add: [seat(id)], remove: [] };
      if (isMember && ids.length === 1) continue;
      try {
        await changer.change(change, { warm: this.#random() < 0.5 });
        this.#counts.changes++;
      } catch (error) {
        // A node does not answer, another change came first, or went further than is known here.
        if (!(error instanceof RingCacheError)) throw error;
      }
    }
  }

  /** One server at a time: when all lose what they know at once, nobody is left to know it. */
  async #loseData(): Promise<void> {
    while (this.#isLossy && !this.#isOver) {
      await this.#sleep(this.#between(3_000, 8_000));
      const server = this.#servers.get(this.#oneOf(POOL));
      if (this.#random() < 0.5) server.restart();
      else server.run++;
    }
  }

  #sleep(ms: number): Promise<void> {
    return new Promise((resolve) => {
      this.#clock.after(ms, resolve);
    });
  }

  #between(least: number, most: number): number {
    return least + this.#random() * (most - least);
  }

  #oneOf<T>(of: readonly T[]): T {
    return of[Math.floor(this.#random() * of.length)]!;
  }
}
