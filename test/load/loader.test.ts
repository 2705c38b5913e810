import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { LoadTimeoutError } from '../../src/errors.ts';
import type { LoadContext } from '../../src/load/runner.ts';
import { FakeClock } from '../support/fake-clock.ts';
import type { SimulatedNode } from '../support/simulated-node.ts';
import {
  SimulatedProcess,
  type SimulatedProcessOptions,
  SimulatedServers,
  seat,
} from '../support/simulated-process.ts';
import type { SimulatedServer } from '../support/simulated-server.ts';

type Options = Partial<Pick<SimulatedProcessOptions, 'tuning' | 'settings'>>;

/** What a process knows of the topology is confirmed from time to time. */
const CONFIRMING = 1;

let clock: FakeClock;
let servers: SimulatedServers;
let processes: SimulatedProcess[];
let server: SimulatedServer;

beforeEach(() => {
  clock = new FakeClock(1_000);
  servers = new SimulatedServers(clock);
  server = servers.get('a');
  processes = [];
  vi.spyOn(Math, 'random').mockReturnValue(0.5);
});

afterEach(async () => {
  vi.restoreAllMocks();
  await Promise.all(processes.map((process) => process.close()));
});

async function start(options: Options = {}): Promise<SimulatedProcess> {
  const settings = { memory: false, ...options.settings };
  const process = await SimulatedProcess.start({
    ...options,
    clock,
    servers,
    seats: [seat('a')],
    settings,
  });
  processes.push(process);
  return process;
}

/** A load that ends when the test says so. */
class Load {
  calls = 0;
  context: LoadContext | undefined;
  #resolve: (value: unknown) => void = () => {};
  #reject: (error: unknown) => void = () => {};

  readonly call = (context: LoadContext): Promise<unknown> => {
    this.calls++;
    this.context = context;
    return new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
  };

  async resolve(value: unknown): Promise<void> {
    this.#resolve(value);
    await clock.settle();
  }

  async reject(error: unknown): Promise<void> {
    this.#reject(error);
    await clock.settle();
  }
}

function node(process: SimulatedProcess): SimulatedNode {
  return process.node('a');
}

function skipped({ skip }: LoadContext): string {
  skip();
  return 'value';
}

describe('a miss', () => {
  test('is loaded once for all who ask, in every process, and stored', async () => {
    const [first, second] = [await start(), await start()];
    const load = new Load();
    const reads = [first, first, second, second].map((one) => one.getOrSet('k', load.call));
    await clock.advance(200);
    expect(load.calls).toBe(1);
    await load.resolve('value');
    await clock.advance(100);
    expect(await Promise.all(reads)).toEqual(['value', 'value', 'value', 'value']);
    expect(server.stored('k')?.value).toBe('value');
    expect(server.inspect('k').leased).toBe(false);
    expect(first.counters.coalesced).toBe(1);
    expect(second.counters.awaited).toBe(1);
  });

  test('is loaded by the next process when the first one dies', async () => {
    const [first, second] = [await start(), await start()];
    first.getOrSet('k', () => new Promise(() => {})).catch(() => {});
    await clock.settle();
    node(first).fault = 'down';
    const load = new Load();
    const read = second.getOrSet('k', load.call);
    await clock.advance(9_900);
    expect(load.calls).toBe(0);
    await clock.advance(200);
    expect(load.calls).toBe(1);
    await load.resolve('value');
    expect(await read).toBe('value');
  });

  test('keeps its lease for as long as the load runs', async () => {
    const [first, second] = [await start(), await start()];
    const [slow, never] = [new Load(), new Load()];
    const read = first.getOrSet('k', slow.call);
    await clock.settle();
    const waits = second.getOrSet('k', never.call);
    await clock.advance(25_000);
    await slow.resolve('value');
    await clock.advance(100);
    expect([await read, await waits]).toEqual(['value', 'value']);
    expect(never.calls).toBe(0);
  });

  test('that fails gives the lease back at once, and the error to all who wait here', async () => {
    const [first, second] = [await start(), await start()];
    const load = new Load();
    const reads = [first.getOrSet('k', load.call), first.getOrSet('k', load.call)];
    const outcomes = Promise.allSettled(reads);
    await clock.settle();
    const error = new Error('no');
    await load.reject(error);
    expect(await outcomes).toEqual([
      { status: 'rejected', reason: error },
      { status: 'rejected', reason: error },
    ]);
    expect(server.inspect('k').leased).toBe(false);
    expect(await second.getOrSet('k', () => 'value')).toBe('value');
  });

  test.each([
    ['undefined', (): unknown => undefined, undefined],
    ['a value to skip', skipped, 'value'],
    ['what cannot be stored', (): unknown => 10n, 10n],
  ])('that yields %s is returned, not stored, and its lease given back', async (_, load, value) => {
    const process = await start();
    expect(await process.getOrSet('k', load)).toBe(value);
    await clock.settle();
    expect(server.keys).toEqual([]);
    expect(server.inspect('k').leased).toBe(false);
  });

  test.each([null, 0, '', false])('that yields %j is stored', async (value) => {
    const process = await start();
    expect(await process.getOrSet('k', () => value)).toBe(value);
    expect(await process.getOrSet('k', () => 'unneeded')).toBe(value);
  });

  test.each(['set', 'delete'] as const)(
    'is not stored when a %s comes during the load',
    async (act) => {
      const [first, second] = [await start(), await start()];
      const load = new Load();
      const read = first.getOrSet('k', load.call);
      await clock.settle();
      if (act === 'set') await second.set('k', 'new');
      else await second.delete('k');
      await load.resolve('old');
      expect(await read).toBe('old');
      expect(server.stored('k')?.value).toBe(act === 'set' ? 'new' : undefined);
      expect(first.counters.fencedFills).toBe(1);
    },
  );

  test('whose wait for another process takes too long fails with the timeout', async () => {
    const [first, second] = [await start(), await start({ tuning: { timeoutMs: 2_000 } })];
    first.getOrSet('k', () => new Promise(() => {})).catch(() => {});
    await clock.settle();
    const read = second.getOrSet('k', () => 'unneeded');
    const refused = expect(read).rejects.toThrow(LoadTimeoutError);
    await clock.advance(2_100);
    await refused;
  });
});

describe('a node that cannot be used', () => {
  test.each(['down', 'request-lost', 'answer-lost'] as const)(
    'costs its budget at most and never fails a read: %s',
    async (fault) => {
      const process = await start();
      node(process).fault = fault;
      const load = new Load();
      const read = process.getOrSet('k', load.call);
      const startedAt = clock.now();
      while (load.calls === 0) await clock.advance(1);
      expect(clock.now() - startedAt).toBeLessThanOrEqual(101);
      await load.resolve('value');
      expect(await read).toBe('value');
      expect(process.counters.unprotectedLoads).toBe(1);
    },
  );

  test('and fails between the requests of one read costs one budget for all of them', async () => {
    const process = await start();
    const lease = node(process).lease.bind(node(process));
    node(process).lease = (...args) => {
      node(process).fault = 'request-lost';
      return lease(...args);
    };
    const load = new Load();
    void process.getOrSet('k', load.call);
    const startedAt = clock.now();
    while (load.calls === 0) await clock.advance(1);
    expect(clock.now() - startedAt).toBeLessThanOrEqual(101);
    await load.resolve('value');
  });

  test('is loaded for once for all who ask in one process, and kept in its memory', async () => {
    const process = await start({ settings: { memory: true } });
    node(process).fault = 'down';
    const load = new Load();
    const reads = [process.getOrSet('k', load.call), process.getOrSet('k', load.call)];
    await clock.settle();
    await load.resolve('value');
    expect(await Promise.all(reads)).toEqual(['value', 'value']);
    expect(load.calls).toBe(1);
    expect(process.memory.get('k')).toBe('value');
  });

  test('when the value is to be stored costs the storing alone', async () => {
    const process = await start();
    const load = new Load();
    const read = process.getOrSet('k', load.call);
    await clock.settle();
    node(process).fault = 'down';
    await load.resolve('value');
    expect(await read).toBe('value');
  });

  test('because it is full gives the value, and the lease back', async () => {
    const process = await start();
    server.full = true;
    expect(await process.getOrSet('k', () => 'value')).toBe('value');
    expect(server.inspect('k').leased).toBe(false);
  });

  test('because it was restarted is admitted anew, and loaded for', async () => {
    const process = await start();
    await process.set('k', 'old');
    server.restart();
    expect(await process.getOrSet('k', () => 'value')).toBe('value');
  });

  test('because its epoch was lost is admitted anew within the read', async () => {
    const process = await start();
    server.fence = undefined;
    expect(await process.getOrSet('k', () => 'value')).toBe('value');
    expect(server.epoch()).toBe(1);
    expect(server.stored('k')?.value).toBe('value');
  });
});

describe('a value past its ttl', () => {
  const settings = { ttlMs: 1_000, staleMs: 10_000 };

  async function staleIn(options: Options = {}): Promise<SimulatedProcess> {
    const process = await start({ ...options, settings });
    await process.set('k', 'old');
    await clock.advance(1_500);
    return process;
  }

  test('is served at once, and loaded anew behind that, by one process', async () => {
    const [first, second] = [await staleIn(), await start({ settings })];
    const load = new Load();
    expect(await first.getOrSet('k', load.call)).toBe('old');
    expect(await second.getOrSet('k', load.call)).toBe('old');
    await clock.settle();
    expect(load.calls).toBe(1);
    expect(load.context?.stale).toBe('old');
    await load.resolve('new');
    expect(await second.getOrSet('k', load.call)).toBe('new');
  });

  test('is served when loading fails, and the failure is told', async () => {
    const process = await staleIn({ tuning: { softTimeoutMs: 500 } });
    const error = new Error('no');
    expect(await process.getOrSet('k', () => Promise.reject(error))).toBe('old');
    expect(process.refreshFailures).toEqual([error]);
  });

  test('is served when the soft timeout is over, and the load goes on', async () => {
    const process = await staleIn({ tuning: { softTimeoutMs: 500 } });
    const load = new Load();
    let answer: unknown;
    void process.getOrSet('k', load.call).then((value) => {
      answer = value;
    });
    await clock.advance(499);
    expect(answer).toBeUndefined();
    await clock.advance(1);
    expect(answer).toBe('old');
    await load.resolve('new');
    expect(server.stored('k')?.value).toBe('new');
  });

  test('is not served when the load ends before the soft timeout', async () => {
    const process = await staleIn({ tuning: { softTimeoutMs: 500 } });
    const load = new Load();
    const read = process.getOrSet('k', load.call);
    await clock.advance(400);
    await load.resolve('new');
    expect(await read).toBe('new');
    expect(clock.pending).toBe(CONFIRMING);
  });

  test('is not served beyond staleTtl', async () => {
    const process = await staleIn();
    await clock.advance(9_600);
    expect(await process.getOrSet('k', () => 'new')).toBe('new');
  });

  test('that was deleted during its refresh does not come back', async () => {
    const process = await staleIn();
    const load = new Load();
    expect(await process.getOrSet('k', load.call)).toBe('old');
    await clock.settle();
    await process.delete('k');
    await load.resolve('new');
    expect(server.keys).toEqual([]);
  });
});

describe('a caller that gives up', () => {
  test('leaves at once, and the load goes on for the others', async () => {
    const process = await start();
    const load = new Load();
    const control = new AbortController();
    const leaves = process.getOrSet('k', load.call, { signal: control.signal });
    const stays = process.getOrSet('k', load.call);
    await clock.settle();
    control.abort(new Error('enough'));
    await expect(leaves).rejects.toThrow('enough');
    expect(load.context?.signal.aborted).toBe(false);
    await load.resolve('value');
    expect(await stays).toBe('value');
  });

  test('as the last one ends the load, and the next one loads anew', async () => {
    const process = await start();
    const load = new Load();
    const control = new AbortController();
    const leaves = process.getOrSet('k', load.call, { signal: control.signal });
    await clock.settle();
    control.abort(new Error('enough'));
    await expect(leaves).rejects.toThrow('enough');
    await clock.settle();
    expect(load.context?.signal.reason).toEqual(new Error('enough'));
    expect(server.inspect('k').leased).toBe(false);
    expect(await process.getOrSet('k', () => 'value')).toBe('value');
  });
});

test('close answers those who wait with its reason, and leaves no timer', async () => {
  const process = await start({ settings: { staleMs: 10_000 }, tuning: { softTimeoutMs: 500 } });
  const load = new Load();
  const read = process.getOrSet('k', load.call);
  await clock.settle();
  const refused = expect(read).rejects.toThrow('closed');
  await process.close();
  await refused;
  await clock.settle();
  expect(load.context?.signal.aborted).toBe(true);
  expect(clock.pending).toBe(0);
});

test('an early refresh loads behind a hit, and only one does', async () => {
  vi.mocked(Math.random).mockReturnValue(1e-9);
  const process = await start({ tuning: { earlyRefresh: 1 }, settings: { ttlMs: 1_000 } });
  const slow = new Load();
  void process.getOrSet('k', slow.call);
  await clock.advance(300);
  await slow.resolve('first');
  const load = new Load();
  for (let i = 0; i < 3; i++) expect(await process.getOrSet('k', load.call)).toBe('first');
  await clock.settle();
  expect(load.calls).toBe(1);
  await load.resolve('second');
  expect(server.stored('k')?.value).toBe('second');
});
