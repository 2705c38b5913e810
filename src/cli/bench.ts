/**
 * `ringcache bench`: what reading from each node costs from here, now. A quick
 * look at a fleet in place, under whatever else it does meanwhile; says nothing
 * of other libraries or of your keys (that is `npm run bench` of the project).
 */
import { randomUUID } from 'node:crypto';
import { createHistogram, type RecordableHistogram } from 'node:perf_hooks';
import type { RingCache } from '../index.ts';
import { openCache, runningFleet } from './fleet.ts';
import { interruptible } from './interrupt.ts';
import { type Output, printJson } from './screen.ts';
import { type Cell, type Column, table } from './table.ts';
import { count, inOrder, many, percent, time } from './text.ts';
import { type Args, type Call, type Command, FailedError } from './usage.ts';

/** What is not deleted for some reason is gone by itself after this. */
const TTL_MS = 300_000;

export const bench: Command = {
  name: 'bench',
  summary: 'a quick load: reads a second, latency and hit rate of each node from here',
  usage: ['bench [--seconds N] [--keys N] [--size BYTES] [--in-flight N]'],
  about: [
    'Writes keys of its own under a prefix of their own (ringcache-bench:…), reads them at random, so many at a time, and deletes ' +
      'them again, also after Ctrl-C; what could not be deleted expires within 5 minutes. It reads nothing else, but it is load, ' +
      'and on a full node it pushes out other entries.',
    'p50 and p99 are those of one read, as a program sees it: with more in flight each waits longer. Nothing is kept in this ' +
      "process's memory. hits below 100 %: the node evicts, or did not answer in time.",
  ],
  options: {
    seconds: { type: 'string', value: 'N', about: 'how long it reads, 0.1 to 600 (default: 3)' },
    keys: { type: 'string', value: 'N', about: 'how many keys, 1 to 100000 (default: 1000)' },
    size: { type: 'string', value: 'BYTES', about: 'of one value, 1 to 100000 (default: 100)' },
    'in-flight': { type: 'string', value: 'N', about: 'reads at a time, 1 to 10000 (default: 64)' },
  },
  run,
};

interface Load {
  readonly seconds: number;
  readonly keys: number;
  readonly size: number;
  readonly inFlight: number;
}

async function run({ args, output }: Call): Promise<number> {
  args.none();
  const load = loadOf(args);
  const cache = await openCache(await runningFleet(args));
  try {
    return await interruptible((signal) => measure(cache, { load, output, signal }));
  } finally {
    await cache.close();
  }
}

function loadOf(args: Args): Load {
  const whole = (name: string, most: number): number | undefined => {
    const number = args.number(name, { least: 1, most });
    return number === undefined ? undefined : Math.floor(number);
  };
  return {
    seconds: args.number('seconds', { least: 0.1, most: 600 }) ?? 3,
    keys: whole('keys', 100_000) ?? 1_000,
    size: whole('size', 100_000) ?? 100,
    inFlight: whole('in-flight', 10_000) ?? 64,
  };
}

class Tally {
  keys = 0;
  hits = 0;
  readonly latency: RecordableHistogram = createHistogram();

  get reads(): number {
    return this.latency.count;
  }

  record(ms: number, hit: boolean): void {
    this.latency.record(Math.max(1, Math.round(ms * 1_000)));
    if (hit) this.hits += 1;
  }

  result(seconds: number): Result {
    const { keys, reads, hits, latency } = this;
    const known = reads > 0;
    return {
      keys,
      reads,
      readsPerSecond: reads / seconds,
      p50Ms: known ? latency.percentile(50) / 1_000 : undefined,
      p99Ms: known ? latency.percentile(99) / 1_000 : undefined,
      hitRate: known ? hits / reads : undefined,
    };
  }
}

interface Result {
  readonly keys: number;
  readonly reads: number;
  readonly readsPerSecond: number;
  readonly p50Ms: number | undefined;
  readonly p99Ms: number | undefined;
  readonly hitRate: number | undefined;
}

async function measure(
  cache: RingCache,
  { load, output, signal }: { load: Load; output: Output; signal: AbortSignal },
): Promise<number> {
  const prefix = `ringcache-bench:${randomUUID().slice(0, 8)}:`;
  const keys = Array.from({ length: load.keys }, (_, i) => `${prefix}${i}`);
  const { err } = output;
  err.print(
    `Writes ${many(load.keys, 'key')} of ${many(load.size, 'byte')} under ${prefix}, reads them for ${load.seconds} s, ` +
      `${count(load.inFlight)} at a time, and deletes them again.`,
  );
  const tallies = new Map(cache.topology.nodes.map(({ id }) => [id, new Tally()]));
  const all = new Tally();
  let elapsed = 0;
  let left = 0;
  try {
    const stored = await fill(cache, keys, load.size);
    if (stored.length === 0)
      throw new FailedError('RINGCACHE_NOTHING_STORED', 'no node took a key');
    for (const { node } of stored) tallyOf(tallies, node).keys += 1;
    all.keys = stored.length;
    elapsed = await read(cache, stored, { load, signal, record });
  } finally {
    const deleted = await cache.deleteMany(keys);
    left = deleted.filter((gone) => !gone).length;
    if (left > 0)
      err.print(
        err.paint('yellow', `${many(left, 'key')} could not be deleted: gone within 5 minutes.`),
      );
  }
  function record(node: string, ms: number, hit: boolean): void {
    tallyOf(tallies, node).record(ms, hit);
    all.record(ms, hit);
  }
  const seconds = elapsed / 1_000;
  const nodes = inOrder([...tallies].map(([id, tally]) => ({ id, ...tally.result(seconds) })));
  print(output, { prefix, load: { ...load, seconds }, nodes, all: all.result(seconds), left });
  if (signal.aborted) err.print('Interrupted: the numbers are those until then.');
  return signal.aborted || left > 0 || all.keys < keys.length ? 1 : 0;
}

/** The ring may have changed since: a node that is new is measured, too. */
function tallyOf(tallies: Map<string, Tally>, node: string): Tally {
  const tally = tallies.get(node) ?? new Tally();
  tallies.set(node, tally);
  return tally;
}

interface Placed {
  readonly key: string;
  readonly node: string;
}

/** The keys that were stored, and where. */
async function fill(cache: RingCache, keys: readonly string[], size: number): Promise<Placed[]> {
  // Two bytes are the quotes of JSON.
  const value = 'x'.repeat(Math.max(0, size - 2));
  const options = { ttl: TTL_MS, staleTtl: 0 };
  const stored = await cache.setMany(
    keys.map((key) => [key, value]),
    options,
  );
  return keys.filter((_, i) => stored[i]).map((key) => ({ key, node: cache.ownerOf(key) }));
}

interface Reading {
  readonly load: Load;
  readonly signal: AbortSignal;
  record(node: string, ms: number, hit: boolean): void;
}

/** Resolves to how long it took. */
async function read(cache: RingCache, stored: readonly Placed[], at: Reading): Promise<number> {
  const began = performance.now();
  const end = began + at.load.seconds * 1_000;
  const reader = async (): Promise<void> => {
    while (!at.signal.aborted) {
      const { key, node } = stored[Math.floor(Math.random() * stored.length)]!;
      const sentAt = performance.now();
      if (sentAt >= end) return;
      const value = await cache.get(key);
      at.record(node, performance.now() - sentAt, value !== undefined);
    }
  };
  await Promise.all(Array.from({ length: at.load.inFlight }, reader));
  return performance.now() - began;
}

const COLUMNS: readonly Column[] = [
  { title: 'node' },
  { title: 'keys', right: true, spare: 1 },
  { title: 'reads/s', right: true },
  { title: 'p50', right: true },
  { title: 'p99', right: true },
  { title: 'hits', right: true },
];

interface Report {
  readonly prefix: string;
  readonly load: Load;
  readonly nodes: readonly (Result & { readonly id: string })[];
  readonly all: Result;
  /** Keys that could not be deleted. */
  readonly left: number;
}

function print(output: Output, report: Report): void {
  if (output.json) {
    printJson(output, report);
    return;
  }
  const { out } = output;
  const row = (name: string, result: Result): Cell[] => [
    name,
    count(result.keys),
    count(result.readsPerSecond),
    result.p50Ms === undefined ? '-' : time(result.p50Ms),
    result.p99Ms === undefined ? '-' : time(result.p99Ms),
    result.hitRate === undefined ? '-' : percent(result.hitRate),
  ];
  const total = row('all', report.all).map(
    (text): Cell => ({ text: String(text), format: 'bold' }),
  );
  out.print(...table(out, COLUMNS, [...report.nodes.map((node) => row(node.id, node)), total]));
}
