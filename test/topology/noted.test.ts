/** What a process does that is told of a note: it removes what another one could not. */
import { describe, expect, test } from 'vitest';
import { withFloor } from '../../src/topology/successors.ts';
import type { SimulatedProcess } from '../support/simulated-process.ts';
import { seat } from '../support/simulated-process.ts';
import { type Fleet, keyThat, movingKey, useFleet } from './fleet.ts';

const newFleet = useFleet();
const RING = ['a', 'b', 'c'];
const WITHOUT_MEMORY = { memory: false };

/** A process, and a value at `a` that is noted to be removed there. */
async function noted(): Promise<{ fleet: Fleet; other: SimulatedProcess; key: string }> {
  const fleet = newFleet();
  const other = await fleet.start(RING);
  const key = keyThat((one) => other.topology.snapshot.ring.owner(one) === 'a');
  await other.set(key, 'old', WITHOUT_MEMORY);
  fleet.server('b').notes.set('a', new Map([[key, 'mark']]));
  return { fleet, other, key };
}

const lives = (fleet: Fleet, key: string): boolean => fleet.server('a').keys.includes(key);

test('whoever admits the node again does what is noted, and tells nobody: under which topology is not known', async () => {
  const { fleet, other, key } = await noted();
  const told: (string | undefined)[] = [];
  const { takeOff } = other.node('b').guard;
  other.node('b').guard.takeOff = (node, notes, removedUnder) => {
    told.push(removedUnder);
    return takeOff(node, notes);
  };
  await other.node('a').readmit();
  await fleet.clock.settle();
  expect(told).toEqual([undefined]);
  fleet.server('b').notes.set('a', new Map([[key, 'mark']]));
  other.topology.missed.lookAfter(['a']);
  await fleet.clock.settle();
  expect(told).toEqual([undefined, other.topology.snapshot.fence]);
});

describe('who is told of a note', () => {
  test('removes what is noted a moment later, once, and takes it off', async () => {
    const { fleet, other, key } = await noted();
    const { sent } = other.node('a');
    const asked = other.node('b').sent.length;
    for (let i = 0; i < 5; i++) other.topology.missed.notedFor('a');
    expect(lives(fleet, key)).toBe(true);
    await fleet.clock.advance(10);
    expect(lives(fleet, key)).toBe(false);
    expect(fleet.server('b').notes.get('a')?.size).toBe(0);
    expect(sent.filter((what) => what === `remove ${key}`)).toHaveLength(1);
    expect(other.node('b').sent.slice(asked)).toEqual(['notes for a', 'take off for a']);
  });

  test('does nothing when it cannot reach the node', async () => {
    const { fleet, other, key } = await noted();
    other.node('a').fault = 'down';
    const asked = other.node('b').sent.length;
    other.topology.missed.notedFor('a');
    await fleet.clock.advance(100);
    expect(lives(fleet, key)).toBe(true);
    expect(other.node('b').sent).toHaveLength(asked);
  });

  test('does nothing while it waits for others to do it', async () => {
    const { fleet, other, key } = await noted();
    const { fence } = other.topology.snapshot;
    const relay = other.topology.missed.relays.expect({ node: 'a', key, fence });
    const asked = other.node('b').sent.length;
    other.topology.missed.notedFor('a');
    await fleet.clock.advance(20);
    expect(other.node('b').sent).toHaveLength(asked);
    relay.end();
    other.topology.missed.notedFor('a');
    await fleet.clock.advance(20);
    expect(lives(fleet, key)).toBe(false);
  });

  test('does nothing when it was closed meanwhile', async () => {
    const { fleet, other, key } = await noted();
    const timers = fleet.clock.pending;
    other.topology.missed.notedFor('a');
    other.topology.missed.end();
    expect(fleet.clock.pending).toBe(timers);
    other.topology.missed.notedFor('a');
    expect(fleet.clock.pending).toBe(timers);
    expect(lives(fleet, key)).toBe(true);
  });

  test('waits longer each time that others were first, up to 40 ms; not when it was the first', async () => {
    const { fleet, other } = await noted();
    const longest: number[] = [];
    const pauses: number[] = [];
    const { after } = fleet.clock;
    const { random } = Math;
    Math.random = () => 1;
    fleet.clock.after = (ms, run) => {
      longest.push(ms);
      return after.call(fleet.clock, ms, run);
    };
    try {
      for (const note of ['', '', '', '', '', '', 'k', '', '']) {
        if (note !== '') fleet.server('b').notes.set('a', new Map([[note, 'mark']]));
        else fleet.server('b').notes.delete('a');
        longest.length = 0;
        other.topology.missed.notedFor('a');
        expect(longest).toHaveLength(1);
        pauses.push(longest[0]!);
        await fleet.clock.advance(40);
      }
    } finally {
      Math.random = random;
      fleet.clock.after = after;
    }
    expect(pauses).toEqual([10, 10, 10, 20, 40, 40, 40, 10, 10]);
  });

  test('takes it off though the node has not heard of the newest topology yet', async () => {
    const { fleet, other, key } = await noted();
    await other.topology.takeUp(withFloor(other.topology.document, 'c', undefined));
    expect(fleet.server('a').epoch()).toBe(1);
    other.topology.missed.notedFor('a');
    await fleet.clock.advance(10);
    expect(lives(fleet, key)).toBe(false);
    expect(fleet.server('b').notes.get('a')?.size).toBe(0);
  });

  // C: knows the next ring … copies the old value … B: does not, removes at the node alone.
  test('does not take it off when the node knows a newer topology: it is done anew under that one', async () => {
    const fleet = newFleet();
    const [ahead, behind] = [await fleet.start(RING), await fleet.start(RING)];
    const key = movingKey(ahead, 'a', 'd');
    await ahead.set(key, 'old', WITHOUT_MEMORY);
    const before = ['b', 'c'].map((id) => {
      const { fence, document } = fleet.server(id);
      return { id, fence, document };
    });
    await ahead.changer.change({ add: [seat('d')], remove: [] }, { keysPerSecond: 0.001 });
    await ahead.getOrSet(key, () => Promise.resolve('never'), WITHOUT_MEMORY);
    expect(fleet.server('d').keys).toEqual([key]);
    // As if the change had not reached the guardians.
    for (const { id, ...stood } of before) Object.assign(fleet.server(id), stood);
    fleet.server('b').notes.set('a', new Map([[key, 'mark']]));
    expect(behind.topology.snapshot.epoch).toBe(1);
    behind.topology.missed.notedFor('a');
    await fleet.clock.advance(20);
    expect(behind.topology.snapshot.epoch).toBe(2);
    expect([fleet.server('a').keys, fleet.server('d').keys]).toEqual([[], []]);
    expect(fleet.server('b').notes.get('a')?.size).toBe(0);
  });
});
