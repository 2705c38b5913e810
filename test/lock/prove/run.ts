/**
 * One run: processes that take locks from each other while one kind of fault is
 * injected again and again; then the judgement of what they wrote down.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type LocalNodes, startLocalNodes } from '../../../src/local.ts';
import { randomOf } from '../../cache/random.ts';
import { Cast } from '../../support/prove/cast.ts';
import { FaultProxy } from '../../support/proxy.ts';
import {
  type HistoryEvent,
  judge,
  surroundings,
  type Verdict,
  type Violation,
} from '../history.ts';
import type { Fault, Stage } from './faults.ts';
import type { Account, Worker, WorkerPlan } from './worker.ts';

export interface RunOptions {
  readonly fault: Fault;
  readonly quorum: boolean;
  readonly seed: number;
  /** So many locks are acquired at least, and faults injected. */
  readonly acquisitions: number;
  readonly injections: number;
  readonly onProgress?: (progress: Progress) => void;
}

/**
 * What an acquire may take beyond its time, and a loss be told late, when only
 * servers misbehave: 50 ms, and as much for a machine that has other things to
 * do, of which no more is seen than whole stalls.
 */
export const LATE_MS = 100;

/** Whether something was late that had no excuse. */
export function isLate({ fault, overMs, lateMs }: Outcome): boolean {
  return fault.sparesProcesses === true && Math.max(overMs, lateMs) > LATE_MS;
}

/** Whether locks were given out whose time was over, though nothing could come in between. */
export function isDead({ fault, verdict }: Outcome): boolean {
  return fault.strikesBetweenTurns === true && verdict.dead > 0;
}

export interface Progress {
  readonly acquired: number;
  readonly injected: number;
}

export interface Outcome {
  readonly fault: Fault;
  readonly quorum: boolean;
  readonly seed: number;
  readonly acquisitions: number;
  readonly injections: number;
  readonly verdict: Verdict;
  /** The violations with what happened around them, for people. */
  readonly evidence: readonly string[];
  /** Locks that were acquired after the last fault had been healed. */
  readonly acquiredAfter: number;
  /** The longest an acquire took beyond its time, and a loss was told late; stalls of the process itself taken off. */
  readonly overMs: number;
  readonly lateMs: number;
  /** The longest time in which a process did not get to run. */
  readonly longestStallMs: number;
  readonly seconds: number;
}

const RING_NODES = 2;
const QUORUM_NODES = 3;
const TTL_MS = 300;
/** A node that has lost its data grants nothing for so long. */
const MAX_TTL_MS = 500;
const PROCESSES = 3;
const CALLERS = 8;
/** Fewer than callers: most have to wait. */
const NAMES = 'abcdefghijkl'.split('');
const NODE_TIMEOUT_MS = 100;
/** Locks that are to be had between two faults, and after the last one; and how long that may take. */
const CALM = { leastLocks: 50, mostLocks: 400, parts: 200, atMostMs: 10_000 } as const;
const LOOK_MS = 50;
const MARGIN_MS = 60;
const SHOWN_VIOLATIONS = 3;

export async function run(options: RunOptions): Promise<Outcome> {
  const startedAt = performance.now();
  const { fault, quorum, seed } = options;
  const folder = mkdtempSync(join(tmpdir(), 'ringcache-prove-'));
  const all = await startLocalNodes((quorum ? QUORUM_NODES : RING_NODES) + 1);
  const nodes = all.slice(0, -1);
  const proxies = fault.behindProxies
    ? await Promise.all(nodes.map(({ port }) => FaultProxy.start(port)))
    : [];
  const cast = new Cast<Account, Worker>({
    worker: '../lock/prove/worker.ts',
    rest: planOf(all, { proxies, quorum }),
    processes: PROCESSES,
    seed,
    folder,
  });
  try {
    await cast.begin();
    const stage: Stage = { cast, nodes, proxies, ttlMs: TTL_MS, random: randomOf(seed) };
    const injections = await play(stage, options);
    const acquiredAfter = await calm(cast, CALM.leastLocks);
    await cast.end();
    const history = cast.history<HistoryEvent>();
    const verdict = judge(history);
    const { overMs, lateMs, longestStallMs } = sumOf(cast);
    return {
      fault,
      quorum,
      seed,
      acquisitions: verdict.grants,
      injections,
      verdict,
      evidence: verdict.violations
        .slice(0, SHOWN_VIOLATIONS)
        .map((violation) => show(violation, surroundings(history, violation, MARGIN_MS))),
      acquiredAfter,
      overMs,
      lateMs,
      longestStallMs,
      seconds: (performance.now() - startedAt) / 1_000,
    };
  } finally {
    await cast.kill();
    await Promise.all(proxies.map((proxy) => proxy.close()));
    await all.close();
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Of all that have ever played, as far as they have told. */
function sumOf({ accounts }: Stage['cast']): Account {
  return accounts.reduce(
    (sum, one) => ({
      acquired: sum.acquired + one.acquired,
      overMs: Math.max(sum.overMs, one.overMs),
      lateMs: Math.max(sum.lateMs, one.lateMs),
      longestStallMs: Math.max(sum.longestStallMs, one.longestStallMs),
    }),
    { acquired: 0, overMs: 0, lateMs: 0, longestStallMs: 0 },
  );
}

function planOf(
  all: LocalNodes,
  { proxies, quorum }: { proxies: readonly FaultProxy[]; quorum: boolean },
): WorkerPlan {
  const nodes = all.slice(0, -1).map(({ id, url }, i) => ({ id, url: proxies[i]?.url ?? url }));
  return {
    nodes,
    registers: all.at(-1)!.url,
    quorum,
    callers: CALLERS,
    names: NAMES,
    ttlMs: TTL_MS,
    maxTtlMs: MAX_TTL_MS,
    nodeTimeoutMs: NODE_TIMEOUT_MS,
  };
}

/** Until enough was acquired and enough was broken; resolves to how often it was. */
async function play(stage: Stage, options: RunOptions): Promise<number> {
  const { cast } = stage;
  const { fault, acquisitions, injections, onProgress } = options;
  const wanted = Math.round(acquisitions / CALM.parts);
  const between = Math.min(CALM.mostLocks, Math.max(CALM.leastLocks, wanted));
  let injected = 0;
  for (;;) {
    await calm(cast, between);
    const { acquired } = sumOf(cast);
    onProgress?.({ acquired, injected });
    if (acquired >= acquisitions && injected >= injections) return injected;
    if (await fault.inject?.(stage, injected)) injected++;
  }
}

/** Waits until so many more were acquired; resolves to how many it were. */
async function calm(cast: Stage['cast'], wanted: number): Promise<number> {
  await cast.ask();
  const before = sumOf(cast).acquired;
  const end = performance.now() + CALM.atMostMs;
  let acquired = 0;
  while (acquired < wanted && performance.now() < end) {
    await sleep(LOOK_MS);
    await cast.ask();
    acquired = sumOf(cast).acquired - before;
  }
  return acquired;
}

function show({ text }: Violation, around: readonly string[]): string {
  return [text, ...around].join('\n');
}
