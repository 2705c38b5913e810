/** A node is killed, comes back empty, then one hangs and goes on. */
import type { NodeStatus } from '../src/index.ts';
import type { Ledger } from './ledger.ts';
import {
  census,
  countMissing,
  nodeOf,
  ownersOf,
  type Phase,
  readIn,
  type Scene,
  until,
} from './scene.ts';
import type { Facts } from './verdict.ts';

const KILLED = 'node-2';
const FROZEN = 'node-3';
const BREAKER_WITHIN_MS = 2_000;
/** Back-off of up to 1 s between two connects, the greeting, and room for a busy machine. */
const HEALS_WITHIN_MS = 3_000;
/** Loads that began while a node was unusable are not stored, though it may be back when they end. */
const GRACE_MS = 150;
/** `load.concurrency` by default. */
const LOADS_AT_ONCE = 100;

export const failurePhases: readonly Phase[] = [
  {
    title: `kill -9 ${KILLED}`,
    story: 'One server of three is gone without a word. Its keys are loaded; nobody else notices.',
    tone: 'failure',
    seconds: 5,
    run: kill,
  },
  {
    title: `restart ${KILLED}`,
    story:
      'It comes back with nothing in it, and is used without anybody telling the cache. Its keys are ' +
      'loaded again: popular ones as they are asked for, then the rest.',
    tone: 'calm',
    seconds: 5,
    run: restart,
  },
  {
    title: `freeze ${FROZEN}`,
    story:
      'SIGSTOP: it takes connections and never answers, the worst way to fail. Half-way through ' +
      'it goes on.',
    tone: 'failure',
    seconds: 5,
    run: freeze,
  },
];

async function kill(scene: Scene, seconds: number): Promise<Facts> {
  const { ledger, database } = scene;
  const startedAt = performance.now();
  const owners = await ownersOf(scene);
  const heldBefore = Uint8Array.from(ledger.held);
  const isLost = (number: number): boolean => owners[number] === KILLED;
  const share = statusOf(scene, KILLED).share;
  database.peak = 0;
  ledger.lose(isLost);
  ledger.away(isLost);
  await nodeOf(scene, KILLED).kill();
  const afterMs = await untilUnused(scene, KILLED);
  await scene.rest(Math.max(0, startedAt + seconds * 900 - performance.now()));
  const { present } = await census(scene);
  let owned = 0;
  let lost = 0;
  let others = 0;
  let all = 0;
  for (const [number, owner] of owners.entries()) {
    if (heldBefore[number] === 0 || ledger.writtenInPhase(number)) continue;
    all += 1;
    if (owner === KILLED) owned += 1;
    if (present[number] === 1) continue;
    if (owner === KILLED) lost += 1;
    else others += 1;
  }
  return {
    outage: { node: KILLED, share, owned: { of: all, count: owned }, lost, others },
    breaker: breakerFact(KILLED, afterMs),
    database: { peak: database.peak, limit: LOADS_AT_ONCE },
  };
}

async function restart(scene: Scene, seconds: number): Promise<Facts> {
  const { ledger } = scene;
  const startedAt = performance.now();
  const owners = await ownersOf(scene);
  await scene.rest(seconds * 100);
  const deletes = ledger.waitingForConfirmation;
  await nodeOf(scene, KILLED).restart();
  const afterMs = await untilUsed(scene, KILLED);
  await scene.rest(seconds * 300);
  const own = Array.from(owners.keys()).filter((number) => owners[number] === KILLED);
  await readIn(
    scene,
    own.filter((number) => ledger.held[number] === 0),
    seconds * 300,
  );
  await scene.rest(Math.max(0, startedAt + seconds * 1_000 - performance.now()));
  const keys = own.filter((number) => ledger.held[number] === 1);
  return {
    healing: { node: KILLED, afterMs, withinMs: HEALS_WITHIN_MS },
    reloaded: { node: KILLED, keys: keys.length, of: own.length },
    unconfirmed: unconfirmedFact(ledger, deletes),
  };
}

async function freeze(scene: Scene, seconds: number): Promise<Facts> {
  const { ledger } = scene;
  const startedAt = performance.now();
  const owners = await ownersOf(scene);
  // Not lost: what it holds is expected to be there when it goes on.
  ledger.away((number) => owners[number] === FROZEN);
  await nodeOf(scene, FROZEN).pause();
  const unusedAfterMs = await untilUnused(scene, FROZEN);
  await scene.rest(Math.max(0, startedAt + seconds * 500 - performance.now()));
  const deletes = ledger.waitingForConfirmation;
  await nodeOf(scene, FROZEN).resume();
  const usedAfterMs = await untilUsed(scene, FROZEN);
  await scene.rest(Math.max(0, startedAt + seconds * 900 - performance.now()));
  return {
    breaker: breakerFact(FROZEN, unusedAfterMs),
    healing: { node: FROZEN, afterMs: usedAfterMs, withinMs: HEALS_WITHIN_MS },
    unconfirmed: unconfirmedFact(ledger, deletes),
    census: await countMissing(scene),
  };
}

function statusOf({ cache }: Scene, id: string): NodeStatus {
  const status = cache.topology.nodes.find((node) => node.id === id);
  if (status === undefined) throw new Error(`the ring has no ${id}`);
  return status;
}

function breakerFact(node: string, afterMs: number): NonNullable<Facts['breaker']> {
  return { node, opened: Number.isFinite(afterMs), afterMs };
}

/** @param before How many waited just before the node came back; some may have come after that. */
function unconfirmedFact(ledger: Ledger, before: number): NonNullable<Facts['unconfirmed']> {
  const waiting = ledger.waitingForConfirmation;
  return { deletes: Math.max(before, waiting), waiting };
}

function untilUnused(scene: Scene, id: string): Promise<number> {
  return until(scene, () => statusOf(scene, id).breaker !== 'closed', BREAKER_WITHIN_MS);
}

async function untilUsed(scene: Scene, id: string): Promise<number> {
  const afterMs = await until(scene, () => statusOf(scene, id).state === 'up', 2 * HEALS_WITHIN_MS);
  await scene.rest(GRACE_MS);
  scene.ledger.back();
  return afterMs;
}
