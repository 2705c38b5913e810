/**
 * Two processes, one node, one key, and a scheduler that decides which step
 * comes next: each request's effect, each answer, each step of a loader, and
 * each move of the clock.
 *
 * The truth is a version that only grows. Whoever writes raises it first, as
 * an application writes its database first, and then sets or deletes. What the
 * checker claims: a read that starts after a write was acknowledged does not
 * return an older version. A read that joins one under way in its process
 * counts as started when that one was, except for the writes of that process.
 */
import fc from 'fast-check';
import type { Flight } from '../../src/load/flight.ts';
import type { Loader, LoaderParts } from '../../src/load/loader.ts';
import type { Memory } from '../../src/memory/memory.ts';
import { FakeClock } from '../support/fake-clock.ts';
import type { Fault } from '../support/simulated-node.ts';
import { SimulatedProcess, SimulatedServers, seat } from '../support/simulated-process.ts';
import type { SimulatedServer } from '../support/simulated-server.ts';

const KEY = 'key';

/** What a process does, one after the other, beside what the other one does. */
export interface Step {
  readonly process: 0 | 1;
  readonly act: 'getOrSet' | 'get' | 'set' | 'delete';
}

export interface Scene {
  /** Reads of several actors, each waiting for its own last one. */
  readonly readers: readonly (readonly Step[])[];
  /** One after the other: of two sets at once, either may be the last. */
  readonly writes: readonly Step[];
  /** What comes, one after the other, between a process and the node. */
  readonly faults: readonly { readonly process: 0 | 1; readonly fault: Fault }[];
}

/** What is left out on purpose, for the checker to find. */
export interface Weakness {
  readonly server?: (clock: FakeClock) => SimulatedServer;
  readonly memory?: (clock: FakeClock) => Memory;
  readonly loader?: (parts: LoaderParts) => Loader;
}

// Most of it in one process, and most reads with a loader: there is more to go wrong.
const process = fc.constantFrom<(0 | 1)[]>(0, 0, 0, 1);
const act = fc.constantFrom<('get' | 'getOrSet')[]>('getOrSet', 'getOrSet', 'getOrSet', 'get');
const read = fc.record({ process, act });
const write = fc.record({ process, act: fc.constantFrom('set' as const, 'delete' as const) });

const fault = fc.constantFrom<Fault[]>('none', 'none', 'down', 'request-lost', 'answer-lost');

export const scene: fc.Arbitrary<Scene> = fc.record({
  readers: fc.array(fc.array(read, { minLength: 2, maxLength: 5 }), { minLength: 2, maxLength: 4 }),
  writes: fc.array(write, { minLength: 1, maxLength: 4 }),
  faults: fc.array(fc.record({ process, fault }), { maxLength: 4 }),
});

/** How far the clock moves at a time: far enough that budgets, leases and waits end in some schedules. */
const TICK_MS = 7;
const LOAD_HOPS = 12;

class Race {
  readonly stale: string[] = [];
  readonly #scheduler: fc.Scheduler;
  readonly #clock = new FakeClock(1_000);
  readonly #processes: SimulatedProcess[] = [];
  /** The version in the database. */
  #version = 1;
  /** The newest whose write was acknowledged, to anybody and to each process. */
  #acknowledged = 0;
  readonly #acknowledgedTo = [0, 0];
  readonly #ownReadsOnly: boolean;
  /** What was acknowledged when a flight began. */
  readonly #flightFloors = new WeakMap<Flight, number>();
  #left = 0;

  constructor(scheduler: fc.Scheduler, ownReadsOnly: boolean) {
    this.#scheduler = scheduler;
    this.#ownReadsOnly = ownReadsOnly;
  }

  async run(scene: Scene, weakness: Weakness): Promise<void> {
    const servers = new SimulatedServers(this.#clock);
    const server = weakness.server?.(this.#clock);
    if (server !== undefined) servers.put(server);
    const { memory, loader } = weakness;
    let open = true;
    for (let i = 0; i < 2; i++) {
      const hop = (what: string): Promise<void> => {
        return open
          ? Promise.resolve()
          : this.#scheduler.schedule(Promise.resolve(), `${i}: ${what}`);
      };
      this.#processes.push(
        await SimulatedProcess.start({
          clock: this.#clock,
          servers,
          seats: [seat('a')],
          hop,
          settings: { memory: this.#ownReadsOnly },
          ...(memory === undefined ? {} : { memory: memory(this.#clock) }),
          ...(loader === undefined ? {} : { loader }),
        }),
      );
    }
    open = false;
    const actors = [...scene.readers, scene.writes];
    this.#left = actors.length;
    for (const steps of actors) void this.#act(steps);
    void this.#disturb(scene.faults);
    await this.#untilAllAreDone();
    for (const one of this.#processes) await one.close();
  }

  async #act(steps: readonly Step[]): Promise<void> {
    for (const step of steps) {
      await this.#scheduler.schedule(Promise.resolve(), `${step.process} begins ${step.act}`);
      await this.#step(step);
    }
    this.#left--;
  }

  async #disturb(faults: Scene['faults']): Promise<void> {
    for (const { process: number, fault } of faults) {
      await this.#scheduler.schedule(Promise.resolve(), `${number} has the fault ${fault}`);
      const node = this.#processes[number]?.node('a');
      if (node !== undefined) node.fault = fault;
    }
  }

  async #step({ process: number, act }: Step): Promise<void> {
    const one = this.#processes[number];
    if (one === undefined) throw new Error('no such process');
    if (act === 'get' || act === 'getOrSet') {
      const own = this.#acknowledgedTo[number] ?? 0;
      let floor = this.#ownReadsOnly ? own : this.#acknowledged;
      const reading = act === 'get' ? this.#get(one) : one.getOrSet(KEY, () => this.#load());
      if (act === 'getOrSet') floor = this.#floorOf(one, { own, floor });
      const version = (await reading) as number | undefined;
      if (version !== undefined && version < floor) {
        this.stale.push(`${act} in process ${number}: ${version} after ${floor} was acknowledged`);
      }
      return;
    }
    const version = ++this.#version;
    const done = act === 'set' ? one.set(KEY, version) : one.delete(KEY);
    if (!(await done)) return;
    this.#acknowledged = version;
    this.#acknowledgedTo[number] = version;
  }

  /** Who joins a flight reads as of its start, except for what its own process wrote since. */
  #floorOf(one: SimulatedProcess, given: { own: number; floor: number }): number {
    const flight = one.loader.running(KEY);
    if (flight === undefined) return given.floor;
    const floor = this.#flightFloors.get(flight) ?? given.floor;
    this.#flightFloors.set(flight, floor);
    return Math.max(floor, given.own);
  }

  /** What memory holds is a promise of its own; see `ownReadsOnly`. */
  #get(one: SimulatedProcess): Promise<unknown> {
    return this.#ownReadsOnly ? one.get(KEY) : one.reads.get(KEY);
  }

  /** Asks the database: the question takes time, and so does its answer. */
  async #load(): Promise<number> {
    await this.#scheduler.schedule(Promise.resolve(), 'load asks');
    const version = this.#version;
    // Slow, as loads are: a whole set or delete may fit in.
    for (let i = 0; i < LOAD_HOPS; i++) {
      await this.#scheduler.schedule(Promise.resolve(), `load goes on ${i}`);
    }
    return version;
  }

  async #untilAllAreDone(): Promise<void> {
    let ticking = false;
    let due = false;
    for (let steps = 0; this.#left > 0; steps++) {
      if (steps > 5_000) throw new Error('it does not come to an end');
      if (!ticking) {
        ticking = true;
        void this.#scheduler.schedule(Promise.resolve(), 'tick').then(() => {
          due = true;
        });
      }
      await this.#scheduler.waitNext(1);
      await this.#clock.settle();
      if (!due) continue;
      ticking = false;
      due = false;
      await this.#clock.advance(TICK_MS);
    }
  }
}

/**
 * What went wrong in one schedule.
 *
 * @param ownReadsOnly With memory, of which another process's writes void
 *   nothing before `maxStale`: only what was acknowledged to the reader's own
 *   process counts. Without it, what was acknowledged to anybody does.
 */
export async function staleReads(
  scheduler: fc.Scheduler,
  scene: Scene,
  options: { ownReadsOnly: boolean; weakness?: Weakness },
): Promise<string[]> {
  const race = new Race(scheduler, options.ownReadsOnly);
  await race.run(scene, options.weakness ?? {});
  return race.stale;
}
