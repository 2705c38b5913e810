// The judge of histories, on histories made by hand: one is good, and each of
// the others has one thing wrong with it, which must be found.
import { expect, test } from 'vitest';
import { type HistoryEvent, judge, surroundings } from './history.ts';

interface Hold {
  readonly op: string;
  readonly fence: number;
  readonly from: number;
  readonly until: number;
  readonly calledAt?: number;
  readonly name?: string;
}

function granted({ op, fence, from, until, calledAt = from - 1, name = 'a' }: Hold): HistoryEvent {
  return { kind: 'granted', op, name, calledAt, at: from, until, fence };
}

const released = (op: string, at: number): HistoryEvent => ({
  kind: 'ended',
  op,
  at,
  how: 'released',
});

const kindsOf = (events: HistoryEvent[]): string[] =>
  judge(events).violations.map(({ kind }) => kind);

const FIRST = granted({ op: 'p-1', fence: 5, from: 10, until: 110 });

test('one after the other is good', () => {
  const events = [
    FIRST,
    released('p-1', 20),
    granted({ op: 'q-1', fence: 6, from: 21, until: 121, calledAt: 12 }),
    released('q-1', 30),
    granted({ op: 'q-2', fence: 1, from: 25, until: 125, name: 'b' }),
  ];
  expect(judge(events)).toEqual({
    grants: 3,
    dead: 0,
    longestClaimMs: 100,
    violations: [],
    refusedWrites: 0,
    lostWithoutFence: 0,
  });
});

test('two who could rely on a lock at the same time are found', () => {
  const second = granted({ op: 'q-1', fence: 6, from: 50, until: 150 });
  expect(kindsOf([FIRST, second, released('p-1', 60)])).toEqual(['overlap']);
  // p-1 was killed: what it knew last is what counts.
  expect(kindsOf([FIRST, second])).toEqual(['overlap']);
  // And one within the time of another that came before it.
  const third = granted({ op: 'r-1', fence: 7, from: 70, until: 170 });
  const events = [FIRST, second, released('q-1', 55), third];
  expect(judge(events).violations.map(({ ops }) => ops)).toEqual([
    ['p-1', 'q-1'],
    ['p-1', 'r-1'],
  ]);
});

test('who was stopped until its time was over has no claim any more', () => {
  const second = granted({ op: 'q-1', fence: 6, from: 111, until: 211 });
  expect(kindsOf([FIRST, second, released('p-1', 300)])).toEqual([]);
});

test('a claim lasts for as long as it was renewed', () => {
  const renewed: HistoryEvent = { kind: 'kept', op: 'p-1', at: 60, until: 160 };
  const second = granted({ op: 'q-1', fence: 6, from: 130, until: 230 });
  expect(kindsOf([FIRST, renewed, second])).toEqual(['overlap']);
});

test('a claim ends early when its holder found it over, and when it was told of the loss', () => {
  const second = granted({ op: 'q-1', fence: 6, from: 70, until: 170 });
  const over: HistoryEvent = { kind: 'kept', op: 'p-1', at: 60, until: 60 };
  const lost: HistoryEvent = { kind: 'ended', op: 'p-1', at: 60, how: 'lost' };
  expect(kindsOf([FIRST, over, second])).toEqual([]);
  expect(kindsOf([FIRST, lost, second])).toEqual([]);
  // What is said after the end does not prolong it.
  const late: HistoryEvent = { kind: 'kept', op: 'p-1', at: 65, until: 165 };
  expect(kindsOf([FIRST, lost, late, second])).toEqual([]);
});

test('a fence that does not grow is found', () => {
  const later = (fence: number): HistoryEvent =>
    granted({ op: 'q-1', fence, from: 200, until: 300, calledAt: 150 });
  expect(kindsOf([FIRST, later(4)])).toEqual(['fence']);
  expect(kindsOf([FIRST, later(5)])).toEqual(['fence']);
  expect(kindsOf([FIRST, later(6)])).toEqual([]);
});

test('a fence that does not grow is found though the second had waited for the first', () => {
  const second = granted({ op: 'q-1', fence: 4, from: 21, until: 121, calledAt: 5 });
  expect(kindsOf([FIRST, released('p-1', 20), second])).toEqual(['fence']);
});

test('a fence that two have is found, in whatever order they came', () => {
  const second = granted({ op: 'q-1', fence: 5, from: 50, until: 50, calledAt: 5 });
  expect(kindsOf([FIRST, second])).toEqual(expect.arrayContaining(['fence']));
});

test('a smaller fence is found behind several larger ones that came between', () => {
  const events = [
    granted({ op: 'p-1', fence: 9, from: 10, until: 20 }),
    granted({ op: 'p-2', fence: 10, from: 30, until: 40 }),
    granted({ op: 'q-1', fence: 3, from: 50, until: 60 }),
  ];
  expect(judge(events).violations.map(({ ops }) => ops)).toEqual([['p-2', 'q-1']]);
});

test('a lock whose time is over when its holder looks at it is counted', () => {
  expect(judge([granted({ op: 'p-1', fence: 5, from: 10, until: 10 })])).toMatchObject({
    dead: 1,
    violations: [],
  });
});

test('a write of an older holder after one of a newer is found when it was taken, and counted when not', () => {
  const second = granted({ op: 'q-1', fence: 6, from: 200, until: 300 });
  const wrote = (op: string, place: number, accepted: boolean): HistoryEvent => {
    return { kind: 'wrote', op, at: 210 + place, place, accepted };
  };
  const histories = (accepted: boolean): HistoryEvent[] => [
    FIRST,
    second,
    // As the server counted, not as they were written down.
    wrote('p-1', 2, accepted),
    wrote('q-1', 1, true),
  ];
  expect(judge(histories(true))).toMatchObject({
    violations: [{ kind: 'stale-write', ops: ['q-1', 'p-1'] }],
    lostWithoutFence: 1,
  });
  expect(judge(histories(false))).toMatchObject({
    violations: [],
    refusedWrites: 1,
    lostWithoutFence: 1,
  });
});

test('locks of different names have nothing to do with each other', () => {
  const other = granted({ op: 'q-1', fence: 2, from: 50, until: 150, name: 'b' });
  expect(kindsOf([FIRST, other])).toEqual([]);
});

test('a violation is shown with what happened to its name around it', () => {
  const events = [
    FIRST,
    granted({ op: 'q-1', fence: 6, from: 50, until: 150 }),
    granted({ op: 'q-2', fence: 6, from: 50, until: 150, name: 'b' }),
    released('p-1', 60),
    granted({ op: 'r-1', fence: 7, from: 500, until: 600 }),
  ];
  const [violation] = judge(events).violations;
  expect(surroundings(events, violation!, 20)).toEqual([
    '> 10.00 p-1 granted name=a calledAt=9.00 until=110.00 fence=5',
    '> 50.00 q-1 granted name=a calledAt=49.00 until=150.00 fence=6',
    '> 60.00 p-1 ended how=released',
  ]);
});

test('what was never granted cannot go on', () => {
  expect(() => judge([released('p-1', 20)])).toThrow('p-1 ended before it was granted');
});
