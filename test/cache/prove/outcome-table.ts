/** The outcomes of several runs as a table for people. */
import { formatTable } from '../../../bench/report.ts';
import { broken, type Outcome } from './run.ts';

export function outcomeTable(outcomes: readonly Outcome[]): string {
  return formatTable({
    title: `What is read while the ring changes, seed ${outcomes[0]?.seed}`,
    columns: [
      { key: 'fault', head: 'fault' },
      { key: 'injections', head: 'injected' },
      { key: 'changes', head: 'changes' },
      { key: 'refusals', head: 'turned away' },
      { key: 'recoveries', head: 'recovered' },
      { key: 'reads', head: 'reads' },
      { key: 'hitShare', head: 'found', digits: 1, percent: true },
      { key: 'writes', head: 'writes' },
      { key: 'takenShare', head: 'acknowledged', digits: 1, percent: true },
      { key: 'stale', head: 'stale reads' },
      { key: 'joined', head: 'joined' },
      { key: 'loads', head: 'loads' },
      { key: 'extraLoads', head: 'not due' },
      { key: 'slowestMs', head: 'heard after, ms' },
      { key: 'longestStallMs', head: 'longest stall, ms' },
      { key: 'seconds', head: 'seconds' },
      { key: 'kept', head: '' },
    ],
    rows: outcomes.map(rowOf),
  });
}

function rowOf(outcome: Outcome): Record<string, string | number> {
  const { fault, injections, changes, refusals, recoveries, verdict, longestStallMs, seconds } =
    outcome;
  const { reads, hits, writes, taken, joined, loads, slowestMs } = verdict;
  return {
    ...{ fault: fault.name, injections, changes },
    ...{ refusals: refusals.length, recoveries: recoveries.length },
    ...{ reads, hitShare: hits / Math.max(1, reads), writes, joined, loads, slowestMs },
    takenShare: taken / Math.max(1, writes),
    stale: verdict.violations.length,
    extraLoads: verdict.extraLoads.length,
    ...{ longestStallMs, seconds },
    kept: broken(outcome).length === 0 ? 'kept' : 'BROKEN',
  };
}
