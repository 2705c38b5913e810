// Locks between real processes, while something is broken again and again: a
// small run of each fault. `npm run prove` is the same at the size of a night.
//
// What must never happen is demanded strictly. How much is acquired depends on
// the machine, so of that only little is.
import { describe, expect, test } from 'vitest';
import { FAULTS, type Fault } from './prove/faults.ts';
import { isDead, isLate, run } from './prove/run.ts';

const SEED = 1;
const ACQUISITIONS = 300;
const INJECTIONS = 3;
const AT_MOST_MS = 60_000;

/** Those that mean something else when a majority of nodes is asked. */
const FOR_QUORUM = new Set([
  'replies-slow',
  'none',
  'holder-stopped',
  'redis-stopped',
  'redis-killed',
  'flushall',
]);

async function expectKept(fault: Fault, quorum: boolean): Promise<void> {
  const injections = fault.inject === undefined ? 0 : INJECTIONS;
  const outcome = await run({ fault, quorum, seed: SEED, acquisitions: ACQUISITIONS, injections });
  const { verdict, evidence } = outcome;
  expect(verdict.violations, `seed ${SEED}\n${evidence.join('\n\n')}`).toEqual([]);
  expect(isLate(outcome), `${outcome.overMs} ms, ${outcome.lateMs} ms`).toBe(false);
  expect(isDead(outcome), `${verdict.dead} locks`).toBe(false);
  // It has bitten: locks were held and had again, and without fences there would have been damage.
  expect(outcome.injections).toBeGreaterThanOrEqual(injections);
  expect(outcome.acquiredAfter).toBeGreaterThan(0);
  expect(verdict.grants).toBeGreaterThanOrEqual(ACQUISITIONS);
  expect(verdict.dead / verdict.grants).toBeLessThan(0.05);
  expect(verdict.longestClaimMs).toBeGreaterThan(0);
  if (fault.writesLate === true) expect(verdict.lostWithoutFence).toBeGreaterThan(0);
}

describe.concurrent('one holder at a time, and fences that grow, on a ring', () => {
  for (const fault of FAULTS) {
    test(`${fault.name}: ${fault.about}`, { timeout: AT_MOST_MS }, () => expectKept(fault, false));
  }
});

describe.concurrent('one holder at a time, and fences that grow, on a majority', () => {
  for (const fault of FAULTS.filter(({ name }) => FOR_QUORUM.has(name))) {
    test(`${fault.name}: ${fault.about}`, { timeout: AT_MOST_MS }, () => expectKept(fault, true));
  }
});
