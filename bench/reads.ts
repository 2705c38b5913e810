/**
 * Reads that go to Redis, over one and over three real nodes on this machine:
 * single reads with 512 and with one in flight, without the memory tier; the
 * whole path through it (a memory of 100 entries, so that nearly every read
 * misses it, goes to its node, and is put into it); and `getMany`.
 *
 * Values of 100 bytes, JSON, parsed in every row; keys drawn evenly. Every row
 * is a process of its own, and they take turns. Peers know one server: over
 * three they are given our ring, and a client for each. Where it can be
 * arranged, the servers have one processor and the client another. The client's
 * processor time per key is what holds on a shared machine; keys per second
 * also depend on who else is there.
 *
 * It says nothing about a real network, TLS, or a server under other load.
 */

import { startLocalNodes } from '../src/local.ts';
import { describePinning, type Pinning, pin, planPinning } from './affinity.ts';
import {
  atLeast,
  type Bench,
  type BenchContext,
  Checksum,
  type Report,
  type Target,
} from './bench.ts';
import { Child, measureRemote, type RemoteTiming } from './child.ts';
import { ITEM_BYTES } from './keys.ts';
import type { ReadsRow } from './reads-row.ts';
import type { Table } from './report.ts';

interface Row {
  readonly id: string;
  readonly name: string;
}

/** What is done, by which rows; the first is what the others are compared with. */
interface Kind {
  readonly id: string;
  readonly title: string;
  readonly nodes: readonly number[];
  readonly inFlight: number;
  readonly many: number;
  /** How much less is done than with 512 in flight. */
  readonly slower: number;
  readonly rows: readonly Row[];
}

const IOREDIS = { id: 'ioredis', name: 'ioredis get + JSON.parse' };
const AUTO = { id: 'ioredis-auto', name: 'ioredis get, auto-pipelined, + JSON.parse' };
const BENTO = { id: 'bentocache-remote', name: 'bentocache get, Redis only' };
const MANY = 100;

const KINDS: readonly Kind[] = [
  {
    id: 'single',
    title: 'Single reads, 512 in flight, memory off',
    nodes: [1, 3],
    inFlight: 512,
    many: 0,
    slower: 1,
    rows: [
      IOREDIS,
      AUTO,
      { id: 'node-redis', name: 'node-redis get + JSON.parse' },
      BENTO,
      { id: 'ours-remote', name: 'ringcache get' },
    ],
  },
  {
    id: 'whole',
    title: 'The whole path, 512 in flight: memory missed, node read, memory filled',
    nodes: [1, 3],
    inFlight: 512,
    many: 0,
    slower: 1,
    rows: [
      AUTO,
      { id: 'layered-loader-two', name: 'layered-loader get, memory and Redis' },
      { id: 'bentocache-two', name: 'bentocache getOrSet, memory and Redis' },
      { id: 'ours-two', name: 'ringcache getOrSet' },
    ],
  },
  {
    id: 'one',
    title: 'One read in flight, memory off',
    nodes: [1],
    inFlight: 1,
    many: 0,
    slower: 20,
    rows: [IOREDIS, BENTO, { id: 'ours-remote', name: 'ringcache get' }],
  },
  {
    id: 'many',
    title: `${MANY} keys a call, 5 calls in flight, memory off`,
    nodes: [1],
    inFlight: 5,
    many: MANY,
    slower: 1,
    rows: [
      { id: 'ioredis', name: 'ioredis mget + JSON.parse' },
      { id: 'ours-remote', name: 'ringcache getMany' },
    ],
  },
];

type Timings = ReadonlyMap<string, RemoteTiming>;
type Children = ReadonlyMap<string, Child<ReadsRow>>;

export const reads: Bench = {
  name: 'reads',
  about: 'reads over one and three nodes: keys a second and processor time beside Redis clients',
  run,
};

async function run(context: BenchContext): Promise<Report> {
  const keys = context.parameter(200, 50_000);
  const operations = context.parameter(1_000, 40_000);
  const rounds = context.parameter(1, 15);
  const pinning = planPinning();
  const timings = new Map<string, RemoteTiming>();
  for (const count of [1, 3]) {
    await using nodes = await startLocalNodes(count);
    using stack = new DisposableStack();
    if (pinning !== undefined) {
      const { servers } = pinning;
      for (const [i, { pid }] of nodes.entries()) pin(pid, servers[i % servers.length]!);
    }
    const kinds = KINDS.filter((kind) => kind.nodes.includes(count));
    context.progress(`${count} nodes: filling them`);
    const ids = new Set(kinds.flatMap(({ rows }) => rows.map(({ id }) => id)));
    const urls = nodes.map(({ url }) => url);
    const children = await openAll([...ids], { stack, pinning, plan: { urls, keys } });
    for (const kind of kinds) {
      context.progress(`${count} nodes: ${rounds} rounds: ${kind.title}`);
      const options = { rounds, warmup: context.parameter(0, 3) };
      for (const timing of await measureKind(kind, children, { operations, ...options })) {
        timings.set(`${kind.id} ${timing.name} ${count}`, timing);
      }
    }
  }
  const parameters = {
    keys,
    'value bytes': ITEM_BYTES,
    operations,
    rounds,
    processors: describePinning(pinning),
  };
  return report(timings, parameters);
}

async function openAll(
  rows: readonly string[],
  options: {
    stack: DisposableStack;
    pinning: Pinning | undefined;
    plan: { urls: string[]; keys: number };
  },
): Promise<Children> {
  const opened = rows.map(async (row) => {
    const child = options.stack.use(new Child<ReadsRow>('reads-row.ts'));
    await child.ask('open', { row, ...options.plan });
    if (options.pinning !== undefined) pin(child.pid, options.pinning.client);
    return [row, child] as const;
  });
  return new Map(await Promise.all(opened));
}

function measureKind(
  { rows, inFlight, many, slower }: Kind,
  children: Children,
  options: { operations: number; rounds: number; warmup: number },
): Promise<RemoteTiming[]> {
  const operations = options.operations / slower;
  const cases = rows.map(({ id }) => ({
    name: id,
    operations,
    run: () => children.get(id)!.ask('round', { operations, inFlight, many }),
  }));
  return measureRemote(cases, options);
}

function report(timings: Timings, parameters: Report['parameters']): Report {
  const checksum = new Checksum();
  for (const kind of KINDS) {
    const answers = kind.nodes.flatMap((count) =>
      kind.rows.map(({ id }) => timings.get(`${kind.id} ${id} ${count}`)!.answer),
    );
    if (new Set(answers).size > 1) throw new Error(`${kind.title}: the rows read different values`);
    checksum.add(answers[0]!);
  }
  const gain = times(timings, 'single ours-remote 1', 'single ioredis 1');
  return {
    summary:
      `With 512 reads in flight, ringcache reads ${gain.toFixed(1)} times as many keys a second ` +
      'as plain ioredis: one MGET for what is asked in one turn of the event loop, and no promise ' +
      'for a key but the one that its caller awaits.',
    parameters,
    tables: KINDS.flatMap((kind) => kind.nodes.map((count) => tableOf(kind, count, timings))),
    targets: targetsOf(timings),
    checksum: checksum.toString(),
    peers: ['ioredis', 'redis', 'layered-loader', 'bentocache'],
  };
}

function tableOf({ id: kind, title, rows }: Kind, count: number, timings: Timings): Table {
  const base = `${kind} ${rows[0]!.id} ${count}`;
  return {
    title: `${title}; ${count === 1 ? 'one node' : `${count} nodes`}`,
    columns: [
      { key: 'row', head: 'row' },
      { key: 'perSecond', head: 'keys/s' },
      { key: 'times', head: '× the first', digits: 2 },
      { key: 'cpu', head: 'client CPU µs/key', digits: 2 },
      { key: 'cpuRatio', head: '÷ the first', digits: 2 },
      { key: 'spread', head: 'spread', percent: true },
    ],
    rows: rows.map(({ id, name }) => {
      const row = `${kind} ${id} ${count}`;
      const timing = timings.get(row)!;
      return {
        row: name,
        perSecond: timing.perSecond,
        times: times(timings, row, base),
        cpu: timing.cpuMicros,
        cpuRatio: timing.cpu.ratioTo(timings.get(base)!.cpu),
        spread: timing.wall.spread,
      };
    }),
  };
}

/** How many times the keys a second of `base` the row reads. */
function times(timings: Timings, row: string, base: string): number {
  return timings.get(base)!.wall.ratioTo(timings.get(row)!.wall);
}

function targetsOf(timings: Timings): Target[] {
  const single = (base: string, count: number): number =>
    times(timings, `single ours-remote ${count}`, `single ${base} ${count}`);
  const whole = (base: string, count: number): number =>
    times(timings, `whole ours-two ${count}`, `whole ${base} ${count}`);
  const one = times(timings, 'one ours-remote 1', 'one ioredis 1');
  const many = times(timings, 'many ours-remote 1', 'many ioredis 1');
  return [
    atLeast('get ÷ ioredis get, 1 node', single('ioredis', 1), 2.3),
    atLeast('get ÷ bentocache, 1 node', single('bentocache-remote', 1), 4),
    atLeast('get ÷ ioredis get, 3 nodes', single('ioredis', 3), 2),
    atLeast('whole path ÷ ioredis auto-pipelined, 1 node', whole('ioredis-auto', 1), 2),
    atLeast('whole path ÷ ioredis auto-pipelined, 3 nodes', whole('ioredis-auto', 3), 1.8),
    atLeast('whole path ÷ bentocache, 1 node', whole('bentocache-two', 1), 4),
    atLeast('whole path ÷ layered-loader, 1 node', whole('layered-loader-two', 1), 2.5),
    atLeast('one in flight ÷ ioredis get', one, 0.93),
    atLeast('getMany ÷ ioredis mget', many, 0.35),
  ];
}
