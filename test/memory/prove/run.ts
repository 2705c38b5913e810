/**
 * One run: processes that read and write few keys while nodes, processes and
 * the connections between them are broken, one or two at a time, every 50 to
 * 200 ms; then the judgement of what they wrote down.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { startLocalNodes } from '../../../src/local.ts';
import {
  type HistoryEvent,
  judge,
  surroundings,
  type Verdict,
  type Violation,
} from '../../cache/history.ts';
import { Snapshots } from '../../cache/prove/snapshots.ts';
import { randomOf } from '../../cache/random.ts';
import { Cast } from '../../support/prove/cast.ts';
import { nowMs } from '../../support/prove/diary.ts';
import { FaultProxy } from '../../support/proxy.ts';
import { type Coherence, checkCoherence } from './coherence.ts';
import { drawVictims, FAULTS } from './faults.ts';
import { type Fault, pickFault, type Stage, type Victims } from './stage.ts';
import { userArguments } from './users.ts';
import type { Weakness } from './weaken.ts';
import type { Account, Worker, WorkerPlan } from './worker.ts';

export interface RunOptions {
  readonly seed: number;
  readonly seconds: number;
  readonly maxStaleMs: number;
  /** Only these. @default all */
  readonly faults?: readonly Fault[];
  readonly weakness?: Weakness | undefined;
  /** A file that is to have all that was written down, a line for each event. */
  readonly history?: string | undefined;
  readonly onProgress?: (progress: { share: number; injected: number }) => void;
}

export interface Outcome {
  readonly seed: number;
  readonly maxStaleMs: number;
  /** How often each fault was injected. */
  readonly injected: Readonly<Record<string, number>>;
  readonly verdict: Verdict;
  readonly coherence: Coherence;
  /** The part of all reads that found something which memory answered, 0 to 1. */
  readonly memoryShare: number;
  /** What was not as promised, with what happened around it, for people. */
  readonly evidence: readonly string[];
  readonly longestStallMs: number;
  readonly seconds: number;
}

const NODES = 3;
const PROCESSES = 4;
/** Few, so that each is held, and written, by several processes. */
const KEYS = 24;
const READS_PER_SECOND = 500;
const WRITES_PER_SECOND = 10;
const NODE_TIMEOUT_MS = 150;
const LONGEST_LOAD_MS = 400;
/** Longer than any key goes unread: what a mistake leaves in memory stays long enough to be seen. */
const MEMORY_TTL_MS = 20_000;
const BETWEEN_MS = { least: 50, most: 200 } as const;
const MOST_AT_ONCE = 2;
/** Reconnecting, breakers, admissions: after all that was broken is whole again. */
const SETTLE_MS = 20_000;
const LOOK_MS = 20;
/** With less, it is not memory that was looked at. A machine that has no time for it leaves it little. */
const LEAST_MEMORY_SHARE = 0.05;
const SHOWN = 3;

/** What an outcome has broken, a line each. */
export function broken({ verdict, coherence, memoryShare }: Outcome): string[] {
  const { violations, refused } = verdict;
  return [
    ...(violations.length === 0 ? [] : [`${violations.length} stale reads`]),
    ...(refused.length === 0 ? [] : [`${refused.length} calls were refused: ${refused[0]}`]),
    ...(memoryShare < LEAST_MEMORY_SHARE
      ? [`memory answered ${(100 * memoryShare).toFixed(0)} % of the reads only`]
      : []),
    ...coherence.problems,
  ];
}

export async function run(options: RunOptions): Promise<Outcome> {
  const startedAt = performance.now();
  const { seed, maxStaleMs } = options;
  const folder = mkdtempSync(join(tmpdir(), 'ringcache-prove-'));
  const args = ['--dir', folder, ...userArguments(PROCESSES)];
  const nodes = await startLocalNodes(NODES, { args });
  const [source] = await startLocalNodes(1, { idPrefix: 'source-' });
  const proxies = await Promise.all(nodes.map(({ port }) => FaultProxy.start(port)));
  const seats = nodes.map(({ id }, i) => ({ id, url: proxies[i]!.url }));
  const cast = new Cast<Account, Worker>({
    worker: '../memory/prove/worker.ts',
    rest: planOf(options, { nodes: seats, source: source!.url }),
    processes: PROCESSES,
    ...{ seed, folder },
  });
  try {
    await cast.begin();
    const faults: HistoryEvent[] = [];
    const stage: Stage = {
      ...{ cast, nodes, proxies, maxStaleMs },
      snapshots: new Snapshots(folder),
      random: randomOf(seed),
      note: (what) => faults.push({ kind: 'fault', by: 'run', at: nowMs(), what }),
    };
    const injected = await play(stage, options);
    const coherence = await conclude(stage);
    await cast.end();
    const history = [...cast.history<HistoryEvent>(), ...faults];
    if (options.history !== undefined) keep(history, options.history);
    const verdict = judge(history, { maxStaleMs });
    return {
      ...{ seed, maxStaleMs, injected, verdict, coherence },
      memoryShare: verdict.memoryHits / Math.max(1, verdict.hits),
      evidence: verdict.violations
        .slice(0, SHOWN)
        .map((violation) => evidenceOf(history, violation, maxStaleMs)),
      longestStallMs: Math.max(...cast.accounts.map((one) => one.longestStallMs)),
      seconds: (performance.now() - startedAt) / 1_000,
    };
  } finally {
    await cast.kill();
    await Promise.all(proxies.map((proxy) => proxy.close()));
    await Promise.all([nodes.close(), source!.kill()]);
    rmSync(folder, { recursive: true, force: true });
  }
}

function planOf(
  { weakness, maxStaleMs }: RunOptions,
  where: Pick<WorkerPlan, 'nodes' | 'source'>,
): WorkerPlan {
  return {
    ...where,
    processes: PROCESSES,
    keys: KEYS,
    readsPerSecond: READS_PER_SECOND,
    writesPerSecond: WRITES_PER_SECOND,
    longestLoadMs: LONGEST_LOAD_MS,
    nodeTimeoutMs: NODE_TIMEOUT_MS,
    maxStaleMs,
    memoryTtlMs: MEMORY_TTL_MS,
    weakness,
  };
}

/** Until it has lasted long enough; resolves when all that was broken is whole again. */
async function play(
  stage: Stage,
  { seconds, onProgress, faults = FAULTS }: RunOptions,
): Promise<Record<string, number>> {
  const begun = performance.now();
  const counts = Object.fromEntries(faults.map(({ name }) => [name, 0]));
  const struck = new Set<Victims>();
  const underWay = new Set<Promise<void>>();
  const failures: Error[] = [];
  let injected = 0;
  for (;;) {
    await sleep(BETWEEN_MS.least + (BETWEEN_MS.most - BETWEEN_MS.least) * stage.random());
    stage.cast.check();
    throwFirst(failures);
    const share = (performance.now() - begun) / (1_000 * seconds);
    onProgress?.({ share, injected });
    if (share >= 1) break;
    if (struck.size >= MOST_AT_ONCE) continue;
    const victims = drawVictims(stage, [...struck]);
    if (victims === undefined) continue;
    const fault = pickFault(stage, faults);
    counts[fault.name]!++;
    injected++;
    struck.add(victims);
    const striking = fault.inject(stage, victims).catch((error: unknown) => {
      failures.push(new Error(`${fault.name}: ${String(error)}`));
    });
    underWay.add(striking);
    void striking.then(() => {
      struck.delete(victims);
      underWay.delete(striking);
    });
  }
  await Promise.all(underWay);
  throwFirst(failures);
  return counts;
}

function throwFirst([failure]: readonly Error[]): void {
  if (failure !== undefined) throw failure;
}

/** Whether all that was broken has healed by itself. */
async function conclude({ cast, note }: Stage): Promise<Coherence> {
  note('nothing is broken any more');
  const end = performance.now() + SETTLE_MS;
  for (;;) {
    const down = await Promise.all(cast.playing.map((one) => one.call('down')));
    if (down.flat().length === 0) break;
    if (performance.now() > end) {
      const who = cast.playing.filter((_, i) => down[i]!.length > 0);
      const problem = `nodes cannot be used in the end by ${who.map((one) => cast.labelOf(one))}`;
      return { lagsMs: [], medianMs: 0, problems: [problem] };
    }
    await sleep(LOOK_MS);
  }
  await Promise.all(cast.playing.map((one) => one.call('quiet')));
  return checkCoherence(cast);
}

/** What the process did with the key, who wrote it, and what was broken. */
function evidenceOf(
  history: readonly HistoryEvent[],
  violation: Violation,
  maxStaleMs: number,
): string {
  const told = history.filter(
    (event) => event.by === violation.by || event.kind === 'write' || event.kind === 'fault',
  );
  const marginMs = 1.5 * maxStaleMs + 250;
  return [violation.text, ...surroundings(told, violation, marginMs)].join('\n');
}

function keep(history: readonly HistoryEvent[], path: string): void {
  const timeOf = (event: HistoryEvent): number => ('at' in event ? event.at : event.start);
  const inOrder = history.toSorted((a, b) => timeOf(a) - timeOf(b));
  writeFileSync(path, inOrder.map((event) => `${JSON.stringify(event)}\n`).join(''));
}
