/** What a server tells by itself of changes, on a real server. */
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { systemClock } from '../../src/clock.ts';
import { MAX_NOTES } from '../../src/node/guard-node.ts';
import { keysOf } from '../../src/node/node-keys.ts';
import { PushChannel, type PushListener } from '../../src/node/push.ts';
import { NODE_DEFAULTS } from '../../src/node/tuning.ts';
import { eventually } from '../support/eventually.ts';
import { command, useNodes } from '../support/nodes.ts';
import { FaultProxy } from '../support/proxy.ts';
import { FENCE, useSubjects } from './subject.ts';

const nodes = useNodes(1);
const start = useSubjects();
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
  noted: (_, of) => said.push(`noted ${of}`),
  takenOff: (_, { node, fence, notes }) => {
    said.push(`taken off ${node} ${fence} ${JSON.stringify([...notes])}`);
  },
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

test('a document that is announced is told as the epoch is', async () => {
  await open();
  await redis('SET', keys.announced, 'document');
  await eventually(() => expect(said).toEqual(['tracked', 'news']));
});

test('a flush is told, and that the epoch may be gone', async () => {
  await open();
  await redis('FLUSHALL');
  await eventually(() => expect(said).toEqual(['tracked', 'flushed', 'news']));
});

test.each(['a key', `n ${FENCE} [["k","m"]]`])(
  'what is published of a load is told with its key: %j',
  async (key) => {
    await open();
    await redis('PUBLISH', keys.loads, keys.lease(key));
    await eventually(() => expect(said).toEqual(['tracked', `over ${key}`]));
  },
);

describe('what a node keeps for another one', () => {
  const ask = { mark: 'm1', keepMs: 60_000, fence: FENCE };
  beforeEach(() => redis('FLUSHALL'));

  test('is told of when it is noted, and when it was removed', async () => {
    const { node } = await start(nodes[0]!, { namespace: 'tenant:ü' });
    await open();
    const odd = ['k', 'a "b"', 'ü 🙂\r\n', `x ${FENCE} [y`];
    await node.guard.note('an id', { ...ask, keys: odd });
    await eventually(() => said.at(-1) === 'noted an id');
    const notes = new Map(odd.map((key) => [key, 'm1']));
    await node.guard.takeOff('an id', notes, FENCE);
    const taken = JSON.stringify([...notes]);
    await eventually(() => said.includes(`taken off an id ${FENCE} ${taken}`));
    expect(said.filter((one) => one.startsWith('over'))).toEqual([]);
  });

  test('is not told to be removed where it was noted again, is not there, or nothing is claimed', async () => {
    const { node } = await start(nodes[0]!, { namespace: 'tenant:ü' });
    await open();
    await node.guard.note('n2', { ...ask, keys: ['again', 'once'] });
    await node.guard.note('n2', { ...ask, keys: ['again'], mark: 'm2' });
    const read = new Map(['again', 'once', 'never'].map((key) => [key, 'm1']));
    await node.guard.takeOff('n2', read, FENCE);
    await node.guard.takeOff('n2', read, FENCE);
    await node.guard.takeOff('n2', new Map([['again', 'm2']]));
    await settled();
    const taken = said.filter((one) => one.startsWith('taken off'));
    expect(taken).toEqual([`taken off n2 ${FENCE} [["once","m1"]]`]);
    expect(said.filter((one) => one.startsWith('over'))).toEqual([]);
  });

  test('is not told to be removed when it was so much that only that is known', async () => {
    const { node } = await start(nodes[0]!, { namespace: 'tenant:ü' });
    await open();
    const many = Array.from({ length: MAX_NOTES }, (_, i) => `k${i}`);
    await node.guard.note('n3', { ...ask, keys: ['first'] });
    await node.guard.note('n3', { ...ask, keys: many });
    await node.guard.takeOff('n3', new Map([['first', 'm1']]), FENCE);
    await settled();
    expect(said.filter((one) => one.startsWith('taken off'))).toEqual([]);
  });

  test('is taken off where nobody may publish, too', async () => {
    await redis('ACL', 'SETUSER', 'mute', 'reset', 'on', '>pw', '~*', '&*', '+@all', '-publish');
    try {
      const url = nodes[0]!.url.replace('//', '//mute:pw@');
      const { node } = await start({ id: 'n', url }, { namespace: 'tenant:ü' });
      await node.guard.note('n4', { ...ask, keys: ['k'] });
      await node.guard.takeOff('n4', new Map([['k', 'm1']]), FENCE);
      expect(await redis('EXISTS', keys.missed('n4'))).toBe(':0\r\n');
    } finally {
      await redis('ACL', 'DELUSER', 'mute');
    }
  });

  test.each(['', 'nonsense', `n ${FENCE} [not JSON`, `n ${FENCE} [1]`])(
    'is nothing when somebody publishes %j',
    async (text) => {
      await open();
      await redis('PUBLISH', keys.loads, keys.missed('') + text);
      await settled();
      expect(said.filter((one) => one.startsWith('taken off'))).toEqual([]);
    },
  );
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
