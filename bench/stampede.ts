/**
 * A stampede: one cold key, wanted at the same moment by every caller of every
 * process, and a loader that takes a while. How often is it called, and when
 * does the last caller have its value?
 *
 * Real processes on one real node; the rows take turns, a new key each time.
 * The others have a flight per process and none between processes.
 *
 * It says nothing about a process that dies while it loads (the failure tests
 * do), nor about the loader's own cost: it waits, as for a database.
 */

import { startLocalNodes } from '../src/local.ts';
import { atMost, type Bench, type BenchContext, Checksum, quantile, type Report } from './bench.ts';
import { Child } from './child.ts';
import type { Table } from './report.ts';
import type { Seen, StampedeRow } from './stampede-row.ts';

const ROWS = ['ours', 'layered-loader', 'bentocache', 'cachified'] as const;
const NAMES: Readonly<Record<(typeof ROWS)[number], string>> = {
  ours: 'ringcache getOrSet',
  'layered-loader': 'layered-loader get, memory and Redis',
  bentocache: 'bentocache getOrSet, memory and Redis',
  cachified: 'cachified on Redis',
};
/** What asking and answering may cost besides the load. */
const SLACK_MS = 25;
/** Until all processes have been told when to start. */
const LEAD_MS = 50;

interface Parameters {
  readonly processes: number;
  readonly 'callers each': number;
  readonly 'load ms': number;
  readonly rounds: number;
}

/** One stampede, over all processes. */
interface Outcome {
  readonly loads: number;
  readonly allServedMs: number;
  readonly medianMs: number;
}

type Outcomes = ReadonlyMap<string, readonly Outcome[]>;

export const stampede: Bench = {
  name: 'stampede',
  about: 'one cold key, wanted by many processes at once: loads, and when all are served',
  run,
};

async function run(context: BenchContext): Promise<Report> {
  const parameters = {
    processes: context.parameter(2, 4),
    'callers each': context.parameter(100, 1_000),
    'load ms': context.parameter(20, 100),
    rounds: context.parameter(1, 15),
  };
  await using nodes = await startLocalNodes(1);
  using stack = new DisposableStack();
  context.progress(`${ROWS.length * parameters.processes} processes are started`);
  const { url } = nodes[0]!;
  const opened = ROWS.map(async (row) => {
    const children = Array.from({ length: parameters.processes }, () =>
      stack.use(new Child<StampedeRow>('stampede-row.ts')),
    );
    await Promise.all(children.map((child) => child.ask('open', { row, url })));
    return { row, children, outcomes: [] as Outcome[] };
  });
  const rows = await Promise.all(opened);
  context.progress(`${parameters.rounds} rounds`);
  for (let round = 0; round < parameters.rounds; round++) {
    for (let turn = 0; turn < rows.length; turn++) {
      const { children, outcomes } = rows[(round + turn) % rows.length]!;
      outcomes.push(await rush(children, round, parameters));
    }
  }
  return report(new Map(rows.map(({ row, outcomes }) => [row, outcomes])), parameters);
}

async function rush(
  children: readonly Child<StampedeRow>[],
  round: number,
  parameters: Parameters,
): Promise<Outcome> {
  const plan = {
    key: `cold:${round}`,
    id: round,
    callers: parameters['callers each'],
    loadMs: parameters['load ms'],
    startAt: Date.now() + LEAD_MS,
  };
  const seen: Seen[] = await Promise.all(children.map((child) => child.ask('rush', plan)));
  if (!seen.every(({ right }) => right)) throw new Error('a caller got a wrong value');
  return {
    loads: seen.reduce((sum, { loads }) => sum + loads, 0),
    allServedMs: Math.max(...seen.map(({ allServedMs }) => allServedMs)),
    medianMs: quantile(
      seen.map(({ medianMs }) => medianMs),
      0.5,
    ),
  };
}

function report(outcomes: Outcomes, parameters: Parameters): Report {
  const all = (row: string, what: keyof Outcome): number[] =>
    outcomes.get(row)!.map((outcome) => outcome[what]);
  const median = (row: string, what: keyof Outcome): number => quantile(all(row, what), 0.5);
  const callers = parameters.processes * parameters['callers each'];
  const table: Table = {
    title: `${callers.toLocaleString('en-US')} callers in ${parameters.processes} processes, one cold key, ${parameters['load ms']} ms to load it`,
    columns: [
      { key: 'row', head: 'row' },
      { key: 'loads', head: 'loads' },
      { key: 'most', head: 'most in a round' },
      { key: 'half', head: 'median caller ms' },
      { key: 'served', head: 'all served ms' },
      { key: 'worst', head: 'worst round ms' },
    ],
    rows: ROWS.map((row) => ({
      row: NAMES[row],
      loads: median(row, 'loads'),
      most: quantile(all(row, 'loads'), 1),
      half: median(row, 'medianMs'),
      served: median(row, 'allServedMs'),
      worst: quantile(all(row, 'allServedMs'), 1),
    })),
  };
  const most = quantile(all('ours', 'loads'), 1);
  const servedMs = median('ours', 'allServedMs');
  const checksum = new Checksum();
  // How often the others load depends on who is first: only what must be is in it.
  checksum.add(`${callers} ${parameters.rounds} ${most}`);
  return {
    summary:
      `ringcache calls the loader ${most === 1 ? 'once' : `up to ${most} times`}, and the last of ` +
      `${callers.toLocaleString('en-US')} callers has the value after ${servedMs.toFixed(0)} ms; ` +
      'the other caches call it once in each process.',
    parameters: { ...parameters },
    tables: [table],
    targets: [
      atMost('loads, ringcache, in the worst round', most, 1),
      atMost('all served, ringcache, ms', servedMs, parameters['load ms'] + SLACK_MS),
    ],
    checksum: checksum.toString(),
    peers: ['ioredis', 'layered-loader', 'bentocache', '@epic-web/cachified'],
  };
}
