/** A fourth node joins while everything is under way, and one of the first leaves. */
import type { TopologyChange } from '../src/index.ts';
import { countMissing, nodeOf, ownersOf, type Phase, type Scene } from './scene.ts';
import type { Facts } from './verdict.ts';

const JOINING = 'node-4';
const LEAVING = 'node-1';

export const changePhases: readonly Phase[] = [
  {
    title: `add ${JOINING}`,
    story:
      'cache.addNode while it serves. Its share of the keys changes hands and is copied, so that ' +
      'nothing is loaded again.',
    tone: 'change',
    seconds: 4.5,
    run: join,
  },
  {
    title: `remove ${LEAVING}`,
    story: 'cache.removeNode: the others take over what it holds. Then its server is switched off.',
    tone: 'change',
    seconds: 4.5,
    run: leave,
  },
];

async function join(scene: Scene, seconds: number): Promise<Facts> {
  const { cache, nodes } = scene;
  await scene.rest(seconds * 200);
  const { id, url } = await nodes.add();
  const planned = cache.plan({ add: [{ id, url }] }).movedShare;
  const { failed, ...moved } = await change(scene, {
    isMover: (_before, after) => after === JOINING,
    make: () => cache.addNode({ id, url }),
  });
  await scene.rest(seconds * 400);
  return {
    moved: { ...moved, planned, joins: true, node: JOINING },
    census: await countMissing(scene),
    failedCopies: failed,
  };
}

async function leave(scene: Scene, seconds: number): Promise<Facts> {
  const { cache } = scene;
  await scene.rest(seconds * 200);
  const planned = cache.plan({ remove: [LEAVING] }).movedShare;
  const { failed, ...moved } = await change(scene, {
    isMover: (before) => before === LEAVING,
    make: () => cache.removeNode(LEAVING),
  });
  await nodeOf(scene, LEAVING).stop();
  await scene.rest(seconds * 400);
  return {
    moved: { ...moved, planned, joins: false, node: LEAVING },
    census: await countMissing(scene),
    failedCopies: failed,
  };
}

/** Makes a change, waits for its end, and counts the keys with another owner. */
async function change(
  scene: Scene,
  act: {
    isMover: (before: string | undefined, after: string) => boolean;
    make: () => Promise<TopologyChange>;
  },
): Promise<{ keys: { of: number; count: number }; others: number; failed: number }> {
  const before = await ownersOf(scene);
  const { done } = await act.make();
  const { failed } = await done;
  let count = 0;
  let others = 0;
  for (const [number, after] of (await ownersOf(scene)).entries()) {
    if (before[number] === after) continue;
    if (act.isMover(before[number], after)) count += 1;
    else others += 1;
  }
  return { keys: { of: scene.ledger.size, count }, others, failed };
}
