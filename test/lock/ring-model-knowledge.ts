/** What one process knows of the ring, and how long it may go by it. */
import type { Peer } from './ring-model-network.ts';
import type { NodeName, View } from './ring-model-nodes.ts';
import { CLOCK_ERROR, TTL_MS, VIEW_LEASE_MS } from './ring-model-setup.ts';
import type { Steps } from './ring-model-time.ts';
import type { World } from './ring-model-world.ts';

const VIEW_TIMEOUT_MS = 15;
/** How long the window protocol locks on the former home too. */
const WINDOW_MS = TTL_MS + 20;

export class RingKnowledge {
  view: View;
  /** What this process takes for one millisecond, in true ones. */
  readonly clockRate: number;
  readonly #owner: Peer;
  readonly #world: World;
  /** When it was asked whether there is a newer view, and a majority knew none. */
  #confirmedAtMs = 0;
  #standsStillUntilMs = 0;
  /** Of the window protocol: the homes before, and until when they are used too. */
  readonly #former: { readonly homes: readonly NodeName[]; readonly untilMs: number }[] = [];

  constructor(owner: Peer, world: World) {
    this.#owner = owner;
    this.#world = world;
    this.view = world.firstView;
    this.clockRate = world.chance.between(1 - CLOCK_ERROR, 1 + CLOCK_ERROR);
  }

  /** Goes by `view` from now on, by whatever way it came, unless it is an old one. */
  adopt(view: View): void {
    if (view.epoch <= this.view.epoch) return;
    if (this.#world.setup.protocol === 'window') {
      this.#former.push({ homes: this.view.homes, untilMs: this.#world.time.nowMs + WINDOW_MS });
    }
    this.view = view;
    this.#world.tell?.(`${this.#owner} adopts epoch ${view.epoch}, ${view.homes.join(' then ')}`);
  }

  /** The nodes that a lock is taken on, in this order. */
  homes(): readonly NodeName[] {
    const { nowMs } = this.#world.time;
    const former = this.#former.filter(({ untilMs }) => nowMs < untilMs);
    const homes =
      former.length === 0
        ? this.view.homes
        : [...new Set([...former.flatMap((were) => were.homes), ...this.view.homes])];
    return this.#world.has('new-home-first') ? homes.toReversed() : homes;
  }

  /** The view lease: a view is used for `VIEW_LEASE_MS` from when a majority was asked, and knew none newer. */
  isLeased(): boolean {
    const { setup } = this.#world;
    if (setup.protocol !== 'epoch' || this.#world.has('no-view-lease')) return true;
    return this.#world.time.nowMs <= this.#confirmedAtMs + VIEW_LEASE_MS * this.clockRate;
  }

  /** The process does nothing for a while. What it is told meanwhile, it knows when it goes on. */
  standStill(ms: number): void {
    this.#standsStillUntilMs = this.#world.time.nowMs + ms;
  }

  /** Renews the lease, now early, now at the last moment. */
  *keepLease(): Steps<void> {
    const { chance, time } = this.#world;
    for (;;) {
      const share = chance.between(0.3, 1);
      const restMs = this.#confirmedAtMs + share * VIEW_LEASE_MS * this.clockRate - time.nowMs;
      yield Math.max(restMs, chance.between(2, 10));
      if (time.nowMs < this.#standsStillUntilMs) yield this.#standsStillUntilMs - time.nowMs;
      yield* this.#confirm();
    }
  }

  /** Asks a majority. What is newer is adopted, and has to be confirmed in its turn. */
  *#confirm(): Steps<void> {
    let asked: View;
    do {
      asked = this.view;
      // Counted from here, not from the answers: a node may be sealed when it has just answered.
      const sentAtMs = this.#world.time.nowMs;
      const newest = yield* this.#newestOfMajority(asked);
      if (newest === undefined) return;
      this.adopt(newest);
      if (this.view === asked) this.#confirmedAtMs = sentAtMs;
    } while (this.view !== asked);
  }

  /** The newest view among the answers; undefined when there are too few of them. */
  *#newestOfMajority(asked: View): Steps<View | undefined> {
    let newest = asked;
    let answers = 0;
    for (const to of asked.members) {
      const answer = yield* this.#world.network.ask({
        from: this.#owner,
        to,
        timeoutMs: VIEW_TIMEOUT_MS,
        act: (node) => ({ kind: 'view', view: node.view }) as const,
      });
      if (answer.kind === 'unanswered' || answer.view === undefined) continue;
      answers += 1;
      if (answer.view.epoch > newest.epoch) newest = answer.view;
    }
    const enough = this.#world.has('one-node-confirms') ? 1 : majorityOf(asked.members.length);
    // A newer view is believed from a single node.
    return answers >= enough || newest !== asked ? newest : undefined;
  }
}

export const majorityOf = (count: number): number => Math.floor(count / 2) + 1;
