/** Deletes that another process does for the one that cannot: which news of it counts, and how long it is waited for. */
import { describe, expect, test } from 'vitest';
import { guardiansOf } from '../../src/topology/guardians.ts';
import { withFloor } from '../../src/topology/successors.ts';
import type { SimulatedProcess } from '../support/simulated-process.ts';
import { seat } from '../support/simulated-process.ts';
import { type Fleet, keyThat, movingKey, useFleet } from './fleet.ts';

const newFleet = useFleet();
const RING = ['a', 'b', 'c'];
const WITHOUT_MEMORY = { memory: false };

interface Cut {
  readonly fleet: Fleet;
  /** Cannot reach `a`, which has the key. */
  readonly cut: SimulatedProcess;
  readonly key: string;
}

async function cutOff(): Promise<Cut> {
  const fleet = newFleet();
  const cut = await fleet.start(RING);
  const key = keyThat((one) => cut.topology.snapshot.ring.owner(one) === 'a');
  await cut.set(key, 'old', WITHOUT_MEMORY);
  for (const id of ['b', 'c']) cut.node(id).announces = true;
  cut.node('a').fault = 'request-lost';
  return { fleet, cut, key };
}

const markOf = (fleet: Fleet, key: string, node = 'a'): string => {
  const [guardian = ''] = guardiansOf(node, [...RING, 'd']);
  return fleet.server(guardian).notes.get(node)?.get(key) ?? 'none';
};

/** As if a guardian had published it. */
function tell(
  { cut, key }: Cut,
  mark: string,
  other: { node?: string; fence?: string } = {},
): void {
  const { fence } = cut.topology.snapshot;
  const notes = new Map([[key, mark]]);
  cut.topology.missed.relays.told({ node: 'a', fence, notes, ...other });
}

/** Starts a delete; its answer, and when that came. */
function deleting({ fleet, cut, key }: Cut): { answer?: boolean; afterMs?: number } {
  const deleted: { answer?: boolean; afterMs?: number } = {};
  const begunAt = fleet.clock.now();
  void cut.delete(key).then((answer) => {
    Object.assign(deleted, { answer, afterMs: fleet.clock.now() - begunAt });
  });
  return deleted;
}

describe('a delete that its node does not answer', () => {
  test('is true as soon as another process has removed what it noted, and not repeated', async () => {
    const all = await cutOff();
    const deleted = deleting(all);
    await all.fleet.clock.advance(110);
    expect(deleted).toEqual({});
    tell(all, markOf(all.fleet, all.key));
    await all.fleet.clock.settle();
    expect(deleted).toEqual({ answer: true, afterMs: 110 });
    expect(all.cut.unconfirmed).toEqual([]);
    expect(all.cut.node('a').stats().unconfirmed).toBe(0);
    expect(all.cut.topology.missed.relays.awaits('a')).toBe(false);
  });

  test('is true, too, when that comes after it has been tried once more', async () => {
    const all = await cutOff();
    const deleted = deleting(all);
    await all.fleet.clock.advance(250);
    expect(deleted).toEqual({});
    tell(all, markOf(all.fleet, all.key));
    await all.fleet.clock.settle();
    expect(deleted).toEqual({ answer: true, afterMs: 250 });
  });

  test('takes what was read into memory meanwhile out of it', async () => {
    const all = await cutOff();
    const { cut, key, fleet } = all;
    const deleted = deleting(all);
    await fleet.clock.advance(110);
    const hash = cut.topology.snapshot.ring.hash(key);
    const ticket = cut.memory.ticket(hash);
    const rest = { hash, ticket, forMs: 60_000, agedMs: 0, bytes: 5 };
    expect(cut.memory.put(key, 'old', { node: 'a', ...rest })).toBe(true);
    tell(all, markOf(fleet, key));
    await fleet.clock.settle();
    expect(deleted.answer).toBe(true);
    expect(cut.memory.get(key)).toBeUndefined();
  });

  // What was removed then may have been set since by another process.
  test('is not done by what was noted for an earlier one', async () => {
    const all = await cutOff();
    deleting(all);
    await all.fleet.clock.advance(400);
    const earlier = markOf(all.fleet, all.key);
    const deleted = deleting(all);
    await all.fleet.clock.advance(110);
    expect(markOf(all.fleet, all.key)).not.toBe(earlier);
    tell(all, earlier);
    await all.fleet.clock.advance(200);
    expect(deleted.answer).toBe(false);
  });

  test('is done by what was noted for a later one', async () => {
    const all = await cutOff();
    const first = deleting(all);
    await all.fleet.clock.advance(5);
    const second = deleting(all);
    await all.fleet.clock.advance(110);
    tell(all, markOf(all.fleet, all.key));
    await all.fleet.clock.settle();
    expect([first.answer, second.answer]).toEqual([true, true]);
  });

  test.each<[string, (all: Cut) => void]>([
    ['what another process noted', (all) => tell(all, 'another.9')],
    ['another key', (all) => tell({ ...all, key: 'other' }, markOf(all.fleet, all.key))],
    ['another node', (all) => tell(all, markOf(all.fleet, all.key), { node: 'b' })],
    [
      'who knows another topology',
      (all) => tell(all, markOf(all.fleet, all.key), { fence: '0000000000000002:00000000' }),
    ],
  ])('is not done by %s', async (_, act) => {
    const all = await cutOff();
    const deleted = deleting(all);
    await all.fleet.clock.advance(110);
    act(all);
    await all.fleet.clock.advance(200);
    expect(deleted).toEqual({ answer: false, afterMs: 300 });
  });

  test('is not done when the topology is another by then', async () => {
    const all = await cutOff();
    const { cut, fleet, key } = all;
    const deleted = deleting(all);
    await fleet.clock.advance(110);
    const { fence } = cut.topology.snapshot;
    await cut.topology.takeUp(withFloor(cut.topology.document, 'b', undefined));
    tell(all, markOf(fleet, key), { fence });
    await fleet.clock.advance(200);
    expect(deleted.answer).toBe(false);
    expect(cut.unconfirmed).toEqual([key]);
  });
});

describe('others are waited for', () => {
  test('for one time of a node, within the three that a delete takes', async () => {
    const all = await cutOff();
    const deleted = deleting(all);
    await all.fleet.clock.advance(1_000);
    expect(deleted).toEqual({ answer: false, afterMs: 300 });
  });

  test('not where no guardian could tell of it', async () => {
    const all = await cutOff();
    for (const id of ['b', 'c']) all.cut.node(id).announces = false;
    const deleted = deleting(all);
    await all.fleet.clock.advance(1_000);
    expect(deleted).toEqual({ answer: false, afterMs: 200 });
  });

  test('not where no guardian took the note', async () => {
    const all = await cutOff();
    for (const id of ['b', 'c']) all.cut.node(id).fault = 'down';
    const deleted = deleting(all);
    await all.fleet.clock.advance(1_000);
    expect(deleted).toEqual({ answer: false, afterMs: 200 });
  });

  test('not where no server runs', async () => {
    const all = await cutOff();
    all.cut.node('a').fault = 'down';
    const deleted = deleting(all);
    await all.fleet.clock.settle();
    expect(deleted).toEqual({ answer: false, afterMs: 0 });
  });

  test('for no longer when its breaker is open', async () => {
    const all = await cutOff();
    const { cut, fleet } = all;
    void cut.node('a').readmit();
    await fleet.clock.advance(200);
    expect(cut.node('a').state().state).toBe('down');
    const deleted = deleting(all);
    await fleet.clock.advance(1_000);
    expect(deleted).toEqual({ answer: false, afterMs: 100 });
  });

  test('not when that was in vain just now; again after a second, or when one comes late', async () => {
    const all = await cutOff();
    const times: (number | undefined)[] = [];
    const one = async (): Promise<void> => {
      const deleted = deleting(all);
      await all.fleet.clock.advance(300);
      times.push(deleted.afterMs);
    };
    await one();
    await one();
    await all.fleet.clock.advance(700);
    await one();
    await one();
    tell(all, markOf(all.fleet, all.key));
    await one();
    expect(times).toEqual([300, 200, 300, 200, 300]);
  });
});

describe('while the ring changes', () => {
  /** `cut` cannot reach the previous owner of the key. */
  async function joint(): Promise<Cut> {
    const fleet = newFleet();
    const cut = await fleet.start(RING);
    const key = movingKey(cut, 'a', 'd');
    await cut.set(key, 'old', WITHOUT_MEMORY);
    await cut.changer.change({ add: [seat('d')], remove: [] }, { keysPerSecond: 0.001 });
    expect(cut.topology.snapshot.source).toBeDefined();
    for (const id of ['b', 'c', 'd']) cut.node(id).announces = true;
    cut.node('a').fault = 'request-lost';
    return { fleet, cut, key };
  }

  // A: removes at the present owner … C: copies … B: removes at the previous one.
  test('the present owner comes after the previous one', async () => {
    const all = await joint();
    const { fleet, cut, key } = all;
    const deleted = deleting(all);
    await fleet.clock.advance(110);
    const other = await fleet.start([...RING, 'd']);
    await other.getOrSet(key, () => Promise.resolve('never'), WITHOUT_MEMORY);
    expect(fleet.server('d').keys).toEqual([key]);
    tell(all, markOf(fleet, key));
    await fleet.clock.settle();
    expect(deleted).toEqual({ answer: true, afterMs: 110 });
    expect(fleet.server('d').keys).toEqual([]);
    expect(cut.unconfirmed).toEqual([]);
  });

  test('it is false when the present owner has another topology by then', async () => {
    const all = await joint();
    const deleted = deleting(all);
    await all.fleet.clock.advance(110);
    all.fleet.server('d').fence = '0000000000000009:00000000';
    tell(all, markOf(all.fleet, all.key));
    await all.fleet.clock.advance(200);
    expect(deleted.answer).toBe(false);
  });

  test('it is false when the present owner does not do it then', async () => {
    const all = await joint();
    const deleted = deleting(all);
    await all.fleet.clock.advance(250);
    all.cut.node('d').fault = 'request-lost';
    tell(all, markOf(all.fleet, all.key));
    await all.fleet.clock.advance(200);
    expect(deleted).toEqual({ answer: false, afterMs: 300 });
    expect(all.cut.unconfirmed).toEqual([all.key]);
  });
});
