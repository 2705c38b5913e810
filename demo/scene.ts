/** All that a phase acts on and measures with. */
import type { RingCache } from '../src/index.ts';
import type { LocalNode, LocalNodes } from '../src/local.ts';
import { type Census, takeCensus } from './audit.ts';
import { type Database, keyOf } from './database.ts';
import type { Ledger } from './ledger.ts';
import type { Tally } from './tally.ts';
import type { Traffic } from './traffic.ts';
import type { Facts } from './verdict.ts';

export interface Scene {
  readonly nodes: LocalNodes;
  readonly cache: RingCache;
  readonly auditor: RingCache;
  readonly database: Database;
  readonly ledger: Ledger;
  readonly tally: Tally;
  readonly traffic: Traffic;
  /** Waits; rejects when the demo is interrupted. */
  rest(ms: number): Promise<void>;
}

/** What kind of phase it is: decides its colour. */
export type Tone = 'calm' | 'failure' | 'change';

export interface Phase {
  readonly title: string;
  /** What happens, in a sentence or two, for somebody who sees it for the first time. */
  readonly story: string;
  readonly tone: Tone;
  readonly seconds: number;
  run(scene: Scene, seconds: number): Promise<Facts>;
}

const POLL_MS = 5;
const KEYS_AT_ONCE = 1_000;
const READ_IN_AT_ONCE = 100;

export function nodeOf(scene: Scene, id: string): LocalNode {
  const node = scene.nodes.find((each) => each.id === id);
  if (node === undefined) throw new Error(`the demo has no ${id}`);
  return node;
}

/** The owner of every key, by its number. Leaves room for the traffic that is being measured. */
export async function ownersOf({ cache, ledger, rest }: Scene): Promise<string[]> {
  const owners: string[] = [];
  for (let number = 0; number < ledger.size; number += 1) {
    if (number % KEYS_AT_ONCE === 0) await rest(1);
    owners.push(cache.ownerOf(keyOf(number)));
  }
  return owners;
}

/** Resolves to how long it took, or to Infinity if it did not happen in time. */
export async function until(
  scene: Scene,
  happened: () => boolean,
  withinMs: number,
): Promise<number> {
  const startedAt = performance.now();
  while (!happened()) {
    if (performance.now() - startedAt > withinMs) return Number.POSITIVE_INFINITY;
    await scene.rest(POLL_MS);
  }
  return performance.now() - startedAt;
}

/** Looks at every key; stale values are counted with those that readers saw. */
export async function census(scene: Scene): Promise<Census> {
  const found = await takeCensus(scene.auditor, scene.ledger);
  scene.tally.staleReads += found.stale;
  return found;
}

/** Keys that ought to be at the nodes and have not been written meanwhile. */
export async function countMissing(scene: Scene): Promise<NonNullable<Facts['census']>> {
  const { ledger } = scene;
  const before = Uint8Array.from(ledger.held);
  const { present } = await census(scene);
  let held = 0;
  let missing = 0;
  for (let number = 0; number < ledger.size; number += 1) {
    // Written meanwhile: gone for a good reason.
    if (before[number] === 0 || ledger.held[number] === 0) continue;
    held += 1;
    if (present[number] === 0) missing += 1;
  }
  return { held, missing };
}

/** Has these keys cached, evenly spread over `forMs`. */
export async function readIn(
  scene: Scene,
  numbers: readonly number[],
  forMs: number,
): Promise<void> {
  const startedAt = performance.now();
  for (let at = 0; at < numbers.length; at += READ_IN_AT_ONCE) {
    await scene.traffic.readIn(numbers.slice(at, at + READ_IN_AT_ONCE));
    const dueMs = startedAt + ((at + READ_IN_AT_ONCE) / numbers.length) * forMs;
    await scene.rest(Math.max(0, dueMs - performance.now()));
  }
}
