/** What a server tells by itself of changes, on a real server. */
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { systemClock } from '../../src/clock.ts';
import { keysOf } from '../../src/node/node-keys.ts';
import { PushChannel, type PushListener } from '../../src/node/push.ts';
import { NODE_DEFAULTS } from '../../src/node/tuning.ts';
import { eventually } from '../support/eventually.ts';
import { command, useNodes } from '../support/nodes.ts';
import { FaultProxy } from '../support/proxy.ts';

const nodes = useNodes(1);
const keys = keysOf('tenant:ü');
const redis = (...words: string[]) => command(nodes[0]!, ...words);

let said: string[] = [];
let heard: number[] = [];
const channels: PushChannel[] = [];

beforeEach(() => {
  said = [];
  heard = [];
});
afterEach(async () => {
  await Promise.all(channels.splice(0).map((channel) => channel.close()));
});

const listener: PushListener = {
  tracked: (_, tracked) => said.push(tracked ? 'tracked' : 'untracked'),
  refused: (_, error) => said.push(`refused: ${error.message}`),
  heard: (_, at) => heard.push(at),
  changed: (_, key) => said.push(`changed ${key}`),
  flushed: () => said.push('flushed'),
  invalidated: () => said.push('invalidated'),
  news: () => said.push('news'),
  loadOver: (_, key) => said.push(`over ${key}`),
};

function channelTo(url: string, { values = true, beatMs = 20 } = {}): PushChannel {
  const watch = { listener, values, beatMs };
  const parts = { clock: systemClock, tuning: NODE_DEFAULTS, keys, watch };
  const channel = new PushChannel({ id: 'n', url }, parts);
  channels.push(channel);
  return channel;
}

async function open(options?: { values?: boolean; beatMs?: number }): Promise<PushChannel> {
  const channel = channelTo(nodes[0]!.url, options);
  await channel.open();
  expect(said).toEqual(['tracked']);
  return channel;
}

/** Whatever was to be told before has been told when this has. */
async function settled(): Promise<void> {
  await redis('SET', keys.fence, 'last');
  await eventually(() => said.at(-1) === 'news');
}

test('every change of a value is told with its key, whoever made it and whatever the key is', async () => {
  await open();
  const odd = ['k', 'a b', '{tag}:x', 'ünïcødé 🙂', ':'];
  for (const key of odd) await redis('SET', keys.value(key), 'v');
  await redis('DEL', keys.value('k'));
  await redis('DEL', keys.value('nothing was there'));
  await settled();
  expect(said).toEqual(['tracked', ...odd.map((key) => `changed ${key}`), 'changed k', 'news']);
});

test('nothing is told of leases, locks, other namespaces', async () => {
  await open();
  for (const name of [keys.lease('k'), keys.lock('k'), keys.gate, 'other:v:k', 'tenant:v:k']) {
    await redis('SET', name, 'v');
  }
  await settled();
  expect(said).toEqual(['tracked', 'news']);
});

test('without memory nothing is told of values', async () => {
  await open({ values: false });
  await redis('SET', keys.value('k'), 'v');
  await settled();
  expect(said).toEqual(['tracked', 'news']);
});

test('a flush is told, and that the epoch may be gone', async () => {
  await open();
  await redis('FLUSHALL');
  await eventually(() => expect(said).toEqual(['tracked', 'flushed', 'news']));
});

test('what is published of a load is told with its key', async () => {
  await open();
  await redis('PUBLISH', keys.loads, keys.lease('a key'));
  await eventually(() => expect(said).toEqual(['tracked', 'over a key']));
});

describe('up to when all was told', () => {
  test('is said with every beat, and is the sending of the PING before the last', async () => {
    const openedAt = systemClock.now();
    await open({ beatMs: 30 });
    expect(heard).toHaveLength(1);
    expect(heard[0]).toBeGreaterThanOrEqual(openedAt);
    await eventually(() => heard.length > 4);
    const age = systemClock.now() - heard.at(-1)!;
    expect(age).toBeGreaterThan(25);
    expect(heard).toEqual(heard.toSorted((a, b) => a - b));
    // The first PING says once more what the start of it all has said.
    expect(new Set(heard).size).toBe(heard.length - 1);
  });

  test('is not said while nothing is answered; the connection is given up, and made anew', async () => {
    await using proxy = await FaultProxy.start(nodes[0]!.port);
    await channelTo(proxy.url).open();
    expect(said).toEqual(['tracked']);
    proxy.set({ kind: 'drop' });
    await eventually(() => said.includes('untracked'));
    const before = heard.length;
    proxy.set({ kind: 'none' });
    await eventually(() => said.at(-1) === 'tracked');
    expect(heard.length).toBeGreaterThan(before);
    await redis('SET', keys.value('k'), 'v');
    await eventually(() => said.at(-1) === 'changed k');
  });
});

test('a connection that is lost is told of, and changes are told again when it stands', async () => {
  await open();
  await redis('CLIENT', 'KILL', 'TYPE', 'pubsub');
  await eventually(() => said.at(-1) === 'tracked' && said.length === 3);
  await redis('SET', keys.value('k'), 'v');
  await eventually(() => expect(said).toEqual(['tracked', 'untracked', 'tracked', 'changed k']));
});

test('where tracking is refused that is said, and loads are told of all the same', async () => {
  await redis(
    'ACL',
    'SETUSER',
    'deaf',
    'reset',
    'on',
    '>pw',
    '~*',
    '&*',
    '+@all',
    '-client|tracking',
  );
  try {
    const channel = channelTo(nodes[0]!.url.replace('//', '//deaf:pw@'));
    await channel.open();
    expect(channel.tracked).toBe(false);
    expect(said).toHaveLength(1);
    expect(said[0]).toMatch(/^refused: .*NOPERM/);
    expect(channel.stands(keys.loads)).toBe(true);
    await redis('PUBLISH', keys.loads, keys.lease('k'));
    await eventually(() => said.at(-1) === 'over k');
    expect(heard).toEqual([]);
  } finally {
    await redis('ACL', 'DELUSER', 'deaf');
  }
});

test('after close nothing is told', async () => {
  const channel = await open();
  await channel.close();
  await redis('SET', keys.value('k'), 'v');
  expect(said).toEqual(['tracked', 'untracked']);
  expect(channel.tracked).toBe(false);
});
