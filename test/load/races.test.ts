import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { Loader } from '../../src/load/loader.ts';
import type { Arrival } from '../../src/memory/held.ts';
import { Memory } from '../../src/memory/memory.ts';
import { MEMORY } from '../support/simulated-process.ts';
import { SimulatedServer } from '../support/simulated-server.ts';
import { scene, staleReads, type Weakness } from './races.ts';

/** Printed by fast-check with a counterexample; the same in every run. */
const SEED = 20_261_121;

beforeEach(() => {
  // Pauses have a random part, which no seed of the scheduler could repeat.
  vi.spyOn(Math, 'random').mockReturnValue(0.5);
});

afterEach(() => {
  vi.restoreAllMocks();
});

/** How many of so many schedules have a stale read. */
async function violations(
  runs: number,
  options: { ownReadsOnly: boolean; weakness?: Weakness },
): Promise<number> {
  let count = 0;
  const property = fc.asyncProperty(fc.scheduler(), scene, async (scheduler, drawn) => {
    if ((await staleReads(scheduler, drawn, options)).length > 0) count++;
  });
  await fc.assert(property, { numRuns: runs, seed: SEED });
  return count;
}

describe('no read that starts after an acknowledged write returns an older version', () => {
  test('from the node, whichever process wrote', async () => {
    const property = fc.asyncProperty(fc.scheduler(), scene, async (scheduler, drawn) => {
      expect(await staleReads(scheduler, drawn, { ownReadsOnly: false })).toEqual([]);
    });
    await fc.assert(property, { numRuns: 600, seed: SEED });
  });

  test('from memory, when the same process wrote', async () => {
    const property = fc.asyncProperty(fc.scheduler(), scene, async (scheduler, drawn) => {
      expect(await staleReads(scheduler, drawn, { ownReadsOnly: true })).toEqual([]);
    });
    await fc.assert(property, { numRuns: 600, seed: SEED });
  });
});

class CarelessServer extends SimulatedServer {
  protected override holdsLease(): boolean {
    return true;
  }
}

class TicketlessMemory extends Memory {
  override put(key: string, value: unknown, from: Arrival): boolean {
    return super.put(key, value, { ...from, ticket: this.ticket(from.hash) });
  }
}

class ClingingLoader extends Loader {
  override forget(): void {}
}

class DeafMemory extends Memory {
  override forget(): void {}
}

// The checker is worth something only if it finds what each of them lets through.
describe('the checker finds stale reads', () => {
  test('when a fill does not compare the lease', async () => {
    const weakness: Weakness = { server: (clock) => new CarelessServer('a', clock) };
    expect(await violations(300, { ownReadsOnly: false, weakness })).toBeGreaterThan(3);
  });

  test('when memory takes answers without a ticket', async () => {
    const weakness: Weakness = { memory: (clock) => new TicketlessMemory(MEMORY, clock) };
    expect(await violations(300, { ownReadsOnly: true, weakness })).toBeGreaterThan(3);
  });

  test('when readers join a flight that began before the write', async () => {
    const weakness: Weakness = { loader: (parts) => new ClingingLoader(parts) };
    expect(await violations(300, { ownReadsOnly: false, weakness })).toBeGreaterThan(3);
  });

  test('when memory does not forget what is written', async () => {
    const weakness: Weakness = { memory: (clock) => new DeafMemory(MEMORY, clock) };
    expect(await violations(300, { ownReadsOnly: true, weakness })).toBeGreaterThan(3);
  });
});
