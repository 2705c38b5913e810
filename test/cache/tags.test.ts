/** Deletes by tag and clears, on real nodes, by this and by other processes. */
import { describe, expect, test } from 'vitest';
import type { RingCache } from '../../src/index.ts';
import { eventually } from '../support/eventually.ts';
import { useFork } from '../support/fork.ts';
import { command, useNodes } from '../support/nodes.ts';
import { Held, heard, keyOn, movingKeys, useCaches } from './caches.ts';

const nodes = useNodes(3);
const fork = useFork();
const caches = useCaches();
const two = () => nodes.slice(0, 2);
const KEYS = Array.from({ length: 30 }, (_, i) => `k${i}`);

async function redis(...words: string[]): Promise<string[]> {
  return Promise.all(nodes.map((node) => command(node, ...words)));
}

async function fill(cache: RingCache, value = 'old'): Promise<void> {
  await Promise.all(KEYS.map((key, i) => cache.set(key, value, { tags: [`t${i % 2}`, 'all'] })));
}

describe('deleteByTag', () => {
  test('removes what bears the tag, on every node, and nothing else', async () => {
    const cache = await caches.open({ nodes });
    await fill(cache);
    await cache.getMany(KEYS);
    expect(await cache.deleteByTag('t0')).toBe(true);
    const expected = KEYS.map((_, i) => (i % 2 === 0 ? undefined : 'old'));
    expect(KEYS.map((key) => cache.peek(key)).filter((value, i) => value !== expected[i])).toEqual(
      KEYS.flatMap((key, i) => (i % 2 === 1 && cache.peek(key) === undefined ? [undefined] : [])),
    );
    expect(await cache.getMany(KEYS)).toEqual(expected);
    const other = await caches.open({ nodes, memory: false });
    expect(await other.getMany(KEYS)).toEqual(expected);
    expect(await other.deleteByTag(['t1', 'nobody has it'])).toBe(true);
    expect(await other.getMany(KEYS)).toEqual(KEYS.map(() => undefined));
  });

  test('leaves what is stored afterwards with the same tag', async () => {
    const cache = await caches.open({ nodes });
    await fill(cache);
    await cache.deleteByTag('all');
    await fill(cache, 'new');
    expect(await cache.getMany(KEYS)).toEqual(KEYS.map(() => 'new'));
    expect(await cache.getOrSet('k0', () => 'never')).toBe('new');
  });

  test('is strict: another process that read before does not read the old value again', async () => {
    const [cache, other] = [
      await caches.open({ nodes }),
      await caches.open({ nodes, memory: false }),
    ];
    for (let round = 0; round < 50; round++) {
      await cache.set('k', round, { tags: ['t'] });
      expect(await other.get('k')).toBe(round);
      expect(await cache.deleteByTag('t')).toBe(true);
      expect(await other.get('k')).toBeUndefined();
    }
  });

  test('is told to the memory of other processes', async () => {
    const cache = await caches.open({ nodes });
    const app = await caches.openIn(fork, { nodes, memory: { maxStale: '10s' } });
    await eventually(async () =>
      Object.values((await app.call('stats')).nodes).every((n) => n.tracked),
    );
    await cache.set('tagged', 1, { tags: ['t'] });
    await cache.set('other', 2);
    await eventually(async () => {
      await app.call('get', 'tagged');
      await app.call('get', 'other');
      return (await app.call('peek', 'tagged')) === 1 && (await app.call('peek', 'other')) === 2;
    });
    await cache.deleteByTag('t');
    await eventually(async () => (await app.call('peek', 'tagged')) === undefined);
    expect(await app.call('peek', 'other')).toBe(2);
  });

  test.each(['this', 'another'] as const)(
    'by %s process wins over a load under way',
    async (who) => {
      const cache = await caches.open({ nodes });
      const app = await caches.openIn(fork, { nodes });
      const load = new Held<string>();
      const asking = cache.getOrSet('k', load.loader, { tags: ['t'] });
      await load.begun;
      const deleted = who === 'this' ? cache.deleteByTag('t') : app.call('deleteByTag', 't');
      expect(await deleted).toBe(true);
      load.finish('old');
      expect(await asking).toBe('old');
      expect(cache.peek('k')).toBeUndefined();
      expect(await cache.get('k')).toBeUndefined();
      expect(await cache.getOrSet('k', () => 'new', { tags: ['t'] })).toBe('new');
      expect(await app.call('get', 'k')).toBe('new');
    },
  );

  test('who asks afterwards does not join what began before', async () => {
    const cache = await caches.open({ nodes });
    const load = new Held<string>();
    const first = cache.getOrSet('k', load.loader);
    await load.begun;
    await cache.deleteByTag('t');
    const second = cache.getOrSet('k', () => 'second');
    load.finish('first');
    expect(await first).toBe('first');
    // Another tag may have been set by the loader: what it stored is read anew, whoever loaded it.
    expect(['first', 'second']).toContain(await second);
    expect(cache.stats().coalesced).toBe(0);
  });

  test('counts for the tags that a loader sets', async () => {
    const cache = await caches.open({ nodes });
    const load = async (): Promise<string> =>
      cache.getOrSet(
        'k',
        (context) => {
          context.setTags(['found']);
          return 'value';
        },
        { tags: ['asked'] },
      );
    await load();
    await cache.deleteByTag('asked');
    expect(await cache.get('k')).toBe('value');
    await cache.deleteByTag('found');
    expect(await cache.get('k')).toBeUndefined();
  });

  test('a value of a deleted tag has no life to be lengthened', async () => {
    const cache = await caches.open({ nodes });
    await fill(cache);
    expect(await cache.touch('k0')).toBe(true);
    await cache.deleteByTag('t0');
    expect(await cache.touch('k0')).toBe(false);
    expect(await cache.touch('k1')).toBe(true);
    expect(await cache.get('k0')).toBeUndefined();
  });

  test('a stale value of a deleted tag is not served', async () => {
    const cache = await caches.open({ nodes, ttl: 1, staleTtl: '1m' });
    await cache.set('k', 'old', { tags: ['t'] });
    await eventually(async () => (await cache.get('k')) === undefined);
    await cache.deleteByTag('t');
    expect(await cache.getOrSet('k', () => 'new')).toBe('new');
  });

  test.each([
    ['tags', { tags: 'one' }],
    ['tags', { tags: [''] }],
    ['tags', { tags: ['x'.repeat(129)] }],
    ['tags', { tags: ['\ud800'] }],
    ['tags', { tags: Array.from({ length: 33 }, (_, i) => `t${i}`) }],
  ])('%s that are none are refused: %j', async (_, options) => {
    const cache = await caches.open({ nodes });
    await expect(cache.set('k', 1, options as never)).rejects.toMatchObject({
      code: 'RINGCACHE_INVALID_OPTION',
    });
    expect(await cache.set('k', 1, { tags: ['ü'.repeat(64)] })).toBe(true);
    await expect(cache.deleteByTag('')).rejects.toMatchObject({ code: 'RINGCACHE_INVALID_OPTION' });
  });
});

describe('clear', () => {
  test('of the cache removes everything, in all processes', async () => {
    const cache = await caches.open({ nodes });
    const other = await caches.open({ nodes });
    await fill(cache);
    await cache.set('untagged', 1);
    await Promise.all([cache.getMany(KEYS), other.getMany([...KEYS, 'untagged'])]);
    expect(await cache.clear()).toBe(true);
    expect(KEYS.map((key) => cache.peek(key))).toEqual(KEYS.map(() => undefined));
    expect(await cache.getMany([...KEYS, 'untagged'])).toEqual([...KEYS, 1].map(() => undefined));
    await eventually(() => other.peek('untagged') === undefined && other.peek('k0') === undefined);
    await cache.set('untagged', 2);
    expect(await other.get('untagged')).toBe(2);
  });

  test('of a namespace removes what is in it, and in those within it', async () => {
    const cache = await caches.open({ nodes });
    const [users, admins] = [
      cache.namespace('users'),
      cache.namespace('users').namespace('admins'),
    ];
    const usersToo = cache.namespace('users2');
    for (const each of [cache, users, admins, usersToo]) await each.set('1', 'old');
    expect(await users.clear()).toBe(true);
    expect([users.peek('1'), admins.peek('1')]).toEqual([undefined, undefined]);
    expect(
      await Promise.all([cache, users, admins, usersToo].map((each) => each.get('1'))),
    ).toEqual(['old', undefined, undefined, 'old']);
    expect(await admins.getOrSet('1', () => 'new')).toBe('new');
  });

  test('wins over a load under way', async () => {
    const cache = await caches.open({ nodes });
    const load = new Held<string>();
    const asking = cache.namespace('users').getOrSet('1', load.loader);
    await load.begun;
    expect(await cache.namespace('users').clear()).toBe(true);
    load.finish('old');
    expect(await asking).toBe('old');
    expect(await cache.get('users:1')).toBeUndefined();
  });
});

describe('when a node loses what was deleted', () => {
  test.each([
    ['the sequence', ['DEL', 'g']],
    ['the tags', ['DEL', 'g:t']],
    ['all of it', ['DEL', 'g', 'g:t', 'g:p']],
  ])(
    '%s: what was deleted stays so, and what is stored afterwards is found',
    async (_, [what, ...lost]) => {
      const cache = await caches.open({ nodes });
      await fill(cache);
      await cache.deleteByTag('t0');
      await redis(what!, ...lost.map((name) => `${caches.namespace}:${name}`));
      const other = await caches.open({ nodes, memory: false });
      const found = await other.getMany(KEYS);
      expect(found.filter((value, i) => i % 2 === 0 && value !== undefined)).toEqual([]);
      await fill(cache, 'new');
      expect(await other.getMany(KEYS)).toEqual(KEYS.map(() => 'new'));
      await cache.deleteByTag('t1');
      expect(await other.getMany(KEYS)).toEqual(
        KEYS.map((__, i) => (i % 2 === 0 ? 'new' : undefined)),
      );
    },
  );

  test('everything, while it runs: it goes on', async () => {
    const cache = await caches.open({ nodes });
    await fill(cache);
    await redis('FLUSHALL');
    await eventually(async () => {
      await fill(cache, 'new');
      return (await cache.getMany(KEYS)).every((value) => value === 'new');
    });
    expect(await cache.deleteByTag('all')).toBe(true);
    expect(await cache.getMany(KEYS)).toEqual(KEYS.map(() => undefined));
  });
});

describe('while the ring changes', () => {
  test('what is at the previous owner still is not copied', async () => {
    const cache = await caches.open({ nodes: two() });
    const app = await caches.openIn(fork, { nodes: two() });
    const ids = nodes.map(({ id }) => id);
    const keys = await movingKeys(
      { before: ids.slice(0, 2), after: ids, from: ids[0]!, to: ids[2]! },
      20,
    );
    await Promise.all(keys.map((key) => cache.set(key, 'old', { tags: ['t'] })));
    const change = await cache.addNode(nodes[2]!, { warm: false });
    expect(await app.call('deleteByTag', 't')).toBe(true);
    expect(await cache.getMany(keys)).toEqual(keys.map(() => undefined));
    expect(await cache.getOrSet(keys[0]!, () => 'new', { tags: ['t'] })).toBe('new');
    await change.done;
    const left = await cache.getMany(keys);
    expect(left).toEqual(keys.map((_, i) => (i === 0 ? 'new' : undefined)));
  });

  test('what has been copied is found by its tags at the new owner', async () => {
    const cache = await caches.open({ nodes: two() });
    const ids = nodes.map(({ id }) => id);
    const move = { before: ids.slice(0, 2), after: ids, from: ids[0]!, to: ids[2]! };
    const keys = await movingKeys(move, 20);
    await Promise.all(keys.map((key) => cache.set(key, 'old', { tags: ['t'] })));
    await (await cache.addNode(nodes[2]!)).done;
    expect(await cache.getMany(keys)).toEqual(keys.map(() => 'old'));
    expect(await cache.deleteByTag('t')).toBe(true);
    expect(await cache.getMany(keys)).toEqual(keys.map(() => undefined));
  });
});

describe('a node that does not answer', () => {
  test('is told when it is back, before it is used, by whoever comes first', async () => {
    const cache = await caches.open({ nodes });
    const key = keyOn(cache, nodes[0]!.id);
    await cache.set(key, 'old', { tags: ['t'] });
    const reader = await caches.openIn(fork, { nodes, memory: false });
    const unconfirmed = heard(cache, 'tag:unconfirmed');
    const confirmed = heard(cache, 'tag:confirmed');
    await nodes[0]!.pause();
    expect(await cache.deleteByTag('t')).toBe(false);
    expect(unconfirmed).toEqual([{ tag: 't', node: nodes[0]!.id }]);
    expect(cache.peek(key)).toBeUndefined();
    await nodes[0]!.resume();
    await eventually(() => confirmed.length > 0);
    expect(await reader.call('get', key)).toBeUndefined();
    expect(await cache.getOrSet(key, () => 'new', { tags: ['t'] })).toBe('new');
    await eventually(async () => (await cache.get(key)) === 'new');
  });

  test('is told by another process when the one that deleted is gone', async () => {
    const app = await caches.openIn(fork, { nodes });
    const cache = await caches.open({ nodes });
    const key = keyOn(cache, nodes[0]!.id);
    await cache.set(key, 'old', { tags: ['t'] });
    await nodes[0]!.pause();
    expect(await app.call('deleteByTag', 't')).toBe(false);
    await app.call('leave');
    await nodes[0]!.resume();
    await eventually(() => cache.topology.nodes.every(({ state }) => state === 'up'));
    await eventually(async () => (await cache.get(key)) === undefined);
  });
});
