/** A change that another process finishes, or takes back. */
import { describe, expect, test } from 'vitest';
import { TopologyBusyError } from '../../src/errors.ts';
import { type SimulatedProcess, seat } from '../support/simulated-process.ts';
import { type Fleet, keyThat, useFleet } from './fleet.ts';

const newFleet = useFleet();
const ADD_C = { add: [seat('c')], remove: [] };
const KEPT = { memory: false } as const;

interface Abandoned {
  readonly fleet: Fleet;
  readonly other: SimulatedProcess;
  readonly driver: SimulatedProcess;
  /** Keys that move from a to c. */
  readonly keys: readonly string[];
}

/** A change to a, b and c that was begun, and whose process asks nobody any more. */
async function abandoned(): Promise<Abandoned> {
  const fleet = newFleet();
  const [driver, other] = [await fleet.start(['a', 'b']), await fleet.start(['a', 'b'])];
  const { ring } = driver.topology.snapshot;
  const next = ring.with({ id: 'c' });
  const keys: string[] = [];
  for (let i = 0; keys.length < 5; i++) {
    const key = `key:${i}`;
    if (ring.owner(key) === 'a' && next.owner(key) === 'c') keys.push(key);
  }
  for (const key of keys) await driver.set(key, `old ${key}`, KEPT);
  const change = await driver.changer.change(ADD_C, { keysPerSecond: 0.001 });
  change.done.catch(() => undefined);
  for (const node of driver.nodes.values()) node.fault = 'request-lost';
  driver.eras.end();
  await other.topology.refresh(other.topology.snapshot);
  expect(other.topology.snapshot.state).toBe('joint');
  return { fleet, other, driver, keys };
}

const valuesOf = (process: SimulatedProcess, keys: readonly string[]) =>
  Promise.all(keys.map((key) => process.get(key)));

describe('a change whose process is gone', () => {
  test('is served by all, and keeps others from changing the ring', async () => {
    const { fleet, other, keys } = await abandoned();
    expect(await valuesOf(other, keys)).toEqual(keys.map((key) => `old ${key}`));
    await fleet.clock.advance(1_000);
    await expect(other.changer.change({ add: [], remove: ['b'] })).rejects.toThrow(
      TopologyBusyError,
    );
    expect(other.topology.snapshot.state).toBe('joint');
  });

  test('is finished by another, with all that is to be copied', async () => {
    const { fleet, other, keys } = await abandoned();
    const change = await other.changer.resume();
    expect(change).toMatchObject({ epoch: 2 });
    await fleet.clock.advance(10_000);
    expect(await change?.done).toMatchObject({ epoch: 3, failed: 0 });
    expect(fleet.server('c').keys).toEqual(expect.arrayContaining([...keys]));
    expect(await valuesOf(other, keys)).toEqual(keys.map((key) => `old ${key}`));
    await (await other.changer.change({ add: [], remove: ['b'] })).done;
    expect(other.topology.snapshot.ring.ids).toEqual(['a', 'c']);
  });

  test('is taken back by another, with all that was and that came meanwhile', async () => {
    const { fleet, other, keys } = await abandoned();
    const [deleted, replaced, ...kept] = keys as [string, string, ...string[]];
    expect(await other.delete(deleted)).toBe(true);
    expect(await other.set(replaced, 'new', KEPT)).toBe(true);
    const change = await other.changer.abort();
    expect(change).toMatchObject({ epoch: 3 });
    expect(other.topology.snapshot.ring.ids).toEqual(['a', 'b']);
    const expected = [undefined, 'new', ...kept.map((key) => `old ${key}`)];
    expect(await valuesOf(other, keys)).toEqual(expected);
    await fleet.clock.advance(10_000);
    expect(await change?.done).toMatchObject({ epoch: 4 });
    // What was never copied is still believed: its owner has seen every write.
    expect(await valuesOf(other, keys)).toEqual(expected);
    expect(other.topology.document.history[1]).toMatchObject({ since: 2, takenBack: true });
  });

  test('is taken back, and that is taken back', async () => {
    const { fleet, other, keys } = await abandoned();
    const back = await other.changer.abort();
    const there = await other.changer.abort();
    await expect(back?.done).rejects.toThrow(TopologyBusyError);
    await fleet.clock.advance(10_000);
    expect(await there?.done).toMatchObject({ epoch: 5, failed: 0 });
    expect(other.topology.snapshot.ring.ids).toEqual(['a', 'b', 'c']);
    expect(await valuesOf(other, keys)).toEqual(keys.map((key) => `old ${key}`));
  });

  // It has taken part in the first joint phase alone.
  test('and taken back, leaves the node that was to join nothing to believe', async () => {
    const { fleet, other, keys } = await abandoned();
    const [key = ''] = keys;
    await other.set(key, 'during', KEPT);
    const back = await other.changer.abort();
    await fleet.clock.advance(10_000);
    await back?.done;
    await other.delete(key);
    await (await other.changer.change(ADD_C, { warm: false })).done;
    expect(other.topology.snapshot.ring.owner(key)).toBe('c');
    expect(await other.get(key)).toBeUndefined();
  });
});

describe('the change that this process is making', () => {
  test('is taken back: who made it is told, and nothing is lost', async () => {
    const fleet = newFleet();
    const process = await fleet.start(['a', 'b']);
    const key = keyThat(
      (one) => process.topology.snapshot.ring.with({ id: 'c' }).owner(one) === 'c',
    );
    await process.set(key, 1, KEPT);
    const change = await process.changer.change(ADD_C, { keysPerSecond: 0.001 });
    const told = expect(change.done).rejects.toThrow(TopologyBusyError);
    const aborting = process.changer.abort();
    await fleet.clock.advance(1_000);
    await (await aborting)?.done;
    await told;
    expect(process.topology.snapshot.ring.ids).toEqual(['a', 'b']);
    expect(await process.get(key)).toBe(1);
    await expect(process.changer.change(ADD_C)).resolves.toBeDefined();
  });

  test('cannot be finished by it a second time', async () => {
    const fleet = newFleet();
    const process = await fleet.start(['a', 'b']);
    const { done } = await process.changer.change(ADD_C);
    await expect(process.changer.resume()).rejects.toThrow(TopologyBusyError);
    await done;
  });
});

test('when no change is under way there is nothing to finish or take back', async () => {
  const fleet = newFleet();
  const { changer, topology } = await fleet.start(['a', 'b']);
  expect(await changer.resume()).toBeUndefined();
  expect(await changer.abort()).toBeUndefined();
  expect(topology.document.epoch).toBe(1);
});
