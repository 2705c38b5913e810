/**
 * The model of `ring-model.ts`: our protocol never serves what was deleted
 * while the ring changes, and no part of it can be left out.
 *
 * A failure prints the history; `story({ seed: … })` tells it again. How many
 * there are: `histories.ts`.
 */
import { describe, expect, test } from 'vitest';
import { historiesOf, limitOf, MUTANT_HISTORIES } from './histories.ts';
import { Dice, play, type Steps, survey } from './model-steps.ts';
import { end, simulate, story } from './ring-model.ts';
import { RingClient } from './ring-model-client.ts';
import { type Mutation, type RingSetup, World } from './ring-model-world.ts';

const HISTORIES = historiesOf(1_000);
const LIMIT = limitOf(HISTORIES);

type Scenario = Omit<RingSetup, 'seed' | 'mutation'>;

const SCENARIOS: Readonly<Record<string, Scenario>> = {
  'changes, taken back or not': {},
  'nothing is taken back': { takenBack: 0 },
  'sources that do not answer': { silentSources: 0.3 },
  'changes in a hurry, and nodes that restart often': {
    ...{ changes: 0.1, restarts: 0.03, takenBack: 0 },
  },
};

function played(scenario: Scenario, mutation?: Mutation) {
  return (seed: number) => simulate({ ...scenario, seed, mutation });
}

function told(seed: number | undefined, scenario: Scenario): string | undefined {
  return seed === undefined ? undefined : story({ ...scenario, seed });
}

describe('no read that starts after an acknowledged write returns an older version', () => {
  test.each(Object.entries(SCENARIOS))('%s', LIMIT, (_, scenario) => {
    const { stale, firstStale, counts } = survey(played(scenario), { histories: HISTORIES });
    expect(stale, told(firstStale, scenario)).toBe(0);
    // Else nothing of interest has happened.
    expect(counts.hits).toBeGreaterThan(10 * HISTORIES);
    expect(counts.copied + counts.moved).toBeGreaterThan(0.2 * HISTORIES);
    expect(counts.refused).toBeGreaterThan(HISTORIES);
    expect(counts.floors).toBeGreaterThan(HISTORIES);
  });
});

/** Mutations with a test of their own: the one costs hits only, the other is too rare. */
type Elsewhere = 'taking-back-interrupts' | 'barrier-skips-emptied-nodes';

/** Where each other one shows itself. */
const SHOWN: Readonly<Record<Exclude<Mutation, Elsewhere>, Scenario>> = {
  'no-fence': {},
  'scripts-begin-an-epoch': {},
  'hits-ignore-the-epoch': {},
  'two-documents-in-one-operation': {},
  'requests-sent-again': {},
  'fill-if-absent': {},
  'mover-stores-if-absent': {},
  'fill-without-the-source': { silentSources: 0.3 },
  'fill-again-whoever-owned-between': {},
  'delete-at-the-owner-only': {},
  'owner-first-then-source': {},
  'no-continuity': {},
  'no-floor': {},
  'taken-back-owner-always-owned': {},
  'no-barrier': {},
  'no-barrier-after-taking-back': {},
  'barrier-of-another-change': {},
};

describe('each part of the protocol is needed', () => {
  test.each(Object.entries(SHOWN) as [Mutation, Scenario][])('%s', LIMIT, (mutation, scenario) => {
    const found = survey(played(scenario, mutation), {
      histories: MUTANT_HISTORIES,
      untilStale: 1,
    });
    expect(found.stale).toBe(1);
  });

  // A process is about to admit the emptied owner under the epoch before the change, and does so after its end.
  test.each([
    { mutation: undefined, stale: 0 },
    { mutation: 'barrier-skips-emptied-nodes', stale: 1 },
  ] as const)('a barrier that passes over emptied nodes: $stale', ({ mutation, stale }) => {
    const world = new World({ seed: 1, mutation }, undefined);
    const [late, other] = [new RingClient('late', world), new RingClient('other', world)];
    const before = world.control.newest;
    const owner = before.owners.one;
    world.node(owner).restart(false);
    const reading = late.read('one');
    while (late.document === before) reading.next();
    const base = world.control.newest;
    const owners = { ...base.owners, one: owner === 'A' ? 'B' : 'A' } as const;
    world.control.propose(base, { owners, sources: base.owners });
    toEnd(end(world, world.control.newest));
    toEnd(reading);
    other.refresh();
    toEnd(other.write('one', false));
    toEnd(late.read('one'));
    expect(world.stale).toHaveLength(stale);
  });

  // What an owner has from before a change that was taken back could be given up. It would be loaded again.
  test(
    'a change that is taken back need not interrupt its owners, which saves loads',
    LIMIT,
    () => {
      const all = { histories: HISTORIES };
      const whole = survey(played({ takenBack: 0.6 }), all);
      const interrupted = survey(played({ takenBack: 0.6 }, 'taking-back-interrupts'), all);
      expect(interrupted.stale).toBe(0);
      expect(interrupted.counts.hits).toBeLessThan(0.98 * whole.counts.hits);
      expect(interrupted.counts.copied).toBeLessThan(0.9 * whole.counts.copied);
    },
  );
});

describe('the model itself', () => {
  test('makes the same history of the same seed, and tells it', () => {
    const setup = { seed: 2, mutation: 'no-fence' } as const;
    expect(story(setup)).toBe(story(setup));
    expect(story(setup)).not.toBe(story({ ...setup, seed: 3 }));
    expect(story(setup)).toMatch(/"seed":2.*a change begins.*is acknowledged.*STALE: /s);
  });

  test('lets every order of steps happen, and ends with its operations', () => {
    const orders = new Set<string>();
    for (let seed = 1; seed <= 200; seed++) {
      const order: number[] = [];
      let [started, besides] = [0, 0];
      play(new Dice(seed), {
        operations: 3,
        atOnce: 4,
        *start() {
          const number = ++started;
          yield;
          order.push(number);
        },
        disturb: (also) => {
          if (besides++ === 0) also(forever());
        },
      });
      orders.add(order.join(' '));
    }
    expect(orders.size).toBe(6);
  });
});

function toEnd(steps: Steps): void {
  while (steps.next().done !== true);
}

function* forever(): Generator<void, void, void> {
  for (;;) yield;
}
