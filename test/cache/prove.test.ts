// What is read by several real processes while the ring changes and nodes,
// processes and the network misbehave: a small run. `npm run prove -- ring` is
// the same at the size of a night, with each kind of fault by itself.
//
// What must never happen is demanded strictly. How much happens depends on the
// machine, so of that only little is.
import { expect, test } from 'vitest';
import { FAULTS } from './prove/faults.ts';
import { broken, type Outcome, type RunOptions, run } from './prove/run.ts';

const AT_MOST_MS = 60_000;

function play(name: string, size: Omit<RunOptions, 'fault' | 'seed'>): Promise<Outcome> {
  const fault = FAULTS.find((one) => one.name === name);
  if (fault === undefined) throw new Error(`no fault ${name}`);
  return run({ ...size, fault, seed: SEED });
}

const SEED = 1;

function expectKept(outcome: Outcome): void {
  const { verdict, evidence } = outcome;
  expect(broken(outcome), `seed ${SEED}\n${evidence.join('\n\n')}`).toEqual([]);
  expect(outcome.changes).toBeGreaterThan(0);
  expect(verdict.hits).toBeGreaterThan(500);
  expect(verdict.taken).toBeGreaterThan(50);
}

test('a live node leaves and comes back: no load more, and all serve by the new ring at once', {
  timeout: AT_MOST_MS,
}, async () => {
  expectKept(await play('live-change', { seconds: 1, injections: 1 }));
});

test('nothing that was replaced or deleted is read again, whatever is broken', {
  timeout: AT_MOST_MS,
}, async () => {
  expectKept(await play('everything', { seconds: 2, injections: 1 }));
});

test('a protocol that lacks a part is found out', { timeout: AT_MOST_MS }, async () => {
  const weak = { seconds: 1, injections: 1, weakness: 'owner-only' } as const;
  const { verdict, evidence } = await play('process-stopped', weak);
  expect(verdict.violations.length).toBeGreaterThan(0);
  expect(evidence[0]).toMatch(/read v\d+ .* was acknowledged\n/);
});
