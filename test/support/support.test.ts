// The tools of the other tests: a tool that never fails proves nothing.
import { expect, test } from 'vitest';
import type { EchoApp } from './echo-app.ts';
import { eventually } from './eventually.ts';
import { useFork } from './fork.ts';
import { isRunning } from './process.ts';

const fork = useFork();

test('eventually answers as soon as the fact holds', async () => {
  let asked = 0;
  const answer = await eventually(() => {
    asked += 1;
    expect(asked).toBeGreaterThan(3);
    return 'done';
  });
  expect(answer).toBe('done');
});

test('eventually rejects with what failed last', async () => {
  const never = eventually(() => expect('a').toBe('b'), { withinMs: 30 });
  await expect(never).rejects.toThrow(/expected 'a' to be 'b'/);
  await expect(eventually(() => false, { withinMs: 30 })).rejects.toThrow('still false');
});

test('a forked app answers calls side by side, with all kinds of values', async () => {
  const app = await fork<EchoApp>('echo-app.ts', { args: ['x', 'y'] });
  const values = [undefined, null, 1n, new Map([['a', Buffer.from('b')]]), { deep: [1] }];
  expect(await Promise.all(values.map((value) => app.call('echo', value)))).toEqual(values);
  expect(await app.call('arguments')).toEqual(['x', 'y']);
});

test('what a forked app throws comes back with its code', async () => {
  const app = await fork<EchoApp>('echo-app.ts');
  const failed = expect(app.call('fail', 'too far')).rejects;
  await failed.toMatchObject({ name: 'RangeError', message: 'too far', code: 'E_ECHO' });
});

test('a forked app that is killed rejects what it was asked', async () => {
  const app = await fork<EchoApp>('echo-app.ts');
  const asked = expect(app.call('never')).rejects.toThrow('echo-app.ts has exited');
  await app.kill();
  await asked;
  expect(await app.exited).toBe('SIGKILL');
  expect(await isRunning(app.pid)).toBe(false);
});

test('a worker that cannot start rejects with what it printed', async () => {
  await expect(fork('absent-app.ts')).rejects.toThrow(/Cannot find module/);
});
