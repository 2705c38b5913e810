import { chmodSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { aptExists } from '../../src/local/apt.ts';
import { advice } from '../../src/local/local-errors.ts';
import { provideServer } from '../../src/local/provide.ts';
import { run } from '../../src/local/run.ts';
import { NoRedisError, startLocalNodes } from '../../src/local.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'ringcache-test-'));
});
afterEach(() => {
  vi.unstubAllEnvs();
  rmSync(folder, { recursive: true });
});

function executable(name: string): string {
  const path = join(folder, name);
  writeFileSync(path, '#!/bin/sh\n');
  chmodSync(path, 0o755);
  return path;
}

describe('RINGCACHE_REDIS_SERVER', () => {
  test('comes before everything else', async () => {
    const path = executable('my-redis');
    executable('redis-server');
    const env = { RINGCACHE_REDIS_SERVER: path, PATH: folder };
    expect(await provideServer({ env })).toEqual({ path, env: {}, origin: 'environment' });
  });

  test.each(['missing', 'folder', 'text'])('that is no program is an error (%s)', async (name) => {
    mkdirSync(join(folder, 'folder'));
    writeFileSync(join(folder, 'text'), '', { mode: 0o644 });
    executable('redis-server');
    vi.stubEnv('PATH', folder);
    vi.stubEnv('RINGCACHE_REDIS_SERVER', join(folder, name));
    const start = startLocalNodes(1);
    await expect(start).rejects.toThrow(NoRedisError);
    await expect(start).rejects.toMatchObject({ code: 'RINGCACHE_NO_REDIS' });
    await expect(start).rejects.toThrow(/RINGCACHE_REDIS_SERVER is .* not an executable file/);
  });

  test('that is empty is as good as not set', async () => {
    const path = executable('redis-server');
    const env = { RINGCACHE_REDIS_SERVER: '', PATH: folder };
    expect(await provideServer({ env })).toMatchObject({ path, origin: 'path' });
  });
});

describe('PATH', () => {
  test('is searched for redis-server, then for valkey-server', async () => {
    const valkey = executable('valkey-server');
    const env = { PATH: `/nonexistent:${folder}` };
    expect((await provideServer({ env, folders: [] })).path).toBe(valkey);
    const redis = executable('redis-server');
    expect((await provideServer({ env, folders: [] })).path).toBe(redis);
  });

  test('is followed by the usual folders', async () => {
    const path = executable('redis-server');
    const found = await provideServer({ env: { PATH: '' }, folders: [folder] });
    expect(found).toEqual({ path, env: {}, origin: 'path' });
  });
});

// A download takes as long as it takes.
describe.runIf(aptExists())('without any server', { timeout: 60_000 }, () => {
  const elsewhere = { env: {}, folders: [] };

  test('one is fetched through apt, once, by two callers at once', async ({ skip }) => {
    const cacheDir = join(folder, 'cache');
    const lines: string[] = [];
    const ask = () => provideServer({ ...elsewhere, cacheDir, log: (line) => lines.push(line) });
    let both: Awaited<ReturnType<typeof provideServer>>[];
    try {
      both = await Promise.all([ask(), ask()]);
    } catch (error) {
      // Offline: then the promise is the advice.
      expect(error).toBeInstanceOf(NoRedisError);
      expect((error as NoRedisError).message).toMatch(/RINGCACHE_REDIS_SERVER/);
      return skip('apt cannot be reached');
    }
    for (const { path, env, origin } of both) {
      expect(origin).toBe('apt');
      expect(await run(path, ['--version'], { env })).toMatch(/server v=\d/);
    }
    expect(lines.join('\n')).toContain('redis-server');
    expect(await ask()).toMatchObject({ path: both[0]?.path, origin: 'cache' });
    // Neither has left its stage behind.
    expect(readdirSync(cacheDir).sort()).toEqual(['apt', 'root']);
  });

  test('a cached one that does not run on this system is not used', async () => {
    const bin = join(folder, 'root/usr/bin');
    mkdirSync(bin, { recursive: true });
    writeFileSync(join(bin, 'redis-server'), '#!/bin/sh\nexit 1\n', { mode: 0o755 });
    const found = await provideServer({ ...elsewhere, cacheDir: folder }).catch((error) => error);
    if (found instanceof NoRedisError) return; // offline
    expect(found).toMatchObject({ origin: 'apt' });
  });

  test('a cache folder that cannot be written is an error with its cause', async () => {
    writeFileSync(join(folder, 'file'), '');
    const fetch = provideServer({ ...elsewhere, cacheDir: join(folder, 'file') });
    await expect(fetch).rejects.toThrow(NoRedisError);
    await expect(fetch).rejects.toMatchObject({ cause: expect.any(Error) });
  });
});

describe('the advice', () => {
  test.each([
    ['darwin', '', 'brew install valkey'],
    ['linux', 'ID=debian', 'apt-get install redis-server'],
    ['linux', 'ID=linuxmint ID_LIKE="ubuntu debian"', 'apt-get install redis-server'],
    ['linux', 'ID=fedora', 'dnf install valkey'],
    ['linux', 'ID="rocky" ID_LIKE="rhel centos fedora"', 'dnf install valkey'],
    ['linux', 'ID=alpine', 'apk add valkey'],
    ['linux', 'ID=arch', 'pacman -S valkey'],
    ['linux', 'ID="opensuse-tumbleweed" ID_LIKE="opensuse suse"', 'zypper install valkey'],
    ['linux', '', 'Install redis-server or valkey-server'],
    ['win32', '', 'WSL'],
  ] as const)('on %s (%s) is %s', (platform, family, expected) => {
    expect(advice(platform, family)).toContain(expected);
  });

  test('names the variable wherever Redis runs', () => {
    expect(advice('linux', '')).toContain('RINGCACHE_REDIS_SERVER');
    expect(advice('darwin', '')).toContain('RINGCACHE_REDIS_SERVER');
  });
});
