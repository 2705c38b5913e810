/**
 * A process that uses locks over simulated servers: the real acquisition,
 * renewal and homes, topology, gates and eras, joined as `joinLocks` joins
 * them, with parts that a test can replace.
 */
import type { Clock, Timer } from '../../src/clock.ts';
import { Emitter } from '../../src/emitter.ts';
import type { AttemptAsk, Grip, LockHomes } from '../../src/lock/homes.ts';
import { type LockEvents, LockService } from '../../src/lock/locks.ts';
import { type HomesParts, RingHomes } from '../../src/lock/ring-homes.ts';
import { locksSettings } from '../../src/lock/settings.ts';
import { Wakes } from '../../src/lock/wait.ts';
import type { AcquireAnswer, AcquireAsk } from '../../src/node/lock-node.ts';
import { TopologyChanger } from '../../src/topology/change.ts';
import { Gates } from '../../src/topology/gates.ts';
import { LockEras } from '../../src/topology/lock-eras.ts';
import type { Snapshot } from '../../src/topology/snapshot.ts';
import { Topology } from '../../src/topology/topology.ts';
import type { FakeClock } from '../support/fake-clock.ts';
import { SimulatedLocks } from '../support/simulated-locks.ts';
import { type Hop, SimulatedNode } from '../support/simulated-node.ts';
import { RING, type SimulatedServers, seat } from '../support/simulated-process.ts';
import { SimulatedServer } from '../support/simulated-server.ts';

/** A part left out or replaced, for a checker to find. */
export interface Weakness {
  readonly homes?: (parts: HomesParts) => LockHomes;
  /** Called with each snapshot before it is used. */
  readonly snapshot?: (snapshot: Snapshot) => void;
  /** What those who end eras take for the longest ttl. */
  readonly erasLongestMs?: number;
  readonly server?: (id: string, clock: Clock) => SimulatedServer;
}

/** Numbers as Redis grants them: a new counter begins at the microsecond of its server, whose clock is off. */
export class CountingLocks extends SimulatedLocks {
  readonly #micros: () => number;

  constructor(around: SimulatedServer, micros: () => number) {
    super(around);
    this.#micros = micros;
  }

  override acquire(name: string, ask: AcquireAsk): AcquireAnswer {
    const isNew = this.look(name).number === 0;
    const floor = isNew ? Math.max(ask.floor, this.#micros()) : ask.floor;
    return super.acquire(name, { ...ask, floor });
  }
}

export class CountingServer extends SimulatedServer {
  override readonly locks: SimulatedLocks;

  constructor(id: string, clock: Clock) {
    super(id, clock);
    // Set apart by up to 600 ms: less than the time that a server which lost its data grants nothing.
    const skewMs = (id.charCodeAt(0) - 97) * -200;
    this.locks = this.newLocks(() => Math.round((clock.now() + skewMs) * 1_000));
  }

  protected newLocks(micros: () => number): SimulatedLocks {
    return new CountingLocks(this, micros);
  }
}

/** A process's clock: while it is paused its timers do not run, and nothing that arrives is noticed. */
export class PausableClock implements Clock {
  readonly #clock: FakeClock;
  #running: Promise<void> = Promise.resolve();

  constructor(clock: FakeClock) {
    this.#clock = clock;
  }

  now(): number {
    return this.#clock.now();
  }

  wall(): number {
    return this.#clock.wall();
  }

  after(delayMs: number, run: () => void): Timer {
    let isCancelled = false;
    const timer = this.#clock.after(delayMs, () => {
      void this.#running.then(() => {
        if (!isCancelled) run();
      });
    });
    const cancel = (): void => {
      isCancelled = true;
      timer.cancel();
    };
    return { cancel };
  }

  soon(run: () => void): void {
    this.#clock.soon(() => void this.#running.then(run));
  }

  get running(): Promise<void> {
    return this.#running;
  }

  pause(forMs: number): void {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#running = promise;
    this.#clock.after(forMs, resolve);
  }
}

/** As `remaining()` counts: less what two clocks may drift apart. */
function certainMs(ttlMs: number): number {
  return ttlMs - Math.ceil(ttlMs * 0.01) - 2;
}

/** Notes when a holder is told that its lock is another's while it cannot be. */
class WatchedHomes implements LockHomes {
  readonly #homes: LockHomes;
  readonly #clock: Clock;
  readonly #taken: () => void;

  constructor(homes: LockHomes, clock: Clock, taken: () => void) {
    this.#homes = homes;
    this.#clock = clock;
    this.#taken = taken;
  }

  async attempt(ask: AttemptAsk): ReturnType<LockHomes['attempt']> {
    const attempt = await this.#homes.attempt(ask);
    if (attempt.kind !== 'granted') return attempt;
    const until = attempt.since.monotonic + certainMs(ask.ttlMs);
    return { ...attempt, grip: this.#watch(attempt.grip, until) };
  }

  #watch(grip: Grip, until: number): Grip {
    let certainUntil = until;
    let isReleased = false;
    return {
      prolong: async (forMs) => {
        const sentAt = this.#clock.now();
        const answer = await grip.prolong(forMs);
        if (answer === 'prolonged') certainUntil = sentAt + certainMs(forMs);
        else if (this.#clock.now() < certainUntil && !isReleased) this.#taken();
        return answer;
      },
      release: (keepMs) => {
        isReleased = true;
        return grip.release(keepMs);
      },
    };
  }

  abandon(...args: Parameters<LockHomes['abandon']>): void {
    this.#homes.abandon(...args);
  }

  listen(name: string): Promise<boolean> {
    return this.#homes.listen(name);
  }

  nodeOf(name: string): string {
    return this.#homes.nodeOf(name);
  }

  look(name: string): ReturnType<LockHomes['look']> {
    return this.#homes.look(name);
  }
}

export interface LockProcess {
  readonly clock: PausableClock;
  readonly topology: Topology;
  readonly changer: TopologyChanger;
  readonly service: LockService;
  readonly nodes: ReadonlyMap<string, SimulatedNode>;
  end(): Promise<void>;
}

export interface LockProcessOptions {
  readonly clock: FakeClock;
  readonly servers: SimulatedServers;
  /** The nodes it is configured with. */
  readonly ids: readonly string[];
  readonly longestMs: number;
  readonly hop?: (what: string, clock: PausableClock) => ReturnType<Hop>;
  /** A holder was told that its lock is another's, while it was certainly its own. */
  readonly taken?: () => void;
  readonly swapped?: (topology: Topology) => void;
  readonly weakness?: Weakness;
}

/** Connected. */
export async function startLockProcess(options: LockProcessOptions): Promise<LockProcess> {
  const { longestMs, weakness = {} } = options;
  const clock = new PausableClock(options.clock);
  const nodes = new Map<string, SimulatedNode>();
  const seats = options.ids.map((id) => seat(id));
  const topology = await Topology.create(seats, {
    clock,
    ring: RING,
    seat: ({ id }, host) => {
      const hop = (what: string) => options.hop?.(what, clock) ?? Promise.resolve();
      const node = new SimulatedNode(options.servers.get(id), { host, hop });
      nodes.set(id, node);
      return node;
    },
    swapped: (snapshot) => {
      weakness.snapshot?.(snapshot);
      eras.follow();
      options.swapped?.(topology);
    },
  });
  weakness.snapshot?.(topology.snapshot);
  const eras = new LockEras(topology, clock, weakness.erasLongestMs ?? longestMs);
  const gates = new Gates({ kind: 'ring', longestMs }, () => topology.snapshot.lockNodes(), {
    opened: () => undefined,
    quarantined: () => undefined,
  });
  const parts = { clock, topology, gates, waiter: 'w', wake: () => () => undefined };
  const homes = weakness.homes?.(parts) ?? new RingHomes(parts);
  const service = new LockService({
    clock,
    homes: new WatchedHomes(homes, clock, () => options.taken?.()),
    wakes: new Wakes(),
    settings: locksSettings({ maxTtl: longestMs, retryDelay: 30 }),
    events: new Emitter<LockEvents>(),
    nodeTimeoutMs: 100,
  });
  await topology.open();
  const changer = new TopologyChanger(topology, gates, clock);
  const end = async (): Promise<void> => {
    service.end();
    eras.end();
    await changer.end();
    await topology.close();
  };
  return { clock, topology, changer, service, nodes, end };
}
