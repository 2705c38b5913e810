import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { FakeClock } from '../support/fake-clock.ts';
import type { SimulatedNode } from '../support/simulated-node.ts';
import { SimulatedProcess, SimulatedServers, seat } from '../support/simulated-process.ts';
import type { SimulatedServer } from '../support/simulated-server.ts';

let clock: FakeClock;
let server: SimulatedServer;
let process: SimulatedProcess;
let node: SimulatedNode;

beforeEach(async () => {
  clock = new FakeClock(1_000);
  const servers = new SimulatedServers(clock);
  server = servers.get('a');
  process = await SimulatedProcess.start({ clock, servers, seats: [seat('a')] });
  node = process.node('a');
});

afterEach(() => process.close());

/** Puts a value into memory with a ticket of now, as the answer to a read would. */
function remember(value: unknown): boolean {
  const hash = process.topology.snapshot.ring.hash('k');
  const ticket = process.memory.ticket(hash);
  return process.memory.put('k', value, {
    node: 'a',
    hash,
    ticket,
    forMs: 60_000,
    agedMs: 0,
    bytes: 5,
  });
}

const hang = (): Promise<never> => new Promise(() => {});

describe.each(['set', 'delete', 'expire'] as const)('a %s', (act) => {
  const write = (): Promise<boolean> =>
    act === 'set' ? process.set('k', 'new', { memory: false }) : process[act]('k');

  test('is in force in this process from the moment of the call on', () => {
    remember('old');
    void write();
    expect(process.memory.get('k')).toBeUndefined();
  });

  test('removes what a read put into memory while the node was being asked', async () => {
    const writing = write();
    expect(remember('old')).toBe(true);
    expect(await writing).toBe(true);
    expect(process.memory.get('k')).toBeUndefined();
  });

  test('removes it also when the node does not answer', async () => {
    node.fault = 'answer-lost';
    const writing = write();
    remember('old');
    // Twice its budget: it is tried once more.
    await clock.advance(201);
    expect(await writing).toBe(false);
    expect(process.memory.get('k')).toBeUndefined();
  });

  test('is not joined by those who ask from then on, before and after the node has acted', async () => {
    const before = process.getOrSet('k', hang, { memory: false });
    before.catch(() => {});
    await clock.settle();
    const flight = process.loader.running('k');
    const writing = write();
    expect(process.loader.running('k')).toBeUndefined();
    process.getOrSet('k', hang, { memory: false }).catch(() => {});
    const between = process.loader.running('k');
    expect(between).not.toBe(flight);
    await writing;
    expect(process.loader.running('k')).toBeUndefined();
  });

  test('that its node does not take is made up for when the node is back', async () => {
    await process.set('k', 'old', { memory: false });
    node.fault = 'down';
    expect(await write()).toBe(false);
    expect(process.unconfirmed).toEqual(['k']);
    expect(process.counters.unconfirmed).toBe(1);
    node.fault = 'none';
    await node.readmit();
    expect(server.keys).toEqual([]);
  });

  test('finds the node without an epoch, has it admitted, and goes through', async () => {
    server.fence = undefined;
    expect(await write()).toBe(true);
    expect(server.epoch()).toBe(1);
  });

  test('that the node keeps turning away ends, as not confirmed', async () => {
    server.fence = '0000000000000009:deadbeef';
    const writing = write();
    await clock.advance(1_000);
    expect(await writing).toBe(false);
    expect(process.unconfirmed).toEqual(['k']);
  });
});

test('a set is in memory when it is confirmed, and not before', async () => {
  const writing = process.set('k', 'new');
  expect(process.memory.get('k')).toBeUndefined();
  await writing;
  expect(process.memory.get('k')).toBe('new');
});

test('a set whose ticket was voided meanwhile leaves nothing in memory', async () => {
  const writing = process.set('k', 'new');
  process.memory.forget('k', process.topology.snapshot.ring.hash('k'));
  remember('other');
  await writing;
  expect(process.memory.get('k')).toBeUndefined();
});

test('a set that a full node refuses is false, and leaves no older value', async () => {
  await process.set('k', 'old');
  server.full = true;
  expect(await process.set('k', 'new')).toBe(false);
  expect(server.keys).toEqual([]);
  expect(process.memory.get('k')).toBeUndefined();
  expect(process.unconfirmed).toEqual([]);
});

test('while the ring changes the previous owner is asked first, and the present one after its answer', async () => {
  const servers = new SimulatedServers(clock);
  const order: string[] = [];
  const hop = (what: string): Promise<void> => {
    if (/remove|write/.test(what)) order.push(what);
    return Promise.resolve();
  };
  const fleet = await SimulatedProcess.start({ clock, servers, seats: [seat('a')], hop });
  await fleet.set('warm', 1);
  await fleet.changer.change({ add: [seat('b')], remove: [] }, { keysPerSecond: 0.001 });
  const { snapshot } = fleet.topology;
  expect(snapshot.source).toBeDefined();
  let key = 'key';
  while (snapshot.ring.owner(key) !== 'b') key += '.';
  order.length = 0;
  for (const act of ['delete', 'set'] as const) {
    await (act === 'set' ? fleet.set(key, 1) : fleet.delete(key));
  }
  expect(order).toEqual([
    ...[
      `a: remove ${key}`,
      `a answers remove ${key}`,
      `b: remove ${key}`,
      `b answers remove ${key}`,
    ],
    // At both, so that nobody finds it at neither.
    ...[`a: write ${key}`, `a answers write ${key}`, `b: write ${key}`, `b answers write ${key}`],
  ]);
  await fleet.close();
});
