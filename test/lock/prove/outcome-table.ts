/** The outcomes of several runs as a table for people. */
import { formatTable } from '../../../bench/report.ts';
import type { Violation } from '../history.ts';
import type { Outcome } from './run.ts';

export function outcomeTable(outcomes: readonly Outcome[]): string {
  const [first] = outcomes;
  const where = first?.quorum ? 'a majority of three nodes' : 'a ring of two nodes';
  return formatTable({
    title: `Locks on ${where}, seed ${first?.seed}`,
    columns: [
      { key: 'fault', head: 'fault' },
      { key: 'acquisitions', head: 'acquired' },
      { key: 'injections', head: 'injected' },
      { key: 'overlap', head: 'overlaps' },
      { key: 'fence', head: 'fence inversions' },
      { key: 'dead', head: 'given out dead' },
      { key: 'stale-write', head: 'lost with fences' },
      { key: 'lost', head: 'without' },
      { key: 'overMs', head: 'over the wait, ms', digits: 1 },
      { key: 'lateMs', head: 'loss told late, ms', digits: 1 },
      { key: 'longestStallMs', head: 'longest stall, ms' },
      { key: 'seconds', head: 'seconds' },
    ],
    rows: outcomes.map(rowOf),
  });
}

function rowOf(outcome: Outcome): Record<string, string | number> {
  const { fault, acquisitions, injections, verdict, overMs, lateMs } = outcome;
  const { longestStallMs, seconds } = outcome;
  const count = (kind: Violation['kind']): number =>
    verdict.violations.filter((violation) => violation.kind === kind).length;
  return {
    fault: fault.name,
    acquisitions,
    injections,
    overlap: count('overlap'),
    fence: count('fence'),
    dead: verdict.dead,
    'stale-write': count('stale-write'),
    lost: verdict.lostWithoutFence,
    overMs,
    lateMs,
    longestStallMs,
    seconds,
  };
}
