/** What a fault has to work with. */
import type { LocalNode } from '../../../src/local.ts';
import type { Snapshots } from '../../cache/prove/snapshots.ts';
import type { App } from '../../support/app.ts';
import type { Cast } from '../../support/prove/cast.ts';
import type { FaultProxy, Whom } from '../../support/proxy.ts';
import type { Account, Worker } from './worker.ts';

export interface Stage {
  readonly cast: Cast<Account, Worker>;
  readonly nodes: readonly LocalNode[];
  /** One in front of each node. */
  readonly proxies: readonly FaultProxy[];
  readonly snapshots: Snapshots;
  readonly maxStaleMs: number;
  readonly random: () => number;
  /** Writes down what is done, for whoever reads the history. */
  readonly note: (what: string) => void;
}

/** What one injection strikes: nothing else does at the same time. */
export interface Victims {
  readonly node: LocalNode;
  readonly proxy: FaultProxy;
  readonly process: App<Worker>;
  /** The process, or all of them: drawn. */
  readonly whom: Whom;
  /** For people. */
  readonly label: string;
}

export interface Fault {
  readonly name: string;
  readonly about: string;
  /** How often, compared with others: what takes a node away from all leaves memory little to show. @default 1 */
  readonly weight?: number;
  /** Resolves when what it has broken is whole again. */
  readonly inject: (stage: Stage, victims: Victims) => Promise<void>;
}

export function pick<T>({ random }: Pick<Stage, 'random'>, from: readonly T[]): T {
  return from[Math.floor(random() * from.length)]!;
}

export function pickFault({ random }: Pick<Stage, 'random'>, faults: readonly Fault[]): Fault {
  const sum = faults.reduce((total, { weight = 1 }) => total + weight, 0);
  let at = sum * random();
  for (const fault of faults) {
    at -= fault.weight ?? 1;
    if (at < 0) return fault;
  }
  return faults.at(-1)!;
}

/** Short ones are frequent, and many are longer than memory may be behind. */
export function outageMs({ random, maxStaleMs }: Stage): number {
  return random() < 0.6 ? 10 + 150 * random() : maxStaleMs * (0.5 + 2 * random() ** 2);
}
