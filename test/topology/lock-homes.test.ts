/** At which nodes a lock has to be held, after any sequence of rings. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Snapshot } from '../../src/topology/snapshot.ts';
import { useAllRings } from './all-rings.ts';

const IDS = ['a', 'b', 'c', 'd', 'e'];
const NAMES = Array.from({ length: 30 }, (_, i) => `lock:${i}`);
const { nodes, ringOf } = useAllRings(IDS);

/** One document after another: the rings so far, and the oldest that counts. Epochs are places in `rings`. */
interface Stage {
  readonly rings: readonly string[];
  readonly counts: number;
}

const members = fc.subarray(IDS, { minLength: 1 }).map((ids) => ids.join());

/** A fleet's past: each step changes the ring, or ends the time in which earlier ones count. */
const stages: fc.Arbitrary<Stage[]> = fc
  .record({ first: members, steps: fc.array(fc.option(members), { maxLength: 8 }) })
  .map(({ first, steps }) => {
    const all: Stage[] = [{ rings: [first], counts: 0 }];
    for (const step of steps) {
      const { rings: so, counts } = all.at(-1)!;
      if (step === null) all.push({ rings: so, counts: so.length - 1 });
      else all.push({ rings: [...so, step], counts });
    }
    return all;
  });

function snapshotOf({ rings: all, counts }: Stage): Snapshot {
  const present = ringOf(all.at(-1)!);
  const eras = all.map((ids, i) => ({ since: i + 1, ring: ringOf(ids) })).reverse();
  const inForce = [...nodes].filter(([id]) => present.ids.includes(id));
  const leaving = [...nodes].filter(([id]) => !present.ids.includes(id));
  return new Snapshot({
    epoch: all.length,
    fence: '',
    eras,
    joint: false,
    floors: {},
    nodes: new Map(inForce),
    locksSince: counts + 1,
    lockFloor: 0,
    leaving: new Map(leaving),
  });
}

function homesOf(stage: Stage, name: string): string[] {
  const snapshot = snapshotOf(stage);
  return snapshot.lockHomes(snapshot.ring.hash(name)).map(({ id }) => id);
}

const name = fc.constantFrom(...NAMES);

describe('the homes of a lock', () => {
  test('are those who owned it in each ring that counts, the oldest first, each once', () => {
    fc.assert(
      fc.property(stages, name, (past, name) => {
        for (const stage of past) {
          const counting = stage.rings.slice(stage.counts);
          const owners = counting.map((ids) => ringOf(ids).owner(name));
          expect(homesOf(stage, name)).toEqual([...new Set(owners)]);
        }
      }),
    );
  });

  // Two processes of which one has not heard: whichever lock the one has, the other has to ask for it there.
  test('share a node in any two documents of which the later one still counts the ring of the earlier', () => {
    fc.assert(
      fc.property(stages, name, (past, name) => {
        for (const [i, later] of past.entries()) {
          for (const earlier of past.slice(0, i)) {
            if (later.counts > earlier.rings.length - 1) continue;
            const [before, after] = [homesOf(earlier, name), homesOf(later, name)];
            expect(before.filter((id) => after.includes(id))).not.toEqual([]);
          }
        }
      }),
    );
  });

  // Whoever knows more asks first where the others are: at the new homes nobody can be met.
  test('begin, in the later document, with those of the earlier that count still, in their order', () => {
    fc.assert(
      fc.property(stages, name, (past, name) => {
        for (const [i, later] of past.entries()) {
          for (const earlier of past.slice(0, i)) {
            if (later.counts > earlier.rings.length - 1) continue;
            const known = { rings: earlier.rings, counts: later.counts };
            const shared = homesOf(known, name);
            expect(homesOf(later, name).slice(0, shared.length)).toEqual(shared);
          }
        }
      }),
    );
  });

  test('are the owner alone when no earlier ring counts', () => {
    fc.assert(
      fc.property(stages, name, (past, name) => {
        const { rings: all } = past.at(-1)!;
        const settled = { rings: all, counts: all.length - 1 };
        expect(homesOf(settled, name)).toEqual([ringOf(all.at(-1)!).owner(name)]);
      }),
    );
  });

  test('are found among those that have left as well', () => {
    const past = { rings: ['a', 'b'], counts: 0 };
    expect(homesOf(past, NAMES[0]!)).toEqual(['a', 'b']);
    const ids = snapshotOf(past)
      .lockNodes()
      .map(({ id }) => id);
    expect(ids.sort((a, b) => (a < b ? -1 : 1))).toEqual(IDS);
  });
});
