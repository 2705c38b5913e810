/**
 * The driver of a change: seals the joint view, waits until nothing that older
 * views were granted can be valid, and seals the view without the old home.
 *
 * An era is the ring between two changes. Its owner counts, and every lock is
 * taken there too, until the last lock has ended that was granted without the
 * owner of the next era. So two views either have a home in common, or the locks
 * of the one have ended before the other is used:
 *
 *   epoch 1   A
 *   epoch 2   A, D      the first change
 *   epoch 3   A, D, B   a second one, while locks of epoch 1 may be held, on A alone
 *   epoch 4   D, B      they have ended; those of epoch 2 may be held, on A and D
 *   epoch 5   B         these have ended too
 */
import { majorityOf } from './ring-model-knowledge.ts';
import { type Era, type NodeName, type View, viewOf } from './ring-model-nodes.ts';
import {
  CHANGE_AT_MS,
  CLOCK_ERROR,
  LONGEST_TTL_MS,
  type Scenario,
  VIEW_LEASE_MS,
} from './ring-model-setup.ts';
import type { Steps } from './ring-model-time.ts';
import type { World } from './ring-model-world.ts';

const FIRST: Era = { members: ['A', 'B', 'C'], home: 'A' };
const SECOND: Era = { members: ['B', 'C', 'D'], home: 'D' };
const THIRD = {
  A: FIRST,
  B: { members: ['B', 'C'], home: 'B' },
} as const satisfies Record<NonNullable<Scenario['thenTo']>, Era>;

export const FIRST_VIEW = viewOf(1, [FIRST]);

const SEAL_TIMEOUT_MS = 15;
const SEAL_AGAIN_MS = 25;
/** By chance, the driver counts those as cut off who are silent after one, two or three rounds. */
const MOST_SEAL_ROUNDS = 3;
/** Of the longest wait, 200 ms, two clocks that are 1 % off in opposite directions make 4 ms more or less. */
const CLOCK_MARGIN_MS = 5;

interface Move {
  readonly atMs: number;
  readonly era: Era;
}

type Sealing =
  | { readonly kind: 'complete'; readonly firstAtMs: number; readonly lastAtMs: number }
  /** Some did not answer. No question that was sent after `majorityAtMs` gets an older view a lease. */
  | { readonly kind: 'cut'; readonly majorityAtMs: number };

interface CountedEra {
  readonly era: Era;
  /** When it stops counting. The present era does not. */
  untilMs: number | undefined;
}

export class Driver {
  readonly #world: World;
  readonly #moves: Move[];
  readonly #clockRate: number;
  readonly #patience: number;
  #counted: CountedEra[] = [{ era: FIRST, untilMs: undefined }];
  #view = FIRST_VIEW;

  constructor(world: World) {
    this.#world = world;
    this.#clockRate = world.chance.between(1 - CLOCK_ERROR, 1 + CLOCK_ERROR);
    this.#patience = world.chance.between(0, MOST_SEAL_ROUNDS);
    this.#moves = [{ atMs: CHANGE_AT_MS, era: SECOND }];
    const { thenTo } = world.scenario;
    if (thenTo !== undefined) {
      const atMs = CHANGE_AT_MS + world.chance.between(0, LONGEST_TTL_MS);
      this.#moves.push({ atMs, era: THIRD[thenTo] });
    }
  }

  *run(): Steps<void> {
    for (;;) {
      const move = this.#moves[0];
      const oldest = this.#counted[0]?.untilMs;
      if (move === undefined && oldest === undefined) return;
      if (move !== undefined && move.atMs <= (oldest ?? Number.POSITIVE_INFINITY)) {
        yield* this.#sleepUntil(move.atMs);
        this.#moves.shift();
        yield* this.#begin(move.era);
      } else if (oldest !== undefined) {
        yield* this.#sleepUntil(oldest);
        this.#counted.shift();
        yield* this.#establish();
      }
    }
  }

  *#sleepUntil(atMs: number): Steps<void> {
    yield Math.max(0, atMs - this.#world.time.nowMs);
  }

  *#begin(era: Era): Steps<void> {
    const last = this.#counted.at(-1);
    this.#counted.push({ era, untilMs: undefined });
    if (this.#world.setup.protocol !== 'epoch') this.#counted = this.#counted.slice(-1);
    if (this.#world.has('no-joint-phase')) this.#counted = this.#counted.slice(-1);
    if (this.#world.has('two-eras-only')) this.#counted = this.#counted.slice(-2);
    const olderLocksEndAtMs = yield* this.#establish();
    if (last !== undefined) last.untilMs = olderLocksEndAtMs;
  }

  /**
   * Puts a view of the counted eras into force, and tells the processes.
   *
   * @returns When the last lock ends that was granted by an older view.
   */
  *#establish(): Steps<number> {
    const { time, setup } = this.#world;
    const eras = this.#counted.map(({ era }) => era);
    const view = viewOf(this.#view.epoch + 1, eras);
    let endAtMs = time.nowMs;
    if (setup.protocol === 'epoch') endAtMs = this.#olderLocksEndAtMs(yield* this.#seal(view));
    this.#view = view;
    this.#world.publish(view);
    return endAtMs;
  }

  /**
   * Seals the members of `view`: all of them, or at least a majority of them and
   * of the view before, so that no lease of an older view is renewed after it.
   */
  *#seal(view: View): Steps<Sealing> {
    const { time } = this.#world;
    const sealed = new Set<NodeName>();
    const isMajority = ({ members }: View) =>
      members.filter((name) => sealed.has(name)).length >= majorityOf(members.length);
    const newest = view.homes.at(-1)!;
    const members = this.#world.chance.shuffled(view.members);
    let firstAtMs: number | undefined;
    let majorityAtMs: number | undefined;
    for (let round = 1; ; round += 1) {
      for (const name of members) {
        if (sealed.has(name) || !(yield* this.#sealNode(name, view))) continue;
        sealed.add(name);
        firstAtMs ??= time.nowMs;
        if (isMajority(view) && isMajority(this.#view)) majorityAtMs ??= time.nowMs;
      }
      if (firstAtMs !== undefined && sealed.size === view.members.length) {
        return { kind: 'complete', firstAtMs, lastAtMs: time.nowMs };
      }
      // The newest home cannot be done without: it grants nothing before it knows a view.
      const mayGiveUp = round >= this.#patience && sealed.has(newest);
      if (mayGiveUp && majorityAtMs !== undefined) return { kind: 'cut', majorityAtMs };
      yield SEAL_AGAIN_MS;
    }
  }

  *#sealNode(to: NodeName, view: View): Steps<boolean> {
    const answer = yield* this.#world.network.ask({
      from: 'driver',
      to,
      timeoutMs: SEAL_TIMEOUT_MS,
      act: (node) => {
        node.seal(view);
        return { kind: 'sealed' } as const;
      },
    });
    if (answer.kind === 'unanswered') return false;
    this.#world.tell?.(`${to} is sealed with epoch ${view.epoch}, ${view.homes.join(' then ')}`);
    return true;
  }

  /** When the last lock ends that was granted by a view older than the one just sealed. */
  #olderLocksEndAtMs(sealing: Sealing): number {
    const nowMs = this.#world.time.nowMs;
    if (this.#world.has('no-wait-for-longest-ttl')) return nowMs;
    if (sealing.kind === 'complete') {
      // Not from the first: the last one granted to older views until it was sealed itself.
      const isHasty = this.#world.has('wait-from-the-first-seal');
      const sealedAtMs = isHasty ? sealing.firstAtMs : sealing.lastAtMs;
      return sealedAtMs + this.#waitMs(LONGEST_TTL_MS);
    }
    if (this.#world.has('no-wait-when-cut-off')) return nowMs;
    // A node that is not sealed grants to an older view for as long as that is leased:
    // the last lease was asked for just before a majority was sealed.
    const leaseMs = this.#world.has('no-wait-for-view-lease') ? 0 : VIEW_LEASE_MS;
    return sealing.majorityAtMs + this.#waitMs(leaseMs + LONGEST_TTL_MS);
  }

  #waitMs(ms: number): number {
    return (ms + CLOCK_MARGIN_MS) * this.#clockRate;
  }
}
