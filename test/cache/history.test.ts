// The judge of test/cache/prove: what it takes for a violation, and what not.
import { expect, test } from 'vitest';
import {
  type HistoryEvent,
  type JudgeOptions,
  judge,
  type Load,
  type Read,
  surroundings,
  type Write,
} from './history.ts';

type Given<T> = Partial<T> & { start: number };

function read(given: Given<Read>): Read {
  const { start } = given;
  return { kind: 'read', by: 'p1', key: 'k', how: 'get', end: start + 1, version: 1, ...given };
}

function write(given: Given<Write>): Write {
  const rest = { by: 'p2', key: 'k', how: 'set', version: 1, taken: true } as const;
  return { kind: 'write', end: given.start + 1, ...rest, ...given };
}

function load(given: Given<Load>): Load {
  const { start } = given;
  const times = { calledAt: start, end: start + 1 };
  return { kind: 'load', by: 'p1', key: 'k', version: 1, ...times, ...given };
}

function stale(events: HistoryEvent[], options?: JudgeOptions): string[] {
  return judge(events, options).violations.map(({ text }) => text);
}

const TWO = [write({ start: 0, version: 1 }), write({ start: 10, version: 2 })];

test('a read that begins after a write was acknowledged, and shows what was before, is a violation', () => {
  expect(stale([...TWO, read({ start: 12, version: 1 })])).toEqual([
    "k: p1 read v1 (get), 1.00 ms after p2's set v2 was acknowledged",
  ]);
  const deleted = write({ start: 20, version: 3, how: 'delete' });
  expect(stale([...TWO, deleted, read({ start: 30, version: 2 })])).toHaveLength(1);
});

test('what is as new, newer, or nothing is none', () => {
  for (const version of [2, 3, null]) {
    expect(stale([...TWO, read({ start: 12, version })])).toEqual([]);
  }
});

test('a read that begins before the acknowledgement may show either', () => {
  expect(stale([...TWO, read({ start: 10.5, end: 20, version: 1 })])).toEqual([]);
});

test('a write that was not acknowledged demands nothing', () => {
  const lost = write({ start: 20, version: 3, taken: false });
  expect(stale([...TWO, lost, read({ start: 30, version: 2 })])).toEqual([]);
  expect(stale([...TWO, lost, read({ start: 30, version: 1 })])).toHaveLength(1);
});

test('the newest acknowledged write counts, whatever the order in which they ended', () => {
  const slow = write({ start: 9, end: 40, version: 2 });
  const fast = write({ start: 10, end: 11, version: 3 });
  expect(stale([slow, fast, read({ start: 50, version: 2 })])).toHaveLength(1);
});

test('keys are judged by themselves', () => {
  expect(stale([...TWO, read({ start: 12, key: 'other', version: 1 })])).toEqual([]);
});

test('the order of the events does not matter', () => {
  expect(stale([read({ start: 12, version: 1 }), ...TWO.toReversed()])).toHaveLength(1);
});

test('memory may show for a while what another process has replaced, but not what its own has', () => {
  const options = { maxStaleMs: 100 };
  expect(stale([...TWO, read({ start: 50, version: 1 })], options)).toEqual([]);
  expect(stale([...TWO, read({ start: 150, version: 1 })], options)).toHaveLength(1);
  expect(stale([...TWO, read({ start: 50, by: 'p2', version: 1 })], options)).toHaveLength(1);
});

test('only what memory answers may be behind', () => {
  const options = { maxStaleMs: 100 };
  const at = (start: number, tier: 'memory' | 'beyond'): HistoryEvent =>
    read({ start, tier, version: 1 });
  expect(stale([...TWO, at(50, 'memory')], options)).toEqual([]);
  expect(stale([...TWO, at(50, 'beyond')], options)).toEqual([
    "k: p1 read v1 (get, beyond), 39.00 ms after p2's set v2 was acknowledged",
  ]);
  const deleted = write({ start: 10, version: 2, how: 'delete' });
  expect(stale([TWO[0]!, deleted, at(111.5, 'memory')], options)).toHaveLength(1);
  expect(judge([...TWO, at(5, 'memory'), at(5, 'beyond')]).memoryHits).toBe(1);
});

test('a read from memory is late, not stale, if memory had read its clock in time', () => {
  const options = { maxStaleMs: 100 };
  const at = (asOf: number, given: Partial<Read> = {}): HistoryEvent =>
    read({ start: 500, tier: 'memory', asOf, ...given });
  expect(judge([...TWO, at(110)], options)).toMatchObject({ late: 1, violations: [] });
  expect(judge([...TWO, at(112)], options)).toMatchObject({ late: 0, violations: [{ key: 'k' }] });
  // What its own process wrote it has to know all the same.
  expect(stale([...TWO, at(110, { by: 'p2' })], options)).toHaveLength(1);
});

test('a read from memory joins nothing', () => {
  const leader = read({ start: 5, end: 20, how: 'load', tier: 'beyond' });
  const joining = read({ start: 12, end: 20, how: 'load', tier: 'beyond' });
  expect(judge([...TWO, leader, joining]).joined).toBe(1);
  expect(stale([...TWO, leader, { ...joining, tier: 'memory' }])).toHaveLength(1);
  expect(stale([...TWO, { ...leader, tier: 'memory' }, joining])).toHaveLength(1);
});

// A read through a loader that joins one which began before shows what that one shows.
test.each<[string, Partial<Read>, Partial<Read>, 'joined' | 'violation']>([
  ['joined one that began before', {}, {}, 'joined'],
  ['joined none: without a loader', { how: 'get' }, {}, 'violation'],
  ['joined none: the other one is of another process', {}, { by: 'p2' }, 'violation'],
  ['joined none: the other one is over', {}, { end: 11.5 }, 'violation'],
  ['joined none: the other one shows something else', {}, { version: 2 }, 'violation'],
  ['joined one that began too late itself', {}, { start: 11.5 }, 'violation'],
])('a read %s', (_, joining, leading, expected) => {
  const leader = read({ start: 5, end: 20, how: 'load', ...leading });
  const reader = read({ start: 12, end: 20, how: 'load', ...joining });
  const verdict = judge([...TWO, leader, reader]);
  expect(verdict.joined).toBe(expected === 'joined' ? 1 : 0);
  expect(verdict.violations.length > 0).toBe(expected === 'violation');
});

test('a load is due after a delete, and until something was stored again', () => {
  const extra = (...events: HistoryEvent[]): number => judge(events).extraLoads.length;
  const set = write({ start: 0 });
  const gone = write({ start: 10, version: 2, how: 'delete' });
  expect(extra(load({ start: 0 }))).toBe(0);
  expect(extra(set, load({ start: 5 }))).toBe(1);
  expect(extra(set, gone, load({ start: 12 }))).toBe(0);
  expect(extra(set, gone, load({ start: 12 }), load({ start: 14 }))).toBe(1);
  // It ran into the first load, which was not stored then.
  const during = write({ start: 12, version: 2, how: 'delete' });
  expect(extra(set, gone, load({ start: 11.5, end: 15 }), during, load({ start: 16 }))).toBe(0);
  // The read had found nothing before the set, and after the delete, its process being slow.
  const slow = load({ start: 11.5, calledAt: 30, end: 31 });
  expect(extra(set, gone, write({ start: 20, version: 3 }), slow)).toBe(0);
  const late = write({ start: 24, version: 3, how: 'delete' });
  expect(extra(set, load({ start: 22, calledAt: 40, end: 41 }), late)).toBe(0);
  // Nobody knows when it is carried out.
  expect(extra(set, write({ start: 10, version: 2, taken: false }), load({ start: 99 }))).toBe(0);
});

test('what was refused is told', () => {
  const refused = { kind: 'refused', by: 'p1', at: 1, why: 'get: it said no' } as const;
  expect(judge([refused]).refused).toEqual(['get: it said no']);
});

test('how long a process took to serve by a new ring, its own stalls taken off', () => {
  const ring = (by: string, at: number, epoch: number) =>
    ({ kind: 'ring', by, at, epoch }) as const;
  const change = { kind: 'change', by: 'p1', at: 100, epoch: 2 } as const;
  const begun = [ring('p1', 0, 1), ring('p2', 0, 1), ring('p1', 90, 2), change];
  expect(judge([...begun, ring('p2', 400, 3)]).slowestMs).toBe(300);
  const stall = { kind: 'stall', by: 'p2', at: 50, until: 350 } as const;
  expect(judge([...begun, stall, ring('p2', 400, 3)]).slowestMs).toBe(50);
  // One that lives on and never hears; one that comes afterwards.
  expect(judge([...begun, read({ start: 900, end: 901, by: 'p2' })]).slowestMs).toBe(801);
  expect(judge([...begun, ring('p2', 110, 2), ring('p3', 5_000, 2)]).slowestMs).toBe(10);
});

test('what happened around a violation is told in order, of its key and of the ring', () => {
  const events: HistoryEvent[] = [
    ...TWO,
    read({ start: 12, version: 1 }),
    read({ start: 12, version: 1, key: 'other' }),
    { kind: 'ring', by: 'p1', at: 11.5, epoch: 2 },
  ];
  const [violation] = judge(events).violations;
  const lines = surroundings(events, violation!, 8);
  expect(lines.map((line) => line.trim())).toEqual([
    '10.00-11.00 p2 write set v2',
    '11.50 p1 ring {"epoch":2}',
    '12.00-13.00 p1 read get v1',
  ]);
});
