import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { CacheNode, Stored } from '../../src/node/node.ts';
import type { HashRing } from '../../src/ring/ring.ts';
import { Snapshot } from '../../src/topology/snapshot.ts';
import { useAllRings } from './all-rings.ts';

const IDS = ['a', 'b', 'c', 'd'];
const KEYS = Array.from({ length: 40 }, (_, i) => `key:${i}`);
const { nodes, ringOf } = useAllRings(IDS);

function storedAt(stamp: number): Stored {
  const written = { writtenAt: 0, seq: 0, tags: undefined };
  return { value: 1, stamp, freshUntil: 0, freshForMs: 1, loadMs: 0, ...written, bytes: 1 };
}

/** What happened to a fleet: in each epoch the members, and whether the ones before are still asked. */
interface Past {
  readonly epochs: readonly { readonly members: string; readonly joint: boolean }[];
  readonly floors: Readonly<Record<string, number>>;
}

const someIds = fc.subarray(IDS, { minLength: 1 }).map((ids) => ids.join());
const change = fc.record({ members: someIds, warm: fc.boolean(), closed: fc.boolean() });

/** As changes are made: a joint epoch and then a stable one, or a stable one at once. */
const past: fc.Arbitrary<Past> = fc
  .record({
    first: someIds,
    changes: fc.array(change, { maxLength: 8 }),
    floors: fc.dictionary(fc.constantFrom(...IDS), fc.integer({ min: 0, max: 18 })),
  })
  .map(({ first, changes, floors }) => {
    const epochs = [{ members: first, joint: false }];
    for (const [i, { members, warm, closed }] of changes.entries()) {
      epochs.push({ members, joint: warm });
      // Only the last change may be under way still.
      if (warm && (closed || i < changes.length - 1)) epochs.push({ members, joint: false });
    }
    return { epochs, floors };
  });

/** The snapshot as the topology builds it: one era for each change. */
/** Only the present ring counts. */
const LOCKS = {
  locksSince: Number.MAX_SAFE_INTEGER,
  lockFloor: 0,
  leaving: new Map<string, CacheNode>(),
};

function snapshotOf({ epochs, floors }: Past): Snapshot {
  const eras: { since: number; ring: HashRing }[] = [];
  for (const [i, { members, joint }] of epochs.entries()) {
    const closes = !joint && epochs[i - 1]?.joint === true;
    if (!closes) eras.unshift({ since: i + 1, ring: ringOf(members) });
  }
  const joint = epochs.at(-1)?.joint === true;
  return new Snapshot({ epoch: epochs.length, fence: '', eras, joint, floors, nodes, ...LOCKS });
}

/** Epoch by epoch, from the newest back: since when has `node` owned the key? Undefined: it does not. */
function ownedSince(
  past: Past,
  key: string,
  from: { node: string; epoch: number },
): number | undefined {
  let since: number | undefined;
  for (let epoch = from.epoch; epoch >= 1; epoch--) {
    const members = past.epochs[epoch - 1]?.members ?? '';
    if (ringOf(members).owner(key) !== from.node) break;
    since = epoch;
  }
  return since;
}

/** The rule of the design, word by word: stamp ≥ max(floor, first epoch of the uninterrupted ownership). */
function mayBeBelieved(past: Past, stamp: number, at: { node: string; since: number | undefined }) {
  return at.since !== undefined && stamp >= at.since && stamp >= (past.floors[at.node] ?? 0);
}

const subject = fc.record({
  past,
  key: fc.constantFrom(...KEYS),
  stamp: fc.integer({ min: 0, max: 18 }),
});

describe('a snapshot after any past', () => {
  test('believes the owner exactly what was written while it owned the key, above its floor', () => {
    fc.assert(
      fc.property(subject, ({ past, key, stamp }) => {
        const snapshot = snapshotOf(past);
        const node = snapshot.ring.owner(key);
        const since = ownedSince(past, key, { node, epoch: past.epochs.length });
        const expected = mayBeBelieved(past, stamp, { node, since });
        expect(snapshot.believes(storedAt(stamp), snapshot.ring.hash(key))).toBe(expected);
      }),
      { numRuns: 3_000 },
    );
  });

  test('believes the previous owner only in a joint phase, by what it owned before that', () => {
    fc.assert(
      fc.property(subject, ({ past, key, stamp }) => {
        const snapshot = snapshotOf(past);
        const hash = snapshot.ring.hash(key);
        const epoch = past.epochs.length - 1;
        const node = ringOf(past.epochs[epoch - 1]?.members ?? 'a').owner(key);
        const since = snapshot.source && ownedSince(past, key, { node, epoch });
        const expected = mayBeBelieved(past, stamp, { node, since });
        expect(snapshot.believesPrevious(storedAt(stamp), hash)).toBe(expected);
      }),
      { numRuns: 3_000 },
    );
  });

  test('asks the previous owner exactly of what has changed hands in a joint phase', () => {
    fc.assert(
      fc.property(past, fc.constantFrom(...KEYS), (past, key) => {
        const snapshot = snapshotOf(past);
        const hash = snapshot.ring.hash(key);
        const now = past.epochs.at(-1);
        const before = past.epochs.at(-2);
        const owner = ringOf(now?.members ?? '').owner(key);
        const previous = now?.joint ? ringOf(before?.members ?? '').owner(key) : owner;
        expect(snapshot.owner(hash).id).toBe(owner);
        expect(snapshot.previousOwner(hash)?.id).toBe(previous === owner ? undefined : previous);
      }),
    );
  });
});

test('a node that lost a key and got it back is not believed what it held before', () => {
  const [key = ''] = KEYS.filter((name) => ringOf('a,b').owner(name) === 'b');
  const epochs = ['a,b', 'a', 'a,b'].map((members) => ({ members, joint: false }));
  const snapshot = snapshotOf({ epochs, floors: {} });
  const hash = snapshot.ring.hash(key);
  expect(snapshot.owner(hash).id).toBe('b');
  expect([1, 2, 3].map((stamp) => snapshot.believes(storedAt(stamp), hash))).toEqual([
    false,
    false,
    true,
  ]);
});

test('an owner older than the oldest era that is remembered is not believed', () => {
  const eras = [{ since: 20, ring: ringOf('a') }];
  const snapshot = new Snapshot({
    epoch: 20,
    fence: '',
    eras,
    joint: false,
    floors: {},
    nodes,
    ...LOCKS,
  });
  expect(snapshot.believes(storedAt(19), 1)).toBe(false);
  expect(snapshot.believes(storedAt(20), 1)).toBe(true);
});

test('a snapshot without a ring, or without a node of its rings, cannot be made', () => {
  const parts = { epoch: 1, fence: '', joint: false, floors: {}, nodes, ...LOCKS };
  expect(() => new Snapshot({ ...parts, eras: [] })).toThrow('needs a ring');
  const eras = [{ since: 1, ring: ringOf('a,b') }];
  const one = new Map([...nodes].slice(0, 1));
  expect(() => new Snapshot({ ...parts, eras, nodes: one })).toThrow('no node b');
});
