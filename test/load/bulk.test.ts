import { describe, expect, test } from 'vitest';
import { BulkLoad, type BulkLoader } from '../../src/load/bulk.ts';
import { Flight } from '../../src/load/flight.ts';
import { type LoadContext, LoadRunner } from '../../src/load/runner.ts';
import { CacheCounters } from '../../src/metrics/metrics.ts';
import { FakeClock } from '../support/fake-clock.ts';
import {
  RING,
  SETTINGS,
  SimulatedProcess,
  SimulatedServers,
  seat,
  TUNING,
} from '../support/simulated-process.ts';

interface Subject {
  readonly clock: FakeClock;
  readonly bulk: BulkLoad;
  /** The lists that the loader was called with. */
  readonly calls: string[][];
  readonly contexts: LoadContext[];
  flight(key: string): Flight;
}

async function subject(loader: BulkLoader<unknown>, ...keys: string[]): Promise<Subject> {
  const clock = new FakeClock();
  const servers = new SimulatedServers(clock);
  const { topology } = await SimulatedProcess.create({
    clock,
    servers,
    seats: [seat('a')],
    ring: RING,
  });
  const runner = new LoadRunner(clock, new CacheCounters(), TUNING);
  const calls: string[][] = [];
  const contexts: LoadContext[] = [];
  const bulk = new BulkLoad(runner, (missing, context) => {
    calls.push([...missing]);
    contexts.push(context);
    return loader(missing, context);
  });
  for (const key of keys) bulk.expect(key);
  const control = { arrived() {}, unavailable() {}, abandoned() {} };
  const flight = (key: string): Flight => {
    const { snapshot } = topology;
    const hash = snapshot.ring.hash(key);
    const plan = {
      key,
      hash,
      work: bulk.work,
      settings: SETTINGS,
      snapshot,
      ticket: 0,
    };
    return new Flight({ ...plan, decided: bulk.decided }, control);
  };
  return { clock, bulk, calls, contexts, flight };
}

const upper: BulkLoader<string> = (missing) => missing.map((key) => key.toUpperCase());

async function valuesOf(loads: ReturnType<BulkLoad['work']>[]): Promise<unknown[]> {
  return (await Promise.all(loads)).map(({ value }) => value);
}

describe('the loader of many', () => {
  test('is called once, when every key is known to be wanted or not', async () => {
    const { bulk, calls, flight, clock } = await subject(upper, 'a', 'b', 'c');
    const a = bulk.work(flight('a'));
    bulk.decided(flight('b'));
    await clock.settle();
    expect(calls).toEqual([]);
    const c = bulk.work(flight('c'));
    expect(await valuesOf([a, c])).toEqual(['A', 'C']);
    expect(calls).toEqual([['a', 'c']]);
  });

  test('is not called when no key is wanted', async () => {
    const { bulk, calls, flight, clock } = await subject(upper, 'a', 'b');
    for (const key of ['a', 'b']) bulk.decided(flight(key));
    await clock.settle();
    expect(calls).toEqual([]);
  });

  test('is called again for keys that turn out later to be wanted', async () => {
    const { bulk, calls, flight } = await subject(upper, 'a', 'b');
    const waits = flight('b');
    // Another process loads it: it is decided, but may come back.
    bulk.decided(waits);
    expect(await valuesOf([bulk.work(flight('a'))])).toEqual(['A']);
    expect(await valuesOf([bulk.work(waits)])).toEqual(['B']);
    expect(calls).toEqual([['a'], ['b']]);
  });

  test('is not called twice for a key that says twice that it is decided', async () => {
    const { bulk, calls, flight, clock } = await subject(upper, 'a');
    const a = flight('a');
    const loaded = bulk.work(a);
    bulk.decided(a);
    bulk.decided(a);
    await loaded;
    await clock.settle();
    expect(calls).toEqual([['a']]);
  });

  test('may return a map, in any order; what is absent is undefined', async () => {
    const map = new Map([
      ['c', 3],
      ['a', 1],
    ]);
    const { bulk, flight } = await subject(() => map, 'a', 'b', 'c');
    expect(await valuesOf(['a', 'b', 'c'].map((key) => bulk.work(flight(key))))).toEqual([
      1,
      undefined,
      3,
    ]);
  });

  test('may return a list; what is too short is undefined', async () => {
    const { bulk, flight } = await subject(() => ['x'], 'a', 'b');
    expect(await valuesOf(['a', 'b'].map((key) => bulk.work(flight(key))))).toEqual([
      'x',
      undefined,
    ]);
  });

  test('may change the list that it got', async () => {
    const { bulk, flight } = await subject(
      (missing) => missing.splice(0).map((key) => key.toUpperCase()),
      'a',
      'b',
    );
    expect(await valuesOf(['a', 'b'].map((key) => bulk.work(flight(key))))).toEqual(['A', 'B']);
  });

  test.each([undefined, null, {}, 'text', 7, new Set(['a'])])(
    'that returns %j fails every key',
    async (given) => {
      const { bulk, flight } = await subject(() => given as unknown as string[], 'a', 'b');
      const loads = ['a', 'b'].map((key) => bulk.work(flight(key)));
      for (const load of loads) await expect(load).rejects.toThrow('must return a Map or an array');
    },
  );

  test('that throws fails every key with the same error', async () => {
    const error = new Error('no');
    const { bulk, flight } = await subject(
      () => {
        throw error;
      },
      'a',
      'b',
    );
    const loads = ['a', 'b'].map((key) => bulk.work(flight(key)));
    for (const load of loads) await expect(load).rejects.toBe(error);
  });

  test('can set the ttl and keep all of its values from being stored', async () => {
    const { bulk, flight } = await subject(
      (missing, { setTtl, skip }) => {
        setTtl('2s');
        skip();
        return missing;
      },
      'a',
      'b',
    );
    for (const load of ['a', 'b'].map((key) => bulk.work(flight(key)))) {
      expect(await load).toMatchObject({ store: false, ttlMs: 2_000 });
    }
  });

  test('is told the first of the missing keys', async () => {
    const { bulk, contexts, flight } = await subject(upper, 'a', 'b');
    bulk.decided(flight('a'));
    await bulk.work(flight('b'));
    expect(contexts[0]?.key).toBe('b');
  });
});

describe('the load of many is aborted', () => {
  const hang: BulkLoader<string> = () => new Promise(() => {});

  test('when nobody waits for any of its keys, and not before', async () => {
    const { bulk, contexts, flight, clock } = await subject(hang, 'a', 'b');
    const flights = [flight('a'), flight('b')];
    const loads = flights.map((one) => bulk.work(one));
    for (const load of loads) load.catch(() => {});
    await clock.settle();
    flights[0]?.cancel(new Error('first'));
    expect(contexts[0]?.signal.aborted).toBe(false);
    flights[1]?.cancel(new Error('second'));
    expect(contexts[0]?.signal.reason).toEqual(new Error('second'));
    await expect(Promise.all(loads)).rejects.toThrow('second');
  });

  test('when the last one leaves, though others had left before it began', async () => {
    const { bulk, contexts, flight, clock } = await subject(hang, 'a', 'b', 'c');
    const [a, b] = [flight('a'), flight('b')];
    const loads = [bulk.work(a), bulk.work(b)];
    for (const load of loads) load.catch(() => {});
    // Its work is wanted, but waits for what becomes of `c`.
    a.cancel(new Error('early'));
    bulk.decided(flight('c'));
    await clock.settle();
    expect(contexts[0]?.signal.aborted).toBe(false);
    b.cancel(new Error('late'));
    expect(contexts[0]?.signal.aborted).toBe(true);
    await expect(Promise.all(loads)).rejects.toThrow('late');
  });

  test('before it begins, when all have left by then', async () => {
    const { bulk, calls, flight } = await subject(hang, 'a', 'b');
    const a = flight('a');
    const load = bulk.work(a);
    a.cancel(new Error('early'));
    bulk.decided(flight('b'));
    await expect(load).rejects.toThrow('early');
    expect(calls).toEqual([]);
  });
});
