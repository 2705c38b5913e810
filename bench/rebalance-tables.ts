/** The live half in tables, in one sentence, and against the targets. */

import { atLeast, atMost, type Target } from './bench.ts';
import {
  type LiveOutcome,
  ROWS,
  type RowId,
  SCENARIOS,
  type ScenarioId,
} from './rebalance-live.ts';
import type { Cell, Table } from './report.ts';

/** Scenario by scenario, so that what is compared stands together. */
function ordered(live: readonly LiveOutcome[]): LiveOutcome[] {
  const scenarios = Object.keys(SCENARIOS);
  return live.toSorted((a, b) => scenarios.indexOf(a.scenario) - scenarios.indexOf(b.scenario));
}

function named({ row, scenario }: LiveOutcome): Record<string, Cell> {
  return { change: SCENARIOS[scenario], row: ROWS[row].name };
}

const NAME_COLUMNS: Table['columns'] = [
  { key: 'change', head: 'change' },
  { key: 'row', head: 'row' },
];

/** What the callers notice. */
export function readersTable(live: readonly LiveOutcome[], bucketMs: number): Table {
  return {
    title: `What readers see; the worst ${bucketMs} ms beside the time before`,
    columns: [
      ...NAME_COLUMNS,
      { key: 'extra', head: 'extra loads' },
      { key: 'needed', head: 'needed' },
      { key: 'hitRate', head: 'worst hit rate', percent: true, digits: 1 },
      { key: 'p50Before', head: 'p50 ms', digits: 1 },
      { key: 'p50', head: 'worst', digits: 1 },
      { key: 'p99Before', head: 'p99 ms', digits: 1 },
      { key: 'p99', head: 'worst', digits: 1 },
      { key: 'stale', head: 'stale reads' },
    ],
    rows: ordered(live).map((outcome) => ({
      ...named(outcome),
      extra: outcome.extraLoads,
      needed: outcome.neededLoads,
      hitRate: outcome.worstHitRate,
      p50Before: outcome.p50BeforeMs,
      p50: outcome.worstP50Ms,
      p99Before: outcome.p99BeforeMs,
      p99: outcome.worstP99Ms,
      stale: outcome.staleReads,
    })),
  };
}

/** What it takes. */
export function costTable(live: readonly LiveOutcome[]): Table {
  const changes = ordered(live).filter(({ scenario }) => scenario !== 'none');
  return {
    title: 'What the change costs; keys in percent of all',
    columns: [
      ...NAME_COLUMNS,
      { key: 'moved', head: 'keys moved', percent: true, digits: 1 },
      { key: 'avoidable', head: 'avoidable', percent: true, digits: 1 },
      { key: 'ideal', head: 'ideal', percent: true, digits: 1 },
      { key: 'byReads', head: 'copied by reads' },
      { key: 'byMover', head: 'by the mover' },
      { key: 'requests', head: 'extra requests' },
      { key: 'serves', head: 'all serve after ms' },
      { key: 'done', head: 'done after ms' },
    ],
    rows: changes.map((outcome) => ({
      ...named(outcome),
      moved: outcome.moved,
      avoidable: outcome.avoidable,
      ideal: outcome.ideal,
      byReads: outcome.copiedByReads,
      byMover: outcome.copiedByMover,
      requests: outcome.extraRequests,
      serves: outcome.servesAfterMs ?? '',
      done: outcome.doneAfterMs ?? '',
    })),
  };
}

function find(live: readonly LiveOutcome[], row: RowId, scenario: ScenarioId): LiveOutcome {
  const found = live.find((outcome) => outcome.row === row && outcome.scenario === scenario);
  if (found === undefined) throw new Error(`${row} was not measured with ${scenario}`);
  return found;
}

export function liveTargets(live: readonly LiveOutcome[]): Target[] {
  return (['add', 'remove'] as const).flatMap((scenario) => {
    const ours = find(live, 'ours', scenario);
    const what = (figure: string): string => `${SCENARIOS[scenario]}, ringcache: ${figure}`;
    return [
      atMost(what('extra loads'), ours.extraLoads, 0),
      atLeast(what('worst hit rate, %'), ours.worstHitRate * 100, 99.9),
      atMost(what('worst p99 ÷ p99 before'), ours.worstP99Ms / ours.p99BeforeMs, 4),
      atMost(what('all processes serve after, ms'), ours.servesAfterMs ?? Number.NaN, 1_000),
      atMost(what('stale reads'), ours.staleReads, 0),
    ];
  });
}

export function summariseLive(live: readonly LiveOutcome[]): string {
  const loads = (row: RowId): string => whole(find(live, row, 'add').extraLoads);
  const ours = find(live, 'ours', 'add');
  const control = find(live, 'modulo-warm', 'add');
  const stale = live.reduce((sum, { staleReads }) => sum + staleReads, 0);
  const hits = (row: RowId): string => percent(find(live, row, 'add').worstHitRate);
  return (
    `A fourth node joins three under load: modulo loads ${loads('modulo')} values again and falls to ${hits('modulo')} hits, ` +
    `a ring without copies ${loads('ring')} and ${hits('ring')}, ringcache ${loads('ours')} and ${hits('ours')}. ` +
    `It is the copies that keep the cache warm: modulo with them loads ${loads('modulo-warm')}. The ring makes them few: ` +
    `${whole(ours.copiedByReads + ours.copiedByMover)} of the keys instead of ` +
    `${whole(control.copiedByReads + control.copiedByMover)}. ${stale === 0 ? 'No read' : `${whole(stale)} reads`} returned a value older than a confirmed write.`
  );
}

function percent(part: number): string {
  return `${(part * 100).toFixed(part === 1 ? 0 : 1)} %`;
}

function whole(value: number): string {
  return value.toLocaleString('en-US');
}
