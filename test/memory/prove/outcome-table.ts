/** The outcomes of several runs as tables for people. */
import { quantile } from '../../../bench/bench.ts';
import { formatTable } from '../../../bench/report.ts';
import { broken, type Outcome } from './run.ts';

export function outcomeTable(outcomes: readonly Outcome[]): string {
  return formatTable({
    title: `What memory shows, seed ${outcomes[0]?.seed}`,
    columns: [
      { key: 'maxStaleMs', head: 'at most behind, ms' },
      { key: 'faults', head: 'faults' },
      { key: 'reads', head: 'reads' },
      { key: 'foundShare', head: 'found', digits: 1, percent: true },
      { key: 'memoryShare', head: 'in memory', digits: 1, percent: true },
      { key: 'writes', head: 'writes' },
      { key: 'takenShare', head: 'acknowledged', digits: 1, percent: true },
      { key: 'stale', head: 'stale reads' },
      { key: 'late', head: 'late in a stopped turn' },
      { key: 'joined', head: 'joined' },
      { key: 'lagMs', head: 'seen after, ms', digits: 1 },
      { key: 'worstLagMs', head: 'at worst', digits: 1 },
      { key: 'longestStallMs', head: 'longest stall, ms' },
      { key: 'seconds', head: 'seconds' },
      { key: 'kept', head: '' },
    ],
    rows: outcomes.map(rowOf),
  });
}

export function injectedTable(outcomes: readonly Outcome[]): string {
  const names = Object.keys(outcomes[0]?.injected ?? {});
  return formatTable({
    title: 'Faults injected',
    columns: [
      { key: 'fault', head: 'fault' },
      ...outcomes.map(({ maxStaleMs }) => ({ key: `${maxStaleMs}`, head: `${maxStaleMs} ms` })),
    ],
    rows: names.map((fault) => ({
      fault,
      ...Object.fromEntries(
        outcomes.map(({ maxStaleMs, injected }) => [maxStaleMs, injected[fault] ?? 0]),
      ),
    })),
  });
}

function rowOf(outcome: Outcome): Record<string, string | number> {
  const { maxStaleMs, injected, verdict, coherence, memoryShare, longestStallMs, seconds } =
    outcome;
  const { reads, hits, writes, taken, joined, late } = verdict;
  return {
    ...{ maxStaleMs, reads, memoryShare, writes, joined, late, longestStallMs, seconds },
    faults: Object.values(injected).reduce((sum, count) => sum + count, 0),
    foundShare: hits / Math.max(1, reads),
    takenShare: taken / Math.max(1, writes),
    stale: verdict.violations.length,
    lagMs: coherence.medianMs,
    worstLagMs: coherence.lagsMs.length === 0 ? 0 : quantile(coherence.lagsMs, 1),
    kept: broken(outcome).length === 0 ? 'kept' : 'BROKEN',
  };
}
