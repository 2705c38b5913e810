/** What a fault has to work with, and when it strikes. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { LocalNode } from '../../../src/local.ts';
import type { Cast } from '../../support/prove/cast.ts';
import type { FaultProxy } from '../../support/proxy.ts';
import type { ChangeWish, Rings } from './rings.ts';
import type { Snapshots } from './snapshots.ts';
import type { Account, Worker } from './worker.ts';

export interface Stage {
  readonly cast: Cast<Account, Worker>;
  /** In the order of the seats of the ring. */
  readonly nodes: LocalNode[];
  /** A server that has no seat. */
  spare: LocalNode;
  /** One in front of each node, when the fault asks for them. */
  readonly proxies: readonly FaultProxy[];
  readonly snapshots: Snapshots;
  readonly rings: Rings;
  readonly random: () => number;
  /** Writes down what is done, for whoever reads the history. */
  readonly note: (what: string) => void;
}

export interface Fault {
  readonly name: string;
  readonly about: string;
  readonly behindProxies?: boolean;
  /** Not together with others: it takes long, or what else is broken makes it mean something else. */
  readonly isAlone?: boolean;
  /** Injected so often at least. @default 3 */
  readonly repetitions?: number;
  /** Processes keep values in memory, too. */
  readonly memory?: boolean;
  /**
   * Nothing is broken: no change is turned away, every process serves by the
   * new ring within a second, and nothing is loaded that would not be without.
   */
  readonly isCalm?: boolean;
  /** @param round Counts from 0: what there are several kinds of comes in turns. */
  readonly inject?: (stage: Stage, round: number) => Promise<void>;
}

const WITHIN_MS = 500;

/** Strikes while the ring changes: before, at its beginning, during the copying, at its end. */
export async function whileChanging(
  { rings, random }: Stage,
  strike: () => Promise<unknown>,
  wish: ChangeWish = {},
): Promise<void> {
  const beforeChange = WITHIN_MS * random() - WITHIN_MS / 3;
  const beforeStrike = WITHIN_MS * random();
  const changing = sleep(Math.max(0, beforeChange)).then(() => rings.begin(wish));
  // Whatever becomes of the change: what was broken is whole again at the end.
  const [changed, struck] = await Promise.allSettled([changing, sleep(beforeStrike).then(strike)]);
  if (struck.status === 'rejected') throw struck.reason;
  if (changed.status === 'rejected') throw changed.reason;
  await changed.value?.done;
}

/** Short ones are frequent, and some are longer than anybody waits for a node. */
export function outageMs({ random }: Pick<Stage, 'random'>): number {
  return random() < 0.3 ? 30 + 200 * random() : 300 + 2_000 * random() ** 2;
}
