/** The picture of the locks benchmark: how long a released lock waits for its next holder. */

import { quantile, type Report } from './bench.ts';
import { type BarPanel, drawChart } from './chart.ts';

const LABELS: Readonly<Record<string, string>> = {
  ours: 'ringcache',
  redlock4: 'redlock 4\n200 ms',
  'redlock4-50': 'redlock 4\n50 ms',
  redlock5: 'redlock 5\n200 ms',
  'redis-semaphore': 'redis-sem.\n10 ms',
};

/** From release() to the next acquire(), in milliseconds. */
export interface RowLatencies {
  readonly row: string;
  readonly one: readonly number[];
  readonly many: readonly number[];
}

export function drawLocks(
  rows: readonly RowLatencies[],
  waiters: number,
): NonNullable<Report['files']>[number] {
  const svg = drawChart({
    title: 'A released lock wakes the next waiter instead of being polled for',
    subtitle:
      'From release() to the next acquire(), on a logarithmic scale; under a name: its pause between two tries',
    panels: [
      panelOf(
        'One waiter',
        rows.map(({ row, one }) => ({ row, latencies: one })),
      ),
      panelOf(
        `${waiters} waiters`,
        rows.map(({ row, many }) => ({ row, latencies: many })),
      ),
    ],
    source: 'npm run bench -- locks --save',
  });
  return { file: 'docs/images/locks.svg', text: svg };
}

function panelOf(
  title: string,
  rows: readonly { row: string; latencies: readonly number[] }[],
): BarPanel {
  const at = (q: number): number[] => rows.map(({ latencies }) => quantile(latencies, q));
  return {
    kind: 'bars',
    title: `${title}: milliseconds until it has the lock`,
    categories: rows.map(({ row }) => LABELS[row] ?? row),
    min: 0.1,
    max: 1_000,
    ticks: [0.1, 1, 10, 100, 1_000],
    format: (ms) => (ms < 10 ? String(Number(ms.toPrecision(2))) : ms.toFixed(0)),
    series: [
      { name: 'median', colour: 'cool', values: at(0.5) },
      { name: '99th percentile', colour: 'warm', values: at(0.99) },
    ],
  };
}
