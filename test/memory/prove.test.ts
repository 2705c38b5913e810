// What memory shows while nodes, processes and the connections between them
// misbehave: a small run. `npm run prove -- memory` is the same at the size of a
// night.
//
// What must never happen is demanded strictly. How much happens depends on the
// machine, so of that only little is.
import { expect, test } from 'vitest';
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

test('memory that does not hear of the writes of others is found out', {
  timeout: AT_MOST_MS,
}, async () => {
  const size = { seed: SEED, seconds: 3, maxStaleMs: 300 };
  const { verdict, evidence } = await run({ ...size, weakness: 'push' });
  expect(verdict.violations.length).toBeGreaterThan(0);
  expect(evidence[0]).toMatch(/read v\d+ \(\w+, memory\), .* was acknowledged\n/);
});
