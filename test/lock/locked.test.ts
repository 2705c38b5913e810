import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { describe, expect, test } from 'vitest';
import {
  InvalidOptionError,
  type LockedOptions,
  LockTimeoutError,
  locked,
  type WithLockOptions,
  withLock,
} from '../../src/index.ts';
import { useNodes } from '../support/nodes.ts';
import { caught, useLocks } from './lock-room.ts';

const nodes = useNodes(1);
const room = useLocks();
const run = promisify(execFile);
const ROOT = fileURLToPath(new URL('../..', import.meta.url));

test('the decorator, compiled by tsc: names from arguments, locks from self, skip, throw, wait', async () => {
  // Inside the project, so that its dependencies are found.
  const cache = join(ROOT, 'node_modules/.cache');
  await mkdir(cache, { recursive: true });
  const folder = await mkdtemp(join(cache, 'locked-'));
  try {
    await writeFile(join(folder, 'package.json'), '{ "type": "module" }');
    const compilerOptions = {
      target: 'es2022',
      rootDir: ROOT,
      outDir: join(folder, 'out'),
      noEmit: false,
      incremental: false,
      tsBuildInfoFile: null,
    };
    const project = {
      extends: join(ROOT, 'tsconfig.json'),
      compilerOptions,
      include: [],
      files: [join(ROOT, 'test/lock/decorated-reports.ts')],
    };
    await writeFile(join(folder, 'tsconfig.json'), JSON.stringify(project));
    await run(process.execPath, [join(ROOT, 'node_modules/typescript/bin/tsc'), '-p', folder]);
    const built = join(folder, 'out/test/lock/decorated-reports.js');
    const { stdout, stderr } = await run(process.execPath, [built, nodes[0]!.url, room.namespace]);
    expect(stderr).toBe('');
    expect(JSON.parse(stdout)).toEqual({
      values: ['report of monday', 'report of tuesday', 'done'],
      busyIsUndefined: true,
      thrown: 'RINGCACHE_LOCK_TIMEOUT',
      runs: ['monday', 'tuesday'],
      patient: [1, 2, 3],
      order: ['begin 1', 'end 1', 'begin 2', 'end 2', 'begin 3', 'end 3'],
      failure: 'RangeError: mine',
      late: 'RINGCACHE_LOCK_TIMEOUT',
      again: 'had it',
      name: 'daily',
      held: 0,
    });
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
});

describe('withLock', () => {
  test('runs a function under its lock each time, with the lock before its arguments', async () => {
    const locks = await room.open({ nodes });
    const charge = withLock(
      { locks, name: (order: string) => `pay:${order}`, ttl: '5s' },
      async (lock, order: string, cents: number) => {
        lock.assertHeld();
        return `${lock.name} ${order} ${cents}`;
      },
    );
    expect(await charge('7', 100)).toBe('pay:7 7 100');
    expect(await charge('8', 200)).toBe('pay:8 8 200');
    expect(locks.stats()).toMatchObject({ acquired: 2, held: 0 });
  });

  test('when another has the lock: waits, skips or throws', async () => {
    const locks = await room.open({ nodes });
    const work = async () => 'ran';
    const wrapped = (options: Partial<WithLockOptions<[]>>) => {
      return withLock({ locks, name: 'l', ...options }, work);
    };
    const lock = await locks.acquire('l');
    expect(await wrapped({ onBusy: 'skip' })()).toBeUndefined();
    const thrown = await caught(wrapped({ onBusy: 'throw' })());
    expect(thrown).toBeInstanceOf(LockTimeoutError);
    expect((thrown as LockTimeoutError).retryAfterMs).toBeGreaterThan(5_000);
    expect(await caught(wrapped({ waitTimeout: 20 })())).toBeInstanceOf(LockTimeoutError);
    const waited = wrapped({ onBusy: 'wait' })();
    await lock.release();
    expect(await waited).toBe('ran');
    expect(await wrapped({ onBusy: 'skip' })()).toBe('ran');
  });

  test('hands on what the function rejects with, and releases', async () => {
    const locks = await room.open({ nodes });
    const error = new Error('mine');
    const work = withLock({ locks, name: 'l' }, () => Promise.reject(error));
    expect(await caught(work())).toBe(error);
    expect((await locks.inspect('l')).held).toBe(false);
  });

  test('a name that is none, made of the arguments, is refused with the call', async () => {
    const locks = await room.open({ nodes });
    const work = withLock({ locks, name: (id: string) => id }, async () => 'ran');
    await expect(work('')).rejects.toMatchObject({ code: 'RINGCACHE_INVALID_KEY' });
  });
});

test.each<[string, object]>([
  ['onBusy', { name: 'l', locks: {}, onBusy: 'ignore' }],
  ['name', { locks: {} }],
  ['name', { name: 7, locks: {} }],
  ['locks', { name: 'l' }],
  ['locks', { name: 'l', locks: null }],
])('both refuse a wrong %s when they are applied: %j', (path, options) => {
  const attempts = [
    () => locked(options as LockedOptions),
    () => withLock(options as WithLockOptions<[]>, async () => undefined),
  ];
  for (const attempt of attempts) {
    expect(attempt).toThrow(InvalidOptionError);
    expect(attempt).toThrow(`${path} must be`);
  }
});

test('withLock refuses work that is no function', async () => {
  const locks = await room.open({ nodes });
  const work = undefined as unknown as () => Promise<void>;
  expect(() => withLock({ locks, name: 'l' }, work)).toThrow('work must be a function');
});
