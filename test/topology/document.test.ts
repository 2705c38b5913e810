import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  encodeDocument,
  parseDocument,
  publicAddress,
  type TopologyDocument,
  withCredentials,
} from '../../src/topology/document.ts';
import { memberOf } from '../../src/topology/ring-change.ts';
import { documentOf } from './documents.ts';

const id = fc.stringMatching(/^[A-Za-z0-9._:-]{1,12}$/);
const weight = fc.oneof(fc.constantFrom(0.1, 1, 100), fc.integer({ min: 1, max: 100 }));
const members = fc.uniqueArray(
  fc.record({ id, url: fc.domain().map((host) => `redis://${host}:6379/3`), weight }),
  { minLength: 1, maxLength: 6, selector: (member) => member.id },
);

function placesOf(list: readonly { id: string; weight: number }[]) {
  return list.map((member) => ({ id: member.id, weight: member.weight }));
}

/** Documents as changes make them. */
const document: fc.Arbitrary<TopologyDocument> = fc
  .record({
    now: members,
    before: members,
    joint: fc.boolean(),
    epoch: fc.integer({ min: 2, max: Number.MAX_SAFE_INTEGER }),
    floor: fc.nat(),
    fingerprint: fc.stringMatching(/^[0-9a-f]{8}$/),
    settled: fc.boolean(),
    sealed: fc.boolean(),
  })
  .map(({ now, before, joint, epoch, floor, fingerprint, settled, sealed }) => ({
    version: 1,
    epoch,
    fingerprint,
    origin: fingerprint,
    members: now,
    source: joint ? before : null,
    control: { id: now[0]?.id ?? '' },
    ring: { points: 64, placement: 'xxh32' },
    floors: { [now[0]?.id ?? '']: floor },
    runs: { [now[0]?.id ?? '']: fingerprint },
    // Until the era is over, locks may be at nodes that are no members any more.
    locks: {
      since: settled ? epoch : 1,
      leaving: settled ? [] : before.filter(({ id: left }) => now.every(({ id }) => id !== left)),
      sealed,
      floor: settled ? 1_790_000_000_000_000 : 0,
    },
    history: [
      { since: epoch, members: placesOf(now) },
      { since: 1, members: placesOf(before) },
    ],
  }));

describe('a document', () => {
  test('reads back as it was written', () => {
    fc.assert(
      fc.property(document, (given) => {
        expect(parseDocument(encodeDocument(given))).toEqual(given);
      }),
    );
  });

  test('that is cut off anywhere is none', () => {
    const text = encodeDocument(documentOf(['a', 'b']));
    for (let i = 0; i < text.length; i++) expect(parseDocument(text.slice(0, i))).toBeUndefined();
  });

  test('may have fields of which nothing is known here', () => {
    const more = { ...documentOf(['a']), added: { later: true } };
    expect(parseDocument(JSON.stringify(more))?.epoch).toBe(1);
  });

  test('is none, whatever else the text is', () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.json()), (text) => {
        expect(parseDocument(text)).toBeUndefined();
      }),
    );
  });
});

const VALID = documentOf(['a', 'b'], { source: ['a'], epoch: 5 });

/** Two nodes have left, and locks may be on them still. */
const LEFT: TopologyDocument = {
  ...documentOf(['a']),
  epoch: 4,
  locks: { since: 1, leaving: documentOf(['b', 'c']).members, sealed: true, floor: 5 },
  history: [
    { since: 3, members: placesOf(documentOf(['a']).members) },
    { since: 1, members: placesOf(documentOf(['a', 'b', 'c']).members) },
  ],
};

/** Each with one thing wrong. */
const BROKEN: Record<string, unknown> = {
  'no object': [VALID],
  'of version 2': { ...VALID, version: 2 },
  'without a version': { ...VALID, version: undefined },
  ...Object.fromEntries(
    Object.keys(VALID).map((field) => [`without ${field}`, { ...VALID, [field]: undefined }]),
  ),
  ...Object.fromEntries(
    ['5', 1.5, -1, 0, null, 2 ** 53].map((epoch) => [`of epoch ${epoch}`, { ...VALID, epoch }]),
  ),
  ...Object.fromEntries(
    ['', 'deadbee', 'DEADBEEF', 'deadbeef0', 5, null].map((fingerprint) => [
      `with the fingerprint ${fingerprint}`,
      { ...VALID, fingerprint },
    ]),
  ),
  'with no members': { ...VALID, members: [] },
  'with members that are no list': { ...VALID, members: { a: VALID.members[0] } },
  'with a member twice': { ...VALID, members: [...VALID.members, VALID.members[0]] },
  ...Object.fromEntries(
    [
      { id: 5 },
      { id: '' },
      { id: 'a b' },
      { url: 5 },
      { url: 'nonsense' },
      { url: undefined },
      { weight: '1' },
      { weight: 0 },
      { weight: -1 },
      { weight: 1e9 },
      { weight: null },
    ].map((wrong) => [
      `with a member of ${JSON.stringify(wrong)}`,
      { ...VALID, members: [{ ...VALID.members[0], ...wrong }, VALID.members[1]] },
    ]),
  ),
  'with null as a member': { ...VALID, members: [null] },
  'with no source members': { ...VALID, source: [] },
  'with a source that is no list': { ...VALID, source: 'a' },
  'with a source that the history does not know': {
    ...VALID,
    source: documentOf(['c']).members,
  },
  'with floors that are a list': { ...VALID, floors: [1] },
  'with a floor that is text': { ...VALID, floors: { a: '5' } },
  'without any history': { ...VALID, history: [] },
  'with a history that begins with others': { ...VALID, history: VALID.history.slice(1) },
  'with a history of other weights': {
    ...VALID,
    history: [
      {
        since: 5,
        members: [
          { id: 'a', weight: 2 },
          { id: 'b', weight: 1 },
        ],
      },
      ...VALID.history.slice(1),
    ],
  },
  'with a history without since': { ...VALID, history: [{ members: VALID.history[0]?.members }] },
  'with an era without members': {
    ...VALID,
    history: [VALID.history[0], { since: 1, members: [] }],
  },
  'with a history in the wrong order': {
    ...VALID,
    history: VALID.history.map((era, i) => ({ ...era, since: i + 1 })),
  },
  ...Object.fromEntries(
    [
      undefined,
      null,
      [],
      {},
      { since: 1 },
      { ...VALID.locks, since: 0 },
      { ...VALID.locks, since: '5' },
      { ...VALID.locks, since: undefined },
      { ...VALID.locks, leaving: undefined },
      { ...VALID.locks, leaving: {} },
      { ...VALID.locks, leaving: [null] },
      { ...VALID.locks, leaving: [{ id: 'c', url: 'nonsense', weight: 1 }] },
      { ...VALID.locks, leaving: [{ id: 5, url: 'redis://c:1', weight: 1 }] },
      { ...VALID.locks, leaving: [{ id: 'c', url: 'redis://c:1', weight: -1 }] },
      { ...VALID.locks, floor: undefined },
      { ...VALID.locks, floor: -1 },
      { ...VALID.locks, floor: 1.5 },
      { ...VALID.locks, floor: '1' },
      { ...VALID.locks, sealed: undefined },
      { ...VALID.locks, sealed: 'yes' },
    ].map((locks) => [`with the locks ${JSON.stringify(locks)}`, { ...VALID, locks }]),
  ),
  'with locks since what is no era': { ...VALID, locks: { ...VALID.locks, since: 3 } },
  'with locks since an era to come': { ...VALID, locks: { ...VALID.locks, since: 6 } },
  'with locks since before all that is remembered': {
    ...VALID,
    history: VALID.history.slice(0, 1),
    source: null,
    locks: { ...VALID.locks, since: 1 },
  },
  // Its locks would be asked for at a node of which nothing is known.
  'with locks on a node that has no address': {
    ...LEFT,
    locks: { ...LEFT.locks, leaving: LEFT.locks.leaving.slice(1) },
  },
  'with an era to come': {
    ...VALID,
    history: [{ ...VALID.history[0], since: 6 }, ...VALID.history.slice(1)],
  },
};

test.each([VALID, LEFT])('what the broken ones are made of is a document', (valid) => {
  expect(parseDocument(JSON.stringify(valid))).toEqual(valid);
});

test('nodes that have left need no address when no ring of theirs counts for locks', () => {
  const settled = { ...LEFT, locks: { since: 3, leaving: [], sealed: true, floor: 5 } };
  expect(parseDocument(JSON.stringify(settled))).toEqual(settled);
});

test.each(Object.entries(BROKEN))('what is %s is no document', (_, broken) => {
  expect(parseDocument(JSON.stringify(broken))).toBeUndefined();
});

test('no text is no document', () => {
  expect(parseDocument(undefined)).toBeUndefined();
});

describe('an address', () => {
  test.each([
    ['redis://h:1', 'redis://h:1'],
    ['redis://:pw@h:1/3', 'redis://h:1/3'],
    ['rediss://u:p@ss@h:1', 'rediss://h:1'],
    ['redis://u:p%40ss@[::1]:1', 'redis://[::1]:1'],
    ['unix://u:pw@/run/r.sock?db=1', 'unix:///run/r.sock?db=1'],
    ['unix:///run/r@1.sock', 'unix:///run/r@1.sock'],
  ])('%s is shared as %s', (url, shared) => {
    expect(publicAddress(url)).toBe(shared);
    expect(memberOf({ id: 'a', url, weight: 2 })).toEqual({ id: 'a', url: shared, weight: 2 });
  });

  test.each([
    ['redis://h:1', 'redis://x:2', 'redis://h:1'],
    ['redis://h:1', 'redis://u:p@x:2', 'redis://u:p@h:1'],
    ['rediss://h:1/2', 'redis://:p@x:2', 'rediss://:p@h:1/2'],
    ['unix:///r.sock', 'redis://u:p@x:2', 'unix://u:p@/r.sock'],
    ['redis://h:1', 'unix://u:p@/r.sock', 'redis://u:p@h:1'],
    ['redis://h:1', 'unix:///r@1.sock', 'redis://h:1'],
    ['redis://h:1', "redis://u:$&$'@x:2", "redis://u:$&$'@h:1"],
    ['redis://h:1', '', 'redis://h:1'],
  ])('%s with what is known from %s is %s', (address, known, full) => {
    expect(withCredentials(address, known)).toBe(full);
  });

  test('that is shared never has the password in it, and gets it back from the URL', () => {
    const word = fc.stringMatching(/^[A-Za-z0-9%:@$&+=~!*'()_.-]{1,20}$/);
    const host = fc.constantFrom('h:1', 'cache-1:6379/3', '[::1]:1', '/run/r.sock');
    fc.assert(
      fc.property(word, word, host, (user, password, where) => {
        const scheme = where.startsWith('/') ? 'unix' : 'redis';
        const url = `${scheme}://${user}:secret${password}secret@${where}`;
        const shared = publicAddress(url);
        expect(shared).toBe(`${scheme}://${where}`);
        expect(withCredentials(shared, url)).toBe(url);
      }),
    );
  });
});
