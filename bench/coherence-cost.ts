/** What it costs a node to tell so many processes of every write: processor time of the server, by its own account. */

import { Redis } from 'ioredis';
import type { LocalNode } from '../src/local.ts';
import { type BenchContext, quantile } from './bench.ts';
import { Child } from './child.ts';
import type { Channels } from './coherence-channels.ts';
import type { CoherenceLoad } from './coherence-load.ts';
import type { Table } from './report.ts';

const NAMESPACE = 'bench';
/** Of a key, as in coherence-load.ts; at least that much is told of each write. */
const KEY_BYTES = 12;

export const LOADS = [
  { name: 'plain SET, one at a time', kind: 'plain', atOnce: 1 },
  { name: 'plain SET, 16 at a time', kind: 'plain', atOnce: 16 },
  { name: 'cache.set, 64 at a time', kind: 'ours', atOnce: 64 },
] as const;

export interface Cost {
  readonly load: string;
  readonly channels: number;
  /** Of the server, for a write. */
  readonly cpuMicros: number;
}

export interface CostParameters {
  readonly channels: readonly number[];
  readonly writes: number;
  readonly rounds: number;
}

export async function measureCost(
  node: LocalNode,
  parameters: CostParameters,
  context: BenchContext,
): Promise<Cost[]> {
  using stack = new DisposableStack();
  const drain = stack.use(new Child<Channels>('coherence-channels.ts'));
  const load = stack.use(new Child<CoherenceLoad>('coherence-load.ts'));
  const server = stack.adopt(new Redis(node.url), (redis) => redis.disconnect());
  const where = { port: node.port, namespace: NAMESPACE };
  await load.ask('open', where);
  const samples = new Map<string, number[]>();
  for (let round = -1; round < parameters.rounds; round++) {
    for (const count of parameters.channels) {
      context.progress(`round ${round + 1}, ${count} push channels`);
      for (const { name, kind, atOnce } of LOADS) {
        await drain.ask('have', { ...where, count });
        const before = await cpuMicrosOf(server);
        const written = await load.ask(kind, { count: parameters.writes, atOnce });
        const after = await cpuMicrosOf(server);
        await checkTold(drain, { count, written });
        await server.flushall();
        // The first round is to warm up.
        const of = samples.get(`${name} ${count}`) ?? [];
        samples.set(`${name} ${count}`, round < 0 ? [] : [...of, (after - before) / written]);
      }
    }
  }
  return LOADS.flatMap(({ name }) =>
    parameters.channels.map((channels) => ({
      ...{ load: name, channels },
      cpuMicros: quantile(samples.get(`${name} ${channels}`) ?? [], 0.5),
    })),
  );
}

export function costTable(costs: readonly Cost[], channels: readonly number[]): Table {
  return {
    title:
      'Processor time of a node for each write, by how many push channels it has, microseconds',
    columns: [
      { key: 'load', head: 'written' },
      ...channels.map((count) => ({ key: `${count}`, head: `${count}`, digits: 2 })),
    ],
    rows: LOADS.map(({ name }) => ({
      load: name,
      ...Object.fromEntries(
        costs
          .filter(({ load }) => load === name)
          .map(({ channels: count, cpuMicros }) => [count, cpuMicros]),
      ),
    })),
  };
}

async function cpuMicrosOf(server: Redis): Promise<number> {
  const info = await server.info('cpu');
  const of = (name: string): number =>
    Number(new RegExp(`^${name}:([\\d.]+)`, 'm').exec(info)?.[1] ?? Number.NaN);
  return (of('used_cpu_user') + of('used_cpu_sys')) * 1e6;
}

/** @throws When a channel was not told of every write: then what was measured is something else. */
async function checkTold(
  drain: Child<Channels>,
  { count, written }: { count: number; written: number },
): Promise<void> {
  if (count === 0) return;
  const least = written * KEY_BYTES;
  for (let tries = 0; tries < 200; tries++) {
    if ((await drain.ask('told', null)) >= least) return;
  }
  throw new Error(`a push channel was not told of all ${written} writes`);
}
