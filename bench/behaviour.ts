/**
 * What other caches get wrong, and whether we do: each claim played against each
 * library, in two processes with one real Redis.
 *
 * Each library is set up as its documentation says (behaviour-libraries.ts), and
 * no claim fails by the clock but those about Redis being away: a load that is
 * under way waits until the scenario lets it end.
 *
 * It says nothing about speed, about clusters, nor about claims that only we
 * make, such as those about a ring that changes.
 */

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type LocalNode, startLocalNodes } from '../src/local.ts';
import { coherenceScenarios } from './behaviour-coherence.ts';
import { type Library, libraries } from './behaviour-libraries.ts';
import { behaviourTables, drawComparison, type Result, summarise } from './behaviour-page.ts';
import { loadScenarios } from './behaviour-scenarios.ts';
import { Misbehaviour, type Scenario, Stage } from './behaviour-stage.ts';
import { type Bench, type BenchContext, Checksum, type Report } from './bench.ts';

export const scenarios: readonly Scenario[] = [...loadScenarios, ...coherenceScenarios];

/** What every test run plays: us and one other. */
const SMALL_CLAIMS = [
  'delete-during-load',
  'delete-elsewhere',
  'waiting-callers',
  'null',
  'mistake',
];
const SMALL = ['ringcache', 'async-cache-dedupe'];
const PEERS = [
  ...libraries.slice(1).map(({ name }) => name),
  ...['@keyv/redis', '@qified/redis', 'ioredis'],
];

export const behaviour: Bench = {
  name: 'behaviour',
  about: 'what is true of a cache when loads, writes, processes and failures meet: who passes',
  run,
};

async function run(context: BenchContext): Promise<Report> {
  const played = scenarios.filter(({ id }) => !context.small || SMALL_CLAIMS.includes(id));
  const compared = libraries.filter(({ name }) => !context.small || SMALL.includes(name));
  // Three at a time: most of it is waiting.
  const results: Result[] = [];
  const waiting = [...compared];
  const work = async (): Promise<void> => {
    for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
      context.progress(next.name);
      results.push(...(await judge(next, played)));
    }
  };
  await Promise.all([work(), work(), work()]);
  const checksum = new Checksum();
  for (const library of compared) {
    for (const scenario of played) {
      checksum.add(
        results.find((one) => one.library === library && one.scenario === scenario)!.verdict,
      );
    }
  }
  const failed = results.filter(
    ({ library, verdict }) => library === libraries[0] && verdict !== 'pass',
  );
  const report = {
    summary: summarise(results),
    parameters: { libraries: compared.length, claims: played.length, processes: 2 },
    tables: behaviourTables(results, played, compared),
    checksum: checksum.toString(),
    peers: PEERS,
    details: results.map(({ library, scenario, ...rest }) => ({
      library: library.name,
      scenario: scenario.id,
      ...rest,
    })),
  };
  const wrong = failed.map(({ scenario, why }) => `${scenario.claim}: ${why}`).join('; ');
  return {
    ...report,
    ...(failed.length === 0 ? {} : { wrong }),
    files: [
      { file: 'docs/comparison.md', text: drawComparison(results, played, { compared, PEERS }) },
    ],
  };
}

/** All that one library does, on a server of its own. */
async function judge(library: Library, played: readonly Scenario[]): Promise<Result[]> {
  const folder = mkdtempSync(join(tmpdir(), 'ringcache-behaviour-'));
  try {
    await using nodes = await startLocalNodes(1, {
      args: ['--dir', folder, '--dbfilename', 'behaviour.rdb'],
    });
    const results: Result[] = [];
    let stage: Stage | undefined;
    try {
      for (const scenario of played) {
        stage ??= await opened(nodes[0]!, library.name);
        results.push(await judgeOne(library, scenario, stage));
        if (scenario.cuts) {
          stage[Symbol.dispose]();
          stage = undefined;
        }
      }
    } finally {
      stage?.[Symbol.dispose]();
    }
    return results;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

async function opened(node: LocalNode, ...how: [string, string?]): Promise<Stage> {
  const stage = new Stage(node);
  await stage.open(...how);
  return stage;
}

async function judgeOne(library: Library, scenario: Scenario, stage: Stage): Promise<Result> {
  const lacking = scenario.needs?.find((need) => library.lacks[need] !== undefined);
  if (lacking !== undefined) {
    return { library, scenario, verdict: 'cannot', why: library.lacks[lacking] ?? '' };
  }
  const why = await failureOf(scenario, stage);
  if (why === undefined) return { library, scenario, verdict: 'pass' };
  const variant = library.variants?.[scenario.id];
  if (variant !== undefined) {
    await stage.redis.flushall();
    using other = await opened(stage.node, library.name, variant);
    if ((await failureOf(scenario, other)) === undefined) {
      return { library, scenario, verdict: 'with option', why, option: variant };
    }
  }
  return { library, scenario, verdict: 'fail', why };
}

async function failureOf(scenario: Scenario, stage: Stage): Promise<string | undefined> {
  try {
    await scenario.play(stage);
    return undefined;
  } catch (error) {
    if (error instanceof Misbehaviour) return error.message;
    throw error;
  }
}
