/**
 * What a change of the ring costs: a node joins, leaves, or dies, while several
 * processes ask and write. Modulo, a ring, and each of them with warm copies;
 * then, without servers, how many keys must move and how even the ring is.
 *
 * The loop is open, values carry versions, and every load is judged: it counts
 * as extra only if the value had been in the cache since it last changed. A
 * read that returns less than what had been confirmed before it began ends the
 * benchmark with exit code 1, whatever the figures.
 *
 * It says nothing about throughput (the machine's processors are shared by
 * clients and servers), about networks with a delay, nor about values so large
 * that copying them takes bandwidth.
 */

import { type Bench, type BenchContext, Checksum, type Report } from './bench.ts';
import { describeMachine } from './machine.ts';
import { drawRebalance } from './rebalance-charts.ts';
import {
  type LiveOutcome,
  type LiveParameters,
  liveParameters,
  measureLive,
  ROWS,
  SCENARIOS,
} from './rebalance-live.ts';
import { drawPage } from './rebalance-page.ts';
import { balanceTable, measurePlacement, movementTable } from './rebalance-placement.ts';
import { costTable, liveTargets, readersTable, summariseLive } from './rebalance-tables.ts';
import type { Cell } from './report.ts';

const PEERS = ['ioredis', 'xxhash-wasm'];

export const rebalance: Bench = {
  name: 'rebalance',
  about:
    'a node joins, leaves or dies under load: loads, hit rate, latency, and the keys that move',
  run,
};

async function run(context: BenchContext): Promise<Report> {
  const live = liveParameters(context);
  const placement = await measurePlacement(context);
  const outcomes = await measureLive(context, live);
  const parameters = describeParameters(live, placement.sets);
  const checksum = new Checksum();
  // What the machine's speed has no part in.
  for (const row of [...placement.movement, ...placement.balance])
    checksum.add(JSON.stringify(row));
  for (const { row, scenario, moved, avoidable } of outcomes) {
    checksum.add(`${row} ${scenario} ${moved} ${avoidable}`);
  }
  const report = {
    summary: summariseLive(outcomes),
    parameters,
    tables: [
      readersTable(outcomes, live.bucketMs),
      costTable(outcomes),
      movementTable(placement.movement),
      balanceTable(placement.balance),
    ],
    targets: liveTargets(outcomes),
    checksum: checksum.toString(),
    details: outcomes,
    ...wrongOf(outcomes, live.seed),
    peers: PEERS,
  };
  const page = drawPage(report, { live: outcomes, placement, machine: describeMachine(PEERS) });
  return {
    ...report,
    files: [
      { file: 'bench/results/rebalance.html', text: page },
      { file: 'docs/images/rebalance.svg', text: drawRebalance(outcomes, subtitleOf(live)) },
    ],
  };
}

/** Reads of the past, if there were any. */
function wrongOf(outcomes: readonly LiveOutcome[], seed: number): Pick<Report, 'wrong'> {
  const stale = outcomes.filter(({ staleReads }) => staleReads > 0);
  if (stale.length === 0) return {};
  const told = stale.map(
    ({ row, scenario, staleReads, staleExamples }) =>
      `${ROWS[row].name}, ${SCENARIOS[scenario]}: ${staleReads} stale reads (${staleExamples.join('; ')})`,
  );
  return { wrong: `seed ${seed}; ${told.join('. ')}` };
}

function subtitleOf(live: LiveParameters): string {
  const requests = (live.processes * live.perSecond).toLocaleString('en-US');
  return (
    `${live.processes} processes, ${requests} requests/s in an open loop, ${live.keys.toLocaleString('en-US')} keys, ` +
    `Zipf ${live.zipf}, ${live.loadMs} ms to load a value, writers running`
  );
}

function describeParameters(live: LiveParameters, sets: number): Record<string, Cell> {
  return {
    processes: live.processes,
    'requests/s each, open loop': live.perSecond,
    keys: live.keys,
    'Zipf exponent': live.zipf,
    'sets %': live.sets * 100,
    'deletes %': live.deletes * 100,
    'value bytes': live.valueBytes,
    'load ms': live.loadMs,
    'bucket ms': live.bucketMs,
    'measured before a change ms': live.beforeMs,
    'and after it ms': live.afterMs,
    'node timeout ms': 100,
    'seed of the traffic': live.seed,
    'sets of node ids, for the keys that move': sets,
  };
}
