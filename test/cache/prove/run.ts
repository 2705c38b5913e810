/**
 * One run: processes that read and write while the ring changes and one kind of
 * fault is injected again and again; then the judgement of what they wrote down.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { startLocalNodes } from '../../../src/local.ts';
import { Cast } from '../../support/prove/cast.ts';
import { nowMs } from '../../support/prove/diary.ts';
import { FaultProxy } from '../../support/proxy.ts';
import {
  type HistoryEvent,
  judge,
  surroundings,
  type Verdict,
  type Violation,
} from '../history.ts';
import { randomOf } from '../random.ts';
import { type RingSeat, Rings } from './rings.ts';
import { Snapshots } from './snapshots.ts';
import type { Fault, Stage } from './stage.ts';
import type { Weakness } from './weaken.ts';
import type { Account, Worker, WorkerPlan } from './worker.ts';

export interface RunOptions {
  readonly fault: Fault;
  readonly seed: number;
  /** It lasts so long at least, and so many faults are injected. */
  readonly seconds: number;
  readonly injections: number;
  readonly weakness?: Weakness | undefined;
  readonly onProgress?: (progress: Progress) => void;
}

export interface Progress {
  readonly share: number;
  readonly injected: number;
  readonly changes: number;
}

export interface Outcome {
  readonly fault: Fault;
  readonly seed: number;
  readonly injections: number;
  /** Of the ring, acknowledged. */
  readonly changes: number;
  /** Why others were turned away. */
  readonly refusals: readonly string[];
  /** What did not heal until somebody finished a change, took it back, or recovered the topology. */
  readonly recoveries: readonly string[];
  readonly verdict: Verdict;
  /** What does not become whole again by itself; the run ends with it. */
  readonly unsettled: string | undefined;
  /** What was not as promised, with what happened around it, for people. */
  readonly evidence: readonly string[];
  readonly longestStallMs: number;
  readonly seconds: number;
}

const NODES = 5;
/** Those that are members at the start. */
const MEMBERS = 3;
const PROCESSES = 4;
/** Few, so that each is written and read often. */
const HOT_KEYS = 48;
/** More, so that there is something to copy. */
const STILL_KEYS = 400;
const READS_PER_SECOND = 400;
const WRITES_PER_SECOND = 60;
const NODE_TIMEOUT_MS = 100;
/** What a busy machine does not exceed: what is lost with it is lost to the change. */
const CALM_NODE_TIMEOUT_MS = 3_000;
/** Longer than a node takes to leave and come back; and not. */
const LONGEST_LOAD_MS = 3_000;
const CALM_LONGEST_LOAD_MS = 60;
const MAX_STALE_MS = 1_000;
/** A heartbeat of the machine, on top of what memory is allowed. */
const MEMORY_MARGIN_MS = 50;
/** In which a process has to serve by a new ring. */
export const HEARD_MS = 1_000;
const REST_MS = 150;
/**
 * After fifteen changes the next one waits until no lock can be held by the
 * oldest ring: a second or two beyond the longest ttl of a lock, undisturbed.
 */
const QUIET = { afterChanges: 8, ms: 3_200 } as const;
const SHOWN = 3;
const MARGIN_MS = 250;

/** What an outcome has broken, a line each. */
export function broken({ fault, verdict, unsettled, refusals, recoveries }: Outcome): string[] {
  const { violations, refused, extraLoads, slowestMs } = verdict;
  const count = (many: readonly unknown[], what: string): string[] =>
    many.length === 0 ? [] : [`${many.length} ${what}`];
  const always = [
    ...count(violations, 'stale reads'),
    ...count(refused, `calls were refused: ${refused[0]}`),
    ...(unsettled === undefined ? [] : [unsettled]),
  ];
  if (fault.isCalm !== true) return always;
  return [
    ...always,
    ...count(extraLoads, 'loads that were not due'),
    ...count(recoveries, 'times somebody had to step in'),
    ...count(refusals, `changes were turned away: ${refusals[0]}`),
    ...(slowestMs > HEARD_MS ? [`a process served by the old ring for ${slowestMs} ms`] : []),
  ];
}

export async function run(options: RunOptions): Promise<Outcome> {
  const startedAt = performance.now();
  const { fault, seed } = options;
  const folder = mkdtempSync(join(tmpdir(), 'ringcache-prove-'));
  const servers = await startLocalNodes(NODES + 1, { args: ['--dir', folder] });
  const [source] = await startLocalNodes(1, { idPrefix: 'source-' });
  const nodes = servers.slice(0, NODES);
  const spare = servers[NODES]!;
  const proxies = fault.behindProxies
    ? await Promise.all(nodes.map(({ port }) => FaultProxy.start(port)))
    : [];
  const seats = nodes.map(({ id, url }, i) => ({ id, url: proxies[i]?.url ?? url }));
  const cast = new Cast<Account, Worker>({
    worker: '../cache/prove/worker.ts',
    rest: planOf(options, { seats, source: source!.url }),
    processes: PROCESSES,
    seed,
    folder,
  });
  const random = randomOf(seed);
  const rings = new Rings({ cast, seats, random });
  try {
    await cast.begin();
    const snapshots = new Snapshots(folder);
    const faults: HistoryEvent[] = [];
    const note = (what: string): void => {
      faults.push({ kind: 'fault', by: 'run', at: nowMs(), what });
    };
    const stage: Stage = { cast, nodes, spare, proxies, snapshots, rings, random, note };
    const { injections, unsettled } = await play(stage, options);
    await cast.end();
    const history = [...cast.history<HistoryEvent>(), ...faults];
    const maxStaleMs = fault.memory === true ? MAX_STALE_MS + MEMORY_MARGIN_MS : 0;
    const verdict = judge(history, { maxStaleMs });
    const { changes, refusals, recoveries } = rings;
    return {
      ...{ fault, seed, injections, changes, refusals, recoveries, verdict, unsettled },
      evidence: evidenceOf(history, verdict, fault),
      longestStallMs: Math.max(...cast.accounts.map((one) => one.longestStallMs)),
      seconds: (performance.now() - startedAt) / 1_000,
    };
  } finally {
    await cast.kill();
    await Promise.all(proxies.map((proxy) => proxy.close()));
    await Promise.all([servers.close(), source!.kill()]);
    rmSync(folder, { recursive: true, force: true });
  }
}

function planOf(
  { fault, weakness }: RunOptions,
  { seats, source }: { seats: readonly RingSeat[]; source: string },
): WorkerPlan {
  const isCalm = fault.isCalm === true;
  return {
    nodes: seats.slice(0, MEMBERS),
    source,
    processes: PROCESSES,
    hotKeys: HOT_KEYS,
    stillKeys: STILL_KEYS,
    readsPerSecond: READS_PER_SECOND,
    writesPerSecond: WRITES_PER_SECOND,
    longestLoadMs: isCalm ? CALM_LONGEST_LOAD_MS : LONGEST_LOAD_MS,
    nodeTimeoutMs: isCalm ? CALM_NODE_TIMEOUT_MS : NODE_TIMEOUT_MS,
    maxStaleMs: fault.memory === true ? MAX_STALE_MS : 0,
    weakness,
  };
}

/** Until it has lasted long enough and enough was broken, or something stays broken. */
async function play(
  stage: Stage,
  { fault, seconds, injections, onProgress }: RunOptions,
): Promise<{ injections: number; unsettled: string | undefined }> {
  const begun = performance.now();
  let injected = 0;
  let quietAt = 0;
  for (;;) {
    const isDue = stage.rings.changes - quietAt >= QUIET.afterChanges;
    if (isDue) quietAt = stage.rings.changes;
    await sleep(isDue ? QUIET.ms : REST_MS);
    await stage.cast.ask();
    const share = (performance.now() - begun) / (1_000 * seconds);
    onProgress?.({ share, injected, changes: stage.rings.changes });
    if (share >= 1 && (fault.inject === undefined || injected >= injections)) {
      return { injections: injected, unsettled: await probe(stage) };
    }
    if (fault.inject === undefined) continue;
    await fault.inject(stage, injected++);
    const unsettled = await stage.rings.settle();
    if (unsettled !== undefined) return { injections: injected, unsettled };
  }
}

/** Whether every process can write to and read from every node in the end. */
async function probe({ cast }: Stage): Promise<string | undefined> {
  const failed = (await Promise.all(cast.playing.map((one) => one.call('probe')))).flat();
  if (failed.length === 0) return undefined;
  return `keys that cannot be set, read and deleted in the end: ${failed.join(', ')}`;
}

function evidenceOf(
  history: readonly HistoryEvent[],
  { violations, extraLoads }: Verdict,
  fault: Fault,
): string[] {
  const shown: Violation[] = violations.slice(0, SHOWN);
  if (fault.isCalm === true) shown.push(...extraLoads.slice(0, SHOWN));
  return shown.map((violation) =>
    [violation.text, ...surroundings(history, violation, MARGIN_MS)].join('\n'),
  );
}
