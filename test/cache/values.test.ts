/** What goes in comes out: values of all kinds, keys of all kinds, codecs, compression, namespaces. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { InvalidKeyError, InvalidOptionError } from '../../src/index.ts';
import { command, useNodes } from '../support/nodes.ts';
import { useCaches } from './caches.ts';

const nodes = useNodes(2);
const caches = useCaches();
const open = (options: object = {}) => caches.open({ nodes, ...options });

const SEED = 20_240_607;

test(`whatever JSON carries is read back equal, from the node and from memory (seed ${SEED})`, async () => {
  const cache = await open();
  const reader = await open({ memory: false });
  let run = 0;
  // JSON has no -0, and no undefined: neither is a value here.
  const values = fc.jsonValue().filter((value) => !/(?<![\w.])-0(?![.\d])/.test(textOf(value)));
  await fc.assert(
    fc.asyncProperty(values, async (value) => {
      run += 1;
      const key = `k${run}`;
      expect(await cache.getOrSet<unknown>(key, () => value)).toBe(value);
      expect(cache.peek(key)).toBe(value);
      expect(await reader.get(key)).toEqual(value);
      expect(await cache.set(`s${key}`, value)).toBe(true);
      expect(await reader.getOrSet<unknown>(`s${key}`, () => 'never')).toEqual(value);
    }),
    { seed: SEED, numRuns: 150 },
  );
});

function textOf(value: unknown): string {
  if (Object.is(value, -0)) return '-0';
  if (Array.isArray(value)) return value.map(textOf).join();
  if (typeof value === 'object' && value !== null) return Object.values(value).map(textOf).join();
  return '';
}

const KEYS = {
  'with a NUL': 'a\0b',
  'with line ends': 'a\r\nDEL k\r\n',
  'of emoji': '👩‍👩‍👧🧊',
  'that is __proto__': '__proto__',
  'that is constructor': 'constructor',
  'with blanks': ' a b ',
  'with a hash tag': '{user}:1',
  'with an empty hash tag': '{}:1',
  'with glob signs': '*?[a]\\',
  'with colons': ':a:v:b:',
  'that looks like ours': 'e',
  'of 1,024 bytes': 'é'.repeat(512),
};

test.each(Object.entries(KEYS))('a key %s is a key like any other', async (_, key) => {
  const cache = await open();
  const reader = await open({ memory: false });
  expect(await cache.getOrSet(key, ({ key: told }) => ({ told }))).toEqual({ told: key });
  expect(await reader.get(key)).toEqual({ told: key });
  expect(await reader.getMany([key, 'absent'])).toEqual([{ told: key }, undefined]);
  expect(await cache.set(key, 2)).toBe(true);
  expect(await reader.get(key)).toBe(2);
  expect(
    await cache.getOrSetMany([key, `${key.slice(0, 400)}2`], (missing) => missing),
  ).toHaveLength(2);
  expect(await cache.delete(key)).toBe(true);
  expect(await reader.get(key)).toBeUndefined();
  expect(cache.peek(key)).toBeUndefined();
});

test('such keys move with a change of the ring', async () => {
  const cache = await caches.open({ nodes: [nodes[0]!], memory: false });
  const keys = Object.values(KEYS);
  await cache.setMany(keys.map((key) => [key, `value of ${key}`]));
  await (await cache.addNode(nodes[1]!)).done;
  expect(await cache.getMany(keys)).toEqual(keys.map((key) => `value of ${key}`));
});

test.each([
  ['empty', ''],
  ['longer than 1,024 bytes', 'é'.repeat(513)],
  ['a lone surrogate', 'a\ud800'],
  ['a number', 1],
  ['null', null],
  ['an array', ['k']],
  ['an object', {}],
])('a key that is %s is refused everywhere, before anything is asked', async (_, bad) => {
  const cache = await open();
  const key = bad as string;
  const operations = [
    () => cache.get(key),
    () => cache.getMany(['a', key]),
    () => cache.getOrSet(key, () => 1),
    () => cache.getOrSetMany([key], () => [1]),
    () => cache.set(key, 1),
    () => cache.setMany([[key, 1]]),
    () => cache.delete(key),
    () => cache.deleteMany([key]),
    () => cache.explain(key),
    () => cache.namespace('n').get(key),
    () => cache.namespace('n').set(key, 1),
  ];
  for (const operate of operations) await expect(operate()).rejects.toThrow(InvalidKeyError);
  expect(() => cache.ownerOf(key)).toThrow(InvalidKeyError);
  expect(cache.stats()).toMatchObject({ sets: 0, deletes: 0, misses: 0, loads: 0 });
});

test('__proto__ and its like in values are data', async () => {
  const cache = await open();
  const value: unknown = JSON.parse('{"__proto__": {"polluted": true}, "constructor": 1}');
  await cache.set('k', value);
  const back = await (await open()).get<object>('k');
  expect(JSON.stringify(back)).toBe('{"__proto__":{"polluted":true},"constructor":1}');
  expect(({} as { polluted?: boolean }).polluted).toBeUndefined();
});

describe('codecs', () => {
  test('msgpack carries what JSON does not, and both can read each other', async () => {
    const packed = await open({ codec: 'msgpack', memory: false });
    const value = { bytes: new Uint8Array([1, 2, 255]), when: new Date(5), list: [1.5, null, 'ü'] };
    await packed.set('k', value);
    expect(await packed.get('k')).toEqual(value);
    const json = await open({ memory: false });
    await json.set('j', { a: 1 });
    expect(await packed.get('j')).toEqual({ a: 1 });
    // It has no msgpack: what it cannot read is a miss, and is loaded.
    expect(await json.get('k')).toBeUndefined();
    expect(await json.getOrSet('k', () => 'mine')).toBe('mine');
    expect(await packed.get('k')).toBe('mine');
  });

  test('one of your own is used both ways; what it throws on when reading is a miss', async () => {
    let broken = false;
    const codec = {
      encode: (value: unknown) => `<${JSON.stringify(value)}>`,
      decode(bytes: Buffer): unknown {
        if (broken) throw new Error('cannot');
        return JSON.parse(bytes.toString().slice(1, -1));
      },
    };
    const cache = await open({ codec, memory: false });
    await cache.set('k', { a: [1] });
    expect(await cache.get('k')).toEqual({ a: [1] });
    broken = true;
    expect(await cache.get('k')).toBeUndefined();
    expect(await cache.getOrSet('k', () => 'loaded')).toBe('loaded');
  });

  test.each(['garbage', '', '\0', '\u0001\0\0\0'])(
    'foreign bytes (%j) under a key are a miss, and are replaced',
    async (bytes) => {
      const cache = await open({ memory: false });
      const node = nodes.find(({ id }) => id === cache.ownerOf('k'))!;
      await command(node, 'SET', `${caches.namespace}:v:k`, bytes);
      expect(await cache.get('k')).toBeUndefined();
      expect(await cache.getOrSet('k', () => 'loaded')).toBe('loaded');
      expect(await cache.get('k')).toBe('loaded');
    },
  );

  test('compression makes large values small, leaves small ones, and is read by all', async () => {
    const cache = await open({ compress: { threshold: 1_000 } });
    const reader = await open({ memory: false });
    const large = { text: 'na '.repeat(10_000) };
    await cache.set('large', large);
    await cache.set('small', 'x');
    expect(await reader.get('large')).toEqual(large);
    expect(await reader.get('small')).toBe('x');
    const node = nodes.find(({ id }) => id === cache.ownerOf('large'))!;
    const size = await command(node, 'STRLEN', `${caches.namespace}:v:large`);
    expect(Number(size.slice(1))).toBeLessThan(500);
    expect(await cache.getOrSet('loaded', () => large)).toEqual(large);
    expect(await reader.get('loaded')).toEqual(large);
  });
});

describe('namespaces', () => {
  test('of one cache are keys with a prefix, and loaders see them without it', async () => {
    const cache = await open();
    const users = cache.namespace('users');
    await users.set('1', 'ann');
    expect(await cache.get('users:1')).toBe('ann');
    expect(users.peek('1')).toBe('ann');
    expect(users.ownerOf('1')).toBe(cache.ownerOf('users:1'));
    expect((await users.explain('1')).key).toBe('users:1');
    expect(await users.getOrSet('2', ({ key }) => `loaded ${key}`)).toBe('loaded 2');
    const asked: string[][] = [];
    const many = await users.getOrSetMany(['3', '1', '4'], (missing, { key }) => {
      asked.push([...missing, key]);
      return new Map(missing.map((one) => [one, `loaded ${one}`]));
    });
    expect(many).toEqual(['loaded 3', 'ann', 'loaded 4']);
    expect(asked).toEqual([['3', '4', '3']]);
    expect(await users.getMany(['1', '2'])).toEqual(['ann', 'loaded 2']);
    expect(await users.setMany([['5', 5]])).toEqual([true]);
    expect(await users.deleteMany(['5', '1'])).toEqual([true, true]);
    expect(await users.delete('2')).toBe(true);
    expect(await cache.get('users:2')).toBeUndefined();
    const admins = users.namespace('admins');
    await admins.set('1', 'root');
    expect(await cache.get('users:admins:1')).toBe('root');
    for (const bad of ['', 'a b', 'a'.repeat(65), 1]) {
      expect(() => cache.namespace(bad as string)).toThrow(InvalidOptionError);
    }
  });

  test('of two caches share the nodes and nothing else', async () => {
    const one = await open();
    const other = await open({ namespace: `${caches.namespace}-other` });
    await one.set('k', 1);
    expect(await other.get('k')).toBeUndefined();
    await other.set('k', 2);
    await one.delete('k');
    expect(await other.get('k')).toBe(2);
    await (await one.removeNode('node-2')).done;
    expect(other.topology).toMatchObject({ epoch: 1 });
    expect(await other.set('k', 3)).toBe(true);
  });
});
