// What memory shows while nodes, processes and the connections between them
// misbehave: a small run. `npm run prove -- memory` is the same at the size of a
// night.
//
// What must never happen is demanded strictly. How much happens depends on the
// machine, so of that only little is.
import { expect, test } from 'vitest';
import { FAULTS } from './prove/faults.ts';
import { broken, run } from './prove/run.ts';

const AT_MOST_MS = 90_000;
const SEED = 1;

test('memory is not behind for longer than it may, whatever is broken, and heals', {
  timeout: AT_MOST_MS,
}, async () => {
  const outcome = await run({ seed: SEED, seconds: 15, maxStaleMs: 1_000 });
  const { verdict, evidence, injected } = outcome;
  expect(broken(outcome), `seed ${SEED}\n${evidence.join('\n\n')}`).toEqual([]);
  expect(verdict.memoryHits).toBeGreaterThan(500);
  expect(verdict.taken).toBeGreaterThan(50);
  expect(Object.values(injected).reduce((sum, count) => sum + count, 0)).toBeGreaterThan(10);
});

// By stale reads, if the machine leaves it the time for any; by the look at the end in any case.
test('memory that does not hear of the writes of others is found out', {
  timeout: AT_MOST_MS,
}, async () => {
  // Whatever else is broken makes memory drop what it should not have.
  const faults = FAULTS.filter(({ name }) => name === 'scripts-flushed');
  const size = { seed: SEED, seconds: 3, maxStaleMs: 300, faults };
  const { verdict, coherence } = await run({ ...size, weakness: 'push' });
  expect([...verdict.violations, ...coherence.problems]).not.toEqual([]);
});
