/**
 * The model of `partition-model.ts`: whoever cannot hear of a change does not
 * read what was deleted after it, and no part of what prevents it can be left out.
 *
 * A failure prints the history; `story({ seed: … })` tells it again. How many
 * there are: `histories.ts`.
 */
import { describe, expect, test } from 'vitest';
import { historiesOf, limitOf, MUTANT_HISTORIES } from './histories.ts';
import { survey } from './model-steps.ts';
import { simulate, story } from './partition-model.ts';
import type { Mutation, PartitionSetup } from './partition-model-world.ts';

const HISTORIES = historiesOf(300);
const LIMIT = limitOf(HISTORIES);

type Scenario = Omit<PartitionSetup, 'seed' | 'mutation'>;

/**
 * A leaves, then B: with A, which nobody has to raise any more, B is half of
 * the nodes that a process knows which has not heard that the first is over.
 */
const TWO_LEAVE: Scenario = {
  rings: [
    { members: ['A', 'B', 'C', 'D'], owner: 'A' },
    { members: ['B', 'C', 'D'], owner: 'B' },
    { members: ['C', 'D'], owner: 'C' },
  ],
  side: ['client 1', 'A', 'B'],
};
const SCENARIOS: Readonly<Record<string, Scenario>> = {
  'any rings, any sides': {},
  'two nodes leave, one after the other': TWO_LEAVE,
};

function played(scenario: Scenario, mutation?: Mutation) {
  return (seed: number) => simulate({ ...scenario, seed, mutation });
}

function told(seed: number | undefined, scenario: Scenario): string | undefined {
  return seed === undefined ? undefined : story({ ...scenario, seed });
}

describe('no read that starts after an acknowledged delete returns an older version', () => {
  test.each(Object.entries(SCENARIOS))('%s', LIMIT, (_, scenario) => {
    const { stale, firstStale, counts } = survey(played(scenario), { histories: HISTORIES });
    expect(stale, told(firstStale, scenario)).toBe(0);
    // Else nothing of interest has happened.
    expect(counts.hits).toBeGreaterThan(10 * HISTORIES);
    expect(counts.closedEarly).toBeGreaterThan(0.2 * HISTORIES);
  });
});

const SHOWN: Readonly<Record<Mutation, Scenario>> = {
  'no-view-lease': {},
  'one-answer-is-enough': {},
  'half-of-both-together': TWO_LEAVE,
  'no-wait': {},
  'half-is-most': {},
  'wait-from-the-decision': {},
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

test('the model makes the same history of the same seed, and tells it', () => {
  const setup = { seed: 1, mutation: 'no-view-lease' } as const;
  expect(story(setup)).toBe(story(setup));
  expect(story(setup)).not.toBe(story({ ...setup, seed: 2 }));
  expect(story(setup)).toMatch(/"seed":1.*the driver decides.*apart are.*STALE: /s);
});
