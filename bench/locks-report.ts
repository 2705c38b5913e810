/** What the locks benchmark found: tables, targets, and the sentence above them. */

import { atLeast, atMost, Checksum, mean, quantile, type Report, type Target } from './bench.ts';
import type { RemoteTiming } from './child.ts';
import { drawLocks } from './locks-chart.ts';
import type { Commands, CommandsPlan } from './locks-commands.ts';
import type { Competed, Drained } from './locks-row.ts';
import type { Table } from './report.ts';

export const CONTENDERS = [
  'ours',
  'redlock4',
  'redlock4-50',
  'redlock5',
  'redis-semaphore',
] as const;
/** What a pair costs does not depend on the pause between tries. */
export const PAIRED = [
  'raw',
  'ours',
  'ours-heard',
  'redlock4',
  'redlock5',
  'redis-semaphore',
] as const;
export const KEEPERS = ['ours', 'redlock4', 'redlock5', 'redis-semaphore'] as const;
export const AT_ONCE = [1, 50] as const;

const NAMES: Readonly<Record<string, string>> = {
  raw: 'SET NX PX + EVALSHA, plain ioredis',
  ours: 'ringcache',
  'ours-heard': 'ringcache, after it has waited',
  redlock4: 'redlock 4, 200 ± 100 ms',
  'redlock4-50': 'redlock 4, 50 ± 20 ms',
  redlock5: 'redlock 5 beta, 200 ± 100 ms',
  'redis-semaphore': 'redis-semaphore, 10 ms',
};
const SHORT_NAMES: Readonly<Record<string, string>> = {
  ...NAMES,
  redlock4: 'redlock 4',
  redlock5: 'redlock 5 beta',
  'redis-semaphore': 'redis-semaphore',
};

export interface LocksPlan {
  readonly one: { rounds: number; handOffs: number; holdMs: [least: number, most: number] };
  readonly many: { rounds: number; waiters: number; holdMs: number; settleMs: number };
  readonly loop: { rounds: number; clients: number; holdMs: number; forMs: number };
  /** `operations` by what AT_ONCE says. */
  readonly pairs: { rounds: number; warmup: number; operations: [number, number] };
  readonly commands: CommandsPlan;
  readonly loss: { rounds: number; ttlMs: number; observeMs: number };
}

/** By row; the arrays by round. */
export interface Figures {
  readonly oneWaiter: ReadonlyMap<string, readonly (readonly number[])[]>;
  readonly manyWaiters: ReadonlyMap<string, readonly Drained[]>;
  readonly competed: ReadonlyMap<string, readonly Competed[]>;
  /** By how many were under way at once first. */
  readonly pairs: ReadonlyMap<number, ReadonlyMap<string, RemoteTiming>>;
  readonly commands: ReadonlyMap<string, Commands>;
  readonly lateMs: ReadonlyMap<string, readonly (number | null)[]>;
}

export function reportLocks(figures: Figures, plan: LocksPlan, processors: string): Report {
  const one = (row: string): number[] => figures.oneWaiter.get(row)!.flat();
  const many = (row: string): number[] =>
    figures.manyWaiters.get(row)!.flatMap(({ handOffsMs }) => handOffsMs);
  const p50 = quantile(one('ours'), 0.5);
  const oneText = `${plan.one.rounds * plan.one.handOffs} hand-offs`;
  const manyText = `${plan.many.waiters} waiters, ${plan.many.holdMs} ms held, ${plan.many.rounds} rounds`;
  const best = Math.min(...CONTENDERS.slice(1).map((row) => quantile(one(row), 0.5)));
  return {
    summary:
      `With one waiter, a lock that ringcache releases is granted again after ${ms(p50)} ms ` +
      `(the peers: ${ms(best)} ms and more, half of what they wait between two tries). ` +
      `${plan.loop.clients} clients that all want it get it in turn: Jain's index ` +
      `${fairness(figures.competed.get('ours')!).toFixed(2)}, where 1 is even.`,
    parameters: parametersOf(plan, processors),
    tables: [
      handOffTable(`Hand-off, release() to next acquire(): one waiter, ${oneText}`, one),
      drainTable(`Hand-off: ${manyText}`, { many, plan, drained: figures.manyWaiters }),
      fairnessTable(figures.competed, plan.loop),
      commandsTable(figures.commands, plan.commands),
      ...AT_ONCE.map((atOnce) => pairsTable(figures.pairs.get(atOnce)!, atOnce)),
      lossTable(figures.lateMs, plan.loss),
    ],
    targets: targetsOf(figures, one('ours'), many('ours')),
    checksum: checksumOf(figures, plan),
    files: [
      drawLocks(
        CONTENDERS.map((row) => ({ row, one: one(row), many: many(row) })),
        plan.many.waiters,
      ),
    ],
    peers: ['ioredis', 'redlock', 'redlock5', 'redis-semaphore'],
  };
}

function ms(value: number): string {
  return value.toFixed(value < 10 ? 1 : 0);
}

const QUANTILES = [
  { key: 'p50', head: 'p50 ms', digits: 2 },
  { key: 'p95', head: 'p95 ms', digits: 2 },
  { key: 'p99', head: 'p99 ms', digits: 2 },
  { key: 'max', head: 'max ms', digits: 2 },
];

function quantilesOf(values: readonly number[]): Record<string, number> {
  const at = (q: number): number => quantile(values, q);
  return { p50: at(0.5), p95: at(0.95), p99: at(0.99), max: at(1) };
}

function handOffTable(title: string, latencies: (row: string) => number[]): Table {
  return {
    title,
    columns: [{ key: 'row', head: 'row' }, ...QUANTILES],
    rows: CONTENDERS.map((row) => ({ row: NAMES[row]!, ...quantilesOf(latencies(row)) })),
  };
}

function drainTable(
  title: string,
  figures: {
    many: (row: string) => number[];
    plan: LocksPlan;
    drained: Figures['manyWaiters'];
  },
): Table {
  const { rows, columns } = handOffTable(title, figures.many);
  const { waiters, holdMs } = figures.plan.many;
  return {
    title,
    columns: [
      ...columns,
      { key: 'drain', head: `until all had it, ms (least ${waiters * holdMs})` },
    ],
    rows: rows.map((cells, i) => {
      const drains = figures.drained.get(CONTENDERS[i]!)!.map(({ drainMs }) => drainMs);
      return { ...cells, drain: quantile(drains, 0.5) };
    }),
  };
}

/** Jain's index: 1 when all had as many, 1/n when one had all. Of the worst round. */
function fairness(rounds: readonly Competed[]): number {
  const indexes = rounds.map(({ acquired }) => {
    const sum = acquired.reduce((total, count) => total + count, 0);
    const squares = acquired.reduce((total, count) => total + count ** 2, 0);
    return sum ** 2 / (acquired.length * squares);
  });
  return Math.min(...indexes);
}

function fairnessTable(competed: Figures['competed'], loop: LocksPlan['loop']): Table {
  return {
    title: `${loop.clients} clients that want it again at once, ${loop.holdMs} ms held, ${loop.rounds} × ${loop.forMs} ms`,
    columns: [
      { key: 'row', head: 'row' },
      { key: 'perSecond', head: 'acquired/s' },
      { key: 'longest', head: 'longest wait ms' },
      { key: 'jain', head: "Jain's index", digits: 3 },
      { key: 'least', head: 'least of a client' },
      { key: 'most', head: 'most' },
    ],
    rows: CONTENDERS.map((row) => {
      const rounds = competed.get(row)!;
      const counts = rounds.flatMap(({ acquired }) => acquired);
      return {
        row: NAMES[row]!,
        perSecond: (mean(counts) * loop.clients * 1_000) / loop.forMs,
        longest: Math.max(...rounds.map(({ longestWaitMs }) => longestWaitMs)),
        jain: fairness(rounds),
        least: Math.min(...counts),
        most: Math.max(...counts),
      };
    }),
  };
}

function commandsTable(commands: Figures['commands'], plan: CommandsPlan): Table {
  return {
    title: 'Commands that clients sent',
    columns: [
      { key: 'row', head: 'row' },
      { key: 'alone', head: 'acquire + release, alone', digits: 2 },
      { key: 'contended', head: `with ${plan.clients} who want it again at once`, digits: 2 },
      { key: 'waiting', head: 'while waiting, per waiter and second', digits: 2 },
    ],
    rows: CONTENDERS.map((row) => ({ row: NAMES[row]!, ...commands.get(row)! })),
  };
}

function pairsTable(timings: ReadonlyMap<string, RemoteTiming>, atOnce: number): Table {
  const raw = timings.get('raw')!;
  return {
    title: `Acquire + release of a lock that nobody else wants, ${atOnce} at once`,
    columns: [
      { key: 'row', head: 'row' },
      { key: 'perSecond', head: 'pairs/s' },
      { key: 'ofRaw', head: 'of the first', percent: true },
      { key: 'cpu', head: 'client CPU µs/pair', digits: 1 },
      { key: 'spread', head: 'spread', percent: true },
    ],
    rows: PAIRED.map((row) => {
      const timing = timings.get(row)!;
      return {
        row: SHORT_NAMES[row]!,
        perSecond: timing.perSecond,
        ofRaw: raw.wall.ratioTo(timing.wall),
        cpu: timing.cpuMicros,
        spread: timing.wall.spread,
      };
    }),
  };
}

function lossTable(lateMs: Figures['lateMs'], plan: LocksPlan['loss']): Table {
  const within = `${plan.observeMs.toLocaleString('en-US')} ms`;
  return {
    title: `The server stops just after acquire(), ttl ${plan.ttlMs} ms: how long after its end the holder is told`,
    columns: [
      { key: 'row', head: 'row' },
      { key: 'told', head: `told within ${within}` },
      { key: 'median', head: 'median ms late', digits: 1 },
      { key: 'worst', head: 'worst', digits: 1 },
    ],
    rows: KEEPERS.map((row) => {
      const late = lateMs.get(row);
      if (late === undefined) return { row: SHORT_NAMES[row]!, told: 'has no signal' };
      const told = late.filter((value) => value !== null);
      const outcome = `${told.length} of ${late.length}`;
      if (told.length === 0) return { row: SHORT_NAMES[row]!, told: outcome };
      return {
        row: SHORT_NAMES[row]!,
        told: outcome,
        median: quantile(told, 0.5),
        worst: Math.max(...told),
      };
    }),
  };
}

function targetsOf(figures: Figures, one: readonly number[], many: readonly number[]): Target[] {
  const ofRaw = (atOnce: number): number => {
    const timings = figures.pairs.get(atOnce)!;
    return timings.get('raw')!.wall.ratioTo(timings.get('ours')!.wall);
  };
  const late = figures.lateMs.get('ours')!.map((value) => value ?? Number.POSITIVE_INFINITY);
  return [
    atMost('hand-off, 1 waiter, p50 ms', quantile(one, 0.5), 1.5),
    atMost('hand-off, 1 waiter, p99 ms', quantile(one, 0.99), 15),
    atMost('hand-off, many waiters, p50 ms', quantile(many, 0.5), 1),
    atMost('hand-off, many waiters, p99 ms', quantile(many, 0.99), 10),
    atMost('commands per contended acquire + release', figures.commands.get('ours')!.contended, 4),
    atLeast("Jain's index", fairness(figures.competed.get('ours')!), 0.98),
    atLeast('pairs, part of raw, 1 at once', ofRaw(1), 0.75),
    atLeast('pairs, part of raw, 50 at once', ofRaw(50), 0.85),
    atMost('told of a loss, worst, ms late', Math.max(...late), 20),
  ];
}

function parametersOf(plan: LocksPlan, processors: string): Report['parameters'] {
  const [least, most] = plan.one.holdMs;
  return {
    'hand-offs to one waiter': plan.one.rounds * plan.one.handOffs,
    'held ms, one waiter': `${least} to ${most}`,
    waiters: plan.many.waiters,
    rounds: plan.many.rounds,
    'held ms': plan.many.holdMs,
    'queueing up ms': plan.many.settleMs,
    'closed loop ms': plan.loop.forMs,
    'pairs a round': plan.pairs.operations.join(' and '),
    'rounds of pairs': plan.pairs.rounds,
    'ttl ms, server stopped': plan.loss.ttlMs,
    processors,
  };
}

/** Of what must be in every run: each hand-off and pair happened, and whether ours tells. */
function checksumOf({ oneWaiter, manyWaiters, pairs, lateMs }: Figures, plan: LocksPlan): string {
  const checksum = new Checksum();
  for (const row of CONTENDERS) {
    checksum.add(oneWaiter.get(row)!.flat().length);
    for (const { handOffsMs } of manyWaiters.get(row)!) {
      if (handOffsMs.length !== plan.many.waiters) throw new Error(`${row}: not all were granted`);
      checksum.add(handOffsMs.length);
    }
  }
  for (const timings of pairs.values())
    for (const { answer } of timings.values()) checksum.add(answer);
  checksum.add(lateMs.get('ours')!.filter((late) => late !== null).length);
  return checksum.toString();
}
