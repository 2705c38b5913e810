/**
 * One process of a run: takes locks, holds them in several manners, writes to
 * what they protect without asking first whether they are still held (as code
 * does that was stopped in between), and writes down what it could rely on.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { RingCacheError } from '../../../src/errors.ts';
import type { Lock } from '../../../src/lock/lock.ts';
import type { Locks } from '../../../src/lock/locks.ts';
import type { LockOptions } from '../../../src/lock/settings.ts';
import { type Diary, nowMs } from '../../support/prove/diary.ts';
import type { StallWatch } from '../../support/prove/stall-watch.ts';
import type { HistoryEvent } from '../history.ts';
import type { Registers } from './registers.ts';

export interface PlayerParts {
  readonly locks: Locks;
  readonly registers: Registers;
  readonly diary: Diary<HistoryEvent>;
  readonly stalls: StallWatch;
  readonly random: () => number;
  /** Before each operation's number. */
  readonly label: string;
  readonly names: readonly string[];
  readonly ttlMs: number;
  /** How long one request to a node may take: what `tryAcquire` takes at most. */
  readonly nodeTimeoutMs: number;
}

export interface Tally {
  acquired: number;
  /** How far an acquire went beyond its time, this process's own stalls taken off. */
  overMs: number;
  /** How late a loss was told, likewise. */
  lateMs: number;
}

/** What is to happen to the next one that holds, or has just asked for, a lock. */
export interface Ambush {
  readonly where: 'holding' | 'overstaying' | 'shortening' | 'asking' | 'waiting';
  /** For how long a holder stays where it is after `spring`. */
  readonly stayMs: number;
  spring(): void;
}

interface Manner {
  /** Of all shares. */
  readonly share: number;
  readonly options?: (player: Player) => LockOptions;
  /** By `tryAcquire`. */
  readonly tries?: boolean;
  hold(player: Player, held: Held): Promise<void>;
}

interface Held {
  readonly lock: Lock;
  readonly op: string;
  until: number;
  isOver: boolean;
}

const WAIT_MS = 1_000;
const SHORT_TTL_MS = 60;
const SHORT_WAIT_MS = 150;
/** How often a holder looks at what is left. */
const LOOK_MS = 10;
const WAITING_MS = 3;
const BREATH_MS = 5;

const shortly = (player: Player, held: Held): Promise<void> =>
  player.stay(held, Math.floor(player.random() * 4));

/** Goes on after the end. */
const OVERSTAY: Manner = {
  share: 0.05,
  options: () => ({ renew: false }),
  hold: (player, held) => player.stay(held, player.ttlMs * 1.6),
};

/** Wants less time than it has, and stays for longer. */
const SHORTEN: Manner = {
  share: 0.05,
  async hold(player, held) {
    await player.extend(held, SHORT_TTL_MS);
    await player.stay(held, player.ttlMs);
  },
};

const MANNERS: readonly Manner[] = [
  { share: 84, hold: shortly },
  // Gives up early.
  {
    share: 10,
    options: ({ random }) => ({ waitTimeout: Math.floor(random() * SHORT_WAIT_MS) }),
    hold: shortly,
  },
  { share: 4, tries: true, hold: shortly },
  // Changes its mind about the time: longer, and shorter.
  {
    share: 1.9,
    async hold(player, held) {
      await player.extend(held, Math.floor(player.ttlMs * (0.2 + 0.8 * player.random())));
      await player.stay(held, player.random() < 0.2 ? player.ttlMs / 2 : 0);
    },
  },
  // Long enough to be renewed several times.
  { share: 0.05, hold: (player, held) => player.stay(held, player.ttlMs * 1.4) },
  OVERSTAY,
  SHORTEN,
];
/** Those that an ambush is laid for, and that are rare by themselves. */
const WANTED: Readonly<Partial<Record<Ambush['where'], Manner>>> = {
  overstaying: OVERSTAY,
  shortening: SHORTEN,
};
const SHARES = MANNERS.reduce((sum, { share }) => sum + share, 0);

export class Player {
  readonly tally: Tally = { acquired: 0, overMs: 0, lateMs: 0 };
  readonly random: () => number;
  readonly ttlMs: number;
  readonly #parts: PlayerParts;
  #ops = 0;
  #ambush: Ambush | undefined;
  #ended = false;

  constructor(parts: PlayerParts) {
    this.#parts = parts;
    this.random = parts.random;
    this.ttlMs = parts.ttlMs;
  }

  /** Plays until `end`. */
  async play(): Promise<void> {
    while (!this.#ended) await this.#turn();
  }

  end(): void {
    this.#ended = true;
  }

  lay(ambush: Ambush): void {
    this.#ambush = ambush;
  }

  /** Looks at what is left of the lock now and then, for `ms`. */
  async stay(held: Held, ms: number): Promise<void> {
    const end = nowMs() + ms;
    for (let left = ms; left > 0 && !this.#ended; left = end - nowMs()) {
      await sleep(Math.min(left, LOOK_MS));
      if (ms > LOOK_MS) this.#look(held);
    }
  }

  async extend(held: Held, ttlMs: number): Promise<void> {
    try {
      const extending = held.lock.extend(ttlMs);
      // A shorter time counts before it is asked for.
      this.#look(held);
      await extending;
    } catch (error) {
      if (!(error instanceof RingCacheError)) throw error;
    }
    this.#look(held);
  }

  async #turn(): Promise<void> {
    const { names, nodeTimeoutMs } = this.#parts;
    const manner = this.#manner();
    const name = names[Math.floor(this.random() * names.length)]!;
    const op = `${this.#parts.label}-${++this.#ops}`;
    const { waitTimeout = WAIT_MS, ...rest } = manner.options?.(this) ?? {};
    const waitMs = manner.tries === true ? 0 : Number(waitTimeout);
    const calledAt = nowMs();
    const lock = await this.#take({ name, op, calledAt }, { ...rest, waitTimeout: waitMs });
    const at = nowMs();
    const until = at + (lock?.remaining() ?? 0);
    // One try has the time that a node has to answer.
    const overAt = calledAt + (waitMs === 0 ? nodeTimeoutMs : waitMs);
    this.tally.overMs = Math.max(this.tally.overMs, this.#lateness(overAt));
    if (lock === null) return;
    const { fence } = lock;
    const held: Held = { lock, op, until, isOver: false };
    this.#parts.diary.write({ kind: 'granted', op, name, calledAt, at, until, fence });
    await this.#under(held, manner);
  }

  /** Null: it was not to be had, which is written down. */
  async #take(
    { name, op, calledAt }: { name: string; op: string; calledAt: number },
    options: LockOptions,
  ): Promise<Lock | null> {
    const { locks, diary } = this.#parts;
    let why = 'busy';
    try {
      const acquiring =
        options.waitTimeout === 0 ? locks.tryAcquire(name) : locks.acquire(name, options);
      this.#springOnAsker(acquiring);
      const lock = await acquiring;
      if (lock !== null) return lock;
    } catch (error) {
      if (!(error instanceof RingCacheError)) throw error;
      why = error.code;
    }
    diary.write({ kind: 'refused', op, name, calledAt, at: nowMs(), why });
    await sleep(BREATH_MS);
    return null;
  }

  async #under(held: Held, manner: Manner): Promise<void> {
    const { diary, registers } = this.#parts;
    const { lock, op } = held;
    lock.signal.addEventListener('abort', () => this.#lost(held));
    this.tally.acquired += 1;
    const { where, stayMs = 0 } = this.#ambush ?? {};
    if (where === 'holding' || (where !== undefined && WANTED[where] === manner)) {
      this.#spring(where);
      await this.stay(held, stayMs);
    }
    await manner.hold(this, held);
    // Without a look at the lock: a process may be stopped after any look.
    const { place, accepted } = await registers.write(lock.name, { value: op, fence: lock.fence });
    diary.write({ kind: 'wrote', op, at: nowMs(), place, accepted });
    if (!held.isOver) diary.write({ kind: 'ended', op, at: nowMs(), how: 'released' });
    await lock.release();
  }

  #look(held: Held): void {
    if (held.isOver) return;
    const { op, lock } = held;
    const at = nowMs();
    const until = at + lock.remaining();
    // It is over, as was known; or nothing has changed: what is left is in whole milliseconds.
    if (until <= at && held.until <= at) return;
    if (Math.abs(until - held.until) <= 2) return;
    held.until = until;
    this.#parts.diary.write({ kind: 'kept', op, at, until });
  }

  #lost(held: Held): void {
    const { op, until } = held;
    held.isOver = true;
    this.#parts.diary.write({ kind: 'ended', op, at: nowMs(), how: 'lost' });
    this.tally.lateMs = Math.max(this.tally.lateMs, this.#lateness(until));
  }

  /** How long after `at` it is, stalls of this process taken off. */
  #lateness(at: number): number {
    return Math.max(0, nowMs() - at - this.#parts.stalls.since(at));
  }

  #springOnAsker(acquiring: Promise<unknown>): void {
    switch (this.#ambush?.where) {
      case 'asking':
        // The locks send at the end of this turn of the event loop; this comes right after.
        setImmediate(() => this.#spring('asking'));
        return;
      case 'waiting': {
        const timer = setTimeout(() => this.#spring('waiting'), WAITING_MS);
        const settled = (): void => clearTimeout(timer);
        acquiring.then(settled, settled);
        return;
      }
      case 'holding':
      case 'overstaying':
      case 'shortening':
      case undefined:
    }
  }

  #spring(where: Ambush['where']): void {
    if (this.#ambush?.where !== where) return;
    const { spring } = this.#ambush;
    this.#ambush = undefined;
    spring();
  }

  #manner(): Manner {
    const wanted = this.#ambush && WANTED[this.#ambush.where];
    if (wanted !== undefined) return wanted;
    let left = this.random() * SHARES;
    for (const manner of MANNERS) {
      left -= manner.share;
      if (left < 0) return manner;
    }
    return MANNERS[0]!;
  }
}
