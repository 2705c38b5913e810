// Goal: what the rebalancing benchmark says is what happened. Method: its parts, on events made by hand.

import { describe, expect, test } from 'vitest';
import { placeByModulo } from '../bench/modulo.ts';
import { drawRebalance } from '../bench/rebalance-charts.ts';
import { Database, monotonicMs } from '../bench/rebalance-database.ts';
import type { LiveOutcome } from '../bench/rebalance-live.ts';
import { History, outcomeOf } from '../bench/rebalance-outcome.ts';
import { drawPage } from '../bench/rebalance-page.ts';
import type { Changed, Seen } from '../bench/rebalance-row.ts';
import { Asking, driveTraffic, type TrafficPlan } from '../bench/rebalance-traffic.ts';
import { drawTimes } from '../bench/time-panel.ts';
import { HashRing } from '../src/index.ts';
import { useNodes } from './support/nodes.ts';

/** What one process saw: by default nothing. */
function seenBy(parts: Partial<Seen>): Seen {
  return {
    reads: { id: [], version: [], dueAt: [], askedAt: [], latencyMs: [], kind: [] },
    loads: { at: [], extra: [] },
    writes: { id: [], version: [], ackedAt: [] },
    samples: [],
    rings: [],
    ...parts,
  };
}

/** Reads of one key, one a millisecond from `from` on. */
function readsOf(kinds: string, from: number, latencyMs = 1): Seen['reads'] {
  const kind = [...kinds] as Seen['reads']['kind'];
  const dueAt = kind.map((_, i) => from + i);
  return {
    id: kind.map(() => 0),
    version: kind.map(() => 0),
    dueAt,
    askedAt: dueAt,
    latencyMs: kind.map(() => latencyMs),
    kind,
  };
}

const changed: Changed = {
  startedAt: 1_000,
  servesAt: 1_010,
  doneAt: 1_500,
  epoch: 2,
  stableEpoch: 3,
  copiedByMover: 7,
  failed: 0,
  requests: 20,
};

describe('the outcome', () => {
  const span = { from: 900, changeAt: 1_000, to: 1_200 };
  const at = { bucketMs: 100, changed };

  test('the hit rate leaves out reads that wait for a load a delete asks for', () => {
    const seen = [
      seenBy({ reads: readsOf('hhhh', 950) }),
      seenBy({ reads: readsOf('hnnx', 1_000) }),
      seenBy({ reads: readsOf('hhhhhhhhhx', 1_100, 50) }),
    ];
    const outcome = outcomeOf(seen, span, at);
    expect(outcome.buckets.map(({ atMs, hitRate }) => [atMs, hitRate])).toEqual([
      [-100, 1],
      [0, 0.5],
      [100, 0.9],
    ]);
    expect(outcome).toMatchObject({ worstHitRate: 0.5, p99BeforeMs: 1, worstP99Ms: 50 });
  });

  test('loads count as extra from the change on, and apart before it', () => {
    const loads = {
      at: [899, 950, 1_000, 1_001, 1_100, 1_200],
      extra: [true, true, true, false, true, true],
    };
    const outcome = outcomeOf([seenBy({ loads })], span, at);
    expect(outcome).toMatchObject({ extraLoadsBefore: 1, extraLoads: 2, neededLoads: 1 });
  });

  test('requests are extra beyond those that the time before lets expect', () => {
    const samples = [
      { at: 890, requests: 100, copied: 0 },
      { at: 1_000, requests: 150, copied: 2 },
      { at: 1_200, requests: 330, copied: 5 },
    ];
    // 50 in 100 ms before; 180 instead of 100 in 200 ms after, and 20 of the driver.
    const outcome = outcomeOf([seenBy({ samples })], span, at);
    expect(outcome).toMatchObject({ extraRequests: 100, copiedByReads: 3, copiedByMover: 7 });
  });

  test('the last process decides when all serve by the new ring', () => {
    const early = seenBy({ rings: [{ epoch: 2, joint: true, at: 1_020 }] });
    const late = seenBy({ rings: [{ epoch: 3, joint: false, at: 1_090 }] });
    expect(outcomeOf([early, late], span, at).servesAfterMs).toBe(90);
    expect(outcomeOf([early, seenBy({})], span, at).servesAfterMs).toBe(Number.POSITIVE_INFINITY);
  });
});

describe('stale reads', () => {
  const writes = { id: [0, 0, 1], version: [1, 2, 9], ackedAt: [100, 200, 100] };
  const readAt = (askedAt: number, version: number): Seen =>
    seenBy({ reads: { ...readsOf('h', askedAt), version: [version] } });

  test('are those that began after a write was confirmed in any process, and returned less', () => {
    const history = new History();
    history.add([seenBy({ writes })]);
    const stale = history.staleReads([readAt(150, 0), readAt(250, 1), readAt(250, 2)], 0);
    expect(stale).toEqual([
      'process 0 read version 0 of key 0, 50.0 ms after 1 was confirmed',
      'process 1 read version 1 of key 0, 50.0 ms after 2 was confirmed',
    ]);
    expect(history.staleReads([readAt(150, 1), readAt(99, 0), readAt(200, 1)], 0)).toEqual([]);
  });

  test('may be as old as the memory tier allows', () => {
    const history = new History();
    history.add([seenBy({ writes })]);
    expect(history.staleReads([readAt(250, 1)], 100)).toEqual([]);
    expect(history.staleReads([readAt(301, 1)], 100)).toHaveLength(1);
  });
});

describe('the database', () => {
  const nodes = useNodes(1);
  const open = (): Database => new Database(nodes[0]!.url);
  let next = 0;

  test('a load is extra when the value had been cached since it last changed', async () => {
    using database = open();
    const id = next++;
    expect(await database.load(id, monotonicMs())).toEqual({ version: 0, extra: true });
    await database.write(id, async () => ({ confirmed: true, cached: false }));
    expect(await database.load(id, monotonicMs())).toEqual({ version: 1, extra: false });
    expect(await database.load(id, monotonicMs())).toEqual({ version: 1, extra: true });
    await database.write(id, async () => ({ confirmed: true, cached: true }));
    expect(await database.load(id, monotonicMs())).toEqual({ version: 2, extra: true });
  });

  test('a write that its node did not take asks for a load', async () => {
    using database = open();
    const id = next++;
    await database.write(id, async () => ({ confirmed: false, cached: true }));
    expect(await database.load(id, monotonicMs())).toMatchObject({ extra: false });
  });

  test('a load during a write, or for a read that began before its end, is needed and caches nothing', async () => {
    using database = open();
    const id = next++;
    const early = monotonicMs();
    await database.write(id, async () => {
      for (let load = 0; load < 2; load++) {
        expect(await database.load(id, monotonicMs())).toMatchObject({ extra: false });
      }
      return { confirmed: true, cached: false };
    });
    expect(await database.load(id, early)).toMatchObject({ extra: false });
    expect(await database.load(id, monotonicMs())).toMatchObject({ extra: false });
    expect(await database.load(id, monotonicMs())).toMatchObject({ extra: true });
  });

  test('what is put into the cache beforehand needs no load', async () => {
    using database = open();
    const id = next++;
    await database.write(id, async () => ({ confirmed: true, cached: false }));
    expect(await database.cached([id, next++])).toEqual([1, 0]);
    expect(await database.load(id, monotonicMs())).toMatchObject({ version: 1, extra: true });
  });
});

describe('the traffic', () => {
  const plan = (parts: Partial<TrafficPlan>): TrafficPlan => ({
    ...{ keys: 30, perSecond: 1_000, sets: 0.2, deletes: 0.2, zipf: 0.99, seed: 3 },
    ...{ startAt: monotonicMs(), forMs: 100, process: 0, processes: 3 },
    ...parts,
  });

  test('asks at its rate, though nothing is answered', async () => {
    const { promise, resolve } = Promise.withResolvers<void>();
    const due: number[] = [];
    const traffic = plan({ sets: 0, deletes: 0 });
    const read = (_: number, dueAt: number): Promise<void> => {
      due.push(dueAt);
      if (due.length === 100) resolve();
      return promise;
    };
    await driveTraffic(traffic, { read, set: async () => {}, delete: async () => {} });
    expect(due).toEqual(Array.from({ length: 100 }, (_, i) => traffic.startAt + i));
  });

  test('has one writer for each key, and one write at a time', async () => {
    const written: number[] = [];
    const busy = new Set<number>();
    const write = async (id: number): Promise<void> => {
      expect(busy.has(id)).toBe(false);
      busy.add(id);
      written.push(id);
      await new Promise((resolve) => setTimeout(resolve, 2));
      busy.delete(id);
    };
    const target = { read: async () => {}, set: write, delete: write };
    await driveTraffic(plan({ process: 1, keys: 31 }), target);
    expect(written.length).toBeGreaterThan(10);
    expect(written.every((id) => id % 3 === 1 && id < 31)).toBe(true);
  });

  test('a read that joins another of its process was asked for when that one was', () => {
    const asking = new Asking();
    expect([asking.begin(1, 10), asking.begin(1, 11), asking.begin(2, 12)]).toEqual([10, 10, 12]);
    asking.end(1, 10);
    expect(asking.begin(1, 13)).toBe(13);
    asking.end(1, 10);
    expect(asking.begin(1, 14)).toBe(13);
    asking.forget(1);
    expect(asking.begin(1, 15)).toBe(15);
  });

  test('fails when a request does', async () => {
    const fails = async (): Promise<void> => {
      throw new Error('no');
    };
    const target = { read: fails, set: fails, delete: fails };
    await expect(driveTraffic(plan({ forMs: 5 }), target)).rejects.toThrow('no');
  });
});

describe('the report', () => {
  const outcomeFor = (row: LiveOutcome['row'], scenario: LiveOutcome['scenario']): LiveOutcome => ({
    ...outcomeOf([seenBy({ reads: readsOf('h'.repeat(40), 960) })], span, {
      bucketMs: 20,
      changed,
    }),
    ...{ row, scenario, moved: 0.25, avoidable: 0, ideal: 0.25 },
    ...{ staleReads: 0, staleExamples: [] },
  });
  const span = { from: 960, changeAt: 980, to: 1_000 };
  const live = (['modulo', 'ours'] as const).flatMap((row) =>
    (['add', 'remove', 'lose'] as const).map((scenario) => outcomeFor(row, scenario)),
  );
  const balance = [{ points: 512, theory: 0.04, max3: 1, max10: 1, max100: 1 }];

  test('is one page that asks for nothing else', () => {
    const placement = { keys: 1, sets: 1, movement: [], balance };
    const machine = {
      ...{ cpu: 'a <b> cpu', cores: 1, memoryGiB: 1, platform: 'p', node: 'n', commit: 'c' },
      ...{ date: 'd', versions: {} },
    };
    const report = { summary: 'It is so.', parameters: {}, tables: [], checksum: '0' };
    const page = drawPage(report, { live, placement, machine });
    expect(page).not.toMatch(/<script|<link|<img|\bsrc=|\bhref=|url\(|@import|https?:/);
    expect(page).not.toMatch(/NaN|undefined|Infinity/);
    expect(page).toContain('a &lt;b&gt; cpu');
    expect(page.match(/<svg /g)).toHaveLength(11);
  });

  test('draws both lines into the picture for the README', () => {
    const svg = drawRebalance(live, 'a subtitle');
    const names = [...svg.matchAll(/class="value (?:warm|cool)">([a-z]+)</g)];
    expect(new Set(names.map(([, name]) => name))).toEqual(new Set(['modulo', 'ringcache']));
  });

  test.each([0, 1])(
    'names of lines that end at %i stay in the picture and do not overlap',
    (value) => {
      const points = [{ seconds: 0, value }];
      const svg = drawTimes(
        {
          ...{ kind: 'times', title: '', min: 0, max: 1, ticks: [], format: String, events: [] },
          ...{ fromSeconds: 0, toSeconds: 1 },
          series: ['a', 'b', 'c'].map((name) => ({ name, colour: 'warm', points })),
        },
        { left: 0, top: 100, width: 300, height: 100 },
      );
      const names = [...svg.matchAll(/y="([\d.]+)" class="value warm"/g)];
      const [one, two, three] = names.map(([, y]) => Number(y));
      expect(two! - one!).toBeGreaterThanOrEqual(14);
      expect(three! - two!).toBeGreaterThanOrEqual(14);
      expect([one! > 100, three! < 225]).toEqual([true, true]);
    },
  );
});

// The last one: it changes every ring of this process.
test('modulo places every key by its hash, for every number of nodes', async () => {
  const three = await HashRing.create([{ id: 'a' }, { id: 'b' }, { id: 'c' }]);
  const key = 'user:1';
  const hash = three.hash(key) >>> 0;
  placeByModulo();
  expect(three.owner(key)).toBe(['a', 'b', 'c'][hash % 3]);
  expect(three.ids[three.indexAt(three.hash(key))]).toBe(three.owner(key));
  expect(three.with({ id: 'd' }).owner(key)).toBe(['a', 'b', 'c', 'd'][hash % 4]);
});
