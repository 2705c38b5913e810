// Whatever ends a process, its local nodes are gone with it.
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { eventually } from '../support/eventually.ts';
import { type App, useFork } from '../support/fork.ts';
import type { LocalNodesApp } from '../support/local-nodes-app.ts';
import { isRunning } from '../support/process.ts';

const fork = useFork();
const temporary = mkdtempSync(join(tmpdir(), 'ringcache-test-'));
afterAll(() => {
  rmSync(temporary, { recursive: true });
});

const start = (): Promise<App<LocalNodesApp>> =>
  fork<LocalNodesApp>('local-nodes-app.ts', { env: { TMPDIR: temporary } });

async function allGone(pids: readonly number[]): Promise<void> {
  await eventually(async () => {
    const running = await Promise.all(pids.map(isRunning));
    expect(running).toEqual(pids.map(() => false));
    expect(readdirSync(temporary)).toEqual([]);
  });
}

test('SIGKILL of the parent leaves no node, not even a paused one', async () => {
  const app = await start();
  const pids = await app.call('start', 3);
  await app.call('pause', 1);
  for (const pid of pids) expect(await isRunning(pid)).toBe(true);
  await app.kill();
  await allGone(pids);
});

test.each(['SIGTERM', 'SIGINT', 'SIGHUP'] as const)(
  '%s of the parent leaves no node',
  async (signal) => {
    const app = await start();
    const pids = await app.call('start', 2);
    app.signal(signal);
    expect(await app.exited).toBe(signal);
    await allGone(pids);
  },
);

test.each([
  { how: 'exit', code: 3 },
  { how: 'exception', code: 1 },
  { how: 'rejection', code: 1 },
] as const)('$how of the parent leaves no node', async ({ how, code }) => {
  const app = await start();
  const pids = await app.call('start', 2);
  await app.call('end', how);
  expect(await app.exited).toBe(code);
  await allGone(pids);
});

test('a parent that forgot close() can end, and its nodes end with it', async () => {
  const app = await start();
  const pids = await app.call('start', 2);
  await app.call('end', 'idle');
  expect(await app.exited).toBe(0);
  await allGone(pids);
});

test('two parents end their own nodes only', async () => {
  const [first, second] = await Promise.all([start(), start()]);
  const [gone, kept] = await Promise.all([first.call('start', 1), second.call('start', 1)]);
  await first.kill();
  await eventually(async () => !(await isRunning(gone[0]!)));
  expect(await isRunning(kept[0]!)).toBe(true);
  await second.kill();
  await allGone(kept);
});
