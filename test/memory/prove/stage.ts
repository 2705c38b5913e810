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
  /** Resolves when what it has broken is whole again. */
  readonly inject: (stage: Stage, victims: Victims) => Promise<void>;
}

export function pick<T>({ random }: Pick<Stage, 'random'>, from: readonly T[]): T {
  return from[Math.floor(random() * from.length)]!;
}

/** Short ones are frequent, and many are longer than memory may be behind. */
export function outageMs({ random, maxStaleMs }: Stage): number {
  return random() < 0.6 ? 10 + 150 * random() : maxStaleMs * (0.5 + 2 * random() ** 2);
}
