// What of a run of test/memory/prove counts as broken.
import { expect, test } from 'vitest';
import { judge } from '../cache/history.ts';
import { broken, type Outcome } from './prove/run.ts';

function outcome(given: Partial<Outcome>): Outcome {
  return {
    ...{ seed: 1, maxStaleMs: 1_000, injected: {}, verdict: judge([]), memoryShare: 0.5 },
    coherence: { lagsMs: [], medianMs: 0, problems: [] },
    ...{ evidence: [], longestStallMs: 0, seconds: 1 },
    ...given,
  };
}

test('nothing, when all went well', () => {
  expect(broken(outcome({}))).toEqual([]);
});

test('that memory answered next to nothing: then nothing is proved', () => {
  expect(broken(outcome({ memoryShare: 0.04 }))).toEqual(['memory answered 4 % of the reads only']);
});

test('stale reads, calls that were refused, and what has not healed', () => {
  const write = { kind: 'write', by: 'p1', key: 'k', how: 'set', taken: true } as const;
  const read = { kind: 'read', by: 'p2', key: 'k', how: 'peek', tier: 'memory' } as const;
  const verdict = judge(
    [
      { ...write, version: 1, start: 0, end: 1 },
      { ...write, version: 2, start: 2, end: 3 },
      { ...read, version: 1, start: 1_004, end: 1_004 },
      { kind: 'refused', by: 'p2', at: 5, why: 'Error: no' },
    ],
    { maxStaleMs: 1_000 },
  );
  const coherence = { lagsMs: [80], medianMs: 80, problems: ['p2 saw 1 writes of p1 too late'] };
  expect(broken(outcome({ verdict, coherence }))).toEqual([
    '1 stale reads',
    '1 calls were refused: Error: no',
    'p2 saw 1 writes of p1 too late',
  ]);
});
