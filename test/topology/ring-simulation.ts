/**
 * Histories of keys on a ring that changes: several processes with the real
 * topology, changer, mover, reads, loads and writes, over simulated servers in
 * virtual time. Requests and answers are delayed and lost, processes pause,
 * servers restart with nothing or with what was saved, and evict values and
 * leases; processes begin changes, take them back, and finish those of others,
 * and hear of them only when a node turns them away.
 *
 * What is checked: a read that starts after a set or delete was acknowledged
 * does not return an older version. A read that joins one under way counts as
 * started when that one was, except for the writes of its own process. A set
 * that was not acknowledged may act late: its version is nobody's fault.
 *
 * A node that is somebody's whole ring is not restarted: what it forgets, nobody
 * else can tell him (docs/guarantees.md). The memory of the processes is off. The history of a seed is the same in every run, if
 * `Math.random` is.
 */
import { ClosedError, RingCacheError } from '../../src/errors.ts';
import type { Flight } from '../../src/load/flight.ts';
import type { TagDeletes, TagDeletesParts } from '../../src/load/tag-deletes.ts';
import type { Writes, WritesParts } from '../../src/load/writes.ts';
import { HashRing } from '../../src/ring/ring.ts';
import type { Snapshot } from '../../src/topology/snapshot.ts';
import { PausableClock } from '../lock/lock-process.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { SimulatedProcess, SimulatedServers, seat } from '../support/simulated-process.ts';
import { SimulatedServer } from '../support/simulated-server.ts';
import { Dice, Truth } from './model-steps.ts';

/** A part left out or replaced, for the checker to find. */
export interface Weakness {
  readonly server?: (id: string, clock: FakeClock) => SimulatedServer;
  readonly writes?: (parts: WritesParts) => Writes;
  readonly snapshot?: (snapshot: Snapshot) => void;
  /** Deletes are by tag, each key with one of its own, or clear everything. */
  readonly byTag?: boolean;
  readonly tagDeletes?: (parts: TagDeletesParts) => TagDeletes;
}

export interface RingOutcome {
  readonly stale: readonly string[];
  readonly counts: typeof NO_COUNTS;
}

const NO_COUNTS = {
  ...{ reads: 0, writes: 0, acknowledged: 0, hits: 0, copied: 0 },
  ...{ changes: 0, takenBack: 0, resumed: 0, stable: 0, floors: 0 },
};

const POOL = ['a', 'b', 'c', 'd'];
const KEYS = ['one', 'two', 'three', 'four'] as const;
type Key = (typeof KEYS)[number];
const TOTAL_MS = 15_000;

interface Member {
  readonly name: string;
  readonly clock: PausableClock;
  readonly process: SimulatedProcess;
  /** What was acknowledged to it. */
  readonly own: Truth<Key>;
}

export class RingHistory {
  readonly #clock = new FakeClock(1_000_000);
  readonly #servers = new SimulatedServers(this.#clock);
  readonly #dice: Dice;
  readonly #weakness: Weakness;
  readonly #tell: ((line: string) => void) | undefined;
  readonly #truth = new Truth<Key>();
  readonly #floors = new WeakMap<Flight, number>();
  /** Versions that may come to be stored at any time. */
  readonly #late = new Set<number>();
  /** One write of a key at a time: of two sets at once, either may be the last. */
  readonly #writing = new Map<Key, Promise<void>>();
  readonly #members: Member[] = [];
  readonly #stale: string[] = [];
  readonly #counts = { ...NO_COUNTS };
  /** In some histories what is stored stays for a while. */
  readonly #writeEveryMs: number;
  #version = 1;
  #isOver = false;

  constructor(seed: number, weakness: Weakness = {}, tell?: (line: string) => void) {
    this.#dice = new Dice(seed * 7_919);
    this.#weakness = weakness;
    this.#tell = tell;
    this.#writeEveryMs = this.#dice.oneOf([150, 1_000]);
    const { server = (...[id, clock]) => new SimulatedServer(id, clock) } = weakness;
    for (const id of POOL) this.#servers.put(server(id, this.#clock));
  }

  async run(): Promise<RingOutcome> {
    // The hash is compiled once, in real time: nothing here may wait for that.
    await HashRing.create([{ id: 'a' }]);
    const ids = this.#dice.oneOf([['a', 'b'], POOL.slice(0, 3)]);
    const starting = ['first', 'second', 'third'].map((name) => this.#start(name, ids));
    await this.#clock.advance(2_000);
    this.#members.push(...(await Promise.all(starting)));
    const work = this.#members.flatMap((member) => [
      this.#read(member),
      this.#read(member),
      this.#write(member),
      this.#disturb(member),
    ]);
    work.push(this.#changeRing(), this.#changeRing(), this.#disturbServers());
    await this.#clock.advance(TOTAL_MS);
    this.#isOver = true;
    await this.#clock.advance(30_000);
    const ends = this.#members.map(async ({ process }) => {
      await process.changer.end();
      await process.close();
    });
    await this.#clock.advance(5_000);
    await Promise.all([...ends, ...work]);
    return { stale: this.#stale, counts: this.#sum() };
  }

  #sum(): typeof NO_COUNTS {
    const counts = { ...this.#counts };
    const floors = new Set<string>();
    for (const { process } of this.#members) {
      counts.hits += process.counters.nodeHits;
      counts.copied += process.counters.copied;
      for (const [id, floor] of Object.entries(process.topology.document.floors)) {
        floors.add(`${id} ${floor}`);
      }
    }
    return { ...counts, floors: floors.size };
  }

  async #start(name: string, ids: readonly string[]): Promise<Member> {
    const clock = new PausableClock(this.#clock);
    const { writes, snapshot, tagDeletes } = this.#weakness;
    const process = await SimulatedProcess.start({
      clock,
      servers: this.#servers,
      seats: ids.map((id) => seat(id)),
      settings: { memory: false },
      hop: (what) => this.#hop(what, clock),
      ...(writes && { writes }),
      ...(tagDeletes && { tagDeletes }),
      swapping: (next) => {
        snapshot?.(next);
        const owners = KEYS.map((key) => next.owner(next.ring.hash(key)).id).join(' ');
        const sources = KEYS.map((key) => next.previousOwner(next.ring.hash(key))?.id ?? '-');
        this.#say(`${name}: epoch ${next.epoch}, owners ${owners}, sources ${sources.join(' ')}`);
      },
    });
    return { name, clock, process, own: new Truth() };
  }

  /** One request's way, or its answer's: what is on its way to the process waits while that is paused. */
  async #hop(what: string, clock: PausableClock): Promise<void> {
    const isSlow = this.#dice.happens(0.08);
    await this.#sleep(isSlow ? this.#dice.between(20, 90) : this.#dice.between(0.2, 5));
    if (what.includes(' answers ')) await clock.running;
  }

  async #read(member: Member): Promise<void> {
    const { name, process, own } = member;
    while (!this.#isOver) {
      await this.#sleep(this.#dice.between(1, 60));
      const key = this.#dice.oneOf(KEYS);
      const isPlain = this.#dice.happens(0.3);
      let floor = this.#truth.acknowledged(key);
      const reading = isPlain
        ? process.reads.get(key)
        : process.getOrSet(key, () => this.#load(key), this.#tagsOf(key));
      const flight = isPlain ? undefined : process.loader.running(key);
      if (flight !== undefined) {
        // Who joins reads as of when it began, except for what its own process wrote since.
        const begun = this.#floors.get(flight) ?? floor;
        this.#floors.set(flight, begun);
        floor = Math.max(begun, own.acknowledged(key));
      }
      const version = (await reading.catch(ignoreClosed)) as number | undefined;
      this.#counts.reads++;
      if (version === undefined || version >= floor || this.#late.has(version)) continue;
      const line = `${this.#at()}: ${name} read ${key}: ${version} after ${floor}`;
      this.#stale.push(line);
      this.#say(`STALE ${line}`);
    }
  }

  /** Asks the database: the question takes time, and so does its answer. */
  async #load(key: Key): Promise<number> {
    await this.#sleep(this.#dice.between(0, 5));
    const version = this.#truth.load(key);
    await this.#sleep(this.#dice.between(0, this.#dice.happens(0.1) ? 3_000 : 20));
    return version;
  }

  async #write(member: Member): Promise<void> {
    while (!this.#isOver) {
      await this.#sleep(this.#dice.between(1, this.#writeEveryMs));
      const key = this.#dice.oneOf(KEYS);
      const before = this.#writing.get(key) ?? Promise.resolve();
      const writing = before.then(() => this.#writeOnce(member, key));
      this.#writing.set(key, writing);
      await writing;
    }
  }

  async #writeOnce({ name, process, own }: Member, key: Key): Promise<void> {
    if (this.#isOver) return;
    this.#counts.writes++;
    this.#version++;
    const version = this.#version;
    this.#truth.put(key, version);
    const isSet = this.#dice.happens(0.4);
    this.#say(`${name} ${isSet ? 'sets' : 'deletes'} ${key}: ${version}`);
    const isDone = await (isSet
      ? process.set(key, version, this.#tagsOf(key))
      : this.#delete(process, key));
    this.#say(`${name}: ${key} ${version} is ${isDone ? 'acknowledged' : 'not confirmed'}`);
    if (!isDone) {
      if (isSet) this.#late.add(version);
      return;
    }
    this.#counts.acknowledged++;
    this.#truth.acknowledge(key, version);
    own.acknowledge(key, version);
  }

  #tagsOf(key: Key): { tags?: string[] } {
    return this.#weakness.byTag === true ? { tags: ['other', `tag of ${key}`] } : {};
  }

  #delete(process: SimulatedProcess, key: Key): Promise<boolean> {
    if (this.#weakness.byTag !== true) return process.delete(key);
    // What is cleared besides is loaded anew: not older, so it is nobody's fault.
    return this.#dice.happens(0.1) ? process.clear() : process.deleteByTag(`tag of ${key}`);
  }

  /** Now and then the network between a process and a node, or the process itself, stands still. */
  async #disturb({ name, clock, process }: Member): Promise<void> {
    while (!this.#isOver) {
      await this.#sleep(this.#dice.between(50, 900));
      if (this.#dice.happens(0.1)) {
        const ms = this.#dice.between(50, this.#dice.happens(0.2) ? 6_000 : 600);
        this.#say(`${name} stands still for ${Math.round(ms)} ms`);
        clock.pause(ms);
      }
      const node = this.#dice.oneOf([...process.nodes.values()]);
      if (node.closed) continue;
      node.fault = this.#dice.oneOf(['none', 'none', 'request-lost', 'answer-lost', 'down']);
      await this.#sleep(this.#dice.between(10, 300));
      node.fault = 'none';
      // As connections that are made anew; one that only lost a few requests is not.
      for (const each of process.nodes.values()) {
        if (!each.closed && each.state().state !== 'up') await each.readmit();
      }
    }
  }

  async #disturbServers(): Promise<void> {
    while (!this.#isOver) {
      await this.#sleep(this.#dice.between(20, 600));
      const server = this.#servers.get(this.#dice.oneOf(POOL));
      const isOnly = this.#members.some(
        ({ process }) => process.topology.snapshot.ring.ids.length === 1,
      );
      const what = this.#dice.between(0, 1);
      const key = this.#dice.oneOf(KEYS);
      if (what < 0.3) server.evict(key);
      else if (what < 0.4) server.evictLease(key);
      else if (what < 0.7) server.save();
      else if (what < 0.8 && !isOnly) await this.#restart(server);
    }
  }

  /** One server at a time: when all lose what they know at once, nobody is left to know it. */
  async #restart(server: SimulatedServer): Promise<void> {
    const isEmpty = this.#dice.happens(0.5);
    this.#say(`${server.id} restarts ${isEmpty ? 'with nothing' : 'with what was saved'}`);
    if (isEmpty) server.restart();
    else server.restartFromSaved();
    for (const { process } of this.#members) {
      await this.#sleep(this.#dice.between(10, 200));
      const node = process.nodes.get(server.id);
      if (node !== undefined && !node.closed) await node.readmit();
    }
    await this.#sleep(1_000);
  }

  /** Processes begin changes, take back and finish what is under way, their own and others'. */
  async #changeRing(): Promise<void> {
    while (!this.#isOver) {
      await this.#sleep(this.#dice.between(50, 1_500));
      if (this.#isOver) return;
      const { name, process } = this.#dice.oneOf(this.#members);
      const { changer, topology } = process;
      try {
        if (topology.document.source === null) await this.#beginChange(process, name);
        else if (this.#dice.happens(0.5)) await this.#count('takenBack', changer.abort());
        else await this.#count('resumed', changer.resume());
      } catch (error) {
        // A node does not answer, another change came first, or went further than is known here.
        if (!(error instanceof RingCacheError)) throw error;
        this.#say(`${name}: ${error.message}`);
      }
    }
  }

  async #beginChange(process: SimulatedProcess, name: string): Promise<void> {
    const { changer, topology, nodes } = process;
    const ids = topology.document.members.map(({ id }) => id);
    const id = this.#dice.oneOf(POOL);
    const isMember = ids.includes(id);
    if (isMember && ids.length === 1) return;
    // Whoever removes a node that does not answer says that it is lost for all, which is not so here.
    if (isMember && nodes.get(id)?.state().state !== 'up') return;
    const change = isMember ? { add: [], remove: [id] } : { add: [seat(id)], remove: [] };
    this.#say(`${name} ${isMember ? 'removes' : 'adds'} ${id}`);
    await this.#count('changes', changer.change(change, { warm: this.#dice.happens(0.5) }));
  }

  async #count(
    what: 'changes' | 'takenBack' | 'resumed',
    begun: Promise<{ done: Promise<unknown> } | undefined>,
  ): Promise<void> {
    const change = await begun;
    if (change === undefined) return;
    this.#counts[what]++;
    change.done.then(
      () => this.#counts.stable++,
      () => undefined,
    );
  }

  #sleep(ms: number): Promise<void> {
    return new Promise((resolve) => {
      this.#clock.after(ms, resolve);
    });
  }

  #at(): string {
    return (this.#clock.now() - 1_000_000).toFixed(1);
  }

  #say(line: string): void {
    this.#tell?.(`${this.#at().padStart(8)}  ${line}`);
  }
}

function ignoreClosed(error: unknown): undefined {
  if (error instanceof ClosedError) return undefined;
  throw error;
}
