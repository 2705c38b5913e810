/** What a server answers instead of serving, and what comes of it. */
import { rmSync } from 'node:fs';
import { beforeEach, describe, expect, test } from 'vitest';
import { startLocalNodes } from '../../src/local.ts';
import { eventually } from '../support/eventually.ts';
import { command, useNodes } from '../support/nodes.ts';
import { FaultProxy } from '../support/proxy.ts';
import { FENCE, LIFE, payload, useSubjects } from './subject.ts';

const nodes = useNodes(2);
const start = useSubjects();
const redis = (...words: string[]): Promise<string> => command(nodes[0]!, ...words);

beforeEach(async () => {
  await redis('FLUSHALL');
});

/** Undoes what a test set on the first node. */
async function restoring(run: () => Promise<void>, ...undo: string[][]): Promise<void> {
  try {
    await run();
  } finally {
    for (const words of undo) await redis(...words);
  }
}

describe('a full node that may not evict (OOM)', () => {
  const full = (run: () => Promise<void>): Promise<void> =>
    restoring(run, ['CONFIG', 'SET', 'maxmemory', '0'], ['FLUSHALL']);
  const fill = async (): Promise<void> => {
    await redis('CONFIG', 'SET', 'maxmemory-policy', 'noeviction');
    await redis('CONFIG', 'SET', 'maxmemory', '1');
  };

  test('refuses fills and sets, serves reads and deletes, and is no failure', () =>
    full(async () => {
      const subject = await start(nodes[0]!);
      await subject.set('k', 'old');
      await subject.set('j', 'kept');
      await subject.lease('l', 'a');
      await fill();
      for (let i = 0; i < 30; i += 1) {
        await expect(subject.lease('m', 'a')).rejects.toMatchObject({ reason: 'refused' });
      }
      for (let i = 0; i < 20; i += 1) {
        expect(await subject.fill('l', 'a', 1)).toEqual({ kind: i === 0 ? 'refused' : 'lost' });
      }
      expect(await subject.readValue('j')).toBe('kept');
      expect(await subject.node.remove('j', FENCE)).toEqual({ kind: 'removed', existed: true });
      expect(subject.up).toBe(true);
      expect(subject.node.stats().opened).toBe(0);
    }));

  test('a refused set leaves no older value behind', () =>
    full(async () => {
      const subject = await start(nodes[0]!);
      await subject.set('k', 'old');
      await subject.lease('k2', 'a');
      await fill();
      expect(await subject.set('k', 'new')).toEqual({ kind: 'refused' });
      expect(await subject.readValue('k')).toBeUndefined();
      expect(await subject.set('k2', 'new')).toEqual({ kind: 'refused' });
      expect((await subject.node.inspect('k2')).leased).toBe(false);
    }));

  test('is admitted, raised to a later fence by a delete, and installed', () =>
    full(async () => {
      const first = await start(nodes[0]!);
      await first.set('k', 1);
      await fill();
      const second = await start(nodes[0]!);
      expect(second.up).toBe(true);
      const later = FENCE.replace('5:', '6:');
      expect(await second.node.remove('k', later)).toEqual({ kind: 'removed', existed: true });
      expect((await second.node.greet()).fence).toBe(later);
      const latest = FENCE.replace('5:', '7:');
      expect(await second.node.install(latest, 'doc')).toEqual({ kind: 'installed' });
    }));
});

describe('a server that may not write', () => {
  test('as a replica (READONLY) is a failing node: down, told once, back when it is a master again', () =>
    restoring(async () => {
      const subject = await start(nodes[0]!, { breaker: { resetTimeoutMs: 50 } });
      await redis('REPLICAOF', '127.0.0.1', `${nodes[1]!.port}`);
      await eventually(async () => {
        const wrote = await subject.set('k', 1).catch((error: unknown) => error);
        expect(wrote).toMatchObject({ reason: 'refused' });
      });
      await eventually(async () => {
        await subject.set('k', 1).catch(() => undefined);
        return !subject.up;
      });
      await eventually(() => subject.greetings >= 4);
      expect(subject.up).toBe(false);
      const told = subject.troubles.filter((error) => /READONLY/.test(error.message));
      expect(new Set(told.map((error) => error.message)).size).toBe(told.length);
      await redis('REPLICAOF', 'NO', 'ONE');
      await eventually(() => subject.up);
      expect(await subject.set('k', 1)).toEqual({ kind: 'stored' });
    }, ['REPLICAOF', 'NO', 'ONE']));

  test('because its snapshots fail (MISCONF) is a failing node, too', async () => {
    await using broken = await startLocalNodes(1);
    const subject = await start(broken[0]!);
    await command(broken[0]!, 'CONFIG', 'SET', 'save', '1 1');
    await subject.set('k', 1);
    // Its folder is gone: nowhere to write a snapshot to.
    const dir = /\r\n(\/[^\r]+)/.exec(await command(broken[0]!, 'CONFIG', 'GET', 'dir'))?.[1] ?? '';
    rmSync(dir, { recursive: true });
    await command(broken[0]!, 'BGSAVE');
    await eventually(async () => {
      const wrote = await subject.set('k', 1).catch((error: unknown) => error);
      expect(wrote).toMatchObject({ reason: 'refused', message: expect.stringMatching(/MISCONF/) });
    });
    await eventually(async () => {
      await subject.set('k', 1).catch(() => undefined);
      return !subject.up;
    });
  });

  test('because a script hangs (BUSY) is a failing node', () =>
    restoring(
      async () => {
        const subject = await start(nodes[0]!, { tuning: { timeoutMs: 400 } });
        await redis('CONFIG', 'SET', 'busy-reply-threshold', '1');
        void redis('EVAL', 'while true do end', '0').catch(() => undefined);
        await eventually(async () => {
          const read = await subject.readValue('k').catch((error: unknown) => error);
          expect(read).toMatchObject({ reason: 'refused' });
        });
        await eventually(async () => {
          await subject.read('k');
          return !subject.up;
        });
        await redis('SCRIPT', 'KILL');
        await eventually(() => subject.up);
      },
      ['SCRIPT', 'KILL'],
      ['CONFIG', 'SET', 'busy-reply-threshold', '5000'],
    ));
});

test('a server that is loading its data (LOADING) is down until it has', async () => {
  await using started = await startLocalNodes(1, { args: ['--enable-debug-command', 'yes'] });
  const one = started[0]!;
  const subject = await start(one);
  // Loading what DEBUG RELOAD saved takes 1 ms a key.
  await command(one, 'DEBUG', 'POPULATE', '600', 'p', '10');
  await command(one, 'CONFIG', 'SET', 'key-load-delay', '1000');
  await command(one, 'CONFIG', 'SET', 'loading-process-events-interval-bytes', '1024');
  const reload = command(one, 'DEBUG', 'RELOAD');
  await eventually(() => subject.read('k').then(() => !subject.up));
  await reload;
  await eventually(() => subject.up);
  expect(await subject.set('k', 1)).toEqual({ kind: 'stored' });
});

describe('who may not', () => {
  const PASSWORD = 'hunter2/ü%';
  const ask = { payload: payload(1), life: LIFE, fence: FENCE, epoch: 5 };

  describe('log in', () => {
    const guarded = useNodes(1, { args: ['--requirepass', 'secret'] });

    test.each([
      ['with a wrong password', ':wrong-secret@', /WRONGPASS/],
      ['without one', '', /NOAUTH/],
    ])('%s stays down, hears of it once, and waits for nothing', async (_, login, told) => {
      await using proxy = await FaultProxy.start(guarded[0]!.port);
      const subject = await start({ id: 'n', url: `redis://${login}127.0.0.1:${proxy.port}` });
      expect(subject.node.state().state).toBe('down');
      await expect(subject.node.write('k', ask)).rejects.toMatchObject({ reason: 'breaker-open' });
      await eventually(() => proxy.accepted >= 4);
      expect(subject.troubles).toHaveLength(1);
      expect(subject.troubles[0]?.message).toMatch(told);
      expect(subject.troubles[0]).toMatchObject({ reason: 'configuration' });
    });

    test('with the right one', async () => {
      const at = `127.0.0.1:${guarded[0]!.port}`;
      for (const place of [
        { id: 'n', url: `redis://:secret@${at}` },
        { id: 'n', url: `redis://default:secret@${at}` },
        { id: 'n', url: `redis://:other@${at}`, redis: { password: 'secret' } },
      ]) {
        expect((await start(place)).up).toBe(true);
      }
    });
  });

  test('as a user of few rights works with the documented ones, password with odd signs', () =>
    restoring(async () => {
      await redis(
        ...['ACL', 'SETUSER', 'app', 'on', `>${PASSWORD}`, '~rc:*'],
        ...[
          '+info',
          '+time',
          '+get',
          '+mget',
          '+set',
          '+del',
          '+getdel',
          '+pttl',
          '+pexpire',
          '+eval',
          '+evalsha',
        ],
        ...['+scan', '+dbsize', '+ping'],
      );
      const url = `redis://app:${encodeURIComponent(PASSWORD)}@127.0.0.1:${nodes[0]!.port}`;
      const subject = await start({ id: 'n', url });
      expect(subject.up).toBe(true);
      expect(subject.troubles).toEqual([]);
      expect(await subject.lease('k', 'a')).toEqual({ kind: 'leased' });
      expect(await subject.node.extendLease('k', { token: 'a', leaseMs: 1000 })).toBe(true);
      expect(await subject.fill('k', 'a', 1)).toEqual({ kind: 'stored' });
      expect(await subject.readValue('k')).toBe(1);
      expect(await subject.node.copy('k', FENCE)).toMatchObject({ kind: 'value' });
      expect((await subject.node.inspect('k')).stored?.value).toBe(1);
      expect((await subject.node.scan('0', { of: 'values', count: 1_000 })).keys).toContain('k');
      expect(await subject.node.remove('k', FENCE)).toMatchObject({ existed: true });
      expect(subject.troubles).toEqual([]);
    }, ['ACL', 'DELUSER', 'app']));

  test('as a user without a right is told of it once, and it is no failure of the node', () =>
    restoring(async () => {
      await redis('ACL', 'SETUSER', 'app', 'on', '>pw', '~rc:*', '+@all', '-mget');
      const url = `redis://app:pw@127.0.0.1:${nodes[0]!.port}`;
      const subject = await start({ id: 'n', url });
      expect(subject.up).toBe(false); // the admission needs it, too
      expect(subject.troubles).toHaveLength(1);
      await redis('ACL', 'SETUSER', 'app', '+mget', '-scan');
      await eventually(() => subject.up);
      subject.troubles.length = 0;
      for (let i = 0; i < 20; i += 1) {
        await expect(subject.node.scan('0', { of: 'values', count: 1 })).rejects.toMatchObject({
          reason: 'configuration',
        });
      }
      expect(subject.troubles).toHaveLength(1);
      expect(subject.up).toBe(true);
    }, ['ACL', 'DELUSER', 'app']));
});
