/**
 * Locks on the ring: each name has one home, the node that owns it; while the
 * ring changes, and until whatever was granted before has run out, every home
 * it had since, the oldest first.
 *
 * The order is what excludes: whoever knows the new ring asks the old home
 * first, where those are who do not know it; they are turned away by the epoch
 * there, and follow. A holder has the new home take its token with its next
 * renewal, which cannot meet another's: that one would have the old home.
 * A home that does not answer is not replaced by another node: fail closed.
 */

import type { Clock } from '../clock.ts';
import { NodeUnavailableError } from '../errors.ts';
import type { AcquireAnswer, LockInspection, ProlongAnswer, Wake } from '../node/lock-node.ts';
import type { CacheNode } from '../node/node.ts';
import type { Gates } from '../topology/gates.ts';
import type { Snapshot } from '../topology/snapshot.ts';
import type { Topology } from '../topology/topology.ts';
import type { Attempt, AttemptAsk, Grip, LockHomes, Refusal } from './homes.ts';
import { type LockStep, type StepAnswer, settled, unavailable } from './steps.ts';
import { momentOf } from './validity.ts';

export interface HomesParts {
  readonly clock: Clock;
  readonly topology: Topology;
  readonly gates: Gates;
  /** Names this process to those who have something to tell it. */
  readonly waiter: string;
  readonly wake: (node: CacheNode) => Wake;
}

export class RingHomes implements LockHomes {
  readonly #parts: HomesParts;

  constructor(parts: HomesParts) {
    this.#parts = parts;
  }

  async attempt(ask: AttemptAsk): Promise<Attempt> {
    const grip = new RingGrip(this.#parts, ask);
    const since = momentOf(this.#parts.clock);
    const taken = await grip.take(ask);
    if (taken.kind === 'granted') return { kind: 'granted', grip, number: taken.number, since };
    return { ...taken, spent: grip.letGo() };
  }

  abandon(name: string, ask: { readonly token: string; readonly ttlMs: number }): void {
    const { topology, waiter } = this.#parts;
    const { snapshot } = topology;
    for (const home of snapshot.lockHomes(snapshot.ring.hash(name))) {
      giveBack(home, name, { ...ask, waiter });
    }
  }

  async listen(name: string): Promise<boolean> {
    const { topology, waiter, wake } = this.#parts;
    const { snapshot } = topology;
    const [home] = snapshot.lockHomes(snapshot.ring.hash(name));
    if (home === undefined || home.locks.listening) return false;
    return home.locks.listen(waiter, wake(home));
  }

  nodeOf(name: string): string {
    const { snapshot } = this.#parts.topology;
    return snapshot.lockHomes(snapshot.ring.hash(name))[0]!.id;
  }

  async look(name: string): Promise<LockInspection & { readonly node: string }> {
    const { snapshot } = this.#parts.topology;
    // Wherever it is held, it is held at the oldest home.
    const home = snapshot.lockHomes(snapshot.ring.hash(name))[0]!;
    return { ...(await home.locks.look(name)), node: home.id };
  }
}

type Taken = { readonly kind: 'granted'; readonly number: number } | Refusal;

class RingGrip implements Grip {
  readonly #parts: HomesParts;
  readonly #ask: AttemptAsk;
  /** Where it is held, the oldest home first. */
  #held: CacheNode[] = [];
  /** Where it was asked for, and no answer came: it may be held there. */
  #unanswered: readonly CacheNode[] = NOWHERE;
  /** Where it has a place in the queue. */
  #queuedAt: CacheNode | undefined;
  #number = 0;
  /** Its number was given out. */
  #granted = false;
  #over = false;

  constructor(parts: HomesParts, ask: AttemptAsk) {
    this.#parts = parts;
    this.#ask = ask;
  }

  /** Takes the lock at every home. What was taken when it does not succeed is held still: see `letGo`. */
  async take({ ttlMs }: { ttlMs: number }): Promise<Taken> {
    const { topology } = this.#parts;
    for (let round = 0; ; round++) {
      const { snapshot } = topology;
      const homes = snapshot.lockHomes(snapshot.ring.hash(this.#ask.name));
      let outcome: LockStep = { kind: 'done' };
      for (const home of homes) {
        outcome = await this.#takeAt(home, snapshot, ttlMs);
        if (outcome.kind !== 'done') break;
      }
      if (outcome.kind === 'again' && round < MAX_ROUNDS && !this.#isOver()) continue;
      if (outcome.kind === 'again') return { ...SETTLING, node: homes[0]!.id };
      if (outcome.kind !== 'done') return outcome;
      this.#keepOnly(homes);
      this.#granted = true;
      return { kind: 'granted', number: this.#number };
    }
  }

  async prolong(ttlMs: number): Promise<'prolonged' | 'lost'> {
    const taken = await this.take({ ttlMs });
    switch (taken.kind) {
      case 'granted':
        return 'prolonged';
      case 'busy':
        return 'lost';
      case 'unavailable':
        throw taken.cause ?? new NodeUnavailableError(taken.node, 'fenced', taken.why);
      case 'conflict':
      case 'no-quorum':
        return 'lost';
    }
  }

  async release(keepMs: number): Promise<boolean> {
    this.#over = true;
    // The new home first: who is told of the old one goes on to it.
    const held = this.#held.reverse();
    this.#held = [];
    const answers = held.map((home) => this.#releaseAt(home, keepMs));
    this.#forgoUnanswered();
    let confirmed = answers.length > 0;
    for (const answer of answers) confirmed = (await answer) && confirmed;
    return confirmed;
  }

  #releaseAt(home: CacheNode, keepMs: number): Promise<boolean> {
    const { name, token, ttlMs } = this.#ask;
    return home.locks.release(name, { token, waiter: '', keepMs }).catch(() => {
      home.locks.releaseLater(name, token, ttlMs);
      return false;
    });
  }

  /** Gives back what was taken; returns whether there was anything. */
  letGo(): boolean {
    if (this.#held.length === 0) return false;
    this.#keepOnly([]);
    this.#forgoUnanswered();
    // The token is not used again, so its place in a queue is of no use.
    const { name, token, ttlMs } = this.#ask;
    const { waiter } = this.#parts;
    if (this.#queuedAt !== undefined) giveBack(this.#queuedAt, name, { token, ttlMs, waiter });
    return true;
  }

  /** A renewal under a new ring may take it there after all, and then nobody could have it until the ttl is over. */
  #forgoUnanswered(): void {
    const { name, token, ttlMs } = this.#ask;
    for (const home of this.#unanswered) giveBack(home, name, { token, ttlMs, waiter: '' });
  }

  /** At one home: lengthened where it is held, taken where it is not. */
  async #takeAt(home: CacheNode, snapshot: Snapshot, ttlMs: number): Promise<LockStep> {
    const { topology, gates, waiter } = this.#parts;
    const connecting = topology.connecting(home);
    if (connecting !== undefined) await connecting;
    if (this.#isOver()) return GONE;
    const { name, token, queue, placed } = this.#ask;
    const { fence } = snapshot;
    const place = { node: home, snapshot, topology, gates };
    try {
      // Another ring was met on the way: what was taken before is asked for anew, for a number above its floor.
      if (this.#granted && this.#held.includes(home)) {
        const answer = await home.locks.prolong(name, { token, ttlMs, fence });
        return await settled(lengthened(answer), place);
      }
      const queues = placed || (queue && home.locks.listening);
      const floor = Math.max(this.#number, snapshot.lockFloor);
      const ask = {
        token,
        ttlMs,
        fence,
        profile: gates.profile,
        waiter: queues ? waiter : '',
        floor,
      };
      const answered = this.#unanswered;
      this.#unanswered = [...answered, home];
      const answer = await home.locks.acquire(name, ask);
      this.#unanswered = answered;
      if (answer.kind === 'busy' && queues) this.#queuedAt = home;
      const step = settled(this.#noted(home, answer), place);
      return step instanceof Promise ? await step : step;
    } catch (error) {
      return unavailable(home, error);
    }
  }

  #noted(home: CacheNode, answer: AcquireAnswer): StepAnswer {
    if (answer.kind !== 'granted') return answer;
    if (!this.#held.includes(home)) this.#held.push(home);
    this.#number = Math.max(this.#number, answer.number);
    return DONE;
  }

  #isOver(): boolean {
    return this.#over || this.#ask.over();
  }

  #keepOnly(homes: readonly CacheNode[]): void {
    if (this.#held.every((home) => homes.includes(home))) return;
    const { name, token, ttlMs } = this.#ask;
    for (const home of this.#held) {
      if (!homes.includes(home)) giveBack(home, name, { token, ttlMs, waiter: '' });
    }
    this.#held = this.#held.filter((home) => homes.includes(home));
  }
}

function lengthened(answer: ProlongAnswer): StepAnswer {
  if (answer.kind === 'lost') return GONE;
  return answer.kind === 'prolonged' ? DONE : answer;
}

/** How often a step takes up another ring before it gives up. */
const MAX_ROUNDS = 4;
const GONE = { kind: 'busy', remainingMs: 0 } as const;
const DONE = { kind: 'done' } as const;
const NOWHERE: readonly CacheNode[] = [];
const SETTLING = { kind: 'unavailable', why: 'the ring keeps changing' } as const;

/** In the background, until the ttl has done it. */
export function giveBack(
  home: CacheNode,
  name: string,
  ask: { readonly token: string; readonly ttlMs: number; readonly waiter: string },
): void {
  const { token, waiter, ttlMs } = ask;
  home.locks.release(name, { token, waiter, keepMs: 0 }).catch(() => {
    home.locks.releaseLater(name, token, ttlMs);
  });
}
