/** What is done on a node in one step, on a real server. */
import { beforeEach, describe, expect, test } from 'vitest';
import { systemClock } from '../../src/clock.ts';
import { fenceOf } from '../../src/node/fence.ts';
import type { RedisNode } from '../../src/node/redis-node.ts';
import { INSTALL, REPLY, WRITE } from '../../src/node/scripts.ts';
import { eventually } from '../support/eventually.ts';
import { command, useNodes } from '../support/nodes.ts';
import { EPOCH, FENCE, LIFE, payload, type Subject, useSubjects } from './subject.ts';

const nodes = useNodes(1);
const start = useSubjects();
let subject: Subject;
let node: RedisNode;

const redis = (...words: string[]): Promise<string> => command(nodes[0]!, ...words);
const VALUES = { of: 'values', count: 100 } as const;
const bulk = (text: string): string => `$${text.length}\r\n${text}\r\n`;

beforeEach(async () => {
  await redis('FLUSHALL');
  subject = await start(nodes[0]!);
  node = subject.node;
});

describe('the fence', () => {
  type Ask = (fence: string) => Promise<{ readonly kind: string }>;
  const entry = { payload: payload(1), life: LIFE, epoch: EPOCH };
  const fenced: [string, (node: RedisNode) => Ask][] = [
    ['lease', (n) => (fence) => n.lease('k', { token: 't', leaseMs: 1000, fence })],
    ['fill', (n) => (fence) => n.fill('k', { ...entry, token: 't', seq: 0, fence })],
    ['write', (n) => (fence) => n.write('k', { ...entry, fence })],
    ['remove', (n) => (fence) => n.remove('k', fence)],
    ['copy', (n) => (fence) => n.copy('k', fence)],
  ];

  describe.each(fenced)('of %s', (_, ask) => {
    const contents = async (): Promise<string> => {
      const keys = await redis('KEYS', '*');
      return keys + (await redis('GET', 'rc:v:k')) + (await redis('GET', 'rc:e'));
    };

    test('later on the node: stale, and nothing was done', async () => {
      await subject.set('k', 'old');
      await redis('SET', 'rc:e', fenceOf(EPOCH + 1, '00000000'));
      const was = await contents();
      expect(await ask(node)(FENCE)).toEqual({ kind: 'stale' });
      expect(await contents()).toBe(was);
    });

    test('of the same epoch and other members: stale, and nothing was done', async () => {
      await subject.set('k', 'old');
      await redis('SET', 'rc:e', fenceOf(EPOCH, 'abadcafe'));
      const was = await contents();
      expect(await ask(node)(FENCE)).toEqual({ kind: 'stale' });
      expect(await contents()).toBe(was);
    });

    test('lost by the node: unknown, nothing was done, and it is not given one', async () => {
      await subject.set('k', 'old');
      await redis('DEL', 'rc:e');
      const was = await contents();
      expect(await ask(node)(FENCE)).toEqual({ kind: 'unknown' });
      expect(await contents()).toBe(was);
    });

    test('earlier on the node: raised, and the rest is done', async () => {
      const next = fenceOf(EPOCH + 1, '00000000');
      expect(['stale', 'unknown']).not.toContain((await ask(node)(next)).kind);
      expect(await redis('GET', 'rc:e')).toBe(bulk(next));
    });
  });

  test('compares epochs as numbers, 9 before 10', async () => {
    await redis('SET', 'rc:e', fenceOf(9, 'ffffffff'));
    expect((await node.remove('k', fenceOf(10, '00000000'))).kind).toBe('removed');
    expect((await node.remove('k', fenceOf(9, 'ffffffff'))).kind).toBe('stale');
  });

  test('comes with every read; a node that has lost it says so, values or not', async () => {
    await subject.set('k', 1);
    expect(await subject.read('k', 'x')).toMatchObject([
      { epoch: EPOCH, stored: { value: 1 } },
      { epoch: EPOCH, stored: undefined },
    ]);
    await redis('SET', 'rc:e', fenceOf(77, '00000000'));
    expect(await subject.read('k')).toMatchObject([{ epoch: 77 }]);
    await redis('DEL', 'rc:e');
    expect(await subject.read('k')).toMatchObject([{ epoch: -1, stored: { value: 1 } }]);
    await redis('SET', 'rc:e', 'nonsense');
    expect(await subject.read('k')).toMatchObject([{ epoch: -1 }]);
  });

  test('is installed over an earlier one, never over a later or another of its epoch', async () => {
    const install = (epoch: number, print: string): Promise<{ kind: string }> =>
      node.install(fenceOf(epoch, print), `doc ${epoch}`);
    expect(await install(EPOCH, 'deadbeef')).toEqual({ kind: 'installed' });
    expect(await install(EPOCH, 'abadcafe')).toEqual({ kind: 'stale' });
    expect(await install(EPOCH - 1, 'deadbeef')).toEqual({ kind: 'stale' });
    expect(await install(EPOCH + 1, 'abadcafe')).toEqual({ kind: 'installed' });
    expect(await node.greet()).toMatchObject({
      fence: fenceOf(EPOCH + 1, 'abadcafe'),
      document: `doc ${EPOCH + 1}`,
    });
    await redis('DEL', 'rc:e');
    // Only an admission gives a node its first one: it asks the others before.
    expect(await install(1, 'abadcafe')).toEqual({ kind: 'unknown' });
  });
});

describe('a lease', () => {
  test('is given once; another token is told for how long', async () => {
    expect(await subject.lease('k', 'a', 1000)).toMatchObject({ kind: 'leased' });
    const answer = await subject.lease('k', 'b');
    expect(answer).toMatchObject({ kind: 'busy' });
    if (answer.kind === 'busy') expect(answer.remainingMs).toBeGreaterThan(900);
    expect(await subject.lease('other', 'b')).toMatchObject({ kind: 'leased' });
  });

  test('is given again to the token that has it: a lost answer does not block its sender', async () => {
    await subject.lease('k', 'a');
    expect(await subject.lease('k', 'a')).toMatchObject({ kind: 'leased' });
  });

  test('is free when it has run out', async () => {
    await subject.lease('k', 'a', 20);
    await eventually(async () => (await subject.lease('k', 'b')).kind === 'leased');
  });

  test('is not needed when there is a value: the value is the answer', async () => {
    await subject.set('k', { a: 1 });
    expect(await subject.lease('k', 'a')).toMatchObject({
      kind: 'value',
      stored: { value: { a: 1 }, stamp: EPOCH, loadMs: 7, bytes: 7 },
    });
  });

  test('is given over the value that was seen, and not over one that came after', async () => {
    await subject.set('k', 'old');
    const [read] = await subject.read('k');
    const seen = read !== undefined && 'stored' in read ? read.stored : undefined;
    const ask = { token: 'a', leaseMs: 1000, fence: FENCE, seen };
    expect(await node.lease('k', ask)).toMatchObject({ kind: 'leased' });
    await node.dropLease('k', 'a');
    const life = { ...LIFE, ttlMs: 1234 };
    await node.write('k', { payload: payload('new'), life, fence: FENCE, epoch: EPOCH });
    expect(await node.lease('k', ask)).toMatchObject({ kind: 'value', stored: { value: 'new' } });
  });

  test.each(['', 'x', 'foreign bytes, longer than any header of ours'])(
    'is given over what cannot be read: %j',
    async (bytes) => {
      await redis('SET', 'rc:v:k', bytes);
      expect(await subject.lease('k', 'a')).toMatchObject({ kind: 'leased' });
      expect(await subject.fill('k', 'a', 1)).toEqual({ kind: 'stored' });
      expect(await subject.readValue('k')).toBe(1);
    },
  );

  test('can be lengthened and dropped by its token alone', async () => {
    await subject.lease('k', 'a', 1000);
    expect(await node.extendLease('k', { token: 'b', leaseMs: 60_000 })).toBe(false);
    await node.dropLease('k', 'b');
    expect(await node.extendLease('k', { token: 'a', leaseMs: 60_000 })).toBe(true);
    expect((await node.inspect('k')).leaseLeftMs).toBeGreaterThan(50_000);
    await node.dropLease('k', 'a');
    expect(await node.inspect('k')).toMatchObject({ leased: false, leaseLeftMs: 0 });
    expect(await node.extendLease('k', { token: 'a', leaseMs: 1000 })).toBe(false);
  });
});

describe('a fill', () => {
  test('stores under its lease, ends it, and leaves the life that was asked for', async () => {
    await subject.lease('k', 'a');
    expect(await subject.fill('k', 'a', 'loaded')).toEqual({ kind: 'stored' });
    const { stored, leftMs, leased } = await node.inspect('k');
    expect(stored).toMatchObject({ value: 'loaded', stamp: EPOCH, loadMs: 7 });
    expect(stored?.freshForMs).toBeGreaterThan(59_000);
    expect(stored?.freshForMs).toBeLessThan(60_100);
    expect(leftMs).toBeGreaterThan(89_000);
    expect(leftMs).toBeLessThanOrEqual(90_000);
    expect(leased).toBe(false);
  });

  const lost: [string, () => Promise<unknown>, unknown][] = [
    ['a delete', () => node.remove('k', FENCE), undefined],
    ['a set', () => subject.set('k', 'set'), 'set'],
    ['eviction of the lease', () => redis('DEL', 'rc:l:k'), undefined],
    ['a delete that was waiting', () => laterDone('k'), undefined],
    [
      'another token after the lease ran out',
      async () => {
        await redis('DEL', 'rc:l:k');
        await subject.lease('k', 'b');
      },
      undefined,
    ],
  ];
  test.each(lost)('is lost when %s came first', async (_, meanwhile, after) => {
    await subject.lease('k', 'a');
    await meanwhile();
    expect(await subject.fill('k', 'a', 'loaded')).toEqual({ kind: 'lost' });
    expect(await subject.readValue('k')).toBe(after);
  });

  test('is lost when the lease has run out', async () => {
    await subject.lease('k', 'a', 10);
    await eventually(async () => !(await node.inspect('k')).leased);
    expect(await subject.fill('k', 'a', 'loaded')).toEqual({ kind: 'lost' });
  });

  test('is stored once: the second with the same token is lost', async () => {
    await subject.lease('k', 'a');
    await subject.fill('k', 'a', 1);
    expect(await subject.fill('k', 'a', 2)).toEqual({ kind: 'lost' });
  });
});

async function laterDone(key: string): Promise<void> {
  node.removeLater(key, 60_000);
  await eventually(() => subject.confirmed.includes(key));
}

describe('the rest', () => {
  test('a delete says whether there was a value', async () => {
    expect(await node.remove('k', FENCE)).toEqual({ kind: 'removed', existed: false });
    await subject.set('k', 1);
    expect(await node.remove('k', FENCE)).toEqual({ kind: 'removed', existed: true });
    expect(await subject.readValue('k')).toBeUndefined();
  });

  test('a copy is the payload as it was stored, with what is left of its life', async () => {
    expect(await node.copy('k', FENCE)).toEqual({ kind: 'none', leaseLeftMs: 0 });
    await subject.set('k', { a: 1 });
    const copy = await node.copy('k', FENCE);
    expect(copy).toMatchObject({ kind: 'value', payload: payload({ a: 1 }) });
    if (copy.kind !== 'value') return;
    expect(copy.life.ttlMs + copy.life.staleMs).toBeGreaterThan(89_000);
    expect(copy.life.ttlMs + copy.life.staleMs).toBeLessThanOrEqual(90_000);
    expect(copy.life.loadMs).toBe(7);
  });

  test('a copy says for how long somebody else has the lease', async () => {
    await subject.lease('k', 'a', 5_000);
    const none = await node.copy('k', FENCE);
    expect(none).toMatchObject({ kind: 'none', leaseLeftMs: expect.any(Number) });
    await subject.set('l', 1);
    const [found] = await subject.read('l');
    const seen = found !== undefined && 'stored' in found ? found.stored : undefined;
    await node.lease('l', { token: 'a', leaseMs: 5_000, fence: FENCE, seen });
    const value = await node.copy('l', FENCE);
    expect(value.kind).toBe('value');
    for (const copy of [none, value]) {
      const { leaseLeftMs } = copy as { leaseLeftMs: number };
      expect(leaseLeftMs).toBeGreaterThan(1_000);
      expect(leaseLeftMs).toBeLessThanOrEqual(5_000);
    }
  });

  test('a copy of a stale entry has no freshness left, and of a broken one is none', async () => {
    const life = { ttlMs: 1, staleMs: 60_000, loadMs: 0 };
    await node.write('k', { payload: payload(1), life, fence: FENCE, epoch: EPOCH });
    await eventually(async () => {
      const copy = await node.copy('k', FENCE);
      expect(copy).toMatchObject({ kind: 'value', life: { ttlMs: 0 } });
    });
    await redis('SET', 'rc:v:k', 'broken');
    expect(await node.copy('k', FENCE)).toEqual({ kind: 'none', leaseLeftMs: 0 });
  });

  test('what cannot be read is a miss, and counted', async () => {
    await redis('SET', 'rc:v:a', 'broken');
    await redis('RPUSH', 'rc:v:b', 'a list');
    await subject.set('c', 3);
    const read = await subject.read('a', 'b', 'c');
    expect(read).toMatchObject([
      { stored: undefined },
      { stored: undefined },
      { stored: { value: 3 } },
    ]);
    expect(node.stats().broken).toBe(1); // to MGET a list is nothing at all
  });

  test('a foreign type under a key of ours fails the script, is told once, and harms nothing else', async () => {
    await redis('RPUSH', 'rc:v:k', 'a list');
    await expect(subject.lease('k', 'a')).rejects.toMatchObject({ reason: 'configuration' });
    await expect(subject.lease('k', 'a')).rejects.toThrow(/WRONGTYPE/);
    expect(subject.troubles).toHaveLength(1);
    expect(subject.up).toBe(true);
    expect(await node.remove('k', FENCE)).toEqual({ kind: 'removed', existed: true });
  });

  test('scan finds the keys that have a value, or a lease, in this namespace only, glob signs or not', async () => {
    const odd = await start(nodes[0]!, { namespace: 'r*[c]?\\' });
    await odd.set('mine', 1);
    await subject.set('other', 1);
    await subject.lease('leased only', 't');
    expect(await odd.node.scan('0', VALUES)).toEqual({ cursor: '0', keys: ['mine'] });
    expect(await node.scan('0', VALUES)).toEqual({ cursor: '0', keys: ['other'] });
    const leases = { of: 'leases', count: 100 } as const;
    expect(await node.scan('0', leases)).toEqual({ cursor: '0', keys: ['leased only'] });
    expect(await odd.node.scan('0', leases)).toEqual({ cursor: '0', keys: [] });
    expect(await node.size()).toBeGreaterThanOrEqual(4);
  });

  test('what is announced is found by whoever asks, for a while', async () => {
    expect((await node.greet()).announced).toBeUndefined();
    await node.announce('a document');
    expect((await node.greet()).announced).toBe('a document');
    expect(await redis('PTTL', 'rc:e:next')).toMatch(/^:(1\d{3}|2000)\r\n$/);
  });

  test('keys are taken as they are: line ends, NUL, spaces, stars, 1,024 bytes', async () => {
    for (const key of [
      'a\r\nDEL x\r\n',
      'nul\0',
      ' ',
      '*',
      '{tag}',
      '__proto__',
      'é'.repeat(512),
    ]) {
      await subject.set(key, key);
      expect(await subject.readValue(key)).toBe(key);
    }
  });

  test('SCRIPT FLUSH under load loses no answer', async () => {
    const results: Promise<unknown>[] = [];
    for (let round = 0; round < 20; round += 1) {
      for (let i = 0; i < 20; i += 1) results.push(subject.set(`${i}`, round));
      results.push(redis('SCRIPT', 'FLUSH'));
      await new Promise((resolve) => setImmediate(resolve));
    }
    const sets = (await Promise.all(results)).filter((answer) => typeof answer === 'object');
    expect(sets).toEqual(Array.from({ length: 400 }, () => ({ kind: 'stored' })));
  });
});

// Given up on in time, and on its way still: a set must not act over what was done since.
describe('a set that comes late', () => {
  test('does nothing; its bytes may be seconds old', async () => {
    const late = Date.now() - 10;
    const keys = ['rc:e', 'rc:v:k', 'rc:l:k', 'rc:g'];
    const operands = [...keys, FENCE, 'head', '60000', String(late), 'rc:w', 'tail'];
    expect(await redis('EVAL', WRITE.lua, '4', ...operands)).toBe(`:${REPLY.late}\r\n`);
    expect(await redis('EXISTS', 'rc:v:k')).toBe(':0\r\n');
    operands[7] = String(Date.now() + 10_000);
    expect(await redis('EVAL', WRITE.lua, '4', ...operands)).toBe(':1\r\n');
  });

  test('nor does a document: the change may not be made any more', async () => {
    const next = fenceOf(EPOCH + 1, 'abadcafe');
    const keys = ['rc:e', 'rc:t', 'rc:r', 'rc:g'];
    const operands = [...keys, next, 'doc', 'run', '', String(Date.now() - 10)];
    expect(await redis('EVAL', INSTALL.lua, '4', ...operands)).toBe(`:${REPLY.late}\r\n`);
    expect(await redis('GET', 'rc:e')).toBe(bulk(FENCE));
  });

  test('by a clock that was set is refused once, and the clock is asked again', async () => {
    await node.greet();
    const { now } = systemClock;
    let jumpedMs = 0;
    const jumping = { ...systemClock, now: () => now() - jumpedMs };
    const other = await start(nodes[0]!, { clock: jumping });
    const set = () =>
      other.node.write('k', { payload: payload(1), life: LIFE, fence: FENCE, epoch: EPOCH });
    expect(await set()).toEqual({ kind: 'stored' });
    // Ours stands still meanwhile: as if the node's had been set forward.
    jumpedMs = 1_000;
    await expect(set()).rejects.toMatchObject({ reason: 'timeout' });
    await eventually(async () => (await set().catch(() => undefined))?.kind === 'stored');
  });
});
