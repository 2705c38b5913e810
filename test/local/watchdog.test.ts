import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, expect, test } from 'vitest';
import { Watchdog } from '../../src/local/watchdog.ts';
import { isRunning } from '../support/process.ts';

const sleepers: ChildProcess[] = [];
afterEach(() => {
  for (const sleeper of sleepers.splice(0)) sleeper.kill('SIGKILL');
});

function sleeper(): { pid: number; exited: Promise<unknown> } {
  const child = spawn('sleep', ['60']);
  sleepers.push(child);
  return { pid: child.pid!, exited: once(child, 'exit') };
}

test('the watchdog ends what it watches and spares what it was told to forget', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'ringcache-test-'));
  writeFileSync(join(folder, 'file'), '');
  const watchdog = await Watchdog.start(folder);
  const [first, second, third] = [sleeper(), sleeper(), sleeper()];
  for (const { pid } of [first, second, third]) watchdog.watch(pid);
  // By now the number could be that of another's process.
  watchdog.forget(second.pid);

  await watchdog.close();
  await Promise.all([first.exited, third.exited]);
  expect(await isRunning(second.pid)).toBe(true);
  expect(existsSync(folder)).toBe(false);
  expect(watchdog.closed).toBe(true);
});
