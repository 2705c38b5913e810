/**
 * The half of the rebalancing benchmark that needs no server: what happens to
 * 100,000 keys when one node is lost, and when one is added, with the ring and
 * with `hash(key) % nodes`. Every key is really routed, before and after, by
 * `HashRing.owner` and by the modulo of the same hash.
 *
 * A move is avoidable when the key's node was not lost, or when it goes to
 * another node than the new one. The least any placement can move is an even
 * share: 1/N when one of N is lost, 1/(N+1) when one comes. The ring moves the
 * lost node's own share, which is near that and not equal to it: hence the
 * second half, how even the shares are and how that depends on the points.
 *
 * Each figure is a mean over several sets of node ids, because one set may be
 * lucky.
 */

import { planChange } from '../src/ring/plan.ts';
import { HashRing } from '../src/ring/ring.ts';
import { type BenchContext, mean } from './bench.ts';
import type { BarPanel, LinePanel } from './chart.ts';
import { moduloIndex } from './modulo.ts';
import { seededRandom } from './random.ts';
import type { Table } from './report.ts';

const NODE_COUNTS = [3, 5, 10, 20, 50, 100];
const POINT_COUNTS = [40, 100, 160, 256, 512, 1024];
const BALANCE_NODES = [3, 10, 100];

/** Parts of all keys. */
interface Movement {
  readonly modulo: number;
  readonly moduloAvoidable: number;
  readonly ring: number;
  readonly ringAvoidable: number;
}

export interface MovementRow extends Movement {
  readonly nodes: number;
  readonly change: 'one lost' | 'one added';
  readonly least: number;
}

export interface BalanceRow {
  readonly points: number;
  readonly theory: number;
  /** `max3`, `sd3`, `max10` …: by number of nodes. */
  readonly [figure: string]: number;
}

export interface Placement {
  readonly keys: number;
  readonly sets: number;
  readonly movement: readonly MovementRow[];
  readonly balance: readonly BalanceRow[];
}

export async function measurePlacement(context: BenchContext): Promise<Placement> {
  const keyCount = context.parameter(5_000, 100_000);
  const sets = context.parameter(2, 10);
  const keys = Array.from({ length: keyCount }, (_, i) => `user:${i}:profile`);
  const movement: MovementRow[] = [];
  for (const nodes of NODE_COUNTS) {
    context.progress(`moving keys between ${nodes} nodes`);
    const lost: Movement[] = [];
    const added: Movement[] = [];
    for (let set = 0; set < sets; set++) {
      const ring = await HashRing.create(ids(nodes, set).map((id) => ({ id })));
      lost.push(loseOne(ring, keys, seededRandom(nodes * 1_000 + set)));
      added.push(addOne(ring, keys));
    }
    movement.push({ nodes, change: 'one lost', least: 1 / nodes, ...meanOf(lost) });
    movement.push({ nodes, change: 'one added', least: 1 / (nodes + 1), ...meanOf(added) });
  }
  context.progress('balance');
  const balance = await Promise.all(POINT_COUNTS.map((points) => balanceOf(points, sets * 2)));
  return { keys: keyCount, sets, movement, balance };
}

function ids(count: number, set: number): string[] {
  return Array.from({ length: count }, (_, i) => `set${set}-node${i}`);
}

/** One node leaves, any but always the same one for the same seed. */
function loseOne(ring: HashRing, keys: readonly string[], random: () => number): Movement {
  const lost = ring.ids[Math.floor(random() * ring.ids.length)]!;
  const after = ring.without(lost);
  const movement = move(ring, after, { keys, mustMove: (from) => from === lost });
  const owned = keys.reduce((sum, key) => sum + (ring.owner(key) === lost ? 1 : 0), 0);
  check(
    movement,
    owned / keys.length,
    Math.abs(planChange(ring, after).movedShare - movement.ring),
  );
  return movement;
}

function addOne(ring: HashRing, keys: readonly string[]): Movement {
  const added = 'joining-node';
  const after = ring.with({ id: added });
  const movement = move(ring, after, { keys, mustMove: (_, to) => to === added });
  const owned = keys.reduce((sum, key) => sum + (after.owner(key) === added ? 1 : 0), 0);
  check(
    movement,
    owned / keys.length,
    Math.abs(planChange(ring, after).movedShare - movement.ring),
  );
  return movement;
}

/** Correctness: the ring moved the keys of that one node and no other, as the plan had said. */
function check(movement: Movement, owned: number, offPlan: number): void {
  if (movement.ring !== owned || movement.ringAvoidable !== 0) {
    throw new Error(`the ring moved ${movement.ring} of the keys, that node has ${owned}`);
  }
  // The plan is of the hash space, the keys are a sample of it: 5,000 of them are off by 2 % at most.
  if (offPlan > 0.03) throw new Error(`the plan was wrong by ${offPlan}`);
}

function move(
  before: HashRing,
  after: HashRing,
  { keys, mustMove }: { keys: readonly string[]; mustMove: (from: string, to: string) => boolean },
): Movement {
  const counts = { modulo: 0, moduloAvoidable: 0, ring: 0, ringAvoidable: 0 };
  // In the order of the list, where a new node stands last: what a program with modulo has.
  const list = before.ids;
  const joined = after.ids.filter((id) => !list.includes(id));
  const listAfter = [...list.filter((id) => after.ids.includes(id)), ...joined];
  for (const key of keys) {
    const hash = before.hash(key);
    const from = list[moduloIndex(hash, list.length)]!;
    const to = listAfter[moduloIndex(hash, listAfter.length)]!;
    if (from !== to) counts.modulo++;
    if (from !== to && !mustMove(from, to)) counts.moduloAvoidable++;
    const ringFrom = before.owner(key);
    const ringTo = after.owner(key);
    if (ringFrom !== ringTo) counts.ring++;
    if (ringFrom !== ringTo && !mustMove(ringFrom, ringTo)) counts.ringAvoidable++;
  }
  return {
    modulo: counts.modulo / keys.length,
    moduloAvoidable: counts.moduloAvoidable / keys.length,
    ring: counts.ring / keys.length,
    ringAvoidable: counts.ringAvoidable / keys.length,
  };
}

function meanOf(movements: readonly Movement[]): Movement {
  return {
    modulo: mean(movements.map((movement) => movement.modulo)),
    moduloAvoidable: mean(movements.map((movement) => movement.moduloAvoidable)),
    ring: mean(movements.map((movement) => movement.ring)),
    ringAvoidable: mean(movements.map((movement) => movement.ringAvoidable)),
  };
}

/** From exact shares, not from counted keys: 1,000 keys a node would add 3 % of chance. */
async function balanceOf(points: number, sets: number): Promise<BalanceRow> {
  const row: Record<string, number> = {};
  for (const nodes of BALANCE_NODES) {
    const max: number[] = [];
    const deviation: number[] = [];
    for (let set = 0; set < sets; set++) {
      const ring = await HashRing.create(
        ids(nodes, set).map((id) => ({ id })),
        { points },
      );
      const loads = Object.values(ring.shares()).map((share) => share * nodes);
      max.push(Math.max(...loads));
      deviation.push(Math.sqrt(mean(loads.map((load) => (load - 1) ** 2))));
    }
    row[`max${nodes}`] = mean(max);
    row[`sd${nodes}`] = mean(deviation);
  }
  return { points, ...row, theory: 1 / Math.sqrt(points) };
}

export function movementTable(rows: readonly MovementRow[]): Table {
  const percent = { percent: true, digits: 2 };
  return {
    title: 'Keys that move, in percent of all',
    columns: [
      { key: 'nodes', head: 'nodes' },
      { key: 'change', head: 'change' },
      { key: 'modulo', head: 'modulo', ...percent },
      { key: 'moduloAvoidable', head: 'avoidable', ...percent },
      { key: 'ring', head: 'ring', ...percent },
      { key: 'ringAvoidable', head: 'avoidable', ...percent },
      { key: 'least', head: 'least possible', ...percent },
    ],
    rows: rows.map((row) => ({ ...row })),
  };
}

export function balanceTable(rows: readonly BalanceRow[]): Table {
  return {
    title:
      'Balance: load of the fullest node ÷ mean, and standard deviation ÷ mean, by points per node',
    columns: [
      { key: 'points', head: 'points' },
      ...BALANCE_NODES.flatMap((nodes) => [
        { key: `max${nodes}`, head: `max, ${nodes} nodes`, digits: 3 },
        { key: `sd${nodes}`, head: 'stddev', digits: 3 },
      ]),
      { key: 'theory', head: '1/√points', digits: 3 },
    ],
    rows: rows.map((row) => ({ ...row })),
  };
}

export function movementPanel({ movement }: Placement): BarPanel {
  const lost = movement.filter((row) => row.change === 'one lost');
  return {
    kind: 'bars',
    title: 'Keys that change their node when one node is lost',
    xTitle: 'nodes before the loss',
    categories: lost.map((row) => String(row.nodes)),
    max: 1,
    ticks: [0, 0.25, 0.5, 0.75, 1],
    format: (part) => `${Math.round(part * 100)} %`,
    series: [
      { name: 'hash(key) % nodes', colour: 'warm', values: lost.map((row) => row.modulo) },
      { name: 'ringcache', colour: 'cool', values: lost.map((row) => row.ring) },
    ],
    marks: { name: 'least possible (1/nodes)', values: lost.map((row) => row.least) },
  };
}

export function balancePanel({ balance }: Placement): LinePanel {
  return {
    kind: 'lines',
    title: 'Load of the fullest node, compared with the mean',
    xTitle: 'points per node',
    categories: balance.map((row) => String(row.points)),
    highlight: { category: '512', text: 'default' },
    min: 1,
    max: 1.5,
    ticks: [1, 1.1, 1.2, 1.3, 1.4, 1.5],
    format: (ratio) => (ratio === 1 ? 'mean' : `+${Math.round((ratio - 1) * 100)} %`),
    series: [
      { name: '100 nodes', colour: 'deep', values: balance.map((row) => row['max100']!) },
      { name: '10 nodes', colour: 'cool', values: balance.map((row) => row['max10']!) },
      { name: '3 nodes', colour: 'soft', values: balance.map((row) => row['max3']!) },
    ],
  };
}
