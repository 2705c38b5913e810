// When memory read its clock at the earliest, as the proof of test/memory/prove reckons it.
import { setImmediate as nextTurn } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { MemoryClock } from './prove/memory-clock.ts';

/** Hits at these times, and what each was judged by. */
function hits(clock: MemoryClock, times: readonly number[]): number[] {
  return times.map((at) => {
    const asOf = clock.asOf(at);
    clock.hit();
    return asOf;
  });
}

test('for the first hit of a turn, and for those that follow at once', () => {
  expect(hits(new MemoryClock(), [10, 11, 12])).toEqual([10, 10, 10]);
});

test('again in the next turn', async () => {
  const clock = new MemoryClock();
  hits(clock, [10, 11]);
  await nextTurn();
  expect(hits(clock, [20, 21])).toEqual([20, 20]);
});

test('once for 16 hits: of those after a stop in a turn, 15 may be judged by what was before', () => {
  const times = [...Array.from({ length: 20 }, (_, i) => i), ...Array(17).fill(5_000)];
  const judged = hits(new MemoryClock(), times);
  const after = judged.slice(20);
  expect(after.filter((asOf) => asOf < 5_000)).toHaveLength(15);
  expect(after.slice(15)).toEqual([5_000, 5_000]);
});

test('what was no hit does not bring the next reading nearer', () => {
  const clock = new MemoryClock();
  const judged = Array.from({ length: 30 }, (_, i) => clock.asOf(i));
  expect(new Set(judged)).toEqual(new Set([0]));
});
