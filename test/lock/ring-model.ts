/**
 * What happens to a lock when the ring changes under it: the specification, as a
 * simulation in virtual time.
 *
 * Five processes acquire, renew and release one lock while its home moves from
 * node A to node D, and perhaps on to B or back. Messages get lost, are late and
 * overtake each other; processes stand still; some hear late of the change, or
 * never; the old home may be cut off from the driver of the change, or from most
 * of the clients; clocks are up to 1 % off. Each history is made by one seed.
 *
 * Two things must not happen. A **double hold**: two processes with
 * `remaining() > 0` at once. And a holder that is **crowded out**: one that
 * renewed its lock in time, and lost it to the change.
 *
 * The protocol, which `Mutation` takes apart:
 *
 * 1. A *view* says who is in the ring and on which *homes* the lock is taken. It
 *    has an epoch. Every command carries its sender's, and a node refuses those
 *    older than its own; a newer one it makes its own.
 * 2. The driver *seals* all nodes with a *joint* view, in which a lock is taken on
 *    the old home first and then on the new one. Holders take the new one beside
 *    the old one when they next renew: newcomers cannot have got that far.
 * 3. After the *longest ttl*, all locks that are held on the old home alone have
 *    ended. The driver seals the nodes with the next view, without the old home.
 * 4. A node that cannot be sealed may still grant to old views. Hence the *view
 *    lease*: a view is used only for so long after a majority confirmed that it
 *    knows none newer, and the driver waits for that too. It needs a majority.
 * 5. A second change may follow before the first has ended: the owners of all
 *    *eras* that still count are homes, oldest first (`ring-model-driver.ts`).
 *
 * Where to find them: views and nodes in `-nodes`, what a process knows of the
 * view in `-knowledge`, what it does with the lock in `-client`, the change in
 * `-driver`, what goes wrong in `-setup` and `-network`.
 *
 * Not covered: nodes that lose their data or stop; clocks that are off by more,
 * or jump; fences; the queue of waiters; quorum locks; two drivers at once (the
 * compare-and-set of the topology makes it one); a driver that ends half-way (the
 * joint view stays then, which is safe); locks with a ttl of their own below the
 * longest; what code does that goes on after its lock has ended.
 */
import { LockClient } from './ring-model-client.ts';
import { Driver, FIRST_VIEW } from './ring-model-driver.ts';
import type { History } from './ring-model-history.ts';
import type { Peer } from './ring-model-network.ts';
import {
  CHANGE_AT_MS,
  END_AT_MS,
  LONGEST_TTL_MS,
  SETTLED_AT_MS,
  type Setup,
} from './ring-model-setup.ts';
import { type Tell, World } from './ring-model-world.ts';

const CLIENTS: readonly Peer[] = ['client 1', 'client 2', 'client 3', 'client 4', 'client 5'];

export function simulate(setup: Setup, tell?: Tell): History {
  const world = new World(setup, { clients: CLIENTS, firstView: FIRST_VIEW, tell });
  const { time, chance, scenario } = world;
  for (const name of CLIENTS) {
    const client = new LockClient(name, world);
    const isTold = !chance.happens(scenario.neverToldShare);
    if (isTold) world.inform(name, (view) => client.ring.adopt(view));
    time.start(client.run());
    if (setup.protocol === 'epoch') time.start(client.ring.keepLease());
  }
  time.start(new Driver(world).run());
  time.runUntil(END_AT_MS);
  return world.history;
}

/** A history in words, with its seed. */
export function story(setup: Setup): string {
  const lines: string[] = [];
  const history = simulate(setup, (line) => lines.push(line));
  const doubles = history.doubleHolds().map(([earlier, later]) => {
    const until = earlier.untilMs.toFixed(1);
    return `DOUBLE HOLD from ${later.fromMs.toFixed(1)}: ${later.token}, and ${earlier.token} until ${until}`;
  });
  return [JSON.stringify(setup), ...lines, ...doubles].join('\n');
}

/** In how many histories what happened. */
export interface Tally {
  histories: number;
  doubleHolds: number;
  crowdedOut: number;
  /** The lock was not held at any time after the change. */
  neverHeldAgain: number;
  /** A holder of before the change still had its lock when all that was granted before had run out. */
  carriedOver: number;
  /** The first history with one of the three that must not be. */
  firstBad: Setup | undefined;
}

export interface SurveyOptions {
  readonly histories: number;
  /** Ends with the first history in which it happened. */
  readonly stopAt?: 'doubleHolds' | 'crowdedOut' | undefined;
}

/** Runs histories, always the same ones. */
export function survey(row: Omit<Setup, 'seed'>, { histories, stopAt }: SurveyOptions): Tally {
  const tally: Tally = {
    ...{ histories: 0, doubleHolds: 0, crowdedOut: 0, neverHeldAgain: 0, carriedOver: 0 },
    firstBad: undefined,
  };
  while (tally.histories < histories) {
    const setup = { ...row, seed: 13 + tally.histories * 7_919 };
    const history = simulate(setup);
    const isDouble = history.doubleHolds().length > 0;
    const isCrowded = history.crowdedOut > 0;
    const isNeverHeld = !history.holds.some(({ untilMs }) => untilMs > SETTLED_AT_MS);
    tally.histories += 1;
    tally.doubleHolds += Number(isDouble);
    tally.crowdedOut += Number(isCrowded);
    tally.neverHeldAgain += Number(isNeverHeld);
    tally.carriedOver += Number(isCarriedOver(history));
    if (isDouble || isCrowded || isNeverHeld) tally.firstBad ??= setup;
    if (stopAt !== undefined && tally[stopAt] > 0) break;
  }
  return tally;
}

function isCarriedOver({ holds }: History): boolean {
  const overMs = CHANGE_AT_MS + 2 * LONGEST_TTL_MS;
  return holds.some(({ fromMs, untilMs }) => fromMs < CHANGE_AT_MS && untilMs > overMs);
}
