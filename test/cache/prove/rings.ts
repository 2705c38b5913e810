/** The changes of the ring in a run: which, by whom, and whether all agree afterwards. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { App } from '../../support/app.ts';
import type { Cast } from '../../support/prove/cast.ts';
import type { Account, ChangeSpec, Standing, Worker } from './worker.ts';

export type Process = App<Worker>;

export interface RingSeat {
  readonly id: string;
  readonly url: string;
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
  readonly epoch: number;
  /** Resolves when it is complete, or its driver gone. Never rejects. */
  readonly done: Promise<void>;
}

export interface ChangeWish {
  readonly driver?: Process;
  readonly warm?: boolean;
  readonly keysPerSecond?: number;
  /** A member to be removed, or another node to be added. */
  readonly node?: string;
}

const LEAST_MEMBERS = 2;
const WEIGHTS = [1, 1, 0.5, 2] as const;
const COLD_SHARE = 0.15;
/** The copying takes from a tenth of a second to some seconds. */
const KEYS_PER_SECOND = { least: 40, most: 2_000 } as const;
/** Reconnecting, breakers, admissions: long after all that was broken is whole again. */
const SETTLE_MS = 20_000;
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

  constructor(parts: RingsParts) {
    this.#parts = parts;
  }

  pick<T>(from: readonly T[]): T {
    return from[Math.floor(this.#parts.random() * from.length)]!;
  }

  /** Resolves when the new ring serves; to undefined when the change was turned away, or its driver is gone. */
  async begin(wish: ChangeWish = {}): Promise<RunningChange | undefined> {
    const driver = wish.driver ?? this.pick(this.#parts.cast.playing);
    try {
      const { members } = await driver.call('standing');
      const epoch = await driver.call('change', this.#specOf(members, wish));
      this.changes++;
      const done = driver.call('finish').then(
        () => {},
        () => {},
      );
      return { driver, epoch, done };
    } catch (error) {
      const code: unknown = error instanceof Error ? Reflect.get(error, 'code') : undefined;
      if (typeof code === 'string' && REASONS.has(code)) {
        this.refusals.push(String(error));
        return undefined;
      }
      if (!this.#parts.cast.playing.includes(driver)) return undefined;
      throw error;
    }
  }

  /** Waits until all processes serve by the same ring, and can use all its nodes. Resolves to what is still wrong in the end. */
  async settle(): Promise<string | undefined> {
    const end = performance.now() + SETTLE_MS;
    for (;;) {
      this.#parts.cast.check();
      const standings = await this.#standings();
      const wrong = disagreement(standings);
      if (wrong === undefined || performance.now() > end) return wrong;
      await sleep(LOOK_MS);
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
    const warm = wish.warm ?? random() >= COLD_SHARE;
    // Slow and fast ones alike.
    const keysPerSecond = wish.keysPerSecond ?? Math.round(least * (most / least) ** random());
    const ids = Object.keys(members);
    const outside = seats.filter(({ id }) => !ids.includes(id));
    const wanted = outside.find(({ id }) => id === wish.node) ?? this.pick(outside);
    const mayRemove = ids.length > LEAST_MEMBERS;
    const removes = wish.node === undefined ? mayRemove && random() < 0.5 : ids.includes(wish.node);
    if (wanted === undefined || removes) {
      return { remove: wish.node ?? this.pick(ids), warm, keysPerSecond };
    }
    return { add: { ...wanted, weight: this.pick(WEIGHTS) }, warm, keysPerSecond };
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
