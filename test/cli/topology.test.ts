/** Changes of the ring by the command line, on real nodes with a cache beside it that is told nothing. */
import { describe, expect, test } from 'vitest';
import { keysOn, seats, useCaches } from '../cache/caches.ts';
import { eventually } from '../support/eventually.ts';
import { useNodes } from '../support/nodes.ts';
import { cli, cliJson, type Running, start } from './cli.ts';

const nodes = useNodes(4);
const caches = useCaches();
const fleet = (): string[] => ['--node', nodes[0]!.url, '--namespace', caches.namespace];
// What counts is whether a key is there, not how soon a busy machine answers.
const open = (count = 3) =>
  caches.open({ nodes: seats(nodes.slice(0, count)), memory: false, node: { timeout: '10s' } });
const fourth = (): string => `node-4=${nodes[3]!.url}`;

interface Shown {
  epoch: number;
  state: 'stable' | 'joint';
  control: string;
  change: { add: string[]; remove: string[]; weights: string[] } | null;
  nodes: { id: string; weight: number; epoch: number | null; url: string }[];
}
const shown = (): Promise<Shown> => cliJson<Shown>(['topology', 'show', ...fleet()]);

const COUNT = 2_000;
type Cache = Awaited<ReturnType<typeof open>>;
const keys = Array.from({ length: COUNT }, (_, i) => `k${i}`);
const fill = (cache: Cache) => cache.setMany(keys.map((key, i) => [key, i]));
const missing = async (cache: Cache): Promise<number> =>
  (await cache.getMany(keys)).filter((value) => value === undefined).length;

describe('add, remove, weight', () => {
  test('change the ring under a cache, which loses nothing', async () => {
    const cache = await open();
    await fill(cache);
    const added = await cliJson(['topology', 'add', fourth(), '--yes', ...fleet()]);
    expect(added).toMatchObject({ epoch: 3, failed: 0, interrupted: false });
    expect(await missing(cache)).toBe(0);
    expect(cache.topology.nodes.map(({ id }) => id)).toContain('node-4');

    const weighed = await cliJson(['topology', 'weight', 'node-4=2', '--yes', ...fleet()]);
    expect(weighed).toMatchObject({ epoch: 5, failed: 0 });
    expect((await shown()).nodes.find(({ id }) => id === 'node-4')).toMatchObject({ weight: 2 });
    expect(await missing(cache)).toBe(0);

    const { code, stdout } = await cli(['topology', 'remove', 'node-2', '--yes', ...fleet()]);
    expect(code).toBe(0);
    expect(stdout).toMatch(/^node-2 +leaves +/m);
    expect(stdout).toMatch(/^Done: the ring is stable at epoch 7; [\d,]+ keys copied in /m);
    expect(await missing(cache)).toBe(0);
    const { nodes: members, ...rest } = await shown();
    expect(rest).toMatchObject({ epoch: 7, state: 'stable', change: null, control: 'node-1' });
    expect(members.map(({ id, epoch }) => [id, epoch])).toEqual([
      ['node-1', 7],
      ['node-3', 7],
      ['node-4', 7],
    ]);
  });

  test('several in one change', async () => {
    await open();
    const words = ['--add', fourth(), '--weight', 'node-4=2', '--remove', 'node-3'];
    const told = await cliJson(['topology', 'change', ...words, '--yes', ...fleet()]);
    expect(told).toMatchObject({ epoch: 3 });
    const ring = await shown();
    expect(ring.nodes.map(({ id, weight }) => [id, weight])).toEqual([
      ['node-1', 1],
      ['node-2', 1],
      ['node-4', 2],
    ]);
  });

  test('a node gets another address and keeps its keys', async () => {
    const cache = await open();
    await fill(cache);
    const url = nodes[1]!.url.replace('127.0.0.1', 'localhost');
    await cliJson(['topology', 'address', `node-2=${url}`, '--yes', ...fleet()]);
    expect((await shown()).nodes.find(({ id }) => id === 'node-2')?.url).toBe(url);
    expect(await missing(cache)).toBe(0);
  });

  test('--dry-run says what would move, and changes nothing', async () => {
    const cache = await open();
    const words = ['topology', 'add', fourth(), '--dry-run', ...fleet()];
    expect(await cliJson(words)).toMatchObject({ change: { add: [{ id: 'node-4', weight: 1 }] } });
    const { code, stdout } = await cli(words);
    expect(code).toBe(0);
    expect(stdout).toMatch(/^node-4 +new: 1 /m);
    expect(cache.topology.epoch).toBe(1);
    expect((await shown()).epoch).toBe(1);
  });

  test('progress is a line now and then where there is no terminal', async () => {
    const cache = await open();
    await fill(cache);
    const words = ['topology', 'remove', 'node-3', '--yes', '--keys-per-second', '100', ...fleet()];
    const { code, stderr } = await cli(words);
    expect(code).toBe(0);
    const lines = stderr.trimEnd().split('\n');
    expect(lines.length).toBeGreaterThanOrEqual(2);
    for (const line of lines) {
      expect(line).toMatch(/^\d+ %: [\d,]+ of [\d,]+ keys, [\d,]+ copied, [\d,]+\/s$/);
    }
  });
});

describe('cannot be made, and nothing is changed', () => {
  test.each<[what: string, words: () => string[], code: number, why: string]>([
    [
      'a node that is a member',
      () => ['add', `node-1=${nodes[3]!.url}`],
      2,
      "'node-1' is in the ring already",
    ],
    [
      'a node that is none',
      () => ['remove', 'node-9'],
      2,
      "'node-9' is not in the ring (node-1, node-2, node-3)",
    ],
    ['all nodes', () => ['remove', 'node-1', 'node-2', 'node-3'], 2, 'the last node'],
    [
      'a node that does not answer',
      () => ['add', 'node-4=redis://127.0.0.1:1'],
      1,
      'node node-4 is unavailable',
    ],
    [
      'a control that is no member',
      () => ['recover', '--control', 'node-9'],
      2,
      "'node-9' is not in the ring",
    ],
  ])('with %s', async (_, words, expected, why) => {
    await open();
    const { code, stderr } = await cli(['topology', ...words(), '--yes', ...fleet()]);
    expect(stderr).toContain(why);
    expect(code).toBe(expected);
    expect(await shown()).toMatchObject({ epoch: 1, state: 'stable' });
  });

  test('with a node of another fleet', async () => {
    await open();
    await caches.open({ nodes: [seats([nodes[3]!])[0]!] });
    const { code, stderr } = await cli(['topology', 'add', fourth(), '--yes', ...fleet()]);
    expect(code).toBe(1);
    expect(stderr).toContain('belongs to another fleet');
  });
});

/** A change that takes long, and the process that makes it. */
async function slowChange(cache: Cache): Promise<Running> {
  await fill(cache);
  const words = ['topology', 'add', fourth(), '--yes', '--keys-per-second', '1', ...fleet()];
  const running = start(words);
  await eventually(async () => expect((await shown()).state).toBe('joint'), { withinMs: 30_000 });
  return running;
}

describe('a change that is interrupted', () => {
  test('by Ctrl-C is completed without the rest, and says so', async () => {
    const cache = await open();
    const running = await slowChange(cache);
    running.signal('SIGINT');
    const { code, stderr } = await running.ended;
    expect(code).toBe(1);
    expect(stderr).toContain('Stopping: the copying ends here, and the change is completed.');
    expect(stderr).toContain('The copying was interrupted');
    expect(await shown()).toMatchObject({ state: 'stable', epoch: 3, change: null });
  });

  test('by Ctrl-C twice is left half way at once', async () => {
    const cache = await open();
    const running = await slowChange(cache);
    // The end of the change waits for it.
    await nodes[2]!.pause();
    running.signal('SIGINT');
    await running.says(/Stopping/);
    running.signal('SIGINT');
    expect(await running.ended).toMatchObject({
      code: 1,
      stdout: expect.not.stringContaining('Done'),
    });
    await nodes[2]!.resume();
    expect(await shown()).toMatchObject({ state: 'joint', change: { add: ['node-4'] } });
  });

  test('by SIGKILL can be finished by another process, and nothing is lost', async () => {
    const cache = await open();
    const running = await slowChange(cache);
    running.signal('SIGKILL');
    await running.ended;
    const half = await shown();
    expect(half).toMatchObject({ state: 'joint', change: { add: ['node-4'] } });
    const { stdout } = await cli(['topology', 'show', ...fleet()]);
    expect(stdout).toContain('A change is under way: node-4 joining.');
    const busy = await cli(['topology', 'remove', 'node-2', '--yes', ...fleet()]);
    expect(busy).toMatchObject({ code: 1, stdout: '' });
    expect(busy.stderr).toContain('ringcache topology resume, or abort');
    const dry = await cli(['topology', 'resume', '--dry-run', ...fleet()]);
    expect(dry).toMatchObject({ code: 0, stdout: expect.stringContaining('This would finish it') });
    expect(await cliJson(['topology', 'resume', '--yes', ...fleet()])).toMatchObject({ failed: 0 });
    const whole = await shown();
    expect(whole).toMatchObject({ state: 'stable', change: null });
    expect(whole.nodes).toHaveLength(4);
    expect(await missing(cache)).toBe(0);
  });

  test('by SIGKILL can be taken back, and nothing is lost', async () => {
    const cache = await open();
    const running = await slowChange(cache);
    running.signal('SIGKILL');
    await running.ended;
    await cliJson(['topology', 'abort', '--yes', ...fleet()]);
    const whole = await shown();
    expect(whole).toMatchObject({ state: 'stable', change: null });
    expect(whole.nodes.map(({ id }) => id)).toEqual(['node-1', 'node-2', 'node-3']);
    expect(await missing(cache)).toBe(0);
  });

  test('not at all: resume and abort have nothing to do', async () => {
    await open();
    for (const what of ['resume', 'abort']) {
      const { code, stdout } = await cli(['topology', what, '--yes', ...fleet()]);
      expect(code).toBe(0);
      expect(stdout).toBe('No change is under way; the ring is stable at epoch 1.\n');
    }
  });
});

test('a change that another process takes back fails, and says so', async () => {
  const cache = await open();
  const running = await slowChange(cache);
  await cliJson(['topology', 'abort', '--yes', ...fleet()]);
  // It notices with its next step, or when it is to end.
  running.signal('SIGINT');
  const { code, stderr } = await running.ended;
  expect(code).toBe(1);
  expect(stderr).toContain('the change was taken back by another process');
  expect((await shown()).nodes).toHaveLength(3);
});

describe('with a password', () => {
  const secured = useNodes(2, { args: ['--requirepass', 'hunter2'] });

  test('a node joins with the login of the others', async () => {
    const withLogin = (url: string): string => url.replace('//', '//:hunter2@');
    const { id, url } = secured[0]!;
    const cache = await caches.open({ nodes: [{ id, url: withLogin(url) }] });
    const words = ['topology', 'add', `node-2=${secured[1]!.url}`, '--yes', '--json'];
    const place = ['--node', url, '--namespace', caches.namespace];
    const env = { RINGCACHE_PASSWORD: 'hunter2' };
    const { code, stdout, stderr } = await cli([...words, ...place], { env });
    expect(code).toBe(0);
    expect(stdout + stderr).not.toContain('hunter2');
    await eventually(() => expect(cache.topology.nodes).toHaveLength(2));
  });
});

test('a change that waits for a node says so', async () => {
  await open();
  await nodes[2]!.kill();
  const running = start(['topology', 'weight', 'node-2=2', '--yes', ...fleet()]);
  await running.says(/Waiting for node-3, which does not answer/);
  await nodes[2]!.restart();
  expect((await running.ended).code).toBe(0);
  expect(await shown()).toMatchObject({ state: 'stable', change: null });
});

describe('recover', () => {
  test('makes another control when it is lost, and the ring can be changed again', async () => {
    const cache = await open();
    const key = keysOn(cache, 'node-2')[0]!;
    await cache.set(key, 1);
    const rest = ['--node', nodes[1]!.url, '--namespace', caches.namespace];
    await nodes[0]!.kill();
    const refused = await cli(['topology', 'weight', 'node-2=2', '--yes', ...rest]);
    expect(refused.code).toBe(1);
    expect(refused.stderr).toContain('ringcache topology recover');
    const words = ['topology', 'recover', '--control', 'node-3', '--yes', ...rest];
    expect(await cliJson(words)).toMatchObject({ control: 'node-3' });
    const removed = await cliJson(['topology', 'remove', 'node-1', '--yes', ...rest]);
    expect(removed).toMatchObject({ interrupted: false });
    expect(await cache.get(key)).toBe(1);
  });
});
