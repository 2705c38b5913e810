import { afterEach, describe, expect, test, vi } from 'vitest';
import type { Clock } from '../../src/clock.ts';
import type { Attempt, AttemptAsk } from '../../src/lock/homes.ts';
import { type HomesParts, RingHomes } from '../../src/lock/ring-homes.ts';
import type { AcquireAnswer, AcquireAsk, GateAnswer, KnockAsk } from '../../src/node/lock-node.ts';
import type { Fenced } from '../../src/node/node.ts';
import type { Snapshot } from '../../src/topology/snapshot.ts';
import type { SimulatedLocks } from '../support/simulated-locks.ts';
import { CountingLocks, CountingServer, type Weakness } from './lock-process.ts';
import { type Outcome, RingHistory, randomOf } from './ring-simulation.ts';

/** The first seed; the others follow it. */
const SEED = 20_261_124;

afterEach(() => {
  vi.restoreAllMocks();
});

/** One history. */
function play(seed: number, weakness?: Weakness): Promise<Outcome> {
  // Pauses and spreads have a random part.
  vi.spyOn(Math, 'random').mockImplementation(randomOf(-seed));
  return new RingHistory(seed, weakness).run();
}

test('no lock is held twice and its numbers grow, whatever happens to the ring', async () => {
  const sum = { grants: 0, crowdedOut: 0, movingGrants: 0, changes: 0, settled: 0 };
  const violations: string[] = [];
  for (let seed = SEED; seed < SEED + 200; seed++) {
    const outcome = await play(seed);
    violations.push(...outcome.violations.map((violation) => `seed ${seed}, ${violation}`));
    for (const key of ['grants', 'crowdedOut', 'movingGrants', 'changes', 'settled'] as const) {
      sum[key] += outcome[key];
    }
  }
  expect(violations).toEqual([]);
  // A node that left, could not be told, and is back: who knows the ring of then takes the lock there, and lets it go.
  expect(sum.crowdedOut).toBeLessThan(3);
  // Else nothing of interest has happened.
  expect(sum.grants).toBeGreaterThan(8_000);
  expect(sum.movingGrants).toBeGreaterThan(1_500);
  expect(sum.changes).toBeGreaterThan(400);
  expect(sum.settled).toBeGreaterThan(200);
}, 60_000);

/** What the checker says first that has `what` in it. */
async function found(weakness: Weakness, what: RegExp, histories = 60): Promise<string> {
  for (let seed = SEED; seed < SEED + histories; seed++) {
    const { violations } = await play(seed, weakness);
    const violation = violations.find((one) => what.test(one));
    if (violation !== undefined) return violation;
  }
  return 'nothing';
}

const TWO = /while another had it/;
const SMALLER = /was granted with \d+ after/;

/** Homes other than those that a snapshot says. */
function homesAre(change: (homes: ReturnType<Snapshot['lockHomes']>) => typeof homes): Weakness {
  const snapshot = (one: Snapshot): void => {
    const lockHomes = one.lockHomes.bind(one);
    one.lockHomes = (hash) => change(lockHomes(hash));
  };
  return { snapshot };
}

function locksAre(
  make: (around: CountingServer, micros: () => number) => SimulatedLocks,
): Weakness {
  class OtherServer extends CountingServer {
    protected override newLocks(micros: () => number): SimulatedLocks {
      return make(this, micros);
    }
  }
  return { server: (id: string, clock: Clock) => new OtherServer(id, clock) };
}

/** Serves whoever asks; says only that it has no epoch. */
class IndifferentServer extends CountingServer {
  override fencedBy(fence: string): Fenced | undefined {
    const answer = super.fencedBy(fence);
    return answer?.kind === 'stale' ? undefined : answer;
  }
}

class FloorlessLocks extends CountingLocks {
  override acquire(name: string, ask: AcquireAsk): AcquireAnswer {
    return super.acquire(name, { ...ask, floor: 0 });
  }
}

class OpenLocks extends CountingLocks {
  override knock(ask: KnockAsk): GateAnswer {
    const { kind } = super.knock({ ...ask, claim: 'ask' });
    if (kind === 'missing') return super.knock({ ...ask, claim: 'joined' });
    return super.knock({ ...ask, claim: 'open', longestMs: 0 });
  }
}

/** Renews a lock where it was taken, whatever ring is in force by then. */
class StayingHomes extends RingHomes {
  readonly #parts: HomesParts;

  constructor(parts: HomesParts) {
    super(parts);
    this.#parts = parts;
  }

  override async attempt(ask: AttemptAsk): Promise<Attempt> {
    const { topology } = this.#parts;
    const { snapshot } = topology;
    const attempt = await super.attempt(ask);
    if (attempt.kind !== 'granted') return attempt;
    const { release } = attempt.grip;
    const prolong = async (ttlMs: number): Promise<'prolonged' | 'lost'> => {
      const { name, token } = ask;
      const { fence } = topology.snapshot;
      for (const home of snapshot.lockHomes(snapshot.ring.hash(name))) {
        const answer = await home.locks.prolong(name, { token, ttlMs, fence });
        if (answer.kind === 'lost') return 'lost';
      }
      return 'prolonged';
    };
    return { ...attempt, grip: { prolong, release: release.bind(attempt.grip) } };
  }
}

// The checker is worth something only if it finds what each of them lets through.
describe('the checker finds', () => {
  test('two holders, when only the new home is asked', async () => {
    expect(
      await found(
        homesAre((homes) => homes.slice(-1)),
        TWO,
      ),
    ).toMatch(TWO);
  });

  test('two holders, when only the old home is asked', async () => {
    expect(
      await found(
        homesAre((homes) => homes.slice(0, 1)),
        TWO,
      ),
    ).toMatch(TWO);
  });

  // Nobody holds it twice: whoever knows the new ring needs both. But he gets in the way of the holder.
  test('holders that are crowded out, when the new home is asked first', async () => {
    const weakness = homesAre((homes) => homes.toReversed());
    let crowdedOut = 0;
    for (let seed = SEED; seed < SEED + 40; seed++) {
      crowdedOut += (await play(seed, weakness)).crowdedOut;
    }
    expect(crowdedOut).toBeGreaterThan(4);
  });

  test('two holders, when an era ends at once', async () => {
    expect(await found({ erasLongestMs: -5_000 }, TWO)).toMatch(TWO);
  });

  test('two holders, when the servers do not compare the fence', async () => {
    const weakness: Weakness = { server: (id, clock) => new IndifferentServer(id, clock) };
    expect(await found(weakness, TWO)).toMatch(TWO);
  });

  test('two holders, when a renewal does not take the new home', async () => {
    const weakness: Weakness = { homes: (parts) => new StayingHomes(parts) };
    expect(await found(weakness, TWO)).toMatch(TWO);
  });

  test('two holders, when a server that has lost its data grants at once', async () => {
    const weakness = locksAre((around, micros) => new OpenLocks(around, micros));
    expect(await found(weakness, TWO)).toMatch(TWO);
  });

  test('numbers that do not grow, when the floor is not passed on', async () => {
    const weakness = locksAre((around, micros) => new FloorlessLocks(around, micros));
    expect(await found(weakness, SMALLER)).toMatch(SMALLER);
  });

  test('numbers that do not grow, when the end of an era sets no floor', async () => {
    const snapshot = (one: Snapshot): void => {
      Object.defineProperty(one, 'lockFloor', { value: 0 });
    };
    expect(await found({ snapshot }, SMALLER)).toMatch(SMALLER);
  });
});
