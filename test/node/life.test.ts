/** What changes how long an entry lives, on a real server. */
import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { beforeEach, describe, expect, test } from 'vitest';
import { STALE } from '../../src/node/entry.ts';
import { fenceOf } from '../../src/node/fence.ts';
import type { RedisNode } from '../../src/node/redis-node.ts';
import { eventually } from '../support/eventually.ts';
import { command, useNodes } from '../support/nodes.ts';
import { EPOCH, FENCE, LIFE, payload, type Subject, useSubjects } from './subject.ts';

const nodes = useNodes(1);
const start = useSubjects();
let subject: Subject;
let node: RedisNode;

const redis = (...words: string[]): Promise<string> => command(nodes[0]!, ...words);
const number = async (...words: string[]): Promise<number> =>
  Number((await redis(...words)).slice(1));

beforeEach(async () => {
  await redis('FLUSHALL');
  subject = await start(nodes[0]!);
  node = subject.node;
});

const write = (life: object) =>
  node.write('k', {
    payload: payload('value'),
    life: { ...LIFE, ...life },
    fence: FENCE,
    epoch: EPOCH,
  });

async function stored() {
  const [found] = await subject.read('k');
  if (found === undefined || 'error' in found) throw new Error('it was not read');
  return found.stored;
}

const touch = (ask: object = {}) =>
  node.life.touch('k', {
    life: { ttlMs: 90_000, staleMs: 5_000 },
    since: EPOCH,
    fence: FENCE,
    ...ask,
  });

const ACTS: [string, (fence: string) => Promise<{ kind: string }>][] = [
  ['expire', (fence) => node.life.expire('k', fence)],
  ['touch', (fence) => touch({ fence })],
];

describe.each(ACTS)('%s and the fence', (_, act) => {
  test('later on the node, or lost: nothing is done', async () => {
    await write({});
    await redis('SET', 'rc:l:k', 'token', 'PX', '5000');
    const was = await redis('GET', 'rc:v:k');
    await redis('SET', 'rc:e', fenceOf(EPOCH + 1, '00000000'));
    expect(await act(FENCE)).toEqual({ kind: 'stale' });
    await redis('DEL', 'rc:e');
    expect(await act(FENCE)).toEqual({ kind: 'unknown' });
    expect(await redis('GET', 'rc:v:k')).toBe(was);
    expect(await number('EXISTS', 'rc:l:k')).toBe(1);
  });
});

describe('an expired entry', () => {
  test('keeps its value, and its staleTtl from now', async () => {
    await write({ ttlMs: 60_000, staleMs: 30_000 });
    const before = await stored();
    expect(await node.life.expire('k', FENCE)).toEqual({ kind: 'expired' });
    const after = await stored();
    expect(after).toMatchObject({ value: 'value', stamp: EPOCH, writtenAt: before?.writtenAt });
    expect(after?.freshForMs).toBeLessThanOrEqual(0);
    const left = await number('PTTL', 'rc:v:k');
    expect(left).toBeLessThanOrEqual(30_050);
    expect(left).toBeGreaterThan(25_000);
  });

  test('is stale to a process that takes it to be earlier', async () => {
    await write({});
    await node.life.expire('k', FENCE);
    // As if this one were wrong by a minute, in the direction in which it would be fresh.
    await redis('SETRANGE', 'rc:v:k', '10', '\x7f');
    expect((await stored())?.freshForMs).toBeLessThanOrEqual(0);
  });

  test('that is expired again, or was stale already, is not kept for longer', async () => {
    await write({ ttlMs: 1, staleMs: 30_000 });
    await redis('PEXPIRE', 'rc:v:k', '20000');
    for (let again = 0; again < 2; again += 1) {
      await node.life.expire('k', FENCE);
      expect(await number('PTTL', 'rc:v:k')).toBeLessThanOrEqual(20_000);
    }
    expect((await stored())?.value).toBe('value');
  });

  test('without a staleTtl is gone', async () => {
    await write({ staleMs: 0 });
    await node.life.expire('k', FENCE);
    expect(await number('EXISTS', 'rc:v:k')).toBe(0);
  });

  test('has no lease: what is being loaded is not stored, and the next one may load', async () => {
    await subject.lease('k', 'mine');
    expect(await node.life.expire('k', FENCE)).toEqual({ kind: 'expired' });
    expect(await subject.fill('k', 'mine', 'loaded')).toEqual({ kind: 'lost' });
    await write({});
    await node.lease('k', { token: 'mine', leaseMs: 5_000, fence: FENCE, seen: await stored() });
    await node.life.expire('k', FENCE);
    expect(await subject.fill('k', 'mine', 'loaded')).toEqual({ kind: 'lost' });
    expect((await stored())?.value).toBe('value');
  });

  test('tells those who wait for the load under the lease that it is over', async () => {
    const listener = new Redis(nodes[0]!.port);
    try {
      const told: string[] = [];
      listener.on('message', (_channel, key: string) => told.push(key));
      await listener.subscribe('rc:w');
      await subject.lease('k', 'mine');
      await node.life.expire('k', FENCE);
      await subject.lease('k', 'mine');
      expect((await subject.lease('k', 'other')).kind).toBe('busy');
      await node.life.expire('k', FENCE);
      // Once: of the first one nobody waited for the end.
      await eventually(() => expect(told).toEqual(['rc:l:k']));
    } finally {
      listener.disconnect();
    }
  });

  test('that is laid out in another way is removed', async () => {
    for (const bytes of ['\x01'.repeat(50), 'short']) {
      await redis('SET', 'rc:v:k', bytes, 'PX', '5000');
      await node.life.expire('k', FENCE);
      expect(await number('EXISTS', 'rc:v:k')).toBe(0);
    }
  });

  test('is copied as what is stale', async () => {
    await write({});
    await node.life.expire('k', FENCE);
    const found = await node.copy('k', FENCE);
    if (found.kind !== 'value') throw new Error('it was not found');
    await node.write('k', { ...found, fence: FENCE, epoch: EPOCH });
    const flags = (await redis('GETRANGE', 'rc:v:k', '2', '2')).charCodeAt('$1\r\n'.length);
    expect(flags & STALE).toBe(STALE);
    expect((await stored())?.value).toBe('value');
  });
});

describe('a touched entry', () => {
  test.each(['fresh', 'stale', 'expired'])(
    'that was %s has another life, and nothing else',
    async (was) => {
      await write({ ttlMs: was === 'stale' ? 1 : 60_000, staleMs: 30_000 });
      const before = await stored();
      if (was === 'expired') await node.life.expire('k', FENCE);
      expect(await touch()).toEqual({ kind: 'touched' });
      const after = await stored();
      expect(after).toMatchObject({ value: 'value', stamp: EPOCH, writtenAt: before?.writtenAt });
      expect(after?.freshForMs).toBeGreaterThan(80_000);
      expect(after?.freshForMs).toBeLessThanOrEqual(90_050);
      expect(await number('PTTL', 'rc:v:k')).toBeGreaterThan(85_000);
    },
  );

  test('may get a shorter life', async () => {
    await write({});
    await touch({ life: { ttlMs: 500, staleMs: 0 } });
    expect(await number('PTTL', 'rc:v:k')).toBeLessThanOrEqual(500);
  });

  test('keeps the flags of its payload, through expire and back', async () => {
    await write({ tags: ['a'] });
    await node.life.expire('k', FENCE);
    expect(await stored()).toMatchObject({ tags: ['a'], value: 'value' });
    await touch();
    expect(await stored()).toMatchObject({ tags: ['a'], value: 'value' });
  });

  test('is none where none is: nothing comes to be, and a lease stands', async () => {
    await subject.lease('k', 'mine');
    expect(await touch()).toEqual({ kind: 'absent' });
    expect(await number('EXISTS', 'rc:v:k')).toBe(0);
    expect(await subject.fill('k', 'mine', 'loaded')).toEqual({ kind: 'stored' });
  });

  test('is none that is older than what is believed', async () => {
    await write({});
    expect(await touch({ since: EPOCH + 1 })).toEqual({ kind: 'absent' });
    expect((await stored())?.freshForMs).toBeLessThanOrEqual(60_050);
  });

  test('is not touched by a request that comes late', async () => {
    await write({});
    await nodes[0]!.pause();
    const late = touch();
    await expect(late).rejects.toMatchObject({ code: 'RINGCACHE_NODE_UNAVAILABLE' });
    await sleep(100);
    await nodes[0]!.resume();
    // The next answer comes after what was sent before.
    await redis('PING');
    expect(await number('PTTL', 'rc:v:k')).toBeLessThanOrEqual(90_000 - 100);
  });
});

test('a full node expires and touches all the same', async () => {
  await write({});
  await redis('CONFIG', 'SET', 'maxmemory-policy', 'noeviction');
  await redis('CONFIG', 'SET', 'maxmemory', '1');
  try {
    expect(await touch()).toEqual({ kind: 'touched' });
    expect((await stored())?.freshForMs).toBeGreaterThan(80_000);
    expect(await node.life.expire('k', FENCE)).toEqual({ kind: 'expired' });
    expect(await stored()).toMatchObject({ value: 'value' });
  } finally {
    await redis('CONFIG', 'SET', 'maxmemory', '0');
  }
});
