/**
 * One memory, one node, one key, and a scheduler that decides which step comes
 * next: each request's effect and its answer, each thing that the node tells
 * and when it arrives, each PING, the loss of the channel and its return, and
 * each move of the clock. What passes over one connection stays in order.
 *
 * The truth is a version that only grows: whoever writes raises it first. What
 * is claimed of a read that memory answers: it is not older than what this
 * process has written, nor than what another one had written `maxStale` before.
 */
import fc from 'fast-check';
import type { Clock } from '../../src/clock.ts';
import type { OwnWrite } from '../../src/memory/held.ts';
import { Memory } from '../../src/memory/memory.ts';
import type { MemoryTuning } from '../../src/memory/settings.ts';

const [NODE, KEY, HASH] = ['a', 'key', 7];
const MAX_STALE_MS = 100;
export const TUNING: MemoryTuning = {
  ...{ maxEntries: 10, maxBytes: 10_000 },
  ttlMs: 10_000,
  maxStaleMs: MAX_STALE_MS,
};
const TICK_MS = 30;
const TICKS = 14;
const PINGS = 10;

export interface Scene {
  /** How many reads, one after the other, each of several readers does. */
  readonly readers: readonly number[];
  /** One after the other: of two sets at once, either may be the last. */
  readonly writes: readonly { readonly mine: boolean; readonly how: 'set' | 'delete' }[];
  readonly faults: readonly ('lost' | 'flushed')[];
}

export const scene: fc.Arbitrary<Scene> = fc.record({
  readers: fc.array(fc.integer({ min: 4, max: 8 }), { minLength: 1, maxLength: 3 }),
  writes: fc.array(
    fc.record({
      mine: fc.constantFrom(true, false, false),
      how: fc.constantFrom('set' as const, 'delete' as const),
    }),
    { minLength: 1, maxLength: 5 },
  ),
  faults: fc.array(fc.constantFrom('lost' as const, 'flushed' as const), { maxLength: 3 }),
});

/** Every step is a turn of the event loop. */
class StepClock implements Clock {
  ms = 1_000;
  #soon: (() => void)[] = [];

  now(): number {
    return this.ms;
  }

  wall(): number {
    return this.ms;
  }

  after(): { cancel(): void } {
    return { cancel: () => undefined };
  }

  soon(run: () => void): void {
    this.#soon.push(run);
  }

  endTurn(): void {
    for (const run of this.#soon.splice(0)) run();
  }
}

type Told = 'change' | 'flush' | { readonly armed: number } | { readonly pong: true };

/** A node, and what is on its way from it. */
class Server {
  /** Called for each thing that is told, and for each cycle in which something was changed. */
  readonly #soon: (what: 'arrives' | 'cycle') => void;
  value: number | undefined;
  lease: number | undefined;
  /** Whether this process is told of anything. */
  telling = false;
  told: Told[] = [];
  #changed = false;
  #leases = 0;

  constructor(soon: (what: 'arrives' | 'cycle') => void) {
    this.#soon = soon;
  }

  read(): { value: number } | { lease: number } | undefined {
    if (this.value !== undefined) return { value: this.value };
    if (this.lease !== undefined) return undefined;
    this.lease = ++this.#leases;
    return { lease: this.lease };
  }

  write(value: number | undefined): void {
    // Of a delete of what is not there nobody is told.
    if (value !== undefined || this.value !== undefined) {
      this.#changed = true;
      this.#soon('cycle');
    }
    this.value = value;
    this.lease = undefined;
  }

  /** Changes of one cycle are told as one. */
  endCycle(): void {
    if (this.#changed) this.#tell('change');
    this.#changed = false;
  }

  tell(what: Told): void {
    this.endCycle();
    this.#tell(what);
  }

  #tell(what: Told): void {
    if (!this.telling) return;
    this.told.push(what);
    this.#soon('arrives');
  }
}

class Race {
  readonly stale: string[] = [];
  readonly #scheduler: fc.Scheduler;
  readonly #clock = new StepClock();
  readonly #memory: Memory;
  readonly #server: Server;
  /** What this process has sent, and what the server has answered to it, the oldest first. */
  readonly #requests: (() => () => void)[] = [];
  readonly #replies: (() => void)[] = [];
  #version = 0;
  readonly #acknowledged: { version: number; at: number; mine: boolean }[] = [];
  /** When the PINGs were sent that are unanswered, and the last one that is not. */
  #sent: number[] = [];
  #left = 0;

  constructor(scheduler: fc.Scheduler, make: (clock: Clock) => Memory) {
    this.#scheduler = scheduler;
    this.#memory = make(this.#clock);
    this.#server = new Server((what) => {
      void this.#step(what).then(() => {
        if (what === 'cycle') this.#server.endCycle();
        else this.#arrive(this.#server.told.shift());
      });
    });
  }

  async run({ readers, writes, faults }: Scene): Promise<void> {
    this.#memory.follow(() => NODE);
    await this.#until([
      ...readers.map((count) => this.#read(count)),
      this.#write(writes),
      this.#arm().then(() => this.#disturb(faults)),
      this.#times(TICKS, 'tick', () => {
        this.#clock.ms += TICK_MS;
      }),
      this.#times(PINGS, 'ping', () => this.#ping()),
    ]);
    this.#conclude();
  }

  /** Long after: whatever is on its way still does not come, and then does. */
  #conclude(): void {
    this.#clock.ms += 2 * MAX_STALE_MS;
    this.#look();
    this.#server.endCycle();
    for (const told of this.#server.told.splice(0)) this.#arrive(told);
    if (this.#server.telling) this.#memory.heard(NODE, this.#clock.ms);
    this.#look();
  }

  #step(what: string): Promise<void> {
    return this.#scheduler.schedule(Promise.resolve(), what);
  }

  /** Over the connection of the requests. */
  #call<T>(what: string, effect: () => T): Promise<T> {
    const { promise, resolve } = Promise.withResolvers<T>();
    this.#requests.push(() => {
      const answer = effect();
      return () => resolve(answer);
    });
    void this.#step(`${what} arrives`).then(() => {
      const reply = this.#requests.shift()?.();
      if (reply !== undefined) this.#replies.push(reply);
      void this.#step(`${what} is answered`).then(() => this.#replies.shift()?.());
    });
    return promise;
  }

  async #until(actors: readonly Promise<void>[]): Promise<void> {
    this.#left = actors.length;
    for (const actor of actors) void actor.then(() => this.#left--);
    while (this.#left > 0) {
      await this.#scheduler.waitNext(1);
      // Whatever comes of the step before the next one.
      await new Promise(setImmediate);
      this.#clock.endTurn();
    }
  }

  async #times(count: number, what: string, act: () => void): Promise<void> {
    for (let i = 0; i < count; i++) {
      await this.#step(what);
      act();
    }
  }

  async #read(count: number): Promise<void> {
    for (let i = 0; i < count; i++) {
      await this.#step('read');
      if (!this.#look()) await this.#ask();
    }
  }

  /** Says whether memory has it. */
  #look(): boolean {
    this.#clock.endTurn();
    const version = this.#memory.get(KEY) as number | undefined;
    if (version === undefined) return false;
    const { ms: now } = this.#clock;
    for (const { version: newer, at, mine } of this.#acknowledged) {
      if (newer <= version || (!mine && now - at <= MAX_STALE_MS)) continue;
      this.stale.push(`v${version} at ${now}, v${newer} was acknowledged at ${at}`);
    }
    return true;
  }

  async #ask(): Promise<void> {
    const ticket = this.#memory.ticket(HASH);
    const askedAt = this.#clock.ms;
    const found = await this.#call('read', () => this.#server.read());
    if (found === undefined) return;
    if ('value' in found) this.#put(found.value, { ticket, since: askedAt });
    else await this.#fill(found.lease);
  }

  async #fill(lease: number): Promise<void> {
    await this.#step('load');
    const version = this.#version;
    await this.#step('loaded');
    const sentAt = this.#clock.ms;
    const own = this.#memory.writes(KEY);
    const isStored = await this.#call('fill', () => {
      const isOurs = this.#server.lease === lease;
      if (isOurs) this.#server.write(version);
      return isOurs;
    });
    if (isStored) this.#put(version, { ticket: own, since: sentAt });
    this.#memory.wrote(own);
  }

  #put(version: number, { ticket, since }: { ticket: number | OwnWrite; since: number }): boolean {
    const agedMs = this.#clock.ms - since;
    const rest = { node: NODE, hash: HASH, forMs: 60_000, bytes: 10 };
    return this.#memory.put(KEY, version, { ...rest, ticket, agedMs });
  }

  async #write(writes: Scene['writes']): Promise<void> {
    for (const { mine, how } of writes) {
      await this.#step('write begins');
      const version = ++this.#version;
      const startedAt = this.#clock.ms;
      if (mine) this.#memory.forget(KEY, HASH);
      const own = mine && how === 'set' ? this.#memory.writes(KEY) : undefined;
      const act = (): void => this.#server.write(how === 'set' ? version : undefined);
      if (mine) await this.#call('write', act);
      else {
        await this.#step('write arrives');
        act();
        await this.#step('write is answered');
      }
      if (own !== undefined) this.#memory.wrote(own);
      const isHeld = own !== undefined && this.#put(version, { ticket: own, since: startedAt });
      if (mine && !isHeld) this.#memory.forget(KEY, HASH);
      this.#acknowledged.push({ version, at: this.#clock.ms, mine });
    }
  }

  async #arm(): Promise<void> {
    await this.#step('arm');
    const sentAt = this.#clock.ms;
    await this.#step('arming arrives');
    // What was changed before is told to nobody.
    this.#server.endCycle();
    this.#server.telling = true;
    this.#server.tell({ armed: sentAt });
  }

  async #disturb(faults: Scene['faults']): Promise<void> {
    for (const fault of faults) {
      await this.#step(fault);
      if (fault === 'lost') {
        Object.assign(this.#server, { telling: false, told: [] });
        this.#sent = [];
        this.#memory.untrack(NODE);
        await this.#arm();
      } else {
        this.#server.write(undefined);
        this.#server.tell('flush');
      }
    }
  }

  #ping(): void {
    if (this.#sent.length === 0) return;
    this.#sent.push(this.#clock.ms);
    this.#server.tell({ pong: true });
  }

  #arrive(told: Told | undefined): void {
    if (told === undefined) return;
    if (told === 'change') this.#memory.told(KEY, HASH);
    else if (told === 'flush') this.#memory.drop(NODE);
    else if ('armed' in told) {
      this.#sent = [told.armed];
      this.#memory.track(NODE);
      this.#memory.heard(NODE, told.armed);
    } else {
      const before = this.#sent.shift();
      if (before !== undefined) this.#memory.heard(NODE, before);
    }
  }
}

/** What went wrong in one schedule. */
export async function staleReads(
  scheduler: fc.Scheduler,
  drawn: Scene,
  make: (clock: Clock) => Memory = (clock) => new Memory(TUNING, clock),
): Promise<string[]> {
  const race = new Race(scheduler, make);
  await race.run(drawn);
  return race.stale;
}
