/** The pictures of the live half: hit rate, loads and latency around a change of the ring. */

import type { BarPanel } from './chart.ts';
import { drawChart } from './chart.ts';
import type { LiveOutcome, RowId, ScenarioId } from './rebalance-live.ts';
import type { Bucket } from './rebalance-outcome.ts';
import type { Colour } from './svg.ts';
import type { TimePanel, TimeSeries } from './time-panel.ts';

/** The memory tier answers most reads before a node is asked: it is in the tables, not in the pictures. */
const DRAWN: readonly RowId[] = ['modulo', 'ring', 'modulo-warm', 'ours'];
const COLOURS: Readonly<Record<RowId, Colour>> = {
  modulo: 'warm',
  ring: 'deep',
  'modulo-warm': 'pale',
  ours: 'cool',
  'ours-memory': 'soft',
};
const SHORT: Readonly<Record<RowId, string>> = {
  modulo: 'modulo',
  ring: 'ring, no copies',
  'modulo-warm': 'modulo, copies',
  ours: 'ringcache',
  'ours-memory': 'ringcache, memory',
};
const EVENTS: Readonly<Record<ScenarioId, TimePanel['events']>> = {
  none: [],
  add: [{ seconds: 0, text: 'node added' }],
  remove: [{ seconds: 0, text: 'node removed' }],
  lose: [
    { seconds: 0, text: 'killed' },
    { seconds: 1, text: 'taken off the ring' },
  ],
};

type What = 'hitRate' | 'loadsPerSecond' | 'p99Ms';

export function rowsOf(live: readonly LiveOutcome[], scenario: ScenarioId): LiveOutcome[] {
  return live.filter((outcome) => outcome.scenario === scenario);
}

/** Hit rate, loads and latency; axes are the same for all scenarios, so that they can be compared. */
export function timePanels(live: readonly LiveOutcome[], scenario: ScenarioId): TimePanel[] {
  const rows = rowsOf(live, scenario).filter(({ row }) => DRAWN.includes(row));
  const drawn = live.filter(({ row }) => DRAWN.includes(row));
  const lowest = Math.min(...drawn.map(({ worstHitRate }) => worstHitRate));
  const slowest = Math.max(...drawn.map(({ worstP99Ms }) => worstP99Ms));
  const most = Math.max(...drawn.flatMap(({ buckets }) => buckets.map((b) => b.loadsPerSecond)));
  const latest = [100, 300, 1_000, 3_000].find((ms) => ms >= slowest) ?? 10_000;
  const decades = [1, 10, 100, 1_000, 10_000].filter((ms) => ms <= latest);
  const hits = ticksTo(1, Math.min(0.8, Math.floor(lowest * 5) / 5), 0.2);
  const loads = ticksTo(roundUp(most), 0, roundUp(most) / 4);
  return [
    {
      title: 'Hit rate',
      ...{ min: hits[0]!, max: 1, ticks: hits, format: percent },
      ...linesOf(rows, scenario, 'hitRate'),
    },
    {
      title: 'Loads per second',
      ...{ min: 0, max: loads.at(-1)!, ticks: loads, format: whole },
      ...linesOf(rows, scenario, 'loadsPerSecond'),
    },
    {
      title: '99th percentile of a read, ms',
      ...{ min: 1, max: latest, ticks: decades, format: whole, logarithmic: true },
      ...linesOf(rows, scenario, 'p99Ms'),
    },
  ];
}

function linesOf(
  rows: readonly LiveOutcome[],
  scenario: ScenarioId,
  what: What,
): Pick<TimePanel, 'kind' | 'series' | 'fromSeconds' | 'toSeconds' | 'events'> {
  const widthMs = bucketMs(rows);
  const series = rows.map(({ row, buckets }): TimeSeries => {
    const points = buckets.map((bucket: Bucket) => {
      // A bucket stands where it ends on neither side of the event: in its middle.
      return { seconds: (bucket.atMs + widthMs / 2) / 1_000, value: bucket[what] };
    });
    return { name: SHORT[row], colour: COLOURS[row], bold: row === 'ours', points };
  });
  const times = series.flatMap(({ points }) => points.map(({ seconds }) => seconds));
  const half = widthMs / 2_000;
  return {
    kind: 'times',
    series,
    fromSeconds: Math.min(...times) - half,
    toSeconds: Math.max(...times) + half,
    events: EVENTS[scenario],
  };
}

function bucketMs(rows: readonly LiveOutcome[]): number {
  const [first, second] = rows[0]?.buckets ?? [];
  return first === undefined || second === undefined ? 0 : second.atMs - first.atMs;
}

/** For the README: the hit rate around the change, and what was loaded again. */
export function drawRebalance(live: readonly LiveOutcome[], subtitle: string): string {
  const [hitRate] = timePanels(live, 'add');
  const panels =
    hitRate === undefined ? [] : [hitRate, loadsPanel(live, Math.round(hitRate.toSeconds))];
  return drawChart({
    title: 'What a change of the ring costs: a fourth node joins under load, and leaves again',
    subtitle,
    panels,
    source: 'npm run bench -- rebalance --save',
  });
}

function loadsPanel(live: readonly LiveOutcome[], afterSeconds: number): BarPanel {
  const scenarios: ScenarioId[] = ['add', 'remove'];
  const loads = (row: RowId): number[] =>
    scenarios.map(
      (scenario) => rowsOf(live, scenario).find((outcome) => outcome.row === row)?.extraLoads ?? 0,
    );
  // With room for the number on top of the highest.
  const most = roundUp(1.1 * Math.max(...DRAWN.flatMap(loads)));
  return {
    kind: 'bars',
    title: `Values loaded again in the ${afterSeconds} s after the change`,
    categories: ['3 → 4 nodes', '4 → 3 nodes'],
    max: most,
    ticks: ticksTo(most, 0, most / 4),
    format: whole,
    series: DRAWN.map((row) => ({ name: SHORT[row], colour: COLOURS[row], values: loads(row) })),
  };
}

function ticksTo(max: number, min: number, step: number): number[] {
  return Array.from({ length: Math.round((max - min) / step) + 1 }, (_, i) => min + i * step);
}

/** 1, 2, 2.4, 3.2 … times a power of ten: what four steps divide well. */
function roundUp(value: number): number {
  const power = 10 ** Math.floor(Math.log10(Math.max(1, value)));
  return ([1, 1.2, 1.6, 2, 2.4, 3.2, 4, 6, 8].find((step) => step * power >= value) ?? 10) * power;
}

function percent(part: number): string {
  return `${Math.round(part * 100)} %`;
}

function whole(value: number): string {
  return Math.round(value).toLocaleString('en-US');
}
