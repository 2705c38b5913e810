/**
 * The live half of the rebalancing benchmark: several application processes
 * ask and write at a fixed rate while an operator's process changes the ring,
 * or a node is killed.
 *
 * Rows differ in how keys are placed and whether a change copies them; nodes,
 * leases and clients are the same. Each scenario begins with every key in the
 * cache. Rows run one after the other on fresh nodes: two at once would be
 * measured through each other's load. (The small form measures nothing, and
 * waits most of its time: there they run at once.)
 */

import { setTimeout as sleep } from 'node:timers/promises';
import { HashRing } from '../src/index.ts';
import { type LocalNodes, startLocalNodes } from '../src/local.ts';
import type { BenchContext } from './bench.ts';
import { Child } from './child.ts';
import { keysOf } from './keys.ts';
import { moduloIndex } from './modulo.ts';
import { monotonicMs } from './rebalance-database.ts';
import { History, type Outcome, outcomeOf } from './rebalance-outcome.ts';
import type { Changed, RebalanceRow, RingChange, RowSettings } from './rebalance-row.ts';

export const ROWS = {
  modulo: { name: 'modulo', placement: 'modulo', warm: false, memory: false },
  ring: { name: 'ring', placement: 'ring', warm: false, memory: false },
  'modulo-warm': { name: 'modulo, warm copies', placement: 'modulo', warm: true, memory: false },
  ours: { name: 'ringcache', placement: 'ring', warm: true, memory: false },
  'ours-memory': { name: 'ringcache, memory on', placement: 'ring', warm: true, memory: true },
} as const satisfies Record<string, RowSettings & { name: string }>;
export type RowId = keyof typeof ROWS;

export const SCENARIOS = {
  none: 'no change',
  add: '3 → 4 nodes',
  remove: '4 → 3 nodes',
  lose: 'one of 3 nodes is killed',
} as const;
export type ScenarioId = keyof typeof SCENARIOS;

const JOINS = 'node-4';
const DIES = 'node-2';
/** From the kill until somebody takes the dead node off the ring. */
const NOTICED_AFTER_MS = 1_000;

/** `maxStale`, from when the node answered, and the time that an answer may be under way. */
const MEMORY_GRACE_MS = 1_100;

export interface LiveParameters {
  readonly processes: number;
  readonly perSecond: number;
  readonly keys: number;
  readonly zipf: number;
  readonly sets: number;
  readonly deletes: number;
  readonly valueBytes: number;
  readonly loadMs: number;
  readonly seed: number;
  readonly warmUpMs: number;
  readonly beforeMs: number;
  readonly afterMs: number;
  readonly bucketMs: number;
}

/** Keys whose node is another one after the change; parts of all. */
export interface Moved {
  readonly moved: number;
  /** Of these: neither from the lost node nor to the new one. */
  readonly avoidable: number;
  readonly ideal: number;
}

export interface LiveOutcome extends Outcome, Moved {
  readonly row: RowId;
  readonly scenario: ScenarioId;
  readonly staleReads: number;
  readonly staleExamples: readonly string[];
}

export function liveParameters(context: BenchContext): LiveParameters {
  return {
    processes: context.parameter(2, 3),
    perSecond: context.parameter(100, 700),
    keys: context.parameter(300, 50_000),
    zipf: 0.99,
    sets: 0.045,
    deletes: 0.005,
    valueBytes: 100,
    loadMs: 8,
    seed: 1,
    warmUpMs: context.parameter(100, 500),
    beforeMs: context.parameter(200, 1_500),
    afterMs: context.parameter(400, 3_000),
    bucketMs: context.parameter(100, 250),
  };
}

export async function measureLive(
  context: BenchContext,
  parameters: LiveParameters,
): Promise<LiveOutcome[]> {
  const rows = Object.keys(ROWS) as RowId[];
  const outcomes: LiveOutcome[] = [];
  const atOnce = context.parameter(rows.length, 1);
  for (let at = 0; at < rows.length; at += atOnce) {
    const some = rows.slice(at, at + atOnce).map((row) => measureRow(row, context, parameters));
    outcomes.push(...(await Promise.all(some)).flat());
  }
  return outcomes;
}

async function measureRow(
  row: RowId,
  context: BenchContext,
  parameters: LiveParameters,
): Promise<LiveOutcome[]> {
  const outcomes: LiveOutcome[] = [];
  // What a lost node had cannot be copied: rows that differ in copies alone are the same there.
  const scenarios: ScenarioId[] = ['add', 'remove'];
  if (row !== 'ring' && row !== 'modulo-warm') scenarios.push('lose');
  if (row === 'ours') scenarios.unshift('none');
  await using stage = await Stage.set(row, parameters);
  for (const scenario of scenarios) {
    context.progress(`${ROWS[row].name}: ${SCENARIOS[scenario]}`);
    outcomes.push(await stage.play(scenario));
  }
  return outcomes;
}

/** The nodes and processes of one row. */
class Stage implements AsyncDisposable {
  readonly #row: RowId;
  readonly #parameters: LiveParameters;
  readonly #nodes: LocalNodes;
  readonly #apps: Child<RebalanceRow>[];
  readonly #driver = new Child<RebalanceRow>('rebalance-row.ts');
  readonly #history = new History();

  private constructor(row: RowId, parameters: LiveParameters, nodes: LocalNodes) {
    this.#row = row;
    this.#parameters = parameters;
    this.#nodes = nodes;
    const { processes } = parameters;
    this.#apps = Array.from(
      { length: processes },
      () => new Child<RebalanceRow>('rebalance-row.ts'),
    );
  }

  static async set(row: RowId, parameters: LiveParameters): Promise<Stage> {
    // Three that serve, one that joins, and the database.
    const stage = new Stage(row, parameters, await startLocalNodes(5));
    const { placement, warm, memory } = ROWS[row];
    const nodes = stage.#nodes.slice(0, 3).map(({ id, url }) => ({ id, url }));
    const { keys, loadMs, valueBytes } = parameters;
    const database = stage.#nodes[4]!.url;
    const plan = { placement, warm, memory, nodes, keys, loadMs, valueBytes, database };
    await Promise.all([...stage.#apps, stage.#driver].map((child) => child.ask('open', plan)));
    return stage;
  }

  async play(scenario: ScenarioId): Promise<LiveOutcome> {
    const { processes, warmUpMs, beforeMs, afterMs, bucketMs } = this.#parameters;
    await this.#driver.ask('fill', undefined);
    const startAt = monotonicMs() + 50;
    // One bucket longer than is counted: the change comes a little late.
    const forMs = warmUpMs + beforeMs + afterMs + bucketMs;
    const traffic = { ...this.#parameters, startAt, forMs, processes };
    const driving = Promise.all(
      this.#apps.map((app, process) => app.ask('drive', { ...traffic, process })),
    );
    // Whoever waits for the change hears of a failure of the traffic later.
    driving.catch(() => {});
    await sleep(startAt + warmUpMs + beforeMs - monotonicMs());
    const changeAt = monotonicMs();
    const changed = await this.#change(scenario);
    const seen = await driving;
    this.#history.add(seen);
    const stale = this.#history.staleReads(seen, ROWS[this.#row].memory ? MEMORY_GRACE_MS : 0);
    const span = { from: changeAt - beforeMs, changeAt, to: changeAt + afterMs };
    return {
      row: this.#row,
      scenario,
      staleReads: stale.length,
      staleExamples: stale.slice(0, 3),
      ...outcomeOf(seen, span, { bucketMs, changed }),
      ...(await this.#moved(scenario)),
    };
  }

  async #change(scenario: ScenarioId): Promise<Changed | undefined> {
    const ask = (change: RingChange): Promise<Changed> => this.#driver.ask('change', change);
    switch (scenario) {
      case 'none':
        return undefined;
      case 'add': {
        const { id, url } = this.#node(JOINS);
        return ask({ kind: 'add', node: { id, url } });
      }
      case 'remove':
        return ask({ kind: 'remove', id: JOINS });
      case 'lose':
        await this.#node(DIES).kill();
        await sleep(Math.min(NOTICED_AFTER_MS, this.#parameters.afterMs / 3));
        return ask({ kind: 'remove', id: DIES });
    }
  }

  async #moved(scenario: ScenarioId): Promise<Moved> {
    if (scenario === 'none') return { moved: 0, avoidable: 0, ideal: 0 };
    const three = await HashRing.create(this.#nodes.slice(0, 3).map(({ id }) => ({ id })));
    const four = three.with({ id: JOINS });
    const [before, after] = {
      add: [three, four] as const,
      remove: [four, three] as const,
      lose: [three, three.without(DIES)] as const,
    }[scenario];
    const changing = scenario === 'lose' ? DIES : JOINS;
    const { placement } = ROWS[this.#row];
    const keys = keysOf(this.#parameters.keys);
    const ownerIn = (ring: HashRing, key: string): string =>
      placement === 'ring'
        ? ring.owner(key)
        : ring.ids[moduloIndex(ring.hash(key), ring.ids.length)]!;
    const counts = { moved: 0, avoidable: 0 };
    for (const key of keys) {
      const [from, to] = [ownerIn(before, key), ownerIn(after, key)];
      if (from === to) continue;
      counts.moved++;
      if (from !== changing && to !== changing) counts.avoidable++;
    }
    return {
      moved: counts.moved / keys.length,
      avoidable: counts.avoidable / keys.length,
      ideal: 1 / Math.max(before.ids.length, after.ids.length),
    };
  }

  #node(id: string): LocalNodes[number] {
    return this.#nodes[Number(id.replace('node-', '')) - 1]!;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const child of [...this.#apps, this.#driver]) child[Symbol.dispose]();
    await this.#nodes.close();
  }
}
