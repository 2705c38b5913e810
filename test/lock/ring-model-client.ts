/** A process that takes the lock, keeps it for a while, and gives it back, over and over. */
import { Hold } from './ring-model-history.ts';
import { RingKnowledge } from './ring-model-knowledge.ts';
import type { Peer, Unanswered } from './ring-model-network.ts';
import type { LockAnswer, ModelNode, NodeName } from './ring-model-nodes.ts';
import { END_AT_MS, TTL_MS, VALIDITY_MS } from './ring-model-setup.ts';
import type { Steps } from './ring-model-time.ts';
import type { World } from './ring-model-world.ts';

const LOCK_TIMEOUT_MS = 40;
const RELEASE_TIMEOUT_MS = 5;
const RENEW_EVERY_MS = TTL_MS / 3;

export class LockClient {
  readonly name: Peer;
  readonly ring: RingKnowledge;
  readonly #world: World;
  #attempts = 0;

  constructor(name: Peer, world: World) {
    this.name = name;
    this.ring = new RingKnowledge(name, world);
    this.#world = world;
  }

  *run(): Steps<void> {
    const { chance, time } = this.#world;
    yield chance.around(20);
    while (time.nowMs < END_AT_MS) {
      const hold = yield* this.#acquire();
      if (hold === undefined) {
        yield 3 + chance.around(10);
      } else {
        yield* this.#keep(hold);
        yield* this.#release(hold);
        yield chance.around(15);
      }
    }
  }

  *#acquire(): Steps<Hold | undefined> {
    const { time } = this.#world;
    if (!this.ring.isLeased()) return undefined;
    this.#attempts += 1;
    const token = `${this.name}, lock ${this.#attempts}`;
    const { view } = this.ring;
    const homes = this.ring.homes();
    const sentAtMs = time.nowMs;
    for (const home of homes) {
      const answer = yield* this.#ask(home, (node) => node.acquire(token, view));
      if (answer.kind === 'granted') continue;
      if (answer.kind === 'stale-view') this.ring.adopt(answer.newer);
      this.#abandon(token, homes);
      return undefined;
    }
    const validUntilMs = this.#validUntilMs(sentAtMs);
    const hold = new Hold(this.name, token, { fromMs: time.nowMs, homes, validUntilMs });
    if (!hold.isHeld(time.nowMs)) {
      this.#abandon(token, homes); // the answers came when it had ended
      return undefined;
    }
    this.#world.history.holds.push(hold);
    this.#world.tell?.(`${token}: HELD ${describe(hold)}`);
    return hold;
  }

  /** Renews until the work is done, or the lock is lost. */
  *#keep(hold: Hold): Steps<void> {
    const { chance, time, scenario } = this.#world;
    const doneAtMs = time.nowMs + chance.around(chance.happens(0.3) ? 300 : 40);
    const isOver = () => time.nowMs >= doneAtMs || !hold.isHeld(time.nowMs);
    while (!isOver()) {
      const leftMs = Math.min(doneAtMs, hold.untilMs) - time.nowMs;
      yield Math.max(0.1, Math.min(RENEW_EVERY_MS * this.ring.clockRate, leftMs));
      if (isOver()) break;
      if (chance.happens(scenario.pausedShare)) yield* this.#standStill(chance.around(150));
      if (!hold.isHeld(time.nowMs)) break;
      // Without a lease no lock is lengthened either: a driver that cannot seal the old
      // home waits for the lease and the longest ttl, and then counts on its locks' end.
      if (!this.ring.isLeased() && !this.#world.has('no-view-lease-for-renewals')) continue;
      let isNewerView = true;
      while (isNewerView && hold.isHeld(time.nowMs)) isNewerView = yield* this.#renew(hold);
    }
    hold.end(time.nowMs);
    this.#world.tell?.(`${hold.token}: over`);
  }

  /**
   * Lengthens the lock on each home, and takes it on those that are new in the view.
   *
   * @returns Whether a node knew a newer view, by which to try again at once.
   */
  *#renew(hold: Hold): Steps<boolean> {
    const { time, history } = this.#world;
    const { view } = this.ring;
    const sentAtMs = time.nowMs;
    const isNew = (home: NodeName) => !hold.homes.includes(home);
    let homes = this.ring.homes();
    if (this.#world.has('holder-stays-on-old-home')) homes = hold.homes;
    if (this.#world.has('old-home-released-first') && homes.some(isNew)) {
      yield* this.#release(hold);
      homes = homes.filter(isNew);
    }
    for (const home of homes) {
      const answer = yield* this.#ask(home, (node) =>
        isNew(home) ? node.acquire(hold.token, view) : node.renew(hold.token, view),
      );
      if (answer.kind === 'granted') continue;
      if (answer.kind === 'not-yours') hold.end(time.nowMs);
      if (answer.kind === 'busy' && hold.isHeld(time.nowMs)) {
        history.crowdedOut += 1;
        this.#world.tell?.(`${hold.token}: CROWDED OUT by a lock on ${home}`);
      }
      if (answer.kind !== 'stale-view') return false;
      this.ring.adopt(answer.newer);
      return true;
    }
    // All have granted it, but perhaps too late: what has ended stays ended.
    if (!hold.isHeld(time.nowMs)) return false;
    hold.homes = homes;
    hold.validUntilMs = this.#validUntilMs(sentAtMs);
    this.#world.tell?.(`${hold.token}: renewed ${describe(hold)}`);
    return false;
  }

  *#release(hold: Hold): Steps<void> {
    // On the present homes too: a renewal that failed half-way may have taken them.
    for (const to of new Set([...hold.homes, ...this.ring.homes()])) {
      const act = (node: ModelNode) => {
        node.release(hold.token);
        return { kind: 'released' } as const;
      };
      yield* this.#world.network.ask({ from: this.name, to, timeoutMs: RELEASE_TIMEOUT_MS, act });
    }
  }

  *#standStill(ms: number): Steps<void> {
    this.ring.standStill(ms);
    yield ms;
  }

  /** Takes back what a failed attempt took, without waiting. What gets lost on the way runs out by itself. */
  #abandon(token: string, homes: readonly NodeName[]): void {
    for (const home of homes) {
      this.#world.network.send(this.name, home, (node) => node.release(token));
    }
  }

  #ask(to: NodeName, act: (node: ModelNode) => LockAnswer): Steps<LockAnswer | Unanswered> {
    return this.#world.network.ask({ from: this.name, to, timeoutMs: LOCK_TIMEOUT_MS, act });
  }

  /** In true time: the process computes it by its own clock, which is a little off. */
  #validUntilMs(sentAtMs: number): number {
    const since = this.#world.has('validity-from-the-answer') ? this.#world.time.nowMs : sentAtMs;
    return since + VALIDITY_MS * this.ring.clockRate;
  }
}

function describe(hold: Hold): string {
  return `until ${hold.validUntilMs.toFixed(1)} on ${hold.homes.join(', ')}`;
}
