/**
 * What a simulated server does for locks: the scripts of lock-scripts.ts in
 * plain words, each in one step. Nobody is told anything: who waits asks again.
 */
import type { Clock } from '../../src/clock.ts';
import type {
  AcquireAnswer,
  AcquireAsk,
  GateAnswer,
  KnockAsk,
  LockInspection,
  LockNode,
  ProlongAnswer,
} from '../../src/node/lock-node.ts';
import type { Fenced } from '../../src/node/node.ts';

/** The rest of the server, as far as locks need it. */
interface Around {
  readonly clock: Clock;
  readonly run: number;
  /** What a request with this fence is answered instead; raises the server's. */
  fencedBy(fence: string): Fenced | undefined;
}

interface Gate {
  readonly run: number;
  readonly profile: string;
  /** When it opens, for one in quarantine. */
  readonly state: 'new' | 'open' | number;
}

export class SimulatedLocks {
  readonly #around: Around;
  readonly #locks = new Map<string, { readonly token: string; readonly until: number }>();
  readonly #numbers = new Map<string, number>();
  #gate: Gate | undefined;

  constructor(around: Around) {
    this.#around = around;
  }

  /** Forgets everything. */
  wipe(): void {
    this.#locks.clear();
    this.#numbers.clear();
    this.#gate = undefined;
  }

  /** Whose the lock is now. */
  holder(name: string): string | undefined {
    const lock = this.#locks.get(name);
    return lock !== undefined && lock.until > this.#around.clock.now() ? lock.token : undefined;
  }

  acquire(name: string, ask: AcquireAsk): AcquireAnswer {
    const fenced = this.#around.fencedBy(ask.fence);
    if (fenced !== undefined) return fenced;
    const { clock, run } = this.#around;
    const gate = this.#gate;
    if (gate?.state !== 'open' || gate.run !== run || gate.profile !== ask.profile) {
      return { kind: 'shut' };
    }
    const holder = this.holder(name);
    if (holder !== undefined && holder !== ask.token) {
      const until = this.#locks.get(name)?.until ?? 0;
      return { kind: 'busy', remainingMs: Math.max(1, until - clock.now()) };
    }
    this.#locks.set(name, { token: ask.token, until: clock.now() + ask.ttlMs });
    const number = Math.max((this.#numbers.get(name) ?? 0) + 1, ask.floor + 1);
    this.#numbers.set(name, number);
    return { kind: 'granted', number };
  }

  prolong(...[name, ask]: Parameters<LockNode['prolong']>): ProlongAnswer {
    const fenced = this.#around.fencedBy(ask.fence);
    if (fenced !== undefined) return fenced;
    if (this.holder(name) !== ask.token) return { kind: 'lost' };
    this.#locks.set(name, { token: ask.token, until: this.#around.clock.now() + ask.ttlMs });
    return { kind: 'prolonged' };
  }

  release(name: string, token: string, keepMs: number): boolean {
    if (this.holder(name) !== token) return false;
    if (keepMs > 0) this.#locks.set(name, { token, until: this.#around.clock.now() + keepMs });
    else this.#locks.delete(name);
    return true;
  }

  raise(name: string, { token, number }: { token: string; number: number }): boolean {
    if (this.holder(name) !== token) return false;
    this.#numbers.set(name, Math.max(number, this.#numbers.get(name) ?? 0));
    return true;
  }

  look(name: string): LockInspection {
    const held = this.holder(name) !== undefined;
    const until = this.#locks.get(name)?.until ?? 0;
    const remainingMs = held ? until - this.#around.clock.now() : 0;
    return { held, remainingMs, number: this.#numbers.get(name) ?? 0, waiters: 0 };
  }

  knock({ profile, longestMs, claim }: KnockAsk): GateAnswer {
    const { clock, run } = this.#around;
    const gate = this.#gate;
    const put = (state: Gate['state']): void => {
      this.#gate = { run, profile, state };
    };
    const quarantine = (): GateAnswer => {
      put(clock.now() + longestMs);
      return { kind: 'quarantined', remainingMs: longestMs };
    };
    if (gate === undefined) {
      if (claim === 'ask') return { kind: 'missing' };
      if (claim !== 'new' && claim !== 'joined') return quarantine();
      put(claim === 'new' ? 'new' : 'open');
      return { kind: claim === 'new' ? 'new' : 'open' };
    }
    if (gate.run !== run) return quarantine();
    if (gate.profile !== profile) return { kind: 'conflict', profile: gate.profile };
    if (gate.state === 'new') {
      if (claim === 'wiped') return quarantine();
      if (claim !== 'open') return { kind: 'new' };
    } else if (gate.state !== 'open' && clock.now() < gate.state) {
      return { kind: 'quarantined', remainingMs: gate.state - clock.now() };
    }
    put('open');
    return { kind: 'open' };
  }
}

/** One process's view of it. @param ask Sends a request, which acts when it arrives. */
export function simulatedLockNode(
  locks: SimulatedLocks,
  ask: <T>(what: string, act: () => T) => Promise<T>,
): LockNode {
  return {
    acquire: (name, wanted) => ask(`acquire ${name}`, () => locks.acquire(name, wanted)),
    prolong: (name, wanted) => ask(`prolong ${name}`, () => locks.prolong(name, wanted)),
    release: (name, { token, keepMs }) =>
      ask(`release ${name}`, () => locks.release(name, token, keepMs)),
    // It ends by its ttl.
    releaseLater: () => undefined,
    raise: (name, wanted) => ask(`raise ${name}`, () => locks.raise(name, wanted)),
    look: (name) => ask(`look ${name}`, () => locks.look(name)),
    knock: (wanted) => ask('knock', () => locks.knock(wanted)),
    forgetful: false,
    listening: false,
    listen: () => Promise.resolve(false),
    evictionPolicy: () => Promise.resolve(undefined),
  };
}
