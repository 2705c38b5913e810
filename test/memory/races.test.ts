// What memory shows, whatever order things come in; and that the checker of it finds what is left out.
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Clock } from '../../src/clock.ts';
import type { Arrival } from '../../src/memory/held.ts';
import { Memory } from '../../src/memory/memory.ts';
import { scene, staleReads, TUNING } from './races.ts';

/** Printed by fast-check with a counterexample; the same in every run. */
const SEED = 20_261_124;

test('memory shows nothing that was replaced maxStale before, and nothing that its process has replaced', {
  timeout: 60_000,
}, async () => {
  const property = fc.asyncProperty(fc.scheduler(), scene, async (scheduler, drawn) => {
    expect(await staleReads(scheduler, drawn)).toEqual([]);
  });
  await fc.assert(property, { numRuns: 1_000, seed: SEED });
});

/** How many of so many schedules have a stale read. */
async function violations(runs: number, make: (clock: Clock) => Memory): Promise<number> {
  let count = 0;
  const property = fc.asyncProperty(fc.scheduler(), scene, async (scheduler, drawn) => {
    if ((await staleReads(scheduler, drawn, make)).length > 0) count++;
  });
  await fc.assert(property, { numRuns: runs, seed: SEED });
  return count;
}

class Ticketless extends Memory {
  override put(key: string, value: unknown, from: Arrival): boolean {
    return super.put(key, value, { ...from, ticket: this.ticket(from.hash) });
  }
}

class Trusting extends Memory {
  override heard(node: string): void {
    super.heard(node, Number.POSITIVE_INFINITY);
  }
}

class Keeping extends Memory {
  override drop(): void {}
  override track(): void {}
  override untrack(): void {}
}

class Deaf extends Memory {
  override told(): void {}
}

class Forgetful extends Memory {
  override forget(): void {}
}

describe('the checker finds memory', () => {
  test.each<[string, number, (clock: Clock) => Memory]>([
    ['that takes answers without a ticket', 600, (clock) => new Ticketless(TUNING, clock)],
    ['that trusts for ever what was told', 600, (clock) => new Trusting(TUNING, clock)],
    ['that keeps what it has when the channel is lost', 600, (clock) => new Keeping(TUNING, clock)],
    ['that does not hear of changes', 200, (clock) => new Deaf(TUNING, clock)],
    ['that does not forget what its process writes', 200, (clock) => new Forgetful(TUNING, clock)],
  ])('%s', { timeout: 60_000 }, async (_, runs, make) => {
    expect(await violations(runs, make)).toBeGreaterThan(2);
  });
});
