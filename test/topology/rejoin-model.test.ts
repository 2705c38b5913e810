/**
 * The model of `rejoin-model.ts`: a node that was away does not serve what was
 * deleted meanwhile, and no part of what prevents it can be left out.
 *
 * A failure prints the history; `story({ seed: … })` tells it again. How many
 * there are: `histories.ts`.
 */
import { describe, expect, test } from 'vitest';
import { historiesOf, limitOf, MUTANT_HISTORIES } from './histories.ts';
import { survey } from './model-steps.ts';
import { simulate, story } from './rejoin-model.ts';
import type { Mutation, RejoinSetup } from './rejoin-model-world.ts';

const HISTORIES = historiesOf(600);
const LIMIT = limitOf(HISTORIES);

type Scenario = Omit<RejoinSetup, 'seed' | 'mutation'>;

const STEADY = { guardians: 'none', crashes: 0 } as const;
const SCENARIOS: Readonly<Record<string, Scenario>> = {
  'a guardian that comes and goes': {},
  'guardians that go in turn': { guardians: 'in turn' },
  'the network alone': { ...STEADY, outages: 0.03, cuts: 0.04 },
};

function played(scenario: Scenario, mutation?: Mutation) {
  return (seed: number) => simulate({ ...scenario, seed, mutation });
}

function told(seed: number | undefined, scenario: Scenario): string | undefined {
  return seed === undefined ? undefined : story({ ...scenario, seed });
}

describe('what was deleted while a node was away is not read from it', () => {
  test.each(Object.entries(SCENARIOS))('%s', LIMIT, (_, scenario) => {
    const { stale, firstStale, counts } = survey(played(scenario), { histories: HISTORIES });
    expect(stale, told(firstStale, scenario)).toBe(0);
    // Else nothing of interest has happened.
    expect(counts.hits).toBeGreaterThan(2 * HISTORIES);
    expect(counts.applied).toBeGreaterThan(HISTORIES);
  });
});

const SHOWN: Readonly<Record<Mutation, Scenario>> = {
  'no-floor': {},
  'no-list': {},
  'noted-after-the-retry': {},
  'no-retry': { ...STEADY, outages: 0.03, cuts: 0.04 },
  'list-not-applied': {},
  'list-read-before-connecting': {},
  'used-before-it-is-applied': {},
  'taken-off-by-key': { ...STEADY, cuts: 0.04 },
  'silence-means-nothing-was-missed': {},
};

describe('each part of the protocol is needed', () => {
  test.each(Object.entries(SHOWN) as [Mutation, Scenario][])('%s', LIMIT, (mutation, scenario) => {
    const found = survey(played(scenario, mutation), {
      histories: MUTANT_HISTORIES,
      untilStale: 1,
    });
    expect(found.stale).toBe(1);
  });
});

// The limit that docs/guarantees.md states: a note is found where it was made.
describe('notes that no guardian tells of', () => {
  const untold = (scenario: Scenario): number =>
    survey(played(scenario), { histories: MUTANT_HISTORIES / 8 }).counts.untold;

  test(
    'are there when one guardian was away for the writer, and the other is for the reader',
    LIMIT,
    () => {
      expect(untold({ guardians: 'in turn' })).toBeGreaterThan(0);
    },
  );

  test(
    'are not, if a floor is raised unless both answer, and neither loses its data',
    LIMIT,
    () => {
      expect(untold({ guardians: 'none', asksAll: true })).toBe(0);
    },
  );
});

test('the model makes the same history of the same seed, and tells it', () => {
  const setup = { seed: 17, mutation: 'no-list' } as const;
  expect(story(setup)).toBe(story(setup));
  expect(story(setup)).not.toBe(story({ ...setup, seed: 18 }));
  expect(story(setup)).toMatch(/"seed":17.*noted and not confirmed.*STALE: /s);
});
