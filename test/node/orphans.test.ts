/** Leases and locks that a node grants when their asker has gone. */
import { describe, expect, test } from 'vitest';
import { eventually } from '../support/eventually.ts';
import { command, useNodes } from '../support/nodes.ts';
import { FaultProxy } from '../support/proxy.ts';
import { askOf, openGate } from './lock-subject.ts';
import { useSubjects } from './subject.ts';

const start = useSubjects();
const nodes = useNodes(1);

// A stopped server has the request in its socket, and acts on it when it goes
// on. Without the clean-up the key stays leased, to nobody, for ten seconds.
test('a lease granted after its asker gave up is given back, though the connection was lost', async () => {
  const subject = await start(nodes[0]!);
  await nodes[0]!.pause();
  await expect(subject.lease('gone', 'late')).rejects.toMatchObject({ reason: 'timeout' });
  await eventually(() => !subject.up);
  await nodes[0]!.resume();
  await eventually(() => subject.up);
  expect((await subject.node.inspect('gone')).leased).toBe(false);
});

test('the same while the connection stands', async () => {
  const subject = await start(nodes[0]!, { breaker: { volumeThreshold: 1_000 } });
  await nodes[0]!.pause();
  await expect(subject.lease('slow', 'late')).rejects.toMatchObject({ reason: 'timeout' });
  await nodes[0]!.resume();
  await eventually(async () => !(await subject.node.inspect('slow')).leased);
  expect(subject.states).not.toContain('down');
});

test('a lease that another token took since is left alone', async () => {
  const subject = await start(nodes[0]!);
  await nodes[0]!.pause();
  await expect(subject.lease('taken', 'late')).rejects.toMatchObject({ reason: 'timeout' });
  await eventually(() => !subject.up);
  await nodes[0]!.kill();
  await nodes[0]!.restart();
  await command(nodes[0]!, 'SET', 'rc:l:taken', 'other');
  await eventually(() => subject.up);
  expect(await command(nodes[0]!, 'GET', 'rc:l:taken')).toContain('other');
});

describe('a lock that is to be given back', () => {
  const TTL_MS = 30_000;

  async function taken(name: string, token: string) {
    const subject = await start(nodes[0]!);
    await openGate(subject.node.locks);
    const answer = await subject.node.locks.acquire(name, askOf(token, { ttlMs: TTL_MS }));
    expect(answer.kind).toBe('granted');
    return subject;
  }

  const holder = (name: string) => command(nodes[0]!, 'GET', `rc:k:l:${name}`);

  test('is, at once, at a node that can be used', async () => {
    const { node } = await taken('at once', 'mine');
    node.locks.releaseLater('at once', 'mine', TTL_MS);
    await eventually(async () => (await holder('at once')) === '$-1\r\n');
  });

  test('is, before anything else, at a node that is connected again', async () => {
    await using proxy = await FaultProxy.start(nodes[0]!.port);
    const subject = await start({ id: 'n', url: proxy.url });
    const { locks } = subject.node;
    await openGate(locks);
    await locks.acquire('a name', askOf('mine', { ttlMs: TTL_MS }));
    proxy.set({ kind: 'blackhole' });
    const release = locks.release('a name', { token: 'mine', waiter: '', keepMs: 0 });
    await expect(release).rejects.toMatchObject({ reason: 'timeout' });
    await eventually(() => !subject.up);
    locks.releaseLater('a name', 'mine', TTL_MS);
    proxy.set({ kind: 'none' });
    await eventually(() => subject.up);
    expect(await holder('a name')).toBe('$-1\r\n');
  });

  test("is left alone if it is another's by then", async () => {
    const subject = await taken('theirs', 'mine');
    await nodes[0]!.pause();
    await expect(subject.node.size()).rejects.toMatchObject({ reason: 'timeout' });
    await eventually(() => !subject.up);
    subject.node.locks.releaseLater('theirs', 'mine', TTL_MS);
    await nodes[0]!.kill();
    await nodes[0]!.restart();
    await command(nodes[0]!, 'SET', 'rc:k:l:theirs', 'other');
    await eventually(() => subject.up);
    expect(await holder('theirs')).toContain('other');
  });

  test('is forgotten when its time is over: it has ended by itself', async () => {
    const subject = await start(nodes[0]!);
    await nodes[0]!.kill();
    await eventually(() => !subject.up);
    subject.node.locks.releaseLater('over', 'mine', 1);
    await nodes[0]!.restart();
    await command(nodes[0]!, 'SET', 'rc:k:l:over', 'mine');
    await eventually(() => subject.up);
    expect(await holder('over')).toContain('mine');
  });

  test('wakes the next who waits, as any other', async () => {
    const subject = await taken('queued', 'mine');
    const { node } = await start(nodes[0]!);
    const told: string[] = [];
    await node.locks.listen('w', (token) => told.push(token));
    const waiting = await node.locks.acquire('queued', askOf('next', { waiter: 'w' }));
    expect(waiting.kind).toBe('busy');
    subject.node.locks.releaseLater('queued', 'mine', TTL_MS);
    await eventually(() => expect(told).toEqual(['next']));
    expect(await holder('queued')).toContain('next');
  });
});
