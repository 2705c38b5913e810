/** Commands that look at a fleet and change nothing, on real nodes. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { keyOn, seats, useCaches } from '../cache/caches.ts';
import { command, useNodes } from '../support/nodes.ts';
import { cli, cliJson, start } from './cli.ts';

const nodes = useNodes(3, { args: ['--maxmemory', '50mb'] });
const caches = useCaches();
const folder = mkdtempSync(join(tmpdir(), 'ringcache-cli-'));
afterAll(() => rmSync(folder, { recursive: true }));

/** One node is enough to name. */
const one = (at = 0): string[] => ['--node', nodes[at]!.url, '--namespace', caches.namespace];
const open = () => caches.open({ nodes: seats(nodes) });

interface Ring {
  epoch: number | null;
  nodes: { id: string; share: number; epoch: number | null; problem: string | null }[];
  keys?: { key: string; node: string }[];
}

describe('ring', () => {
  test('finds all members from one, and places keys as a cache does', async () => {
    const cache = await open();
    const keys = ['user:1', '{a}b', 'ключ'];
    const told = await cliJson<Ring>(['ring', ...keys, ...one(1)]);
    expect(told.epoch).toBe(1);
    expect(told.nodes.map(({ id, share }) => ({ id, share }))).toEqual(
      cache.topology.nodes.map(({ id, share }) => ({ id, share })),
    );
    expect(told.keys).toEqual(keys.map((key) => ({ key, node: cache.ownerOf(key) })));
  });

  test('prints a table without colours into a pipe, and exits 0', async () => {
    await open();
    const { code, stdout, stderr } = await cli(['ring', ...one()]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout).toContain(`${caches.namespace}: 3 nodes, epoch 1, stable`);
    expect(stdout).toMatch(/^node +weight +share +state +address$/m);
    expect(stdout).toMatch(/^node-2 +1 +3\d\.\d % +█+[▉-▏]? +up +redis:\/\/127\.0\.0\.1:\d+$/m);
    expect(stdout).not.toContain('\x1b');
  });

  test('says which node does not answer, and why', async () => {
    await open();
    await nodes[2]!.kill();
    const { code, stdout } = await cli(['ring', ...one()]);
    expect(code).toBe(0);
    expect(stdout).toMatch(/^node-3 .* down /m);
    expect(stdout).toMatch(/^node-3: connect ECONNREFUSED/m);
  });

  test('says so where no cache has been, and leaves nothing behind', async () => {
    const before = await command(nodes[0]!, 'DBSIZE');
    const { code, stdout } = await cli(['ring', ...one()]);
    expect(code).toBe(0);
    expect(stdout).toContain('1 node, not in use yet: the ring that they will form');
    expect(await command(nodes[0]!, 'DBSIZE')).toBe(before);
  });

  test('ends without a word when its reader has read enough', async () => {
    const keys = Array.from({ length: 5_000 }, (_, i) => `key-${i}`);
    const running = start(['ring', '--offline', '--node', 'a=redis://h:1', ...keys]);
    running.closeOutput();
    expect(await running.ended).toMatchObject({ code: 0, stderr: '' });
  });
});

describe('plan', () => {
  interface Plan {
    movedShare: number;
    before: Record<string, number>;
    after: Record<string, number>;
    moves: { from: string; to: string; share: number }[];
  }

  test('moves what a cache would move', async () => {
    const cache = await open();
    const told = await cliJson<Plan>(['plan', '--add', 'node-4', '--remove', 'node-1', ...one()]);
    const plan = cache.plan({ add: [{ id: 'node-4', url: 'redis://h:1' }], remove: ['node-1'] });
    expect(told).toMatchObject({ ...plan });
  });

  test('of a weight moves keys to it, and says it as a table', async () => {
    await open();
    const words = ['plan', '--weight', 'node-2=2', ...one()];
    const { moves, after } = await cliJson<Plan>(words);
    expect(new Set(moves.map(({ to }) => to))).toEqual(new Set(['node-2']));
    expect(after['node-2']).toBeGreaterThan(0.4);
    const { stdout } = await cli(words);
    expect(stdout).toMatch(/^node-2 +1 → 2 +3\d\.\d % /m);
    expect(stdout).toMatch(/^node-1 +node-2 +\d+\.\d % +█/m);
    expect(stdout).toMatch(/of all keys move; the others keep their node/);
  });

  test.each([
    [['--add', 'node-1'], "'node-1' is in the ring already (node-1, node-2, node-3)"],
    [['--add', 'x', '--add', 'x'], "'x' is in the ring already"],
    [['--remove', 'x'], "'x' is not in the ring (node-1, node-2, node-3)"],
    [['--remove', 'node-1', '--remove', 'node-1'], "'node-1' is removed twice"],
    [['--remove', 'node-1', '--weight', 'node-1=2'], "'node-1' is removed and changed"],
    [['--weight', 'x=2'], "'x' is not in the ring"],
    [['--remove', 'node-1', '--remove', 'node-2', '--remove', 'node-3'], 'the last node'],
    [[], 'nothing to change'],
  ])('%j is none', async (words, why) => {
    await open();
    const { code, stderr } = await cli(['plan', ...words, ...one()]);
    expect(code).toBe(2);
    expect(stderr).toContain(why);
  });

  test('of a fleet that does not exist yet, offline', async () => {
    const file = join(folder, 'plan.json');
    writeFileSync(file, JSON.stringify({ nodes: ['redis://a:1', 'redis://b:1'] }));
    const told = await cliJson<Plan>(['plan', '--offline', '--config', file, '--add', 'c']);
    expect(Object.keys(told.after)).toEqual(['a:1', 'b:1', 'c']);
  });
});

describe('explain', () => {
  test('tells what is at the node and for how long, and never the value', async () => {
    const cache = await open();
    await cache.set('user:1', 'hunter2', { ttl: '5m' });
    const { code, stdout } = await cli(['explain', 'user:1', ...one()]);
    expect(code).toBe(0);
    expect(stdout).toMatch(new RegExp(`^owner +${cache.ownerOf('user:1')} `, 'm'));
    expect(stdout).toMatch(/^value +fresh for 5 min; the node forgets it in 5 min$/m);
    expect(stdout).not.toContain('hunter2');
    expect(await cliJson(['explain', 'absent', ...one()])).toMatchObject({
      key: 'absent',
      owner: cache.ownerOf('absent'),
      atNode: 'absent',
      leased: false,
      previousOwner: null,
    });
  });

  test('says that a value is there in another codec', async () => {
    const codec = { encode: () => Buffer.from('<'), decode: () => 'decoded' };
    const cache = await caches.open({ nodes: seats(nodes), codec });
    await cache.set('k', 1);
    const { stdout } = await cli(['explain', 'k', ...one()]);
    expect(stdout).toContain('there, but not in the codec of these options');
  });

  test('fails when the node of the key is down', async () => {
    const cache = await open();
    const key = keyOn(cache, 'node-3');
    await nodes[2]!.kill();
    const { code, stdout } = await cli(['explain', key, ...one()]);
    expect(code).toBe(1);
    expect(stdout).toContain('unknown: the node cannot be asked');
  });

  test('escapes the key, and refuses one that is none', async () => {
    await open();
    const { stdout } = await cli(['explain', 'a\x1b[2J\u202eb', ...one()]);
    expect(stdout).toContain('a\\x1b[2J\\u202eb');
    const { code, stderr } = await cli(['explain', '', ...one()]);
    expect(code).toBe(2);
    expect(stderr).toContain('a key must be');
  });
});

test('topology show tells the epoch of every node', async () => {
  const cache = await open();
  await (await cache.removeNode('node-3')).done;
  const { epoch } = cache.topology;
  const told = await cliJson<Ring>(['topology', 'show', ...one()]);
  expect(told).toMatchObject({ epoch, state: 'stable', change: null });
  expect(told.nodes.map((node) => [node.id, node.epoch])).toEqual([
    ['node-1', epoch],
    ['node-2', epoch],
  ]);
  const { stdout } = await cli(['topology', 'show', ...one()]);
  expect(stdout).toMatch(new RegExp(`^node-1 .* ${epoch} +up `, 'm'));
});

describe('top', () => {
  interface Top {
    epoch: number;
    nodes: { id: string; state: string; server: { memoryMaxBytes: number; keys: number } | null }[];
  }

  test('--once has the numbers of every server', async () => {
    await open();
    const told = await cliJson<Top>(['top', '--once', ...one()]);
    expect(told.epoch).toBe(1);
    expect(told.nodes.map(({ id, state }) => [id, state])).toEqual([
      ['node-1', 'up'],
      ['node-2', 'up'],
      ['node-3', 'up'],
    ]);
    expect(told.nodes[0]?.server?.memoryMaxBytes).toBe(50 * 2 ** 20);
    const { code, stdout } = await cli(['top', '--once', ...one()]);
    expect(code).toBe(0);
    expect(stdout).toMatch(/^node-1 +up +closed +\d+\.\d % .* 50 MB .* redis \d/m);
    expect(stdout).toMatch(/^all +3 up /m);
  });

  test('shows a node that is down without numbers, and why', async () => {
    await open();
    await nodes[1]!.kill();
    const { code, stdout } = await cli(['top', '--once', ...one()]);
    expect(code).toBe(0);
    expect(stdout).toMatch(/^node-2 +down +open +\d+\.\d % +[█▉-▏]+$/m);
    expect(stdout).toMatch(/^node-2: connect ECONNREFUSED/m);
    expect(stdout).toMatch(/^all +2 up /m);
  });

  test('shows the new ring when it has changed', async () => {
    const cache = await open();
    const running = start(['top', '--interval', '0.2', ...one()]);
    await running.has(/^node-3 +up /m);
    await (await cache.removeNode('node-3')).done;
    await running.has(/: 2 nodes, epoch 3, stable/);
    running.signal('SIGINT');
    expect(await running.ended).toMatchObject({ code: 0, stderr: '' });
  });

  test('goes on until it is ended, one line of JSON for each view', async () => {
    await open();
    const running = start(['top', '--json', '--interval', '0.2', ...one()]);
    await running.has(/\n.*\n.*\n/);
    running.signal('SIGINT');
    const { code, stdout, stderr } = await running.ended;
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    const views = stdout
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as Top);
    expect(views.length).toBeGreaterThanOrEqual(3);
    expect(views[0]?.nodes).toHaveLength(3);
  });
});

describe('what cannot be reached', () => {
  test('no node there: exit code 1, and each is named', async () => {
    const away = ['--node', 'a=redis://127.0.0.1:1', '--node', 'b=redis://127.0.0.1:2'];
    const { code, stdout, stderr } = await cli(['topology', 'show', ...away]);
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
    expect(stderr).toMatch(/a: connect ECONNREFUSED 127\.0\.0\.1:1; b: connect ECONNREFUSED/);
    const json = await cli(['ring', '--json', ...away]);
    expect(JSON.parse(json.stdout)).toMatchObject({
      error: { code: 'RINGCACHE_NODE_UNAVAILABLE' },
    });
  });

  test.each([['explain', 'k'], ['top', '--once'], ['bench'], ['topology', 'show']])(
    '%s %s on nodes that no cache has used fails, and begins no ring',
    async (...words) => {
      const { code, stderr } = await cli([...words.filter(Boolean), ...one()]);
      expect(code).toBe(1);
      expect(stderr).toContain(`with the namespace '${caches.namespace}' yet`);
      // Not DBSIZE: what other tests have left may expire meanwhile.
      expect(await command(nodes[0]!, 'KEYS', `${caches.namespace}:*`)).toBe('*0\r\n');
    },
  );
});

describe('with a password', () => {
  const secured = useNodes(2, { args: ['--requirepass', 'hunter2'] });
  const open = () =>
    caches.open({
      nodes: seats(secured).map(({ id, url }) => ({ id, url: url.replace('//', '//:hunter2@') })),
    });
  const ring = (env: Record<string, string>) =>
    cli(['ring', '--node', secured[0]!.url, '--namespace', caches.namespace], { env });

  test('of the environment, all members are reached, and it is not shown', async () => {
    await open();
    const { code, stdout } = await ring({ RINGCACHE_PASSWORD: 'hunter2' });
    expect(code).toBe(0);
    expect(stdout.match(/ up /g)).toHaveLength(2);
    expect(stdout).not.toContain('hunter2');
  });

  test('that is wrong or missing: exit code 1, what it is, and where it can be said', async () => {
    await open();
    const outcomes = await Promise.all([ring({ RINGCACHE_PASSWORD: 'letmein' }), ring({})]);
    for (const { code, stderr } of outcomes) {
      expect(code).toBe(1);
      expect(stderr).toMatch(/WRONGPASS|NOAUTH/);
      expect(stderr).toContain('Set RINGCACHE_PASSWORD');
      expect(stderr).not.toContain('letmein');
    }
  });
});
