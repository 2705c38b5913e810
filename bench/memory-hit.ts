/**
 * A hit in the memory of the process: `await getOrSet(…)`, and `peek` without
 * waiting. Every row is a process of its own, filled with all keys; it is asked
 * for the 1,000 hottest (they fit into the processor's caches) and for all by
 * Zipf's law (they do not).
 *
 * The floors are lru-cache itself: its `get` behind one async function, and
 * alone. Beside them other caches of Node.js, each by its documented call and
 * with its own defaults; bentocache keeps JSON and parses it on every hit,
 * cacheable and cache-manager clone.
 *
 * It says nothing about misses (see `reads`), nor about building keys.
 */

import { startLocalNodes } from '../src/local.ts';
import { atLeast, atMost, type Bench, type BenchContext, Checksum, type Report } from './bench.ts';
import { Child, measureRemote, type RemoteTiming } from './child.ts';
import type { MemoryHitRow } from './memory-hit-row.ts';
import type { Table } from './report.ts';

interface Row {
  readonly id: string;
  readonly name: string;
  readonly sync: boolean;
  /** The row that it is compared with. */
  readonly floor: string;
  /** How much less it does than the fast ones, so that all rounds take about as long. */
  readonly slower: number;
}

const AWAITED = { sync: false, floor: 'lru-async' };
const SYNC = { sync: true, floor: 'lru-sync' };

const ROWS: readonly Row[] = [
  { id: 'lru-async', name: 'lru-cache in an async function (floor)', slower: 1, ...AWAITED },
  { id: 'ours', name: 'ringcache getOrSet', slower: 1, ...AWAITED },
  { id: 'layered-loader', name: 'layered-loader get', slower: 1, ...AWAITED },
  { id: 'cachified', name: 'cachified on lru-cache', slower: 5, ...AWAITED },
  { id: 'cache-manager', name: 'cache-manager wrap', slower: 8, ...AWAITED },
  { id: 'bentocache', name: 'bentocache getOrSet', slower: 10, ...AWAITED },
  { id: 'cacheable', name: 'cacheable getOrSet', slower: 40, ...AWAITED },
  { id: 'lru-sync', name: 'lru-cache get (floor)', slower: 1, ...SYNC },
  { id: 'ours-sync', name: 'ringcache peek', slower: 1, ...SYNC },
  { id: 'layered-loader-sync', name: 'layered-loader getInMemoryOnly', slower: 1, ...SYNC },
];
const SETS = ['hot', 'all'] as const;

type Timings = ReadonlyMap<string, RemoteTiming>;

export const memoryHit: Bench = {
  name: 'memory-hit',
  about: 'a hit in the memory of the process: nanoseconds beside lru-cache and other caches',
  run,
};

async function run(context: BenchContext): Promise<Report> {
  const parameters = {
    keys: context.parameter(500, 100_000),
    'hot keys': context.parameter(100, 1_000),
    operations: context.parameter(2_000, 200_000),
    rounds: context.parameter(1, 21),
  };
  await using nodes = await startLocalNodes(1);
  using children = new DisposableStack();
  const opened = ROWS.map(async (row) => {
    const child = children.use(new Child<MemoryHitRow>('memory-hit-row.ts'));
    const { url } = nodes[0]!;
    const { keys, 'hot keys': hot } = parameters;
    await child.ask('open', { row: row.id, url, keys, hot });
    return { row, child };
  });
  context.progress(`${ROWS.length} processes are filled`);
  const subjects = await Promise.all(opened);
  const timings = new Map<string, RemoteTiming>();
  for (const set of SETS) {
    context.progress(`${parameters.rounds} rounds over the ${set} keys`);
    const cases = subjects.map(({ row, child }) => {
      const operations = parameters.operations / row.slower;
      const ask = { set, operations, sync: row.sync };
      return { name: row.id, operations, run: () => child.ask('round', ask) };
    });
    const options = { rounds: parameters.rounds, warmup: context.parameter(0, 4) };
    for (const timing of await measureRemote(cases, options)) {
      timings.set(`${set} ${timing.name}`, timing);
    }
  }
  return report(timings, checkAnswers(timings), parameters);
}

/** Rows that did equally much must have summed up the same values. */
function checkAnswers(timings: Timings): string {
  const checksum = new Checksum();
  for (const set of SETS) {
    const bySize = new Map<number, number>();
    for (const { id, slower } of ROWS) {
      const { answer } = timings.get(`${set} ${id}`)!;
      if ((bySize.get(slower) ?? answer) !== answer) throw new Error(`${id} answered otherwise`);
      bySize.set(slower, answer);
      checksum.add(answer);
    }
  }
  return checksum.toString();
}

function report(
  timings: Timings,
  checksum: string,
  parameters: Readonly<Record<'keys' | 'hot keys' | 'operations' | 'rounds', number>>,
): Report {
  const of = (set: string, id: string): RemoteTiming => timings.get(`${set} ${id}`)!;
  const ratio = (set: string, id: string, base: string): number =>
    of(set, id).cpu.ratioTo(of(set, base).cpu);
  const table: Table = {
    title:
      'Nanoseconds per hit (median of the rounds), and processor time as a multiple of the floor',
    columns: [
      { key: 'row', head: 'row' },
      { key: 'hot', head: `${parameters['hot keys'].toLocaleString('en-US')} keys` },
      { key: 'hotRatio', head: '× floor', digits: 2 },
      { key: 'all', head: `${parameters.keys.toLocaleString('en-US')} keys, Zipf` },
      { key: 'allRatio', head: '× floor', digits: 2 },
    ],
    rows: ROWS.map(({ id, name, floor }) => ({
      row: name,
      hot: of('hot', id).wall.median,
      hotRatio: ratio('hot', id, floor),
      all: of('all', id).wall.median,
      allRatio: ratio('all', id, floor),
    })),
  };
  const targets = SETS.flatMap((set) => [
    atMost(`getOrSet ÷ floor, ${set}`, ratio(set, 'ours', 'lru-async'), 1.3),
    atMost(`peek ÷ floor, ${set}`, ratio(set, 'ours-sync', 'lru-sync'), 1.3),
    atLeast(`bentocache ÷ getOrSet, ${set}`, ratio(set, 'bentocache', 'ours'), 8),
    atLeast(`cachified ÷ getOrSet, ${set}`, ratio(set, 'cachified', 'ours'), 4),
  ]);
  const cost = ratio('hot', 'ours', 'lru-async').toFixed(2);
  const gain = ratio('hot', 'bentocache', 'ours').toFixed(1);
  return {
    summary:
      `An awaited hit costs ${cost} times what lru-cache behind one async function does, ` +
      `and bentocache ${gain} times as much as that.`,
    parameters,
    tables: [table],
    targets,
    checksum,
    peers: [
      'lru-cache',
      'layered-loader',
      '@epic-web/cachified',
      'cache-manager',
      'bentocache',
      'cacheable',
    ],
  };
}
