// When memory read its clock at the earliest, as the proof of test/memory/prove reckons it.
import { setImmediate as nextTurn } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { MemoryClock } from './prove/memory-clock.ts';

test('for the first look-up of a turn, and for those that follow at once', () => {
  const clock = new MemoryClock();
  expect([10, 11, 12].map((now) => clock.asOf(now))).toEqual([10, 10, 10]);
});

test('again in the next turn', async () => {
  const clock = new MemoryClock();
  clock.asOf(10);
  await nextTurn();
  expect([20, 21].map((now) => clock.asOf(now))).toEqual([20, 20]);
});

test('once for 16 look-ups: after a stop in a turn, 15 may be judged by what was before', () => {
  const clock = new MemoryClock();
  for (let now = 0; now < 20; now++) clock.asOf(now);
  const after = Array.from({ length: 17 }, () => clock.asOf(5_000));
  expect(after.filter((asOf) => asOf < 5_000)).toHaveLength(15);
  expect(after.slice(15)).toEqual([5_000, 5_000]);
});
