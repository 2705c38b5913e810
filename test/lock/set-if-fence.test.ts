import { Redis } from 'ioredis';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { InvalidKeyError, InvalidOptionError, SET_IF_FENCE, setIfFence } from '../../src/index.ts';
import { useNodes } from '../support/nodes.ts';

const nodes = useNodes(1);
let redis: Redis;

beforeAll(() => {
  redis = new Redis(nodes[0]!.port, '127.0.0.1');
});
afterAll(async () => {
  await redis.quit();
});

test('a later holder writes, an earlier one is refused and changes nothing', async () => {
  expect(await setIfFence(redis, 'a', { value: 'first', fence: 10 })).toBe(true);
  expect(await setIfFence(redis, 'a', { value: 'second', fence: 11 })).toBe(true);
  expect(await setIfFence(redis, 'a', { value: 'late', fence: 10 })).toBe(false);
  expect(await redis.mget('a', 'a:fence')).toEqual(['second', '11']);
});

test('one holder may write again', async () => {
  expect(await setIfFence(redis, 'b', { value: '1', fence: 5 })).toBe(true);
  expect(await setIfFence(redis, 'b', { value: '2', fence: 5 })).toBe(true);
  expect(await redis.get('b')).toBe('2');
});

test('numbers of today and of the year 2255 are compared as numbers, to the last one', async () => {
  const now = Date.now() * 1_000;
  expect(await setIfFence(redis, 'c', { value: '1', fence: now })).toBe(true);
  expect(await setIfFence(redis, 'c', { value: '2', fence: now + 1 })).toBe(true);
  expect(await setIfFence(redis, 'c', { value: '3', fence: now })).toBe(false);
  expect(await setIfFence(redis, 'c', { value: '4', fence: Number.MAX_SAFE_INTEGER })).toBe(true);
  expect(await setIfFence(redis, 'c', { value: '5', fence: Number.MAX_SAFE_INTEGER - 1 })).toBe(
    false,
  );
  expect(await redis.get('c')).toBe('4');
});

test('with a ttl the value goes, and its number outlives it by a week', async () => {
  expect(await setIfFence(redis, 'd', { value: '1', fence: 5, ttl: '30s' })).toBe(true);
  const week = 7 * 24 * 3_600_000;
  expect(await redis.pttl('d')).toBeLessThanOrEqual(30_000);
  expect(await redis.pttl('d')).toBeGreaterThan(20_000);
  expect(await redis.pttl('d:fence')).toBeGreaterThan(week);
  await redis.del('d');
  expect(await setIfFence(redis, 'd', { value: 'late', fence: 4 })).toBe(false);
  expect(await redis.exists('d')).toBe(0);
});

test('without one, both stay', async () => {
  await setIfFence(redis, 'e', { value: '1', fence: 5, ttl: '30s' });
  await setIfFence(redis, 'e', { value: '2', fence: 6 });
  expect(await redis.pttl('e')).toBe(-1);
  expect(await redis.pttl('e:fence')).toBe(-1);
});

test('bytes are written as they are', async () => {
  const value = Buffer.from([0, 255, 254, 10]);
  await setIfFence(redis, 'f', { value, fence: 1 });
  expect(await redis.getBuffer('f')).toEqual(value);
});

test('the script is for other clients as well', async () => {
  expect(await redis.eval(SET_IF_FENCE, 2, 'g', 'g:n', 'value', 3, 0, 0)).toBe(1);
  expect(await redis.eval(SET_IF_FENCE, 2, 'g', 'g:n', 'value', 2, 0, 0)).toBe(0);
});

test.each<[string, object]>([
  ['fence', { value: 'v', fence: 0 }],
  ['fence', { value: 'v', fence: 1.5 }],
  ['fence', { value: 'v', fence: 2 ** 53 }],
  ['fence', { value: 'v', fence: '7' }],
  ['fence', { value: 'v' }],
  ['value', { value: 7, fence: 1 }],
  ['value', { fence: 1 }],
  ['ttl', { value: 'v', fence: 1, ttl: 0 }],
  ['ttl', { value: 'v', fence: 1, ttl: 'soon' }],
])('refuses a wrong %s before anything is sent: %j', async (path, write) => {
  const client = { eval: () => Promise.reject(new Error('it was sent')) };
  const failure = setIfFence(client, 'k', write as Parameters<typeof setIfFence>[2]);
  await expect(failure).rejects.toThrow(InvalidOptionError);
  await expect(failure).rejects.toMatchObject({ path });
});

test('refuses a key that is none, and rejects with what the client rejects with', async () => {
  const client = { eval: () => Promise.reject(new Error('READONLY')) };
  await expect(setIfFence(client, '', { value: 'v', fence: 1 })).rejects.toThrow(InvalidKeyError);
  await expect(setIfFence(client, 'k', { value: 'v', fence: 1 })).rejects.toThrow('READONLY');
});
