/** What a server tells by itself: the second connection that only listens, on a real server. */
import { describe, expect, test } from 'vitest';
import { systemClock } from '../../src/clock.ts';
import { keysOf } from '../../src/node/node-keys.ts';
import { PushChannel } from '../../src/node/push.ts';
import { NODE_DEFAULTS } from '../../src/node/tuning.ts';
import { eventually } from '../support/eventually.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { command, useNodes } from '../support/nodes.ts';
import { FaultProxy } from '../support/proxy.ts';
import { useSubjects } from './subject.ts';

const nodes = useNodes(1);
const start = useSubjects();

const redis = (...words: string[]) => command(nodes[0]!, ...words);

/** The connections of the server other than the one that asks. */
async function clients(): Promise<{ id: string; subscribed: boolean }[]> {
  const list = await redis('CLIENT', 'LIST');
  return list.split('\n').flatMap((line) => {
    const id = /\bid=(\d+)/.exec(line)?.[1];
    if (id === undefined || /cmd=client/.test(line)) return [];
    return [{ id, subscribed: !/ sub=0 /.test(line) }];
  });
}

async function killSubscribers(): Promise<void> {
  for (const { id, subscribed } of await clients()) {
    if (subscribed) await redis('CLIENT', 'KILL', 'ID', id);
  }
}

describe('listening', () => {
  test('has a connection of its own, made when it is first needed; the requests go on', async () => {
    const { node, up } = await start(nodes[0]!);
    expect(up).toBe(true);
    expect((await clients()).map(({ subscribed }) => subscribed)).toEqual([false]);
    expect(node.locks.listening).toBe(false);
    expect(await node.locks.listen('w', () => undefined)).toBe(true);
    expect(node.locks.listening).toBe(true);
    const listeners = (await clients()).filter(({ subscribed }) => subscribed);
    expect(listeners).toHaveLength(1);
    expect(await clients()).toHaveLength(2);
    // A subscriber of the old protocol could not ask this.
    expect(await node.size()).toBeGreaterThan(0);
  });

  test('again for the same takes no further connection, and the newer listener is told', async () => {
    const { node } = await start(nodes[0]!);
    const told: string[] = [];
    const listened = ['first', 'second', 'third'].map((which) =>
      node.locks.listen('w', (token) => told.push(`${which} ${token}`)),
    );
    expect(await Promise.all(listened)).toEqual([true, true, true]);
    expect(await clients()).toHaveLength(2);
    await redis('PUBLISH', 'rc:k:w:w', 't n');
    await eventually(() => expect(told).toEqual(['third t']));
  });

  test('hears its own channel and namespace only', async () => {
    const { node } = await start(nodes[0]!);
    const told: string[] = [];
    await node.locks.listen('w', (token, name) => told.push(`${token}|${name}`));
    await redis('PUBLISH', 'rc:k:w:other', 'x n');
    await redis('PUBLISH', 'other:k:w:w', 'y n');
    await redis('PUBLISH', 'rc:k:w:w', 'z a name');
    await eventually(() => expect(told).toEqual(['z|a name']));
  });

  test('survives a lost connection: it does not stand meanwhile, and does again', async () => {
    const { node } = await start(nodes[0]!);
    const told: string[] = [];
    await node.locks.listen('w', (token) => told.push(token));
    await killSubscribers();
    await eventually(() => !node.locks.listening);
    await eventually(() => node.locks.listening);
    await redis('PUBLISH', 'rc:k:w:w', 'again n');
    await eventually(() => expect(told).toEqual(['again']));
    expect(await clients()).toHaveLength(2);
  });

  test('survives a restart of the server', async () => {
    const { node } = await start(nodes[0]!);
    const told: string[] = [];
    await node.locks.listen('w', (token) => told.push(token));
    await nodes[0]!.kill();
    await eventually(() => !node.locks.listening);
    await nodes[0]!.restart();
    await eventually(() => node.locks.listening);
    await redis('PUBLISH', 'rc:k:w:w', 'again n');
    await eventually(() => expect(told).toEqual(['again']));
  });

  test.each([
    ['the command', ['~*', '&*', '+@all', '-subscribe']],
    ['the channel', ['~*', 'resetchannels', '&rc:other', '+@all']],
  ])('does not stand where SUBSCRIBE is refused: %s; all else goes on', async (_, rules) => {
    await redis('ACL', 'SETUSER', 'deaf', 'reset', 'on', '>pw', ...rules);
    try {
      const url = nodes[0]!.url.replace('//', '//deaf:pw@');
      const { node, troubles, up } = await start({ id: 'n', url });
      expect(up).toBe(true);
      expect(await node.locks.listen('w', () => undefined)).toBe(false);
      expect(node.locks.listening).toBe(false);
      expect(await node.size()).toBeGreaterThan(0);
      expect(troubles).toEqual([]);
    } finally {
      await redis('ACL', 'DELUSER', 'deaf');
    }
  });

  test('does not stand where there is no server, and never rejects', async () => {
    const { node } = await start({ id: 'n', url: 'redis://127.0.0.1:1' });
    expect(await node.locks.listen('w', () => undefined)).toBe(false);
    expect(node.locks.listening).toBe(false);
  });

  test('stands later by itself, when the server could not be reached at first', async () => {
    await using proxy = await FaultProxy.start(nodes[0]!.port);
    await proxy.refuse();
    const { node } = await start({ id: 'n', url: proxy.url });
    expect(await node.locks.listen('w', () => undefined)).toBe(false);
    await proxy.accept();
    await eventually(() => node.locks.listening);
  });

  test('waits for an answer to SUBSCRIBE no longer than for a connection', async () => {
    await using proxy = await FaultProxy.start(nodes[0]!.port);
    const channel = new PushChannel(
      { id: 'n', url: proxy.url },
      {
        clock: systemClock,
        keys: keysOf('rc'),
        tuning: { ...NODE_DEFAULTS, timeoutMs: 5_000, connectTimeoutMs: 150 },
      },
    );
    try {
      expect(await channel.listen('one', () => undefined)).toBe(true);
      proxy.set({ kind: 'drop' });
      const begunAt = performance.now();
      expect(await channel.listen('two', () => undefined)).toBe(false);
      expect(performance.now() - begunAt).toBeLessThan(1_000);
    } finally {
      await channel.close();
    }
  });
});

describe('after close', () => {
  test('no connection is left, and nothing is listened for', async () => {
    await using proxy = await FaultProxy.start(nodes[0]!.port);
    const { node } = await start({ id: 'n', url: proxy.url });
    await node.locks.listen('w', () => undefined);
    expect(proxy.connections).toBe(2);
    await node.close();
    await eventually(() => proxy.connections === 0);
    expect(node.locks.listening).toBe(false);
    const { accepted } = proxy;
    expect(await node.locks.listen('w', () => undefined)).toBe(false);
    expect(proxy.accepted).toBe(accepted);
  });

  test('none is made for the first time', async () => {
    await using proxy = await FaultProxy.start(nodes[0]!.port);
    const { node } = await start({ id: 'n', url: proxy.url });
    await node.close();
    expect(await node.locks.listen('w', () => undefined)).toBe(false);
    expect(proxy.accepted).toBe(1);
  });

  test('a connection that is being made is not left either', async () => {
    await using proxy = await FaultProxy.start(nodes[0]!.port);
    const { node } = await start({ id: 'n', url: proxy.url });
    proxy.set({ kind: 'hold' });
    const listening = node.locks.listen('w', () => undefined);
    await eventually(() => proxy.connections === 2);
    await node.close();
    expect(await listening).toBe(false);
    await eventually(() => proxy.connections === 0);
    expect(node.locks.listening).toBe(false);
  });

  test('no timer is left', async () => {
    const clock = new FakeClock(1_000);
    const channel = new PushChannel(nodes[0]!, {
      clock,
      keys: keysOf('rc'),
      tuning: NODE_DEFAULTS,
    });
    expect(await channel.listen('one', () => undefined)).toBe(true);
    await channel.close();
    expect(channel.stands('one')).toBe(false);
    expect(clock.pending).toBe(0);
  });
});
