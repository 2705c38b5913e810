/** The story in seven phases: what is done in each, and the facts that it yields. */
import { changePhases } from './change-phases.ts';
import { failurePhases } from './failure-phases.ts';
import { countMissing, type Phase, readIn, type Scene } from './scene.ts';
import type { Facts } from './verdict.ts';

const CALLERS = 1_000;

export const phases: readonly Phase[] = [
  {
    title: 'cold start',
    story:
      'The cache is empty: popular products come by themselves, the rest is read in once with ' +
      'getOrSetMany.',
    tone: 'calm',
    seconds: 5,
    run: coldStart,
  },
  {
    title: 'steady state',
    story: 'Everything is cached. Then 1,000 callers ask for one product that is not, all at once.',
    tone: 'calm',
    seconds: 4,
    run: steadyState,
  },
  ...failurePhases,
  ...changePhases,
];

async function coldStart(scene: Scene, seconds: number): Promise<Facts> {
  const { ledger } = scene;
  const startedAt = performance.now();
  const all = Array.from({ length: ledger.size }, (_, number) => number);
  // The last part of the phase shows what it was good for.
  await readIn(scene, all, seconds * 800);
  await scene.rest(Math.max(0, startedAt + seconds * 1_000 - performance.now()));
  return {};
}

async function steadyState(scene: Scene, seconds: number): Promise<Facts> {
  const { cache } = scene;
  const before = cache.stats();
  await scene.rest(seconds * 500);
  const after = cache.stats();
  const memory = after.memoryHits - before.memoryHits;
  const nodes = after.nodeHits - before.nodeHits;
  const all = memory + nodes + after.misses - before.misses;
  const loads = await stampede(scene);
  await scene.rest(seconds * 500);
  return {
    hitRate: { share: (memory + nodes) / all, memory: memory / all, nodes: nodes / all },
    stampede: { callers: CALLERS, loads },
    census: await countMissing(scene),
  };
}

/** Half of the callers are in this client, half in the other: only the node can make it one load. */
async function stampede({ cache, auditor, database }: Scene): Promise<number> {
  let loads = 0;
  const load = async (): Promise<string> => {
    loads += 1;
    await database.read(0);
    return 'newest product';
  };
  const callers = Array.from({ length: CALLERS }, (_, i) =>
    (i % 2 === 0 ? cache : auditor).getOrSet('newest', load),
  );
  await Promise.all(callers);
  return loads;
}
