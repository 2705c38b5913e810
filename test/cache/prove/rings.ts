/** The changes of the ring in a run: which, by whom, and whether all agree afterwards. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { App } from '../../support/app.ts';
import type { Cast } from '../../support/prove/cast.ts';
import type { Account, ChangeSpec, Standing, Worker } from './worker.ts';

export type Process = App<Worker>;

export interface RingSeat {
  readonly id: string;
  /** Where it is now. */
  url: string;
}

export interface RingsParts {
  readonly cast: Cast<Account, Worker>;
  /** All nodes that there are, members or not. */
  readonly seats: readonly RingSeat[];
  readonly random: () => number;
}

/** One that serves already. */
export interface RunningChange {
  readonly driver: Process;
  /** Resolves when it is complete, or its driver gone. Never rejects. */
  readonly done: Promise<void>;
}

export interface ChangeWish {
  readonly driver?: Process;
  readonly warm?: boolean;
  readonly keysPerSecond?: number;
  /** A member to be removed, or another node to be added. */
  readonly node?: string;
  /** Members that get another address. */
  readonly urls?: Readonly<Record<string, string>>;
}

const LEAST_MEMBERS = 2;
const GROW_TRIES = 10;
const WEIGHTS = [1, 1, 0.5, 2];
const COLD_SHARE = 0.15;
/** The copying takes from a tenth of a second to some seconds. */
const KEYS_PER_SECOND = { least: 40, most: 2_000 } as const;
/**
 * Reconnecting, breakers, admissions, and what a change waits for nodes that it
 * could not raise: long after all that was broken is whole again.
 */
const SETTLE_MS = 30_000;
/** What has not healed by then may need what an operator would do. */
const HEAL_MS = 15_000;
const LOOK_MS = 20;
const ANSWER_MS = 3_000;
/** Why a change may be turned away while something is broken. */
const REASONS = new Set([
  'RINGCACHE_TOPOLOGY_BUSY',
  'RINGCACHE_TOPOLOGY_CONFLICT',
  'RINGCACHE_NODE_UNAVAILABLE',
  // It has heard of another change since it was asked what the ring is.
  'RINGCACHE_INVALID_OPTION',
]);

export class Rings {
  readonly #parts: RingsParts;
  /** Acknowledged. */
  changes = 0;
  /** Why others were turned away. */
  readonly refusals: string[] = [];
  /** What did not heal until somebody finished a change, took it back, or recovered the topology. */
  readonly recoveries: string[] = [];

  constructor(parts: RingsParts) {
    this.#parts = parts;
  }

  pick<T>(from: readonly T[]): T {
    return from[Math.floor(this.#parts.random() * from.length)]!;
  }

  /** Resolves when the new ring serves; to undefined when the change was turned away, or its driver is gone. */
  async begin(wish: ChangeWish = {}): Promise<RunningChange | undefined> {
    const driver = wish.driver ?? this.pick(this.#parts.cast.playing);
    const isBegun = await this.#try(driver, async () => {
      const { members } = await driver.call('standing');
      await driver.call('change', this.#specOf(members, wish));
    });
    if (!isBegun) return undefined;
    this.changes++;
    const done = this.#try(driver, () => driver.call('finish'));
    return { driver, done: done.then(() => {}) };
  }

  /** A member gets another address. Resolves when that is complete, to whether it was done. */
  async move(id: string, url: string): Promise<boolean> {
    const change = await this.begin({ urls: { [id]: url } });
    if (change === undefined) return false;
    for (const seat of this.#parts.seats) if (seat.id === id) seat.url = url;
    await change.done;
    return true;
  }

  /** Adds nodes until there are so many members. */
  async growTo(count: number): Promise<void> {
    for (let tries = 0; tries < GROW_TRIES; tries++) {
      const { members } = await this.newest();
      const outside = this.#parts.seats.filter(({ id }) => members[id] === undefined);
      if (Object.keys(members).length >= count || outside.length === 0) return;
      await (await this.begin({ node: this.pick(outside).id }))?.done;
    }
  }

  /**
   * Waits until all processes serve by the same ring, and can use all its nodes.
   * Resolves to what is still wrong in the end.
   */
  async settle(): Promise<string | undefined> {
    const begun = performance.now();
    let recovers = false;
    for (;;) {
      this.#parts.cast.check();
      const wrong = disagreement(await this.#standings());
      const took = performance.now() - begun;
      if (wrong === undefined || took > SETTLE_MS) return wrong;
      if (took > HEAL_MS && !recovers) {
        recovers = true;
        this.recoveries.push(wrong);
        if (wrong.includes('joint')) await this.conclude();
        else await this.recover();
      }
      await sleep(LOOK_MS);
    }
  }

  /** Has processes finish or take back a change whose driver is gone, until the ring is stable for all. */
  async conclude(): Promise<void> {
    const end = performance.now() + SETTLE_MS;
    while (performance.now() < end) {
      const known = (await this.#standings()).filter((one) => one !== undefined);
      const epochs = new Set(known.map(({ epoch }) => epoch));
      if (epochs.size === 1 && known.every(({ state }) => state === 'stable')) return;
      const how = this.#parts.random() < 0.5 ? 'resume' : 'abort';
      // Whoever has not heard of it yet has nothing to do.
      await this.tryConclude(this.pick(this.#parts.cast.playing), how);
      await sleep(LOOK_MS);
    }
  }

  async recover(): Promise<void> {
    await this.#try(this.pick(this.#parts.cast.playing), (one) => one.call('recover'));
  }

  async tryConclude(one: Process, how: 'resume' | 'abort'): Promise<void> {
    await this.#try(one, () => one.call('conclude', how));
  }

  /** Of those that may be turned away. Resolves to whether it was done. */
  async #try(one: Process, work: (one: Process) => Promise<unknown>): Promise<boolean> {
    try {
      await work(one);
      return true;
    } catch (error) {
      const code: unknown = error instanceof Error ? Reflect.get(error, 'code') : undefined;
      if (typeof code === 'string' && REASONS.has(code)) this.refusals.push(String(error));
      else if (this.#parts.cast.playing.includes(one)) throw error;
      return false;
    }
  }

  /** As the process sees it that has seen most. */
  async newest(): Promise<Standing> {
    const known = (await this.#standings()).filter((one) => one !== undefined);
    return known.reduce((newest, one) => (one.epoch > newest.epoch ? one : newest));
  }

  /** Of those that answer; undefined for those that do not. */
  #standings(): Promise<(Standing | undefined)[]> {
    const asked = this.#parts.cast.playing.map((one) =>
      Promise.race([
        one.call('standing').catch(() => undefined),
        sleep(ANSWER_MS, undefined, { ref: false }),
      ]),
    );
    return Promise.all(asked);
  }

  #specOf(members: Readonly<Record<string, number>>, wish: ChangeWish): ChangeSpec {
    const { random, seats } = this.#parts;
    const { least, most } = KEYS_PER_SECOND;
    const ids = Object.keys(members);
    const outside = seats.filter(({ id }) => !ids.includes(id));
    const rest = {
      ...{ weights: {}, urls: {} },
      warm: wish.warm ?? random() >= COLD_SHARE,
      // Slow and fast ones alike.
      keysPerSecond: wish.keysPerSecond ?? Math.round(least * (most / least) ** random()),
    };
    if (wish.urls !== undefined) return { ...rest, add: [], remove: [], urls: wish.urls };
    const { node } = wish;
    if (node !== undefined) {
      const add = outside.filter(({ id }) => id === node);
      return {
        ...rest,
        add: add.map((seat) => this.#weighed(seat)),
        remove: add.length > 0 ? [] : [node],
      };
    }
    // Several at once now and then.
    const removable = ids.slice(0, ids.length - LEAST_MEMBERS);
    const remove = removable.filter(() => random() < 0.4);
    const add = outside.filter(() => random() < 0.5).map((seat) => this.#weighed(seat));
    if (remove.length + add.length > 0) return { ...rest, add, remove };
    return { ...rest, add, remove, weights: { [this.pick(ids)]: this.pick(WEIGHTS) } };
  }

  #weighed(seat: RingSeat): RingSeat & { weight: number } {
    return { ...seat, weight: this.pick(WEIGHTS) };
  }
}

function disagreement(standings: readonly (Standing | undefined)[]): string | undefined {
  const known = standings.filter((one) => one !== undefined);
  if (known.length < standings.length) return 'a process does not answer';
  const rings = new Set(
    known.map(({ epoch, state, fingerprint }) => `${epoch} ${state} ${fingerprint}`),
  );
  if (rings.size > 1) return `processes serve by different rings: ${[...rings].join(', ')}`;
  if (known.some(({ state }) => state !== 'stable'))
    return `the ring stays joint: ${[...rings].join()}`;
  const down = new Set(known.flatMap((one) => one.down));
  return down.size > 0 ? `nodes stay down: ${[...down].join(', ')}` : undefined;
}
