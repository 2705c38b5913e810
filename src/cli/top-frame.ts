/** One view of `top`: the rates between two looks, and the lines. */
import type { Fleet, NodeReport } from '../index.ts';
import { namespaceOf } from './fleet.ts';
import { problemLines } from './ring.ts';
import type { Screen } from './screen.ts';
import { type Cell, type Column, table } from './table.ts';
import { bar, bytes, count, escaped, many, percent, time, widthOf } from './text.ts';

export interface Rates {
  readonly opsPerSecond: number | undefined;
  /** 0 to 1; undefined when nothing was looked up. */
  readonly hitRate: number | undefined;
  readonly evictionsPerSecond: number | undefined;
}

export interface Sample {
  readonly at: number;
  readonly epoch: number;
  readonly state: 'stable' | 'joint';
  readonly nodes: readonly (NodeReport & Rates)[];
}

/** Since the look before; at the first one, and after a restart of the server, what it says itself. */
export function ratesOf(
  report: NodeReport,
  { at, before }: { at: number; before: Sample | undefined },
): Rates {
  const { server } = report;
  if (server === undefined) {
    return { opsPerSecond: undefined, hitRate: undefined, evictionsPerSecond: undefined };
  }
  const earlier = before?.nodes.find(({ id }) => id === report.id)?.server;
  if (before === undefined || earlier === undefined || earlier.commands > server.commands) {
    const { opsPerSecond } = server;
    return { opsPerSecond, hitRate: hitRate(server), evictionsPerSecond: undefined };
  }
  const seconds = (at - before.at) / 1_000;
  return {
    opsPerSecond: (server.commands - earlier.commands) / seconds,
    hitRate: hitRate({ hits: server.hits - earlier.hits, misses: server.misses - earlier.misses }),
    evictionsPerSecond: (server.evictions - earlier.evictions) / seconds,
  };
}

function hitRate({ hits, misses }: { hits: number; misses: number }): number | undefined {
  return hits + misses > 0 ? hits / (hits + misses) : undefined;
}

const COLUMNS: readonly Column[] = [
  { title: 'node' },
  { title: 'state', least: 10 },
  { title: 'breaker', least: 8, spare: 1 },
  { title: 'share', right: true },
  { title: '', spare: 8 },
  { title: 'memory', right: true, least: 7 },
  { title: 'of', spare: 3 },
  { title: '', least: 10, spare: 9 },
  { title: 'frag', right: true, least: 5, spare: 6 },
  { title: 'keys', right: true, least: 6 },
  { title: 'ops/s', right: true, least: 6 },
  { title: 'hits', right: true, least: 7 },
  { title: 'evicted/s', right: true, spare: 4 },
  { title: 'ping', right: true, least: 7 },
  { title: 'clients', right: true, spare: 7 },
  { title: 'version', spare: 10 },
  { title: 'up for', right: true, spare: 11 },
];

const BAR_WIDTH = 10;

interface Frame {
  readonly sample: Sample;
  readonly fleet: Fleet;
  /** On a terminal that is redrawn. */
  readonly live: { readonly intervalMs: number; readonly width: number } | undefined;
}

export function frameOf(screen: Screen, { sample, fleet, live }: Frame): string[] {
  const { nodes, epoch, state } = sample;
  const largest = Math.max(...nodes.map(({ share }) => share));
  const ring = state === 'stable' ? 'stable' : screen.paint('yellow', 'changing');
  const name = screen.paint('bold', escaped(namespaceOf(fleet)));
  const head = `${name}: ${many(nodes.length, 'node')}, epoch ${epoch}, ${ring}`;
  const clock = new Date().toTimeString().slice(0, 8);
  const right = live === undefined ? clock : `${clock}, every ${live.intervalMs / 1_000} s`;
  const gap = live === undefined ? 2 : Math.max(2, live.width - widthOf(head) - right.length);
  return [
    `${head}${' '.repeat(gap)}${screen.paint('dim', right)}`,
    '',
    ...table(screen, COLUMNS, [...nodes.map((node) => rowOf(node, largest)), totalOf(nodes)]),
    ...problemLines(screen, nodes),
    ...(live === undefined ? [] : ['', screen.paint('dim', 'q ends')]),
  ];
}

function rowOf(node: NodeReport & Rates, largest: number): Cell[] {
  const { server } = node;
  const head: Cell[] = [
    node.id,
    node.state === 'up' ? { text: 'up', format: 'green' } : { text: node.state, format: 'red' },
    node.breaker === 'closed' ? 'closed' : { text: node.breaker, format: 'red' },
    percent(node.share),
    { text: bar(largest === 0 ? 0 : node.share / largest, BAR_WIDTH), format: 'cyan' },
  ];
  // No numbers are better than old ones.
  if (server === undefined) return head;
  const { memoryUsedBytes: used, memoryMaxBytes: most } = server;
  const full = most === 0 ? 0 : used / most;
  return [
    ...head,
    bytes(used),
    most === 0 ? 'no limit' : bytes(most),
    { text: most === 0 ? '' : bar(full, BAR_WIDTH), format: full > 0.9 ? 'yellow' : 'cyan' },
    server.fragmentation.toFixed(2),
    count(server.keys),
    count(node.opsPerSecond ?? 0),
    node.hitRate === undefined ? '-' : percent(node.hitRate),
    node.evictionsPerSecond === undefined ? '-' : count(node.evictionsPerSecond),
    time(server.pingMs),
    count(server.clients),
    server.version,
    time(server.uptimeMs),
  ];
}

function totalOf(nodes: Sample['nodes']): Cell[] {
  const servers = nodes.flatMap(({ server }) => server ?? []);
  const sum = (numbers: number[]): number => numbers.reduce((total, number) => total + number, 0);
  const up = nodes.filter(({ state }) => state === 'up').length;
  const cells = [
    'all',
    `${up} up`,
    '',
    percent(sum(nodes.map(({ share }) => share))),
    '',
    bytes(sum(servers.map(({ memoryUsedBytes }) => memoryUsedBytes))),
    '',
    '',
    '',
    count(sum(servers.map(({ keys }) => keys))),
    count(sum(nodes.map(({ opsPerSecond }) => opsPerSecond ?? 0))),
  ];
  return cells.map((text): Cell => ({ text, format: 'bold' }));
}
