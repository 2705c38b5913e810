/**
 * The real code under the histories of `ring-simulation.ts`. A failure prints
 * its history. How many there are: `histories.ts`.
 */
import { afterEach, describe, expect, test, vi } from 'vitest';
import { TagDeletes } from '../../src/load/tag-deletes.ts';
import { Writes } from '../../src/load/writes.ts';
import type { Fenced, FillAnswer } from '../../src/node/node.ts';
import { newestOf, type Sequence } from '../../src/node/sequence.ts';
import type { Snapshot } from '../../src/topology/snapshot.ts';
import type { Topology } from '../../src/topology/topology.ts';
import { randomOf } from '../cache/random.ts';
import type { FakeClock } from '../support/fake-clock.ts';
import { SimulatedServer } from '../support/simulated-server.ts';
import { historiesOf, limitOf } from './histories.ts';
import { RingHistory, type RingOutcome, type Weakness } from './ring-simulation.ts';

const HISTORIES = historiesOf(12);
const LIMIT = limitOf(100 * HISTORIES);

afterEach(() => {
  vi.restoreAllMocks();
});

/** One history. */
function play(
  seed: number,
  weakness?: Weakness,
  tell?: (line: string) => void,
): Promise<RingOutcome> {
  // Pauses and spreads have a random part.
  vi.spyOn(Math, 'random').mockImplementation(randomOf(seed));
  return new RingHistory(seed, weakness, tell).run();
}

async function story(seed: number, weakness?: Weakness): Promise<string> {
  const lines: string[] = [];
  await play(seed, weakness, (line) => lines.push(line));
  return [`seed ${seed}`, ...lines].join('\n');
}

test(
  'no read returns what was replaced before it began, whatever happens to the ring',
  LIMIT,
  async () => {
    const sum = {
      reads: 0,
      acknowledged: 0,
      hits: 0,
      copied: 0,
      changes: 0,
      takenBack: 0,
      resumed: 0,
    };
    for (let seed = 1; seed <= HISTORIES; seed++) {
      const { stale, counts } = await play(seed);
      if (stale.length > 0) expect(stale, await story(seed)).toEqual([]);
      for (const key of Object.keys(sum) as (keyof typeof sum)[]) sum[key] += counts[key];
    }
    // Else nothing of interest has happened.
    expect(sum.reads).toBeGreaterThan(500 * HISTORIES);
    expect(sum.acknowledged).toBeGreaterThan(100 * HISTORIES);
    expect(sum.hits).toBeGreaterThan(200 * HISTORIES);
    expect(sum.copied).toBeGreaterThan(HISTORIES);
    expect(sum.changes).toBeGreaterThan(5 * HISTORIES);
    expect(sum.takenBack).toBeGreaterThan(0.5 * HISTORIES);
    expect(sum.resumed).toBeGreaterThan(0.5 * HISTORIES);
  },
);

test('nor what was deleted by tag or cleared', LIMIT, async () => {
  const byTag = { byTag: true };
  let hits = 0;
  for (let seed = 1; seed <= HISTORIES; seed++) {
    const { stale, counts } = await play(seed, byTag);
    if (stale.length > 0) expect(stale, await story(seed, byTag)).toEqual([]);
    hits += counts.hits;
  }
  expect(hits).toBeGreaterThan(100 * HISTORIES);
});

test('the same seed makes the same history', LIMIT, async () => {
  const told = await story(1);
  expect(await story(1)).toBe(told);
  expect(told).toMatch(/adds|removes/);
  expect(await story(2)).not.toBe(told);
});

const MUTANT_HISTORIES = 60;

/** The first history in which the checker finds something. */
async function found(weakness: Weakness): Promise<number | 'nothing'> {
  for (let seed = 1; seed <= MUTANT_HISTORIES; seed++) {
    const { stale } = await play(seed, weakness);
    if (stale.length > 0) return seed;
  }
  return 'nothing';
}

/** Writes that take other nodes for the owner and the one before it. */
function writesBy(change: (snapshot: Snapshot) => Partial<Snapshot>): Weakness {
  return {
    writes: (parts) => new Writes({ ...parts, topology: otherTopology(parts.topology, change) }),
  };
}

/** The same of deletes by tag. */
function tagDeletesBy(change: (snapshot: Snapshot) => Partial<Snapshot>): Weakness {
  return {
    byTag: true,
    tagDeletes: (parts) =>
      new TagDeletes({ ...parts, topology: otherTopology(parts.topology, change) }),
  };
}

function otherTopology(
  topology: Topology,
  change: (snapshot: Snapshot) => Partial<Snapshot>,
): Topology {
  const seen = new WeakMap<Snapshot, Snapshot>();
  const overlay: Partial<Topology> = {
    get snapshot() {
      const { snapshot } = topology;
      const known = seen.get(snapshot) ?? overlaid(snapshot, change(snapshot));
      seen.set(snapshot, known);
      return known;
    },
    refresh: () => topology.refresh(topology.snapshot),
  };
  return overlaid(topology, overlay);
}

function overlaid<T extends object>(whole: T, part: Partial<T>): T {
  return new Proxy(whole, {
    get: (target, name) => {
      const from = Reflect.has(part, name) ? part : target;
      const value: unknown = Reflect.get(from, name, from);
      return typeof value === 'function' ? value.bind(from) : value;
    },
  });
}

function serverOf(make: new (id: string, clock: FakeClock) => SimulatedServer): Weakness {
  return { server: (id, clock) => new make(id, clock) };
}

/** Serves whoever asks; says only that it has no epoch. */
class IndifferentServer extends SimulatedServer {
  override fencedBy(fence: string): Fenced | undefined {
    const answer = super.fencedBy(fence);
    return answer?.kind === 'stale' ? undefined : answer;
  }
}

class CarelessServer extends SimulatedServer {
  protected override holdsLease(): boolean {
    return true;
  }
}

/** Puts the sequence of now into what was loaded before. */
class LateServer extends SimulatedServer {
  override fill(...[key, entry]: Parameters<SimulatedServer['fill']>): FillAnswer {
    return super.fill(key, { ...entry, seq: newestOf(this.tags.sequence) });
  }
}

/** Says with every answer that nothing was deleted lately. */
class SilentServer extends SimulatedServer {
  override get sequence(): Sequence {
    this.#first ??= super.sequence;
    return this.#first;
  }

  #first: Sequence | undefined;
}

/** Says of what it had before a restart that it is of this run. */
class ForgetfulServer extends SimulatedServer {
  override restartFromSaved(): void {
    super.restartFromSaved();
    if (this.fence !== undefined) this.servedRun = this.runId;
  }
}

// The checker is worth something only if it finds what each of them lets through.
describe('the checker finds stale reads', () => {
  test('when the owner is written first, then the one before it', LIMIT, async () => {
    const weakness = writesBy((snapshot) => ({
      owner: (hash) => snapshot.previousOwner(hash) ?? snapshot.owner(hash),
      previousOwner: (hash) => snapshot.previousOwner(hash) && snapshot.owner(hash),
    }));
    expect(await found(weakness)).not.toBe('nothing');
  });

  test('when only the owner is written', LIMIT, async () => {
    const weakness = writesBy(() => ({ previousOwner: () => undefined }));
    expect(await found(weakness)).not.toBe('nothing');
  });

  test('when all is believed that a node has', LIMIT, async () => {
    const snapshot = (one: Snapshot): void => {
      one.believes = () => true;
      one.believesPrevious = () => true;
    };
    expect(await found({ snapshot })).not.toBe('nothing');
  });

  test('when a node does not compare the fence', LIMIT, async () => {
    expect(await found(serverOf(IndifferentServer))).not.toBe('nothing');
  });

  test('when a fill does not compare the lease', LIMIT, async () => {
    expect(await found(serverOf(CarelessServer))).not.toBe('nothing');
  });

  test('when a restart is not noticed', LIMIT, async () => {
    expect(await found(serverOf(ForgetfulServer))).not.toBe('nothing');
  });

  test('when only the owners are told of a tag', LIMIT, async () => {
    expect(await found(tagDeletesBy(() => ({ source: undefined })))).not.toBe('nothing');
  });

  test('when a load counts as begun when it is stored', LIMIT, async () => {
    expect(await found({ ...serverOf(LateServer), byTag: true })).not.toBe('nothing');
  });

  test('when a read does not bring the sequence along', LIMIT, async () => {
    expect(await found({ ...serverOf(SilentServer), byTag: true })).not.toBe('nothing');
  });
});
