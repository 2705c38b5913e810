/** The parts that keep time, on a clock that the test moves. */
import { describe, expect, test } from 'vitest';
import { within } from '../../src/clock.ts';
import { HangWatch } from '../../src/node/hang-watch.ts';
import { NodeClock } from '../../src/node/node-clock.ts';
import { Removals } from '../../src/node/removals.ts';
import { FakeClock } from '../support/fake-clock.ts';

describe('the hang watch', () => {
  function watched(): {
    clock: FakeClock;
    watch: HangWatch;
    line: { bytes: number; waiting: boolean; cuts: number };
  } {
    const clock = new FakeClock();
    const line = { bytes: 0, waiting: true, cuts: 0 };
    const watch = new HangWatch(clock, 300, {
      bytesRead: () => line.bytes,
      waiting: () => line.waiting,
      cut: () => {
        line.cuts += 1;
      },
    });
    return { clock, watch, line };
  }

  test('cuts after the limit without a byte', async () => {
    const { clock, watch, line } = watched();
    watch.start();
    await clock.advance(299);
    expect(line.cuts).toBe(0);
    await clock.advance(1);
    expect(line.cuts).toBe(1);
    expect(clock.pending).toBe(0);
  });

  test('starts anew with every byte', async () => {
    const { clock, watch, line } = watched();
    watch.start();
    await clock.advance(250);
    line.bytes += 1;
    await clock.advance(300);
    expect(line.cuts).toBe(0);
    await clock.advance(150);
    expect(line.cuts).toBe(1);
  });

  test('ends when nothing is waited for, and leaves no timer', async () => {
    const { clock, watch, line } = watched();
    watch.start();
    line.waiting = false;
    await clock.advance(1000);
    expect(line.cuts).toBe(0);
    expect(clock.pending).toBe(0);
    line.waiting = true;
    watch.start();
    watch.stop();
    await clock.advance(1000);
    expect(line.cuts).toBe(0);
  });

  test('takes an event loop that was blocked for longer than the limit for one beat', () => {
    const { watch, line } = watched();
    // A loop that was blocked runs the due timer once, then reads, then `soon`.
    const soon: (() => void)[] = [];
    const blocked = new HangWatch(
      {
        now: () => 0,
        wall: () => 0,
        after: (_, run) => {
          if (soon.length === 0) soon.push(run);
          return { cancel: () => undefined };
        },
        soon: (run) => soon.push(run),
      },
      300,
      { bytesRead: () => line.bytes, waiting: () => true, cut: () => (line.cuts += 1) },
    );
    watch.stop();
    blocked.start();
    soon[0]?.(); // the timer, late
    line.bytes += 100; // what had come meanwhile
    soon[1]?.();
    expect(line.cuts).toBe(0);
  });
});

describe('within', () => {
  test('rejects after the bound, and leaves no timer when the work is done before', async () => {
    const clock = new FakeClock();
    const bound = { clock, late: () => new Error('late') };
    const late = expect(within(new Promise(() => undefined), 100, bound)).rejects.toThrow('late');
    await clock.advance(100);
    await late;
    expect(await within(Promise.resolve(1), 100, bound)).toBe(1);
    await expect(within(Promise.reject(new Error('no')), 100, bound)).rejects.toThrow('no');
    expect(clock.pending).toBe(0);
  });

  test('takes what came while the loop was blocked', async () => {
    const clock = new FakeClock();
    const work = Promise.withResolvers<number>();
    const result = within(work.promise, 100, { clock, late: () => new Error('late') });
    // In the same turn: the timer is due, and the answer is read after it.
    clock.after(100, () => work.resolve(1));
    await clock.advance(100);
    expect(await result).toBe(1);
  });
});

describe("the node's clock", () => {
  test('is ours plus the difference measured at the midpoint of the round trip', async () => {
    const clock = new FakeClock(1_000);
    const node = new NodeClock(clock);
    const sentAt = clock.now();
    await clock.advance(4);
    node.sample(sentAt, ['500', '250000']); // 500,250 ms, answered at 1,002
    expect(node.now()).toBe(500_252);
  });

  test('is not spoilt by a vague sample', async () => {
    const clock = new FakeClock(1_000);
    const node = new NodeClock(clock);
    node.sample(clock.now(), ['500', '0']);
    await clock.advance(200);
    node.sample(1_000, ['900', '0']);
    expect(node.now()).toBe(500_200);
    node.sample(clock.now(), ['nonsense', '']);
    expect(node.now()).toBe(500_200);
  });

  test('takes any sample of a server that was just connected', async () => {
    const clock = new FakeClock(1_000);
    const node = new NodeClock(clock);
    node.sample(clock.now(), ['500', '0']);
    await clock.advance(200);
    node.forget();
    node.sample(1_000, ['900', '0']);
    expect(node.now()).toBe(900_100);
  });

  test('is measured again after 30 s, and says so once', async () => {
    const clock = new FakeClock(1_000);
    const node = new NodeClock(clock);
    node.sample(clock.now(), ['500', '0']);
    expect(node.due(clock.now())).toBe(false);
    await clock.advance(30_000);
    expect(node.due(clock.now())).toBe(true);
    expect(node.due(clock.now())).toBe(false);
  });
});

describe('deletes that wait', () => {
  function waiting(): {
    clock: FakeClock;
    removals: Removals;
    node: {
      usable: boolean;
      fails: boolean;
      asked: string[][];
      confirmed: string[];
      overflows: number;
    };
  } {
    const clock = new FakeClock();
    const node = {
      usable: true,
      fails: false,
      asked: [] as string[][],
      confirmed: [] as string[],
      overflows: 0,
    };
    const removals = new Removals({
      clock,
      usable: () => node.usable,
      remove: (keys) => {
        node.asked.push(keys);
        return node.fails ? Promise.reject(new Error('no')) : Promise.resolve();
      },
      confirmed: (key) => node.confirmed.push(key),
      overflowed: () => {
        node.overflows += 1;
      },
    });
    return { clock, removals, node };
  }

  test('are tried at once when the node is usable', async () => {
    const { clock, removals, node } = waiting();
    removals.add('a', 1000);
    await clock.settle();
    expect(node.confirmed).toEqual(['a']);
    expect(removals.count).toBe(0);
    expect(clock.pending).toBe(0);
  });

  test('are tried again, ever more slowly, until confirmed', async () => {
    const { clock, removals, node } = waiting();
    node.fails = true;
    removals.add('a', 60_000);
    await clock.advance(199);
    expect(node.asked).toHaveLength(1);
    await clock.advance(1);
    expect(node.asked).toHaveLength(2);
    await clock.advance(399);
    expect(node.asked).toHaveLength(2);
    node.fails = false;
    await clock.advance(1);
    expect(node.confirmed).toEqual(['a']);
    expect(clock.pending).toBe(0);
  });

  test('are forgotten when the value has expired by itself', async () => {
    const { clock, removals, node } = waiting();
    node.fails = true;
    removals.add('a', 500);
    await clock.advance(10_000);
    expect(removals.count).toBe(0);
    expect(node.confirmed).toEqual([]);
    expect(clock.pending).toBe(0);
  });

  test('wait for the admission while the node is down, and are done in its order', async () => {
    const { clock, removals, node } = waiting();
    node.usable = false;
    removals.add('a', 1000);
    removals.add('b', 1000);
    await clock.settle();
    expect(node.asked).toEqual([]);
    await removals.replay(async (keys) => node.asked.push(keys));
    expect(node.asked).toEqual([['a', 'b']]);
    expect(node.confirmed).toEqual(['a', 'b']);
  });

  test('that are asked for again while under way are done again', async () => {
    const { removals, node } = waiting();
    node.usable = false;
    removals.add('a', 1000);
    let again = true;
    await removals.replay(async () => {
      if (again) removals.add('a', 1000);
      again = false;
      node.asked.push([]);
    });
    expect(node.asked).toHaveLength(2);
    expect(node.confirmed).toEqual(['a']);
  });

  test('are at most 10,000: the oldest is given up, and that is said', () => {
    const { removals, node } = waiting();
    node.usable = false;
    for (let i = 0; i < 10_001; i += 1) removals.add(`k${i}`, 1000);
    expect(removals.count).toBe(10_000);
    expect(node.overflows).toBe(1);
  });

  test('end with the node', async () => {
    const { clock, removals, node } = waiting();
    node.fails = true;
    removals.add('a', 60_000);
    await clock.settle();
    removals.end();
    removals.add('b', 1000);
    await clock.advance(60_000);
    expect(node.asked).toHaveLength(1);
    expect(clock.pending).toBe(0);
  });
});
