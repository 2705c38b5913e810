/** Locks whose nodes a test answers by hand: for what depends on time alone. */
import { Emitter } from '../../src/emitter.ts';
import { type LockLostError, NodeUnavailableError } from '../../src/errors.ts';
import type { Attempt, AttemptAsk, Grip, LockHomes } from '../../src/lock/homes.ts';
import { HeldLock } from '../../src/lock/lock.ts';
import { type LockEvents, LockService } from '../../src/lock/locks.ts';
import { type LockOptions, lockSettings, PLAIN_SETTINGS } from '../../src/lock/settings.ts';
import { momentOf } from '../../src/lock/validity.ts';
import { Wakes } from '../../src/lock/wait.ts';
import type { FakeClock } from '../support/fake-clock.ts';

export type ProlongOutcome = 'prolonged' | 'lost' | 'fails' | 'hangs';

export function away(): NodeUnavailableError {
  return new NodeUnavailableError('node-1', 'timeout', 'no answer within 100 ms');
}

export class GripByHand implements Grip {
  /** How the next requests are answered. */
  outcome: ProlongOutcome = 'prolonged';
  /** The ttl of each request. */
  readonly prolonged: number[] = [];
  /** `keepMs` of each. */
  readonly released: number[] = [];
  /** What `release` resolves to. */
  confirms = true;
  readonly #hanging: PromiseWithResolvers<'prolonged' | 'lost'>[] = [];

  prolong(ttlMs: number): Promise<'prolonged' | 'lost'> {
    this.prolonged.push(ttlMs);
    if (this.outcome === 'fails') return Promise.reject(away());
    if (this.outcome !== 'hangs') return Promise.resolve(this.outcome);
    const answer = Promise.withResolvers<'prolonged' | 'lost'>();
    this.#hanging.push(answer);
    return answer.promise;
  }

  /** Answers what hangs, the oldest first. */
  answer(outcome: Exclude<ProlongOutcome, 'hangs'>): void {
    const answer = this.#hanging.shift();
    if (outcome === 'fails') answer?.reject(away());
    else answer?.resolve(outcome);
  }

  release(keepMs: number): Promise<boolean> {
    this.released.push(keepMs);
    return Promise.resolve(this.confirms);
  }
}

/** A lock that was just granted, and what it tells its host. */
export function heldByHand(clock: FakeClock, options: LockOptions = {}) {
  const grip = new GripByHand();
  const told = {
    renewed: 0,
    released: [] as { heldMs: number; confirmed: boolean }[],
    lost: [] as { error: LockLostError; heldMs: number }[],
  };
  const lock = new HeldLock(
    { name: 'l', token: 't', number: 7, grip, since: momentOf(clock) },
    lockSettings(PLAIN_SETTINGS, options),
    {
      clock,
      renewed: () => {
        told.renewed += 1;
      },
      released: (_, heldMs, confirmed) => told.released.push({ heldMs, confirmed }),
      lost: (_, error, heldMs) => told.lost.push({ error, heldMs }),
    },
  );
  return { lock, grip, told };
}

export type AttemptOutcome = Exclude<Attempt, { kind: 'granted' }> | 'granted' | 'hangs';

export class HomesByHand implements LockHomes {
  /** How tries are answered, by name; otherwise they are granted. */
  readonly outcomes = new Map<string, AttemptOutcome>();
  readonly asked: AttemptAsk[] = [];
  readonly abandoned: string[] = [];
  readonly grips = new Map<string, GripByHand>();
  readonly #clock: FakeClock;
  readonly #hanging: { ask: AttemptAsk; resolve(attempt: Attempt): void }[] = [];

  constructor(clock: FakeClock) {
    this.#clock = clock;
  }

  attempt(ask: AttemptAsk): Promise<Attempt> {
    this.asked.push(ask);
    const outcome = this.outcomes.get(ask.name) ?? 'granted';
    if (outcome === 'granted') return Promise.resolve(this.#grant(ask.name));
    if (outcome !== 'hangs') return Promise.resolve(outcome);
    return new Promise((resolve) => {
      this.#hanging.push({ ask, resolve });
    });
  }

  /** Answers the try that hangs, the oldest first. */
  answer(outcome: Exclude<AttemptOutcome, 'hangs'>): void {
    const hanging = this.#hanging.shift();
    if (hanging === undefined) throw new Error('no try hangs');
    hanging.resolve(outcome === 'granted' ? this.#grant(hanging.ask.name) : outcome);
  }

  abandon(name: string): void {
    this.abandoned.push(name);
  }

  listen(): Promise<boolean> {
    return Promise.resolve(false);
  }

  nodeOf(): string {
    return 'node-1';
  }

  look(): never {
    throw away();
  }

  #grant(name: string): Attempt {
    const grip = new GripByHand();
    this.grips.set(name, grip);
    return { kind: 'granted', grip, number: this.asked.length, since: momentOf(this.#clock) };
  }
}

export function locksByHand(clock: FakeClock) {
  const homes = new HomesByHand(clock);
  const wakes = new Wakes();
  wakes.listen();
  const locks = new LockService({
    clock,
    homes,
    wakes,
    settings: PLAIN_SETTINGS,
    events: new Emitter<LockEvents>(),
    nodeTimeoutMs: 100,
  });
  return { homes, wakes, locks };
}
