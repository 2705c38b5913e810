/**
 * Whether processes are told of each other's writes again when nothing is
 * broken any more: each writes what the others hold in memory.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { quantile } from '../../../bench/bench.ts';
import type { App } from '../../support/app.ts';
import type { Cast } from '../../support/prove/cast.ts';
import type { Account, Worker } from './worker.ts';

export interface Coherence {
  /** Of each write at each other process: how long after its acknowledgement memory had done with what was before. */
  readonly lagsMs: readonly number[];
  readonly medianMs: number;
  /** What is not as it should be, a line each. */
  readonly problems: readonly string[];
}

/** Enough that every node has some. */
const KEYS = 16;
export const SEEN_MS = 50;
/** The machine may be busy; a channel that is broken is so each time. */
const ROUNDS = 3;
const LEARN_MS = 1_500;
const WATCH_MS = 1_500;
/** Until all others watch. */
const LEAD_MS = 10;

export async function checkCoherence(cast: Cast<Account, Worker>): Promise<Coherence> {
  const lagsMs: number[] = [];
  const problems: string[] = [];
  for (const writer of cast.playing) {
    const others = cast.playing.filter((one) => one !== writer);
    const name = cast.labelOf(writer);
    const keys = Array.from({ length: KEYS }, (_, i) => `probe:${name}:${i}`);
    let found: readonly string[] = [];
    for (let round = 0; round < ROUNDS; round++) {
      const probe = await probeOnce({ cast, writer, others, keys, version: 2 * round + 1 });
      lagsMs.push(...probe.lagsMs);
      found = probe.problems;
      if (found.length === 0) break;
    }
    problems.push(...found);
    // It takes long to see nothing, and one is enough.
    if (problems.length > 0) break;
  }
  return { lagsMs, medianMs: lagsMs.length === 0 ? 0 : quantile(lagsMs, 0.5), problems };
}

interface Probe {
  readonly cast: Cast<Account, Worker>;
  readonly writer: App<Worker>;
  readonly others: readonly App<Worker>[];
  readonly keys: readonly string[];
  readonly version: number;
}

async function probeOnce({ cast, writer, others, keys, version }: Probe): Promise<{
  lagsMs: number[];
  problems: string[];
}> {
  const name = cast.labelOf(writer);
  const before = await Promise.all(keys.map((key) => writer.call('write', key, version)));
  const refused = keys.filter((_, i) => before[i] === undefined);
  if (refused.length > 0) {
    return { lagsMs: [], problems: [`${name} cannot write ${refused.join(', ')}`] };
  }
  const problems: string[] = [];
  const learned = others.map(async (one) => {
    const left = await one.call('learn', keys, version, LEARN_MS);
    if (left.length > 0) {
      problems.push(`${cast.labelOf(one)} does not get to hold ${left.join(', ')} in memory`);
    }
  });
  await Promise.all(learned);
  const watching = others.map((one) => one.call('watch', keys, version + 1, WATCH_MS));
  await sleep(LEAD_MS);
  const written = new Map<string, number>();
  for (const key of keys) {
    const at = await writer.call('write', key, version + 1);
    if (at === undefined) problems.push(`${name} cannot write ${key}`);
    else written.set(key, at);
  }
  const lagsMs: number[] = [];
  for (const [i, seen] of (await Promise.all(watching)).entries()) {
    const late: number[] = [];
    for (const { key, at, stalledMs } of seen) {
      const lagMs = Math.max(0, at - (written.get(key) ?? at));
      lagsMs.push(lagMs);
      if (lagMs - stalledMs > SEEN_MS) late.push(lagMs);
    }
    if (late.length === 0) continue;
    const who = cast.labelOf(others[i]!);
    const worst = Math.max(...late).toFixed(0);
    problems.push(`${who} saw ${late.length} writes of ${name} too late, up to ${worst} ms`);
  }
  return { lagsMs, problems };
}
