/** What is left when a node was closed: nothing. */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { useNodes } from '../support/nodes.ts';
import { FaultProxy } from '../support/proxy.ts';
import { FENCE, useSubjects } from './subject.ts';

const nodes = useNodes(1);
const start = useSubjects();

async function closing(
  url: string,
  meanwhile?: () => Promise<void>,
): Promise<{ code: number; closeMs: number; exitMs: number }> {
  const args = [url, ...(meanwhile === undefined ? [] : ['wait'])];
  const execArgv = process.features.typescript
    ? []
    : ['--experimental-strip-types', '--no-warnings'];
  const child = fork(fileURLToPath(new URL('close-child.ts', import.meta.url)), args, { execArgv });
  await once(child, 'message');
  if (meanwhile !== undefined) {
    await meanwhile();
    child.send('go');
  }
  const [closeMs] = (await once(child, 'message')) as [number];
  const closedAt = performance.now();
  const [code] = (await once(child, 'exit')) as [number];
  return { code, closeMs, exitMs: performance.now() - closedAt };
}

describe('after close the process ends by itself', () => {
  test('with the node in use', async () => {
    const { code, closeMs, exitMs } = await closing(nodes[0]!.url);
    expect(code).toBe(0);
    expect(closeMs).toBeLessThan(100);
    expect(exitMs).toBeLessThan(500);
  });

  test('with nothing there, a reconnect pending', async () => {
    const { code, closeMs } = await closing('redis://127.0.0.1:1');
    expect(code).toBe(0);
    expect(closeMs).toBeLessThan(100);
  });

  test('with the server frozen', async () => {
    const { code, closeMs } = await closing(nodes[0]!.url, () => nodes[0]!.pause());
    expect(code).toBe(0);
    expect(closeMs).toBeLessThan(400);
  });

  test('with the server gone', async () => {
    const { code } = await closing(nodes[0]!.url, () => nodes[0]!.kill());
    expect(code).toBe(0);
  });
});

test('close rejects what is under way and what comes after, and tells nothing more', async () => {
  await using proxy = await FaultProxy.start(nodes[0]!.port);
  const subject = await start({ id: 'n', url: proxy.url });
  proxy.set({ kind: 'hold' });
  const underWay = subject.set('k', 1);
  const read = subject.read('k');
  await new Promise((resolve) => setImmediate(resolve));
  const unsent = subject.set('k', 2);
  const states = subject.states.length;
  const closed = subject.node.close();
  await expect(underWay).rejects.toMatchObject({ reason: 'closed' });
  await expect(unsent).rejects.toMatchObject({ reason: 'closed' });
  expect(await read).toMatchObject([{ error: { reason: 'closed' } }]);
  await closed;
  await expect(subject.node.remove('k', FENCE)).rejects.toMatchObject({ reason: 'closed' });
  await subject.node.readmit();
  await subject.node.open();
  subject.node.removeLater('k', 1000);
  expect(subject.node.stats().unconfirmed).toBe(0);
  expect(subject.states).toHaveLength(states);
  expect(proxy.connections).toBe(0);
});

test('a node that was never opened can be closed, and opened no more', async () => {
  const subject = await start(nodes[0]!);
  await subject.node.close();
  await subject.node.close();
  expect(subject.up).toBe(false);
});
