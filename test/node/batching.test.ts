/** How much is sent for how many questions. */
import { beforeEach, describe, expect, test } from 'vitest';
import { command, useNodes } from '../support/nodes.ts';
import { CountingClock } from './counting-clock.ts';
import { EPOCH, FENCE, LIFE, payload, type Subject, useSubjects } from './subject.ts';

const nodes = useNodes(1);
const start = useSubjects();
const redis = (...words: string[]): Promise<string> => command(nodes[0]!, ...words);
let subject: Subject;

async function calls(name: string): Promise<number> {
  const stats = await redis('INFO', 'commandstats');
  return Number(new RegExp(`cmdstat_${name}:calls=(\\d+)`).exec(stats)?.[1] ?? 0);
}

beforeEach(async () => {
  await redis('FLUSHALL');
  subject = await start(nodes[0]!);
});

const keys = (count: number): string[] => Array.from({ length: count }, (_, i) => `key:${i}`);

describe('reads of one turn', () => {
  test.each([
    [1, 1],
    [16, 1],
    [17, 2],
    [64, 4],
    [256, 4],
    [257, 5],
    [1000, 16],
  ])('%i of them are %i MGETs, and each gets its own', async (count, chunks) => {
    await Promise.all(keys(count).map((key) => subject.set(key, key)));
    await redis('CONFIG', 'RESETSTAT');
    const read = await subject.read(...keys(count));
    expect(await calls('mget')).toBe(chunks);
    expect(await calls('get')).toBe(0);
    for (const [i, one] of read.entries()) {
      expect(one).toMatchObject({ epoch: EPOCH, stored: { value: `key:${i}` } });
    }
    const { reads, batches } = subject.node.stats();
    expect([reads, batches]).toEqual([count, chunks]);
  });

  test('of several callers are one batch; those of the next turn another', async () => {
    await redis('CONFIG', 'RESETSTAT');
    await Promise.all([
      subject.read('a'),
      subject.read('b', 'c'),
      Promise.resolve().then(() => subject.read('d')),
    ]);
    await subject.read('e');
    expect(await calls('mget')).toBe(2);
  });

  test('are never answered while they are asked', () => {
    let answered = false;
    const note = (): void => {
      answered = true;
    };
    subject.node.read('k', { found: note, failed: note }, 0);
    expect(answered).toBe(false);
    void subject.node.close();
  });

  test('see a write that was asked for before them in the same turn', async () => {
    void subject.set('k', 'new');
    expect(await subject.readValue('k')).toBe('new');
  });
});

test('a turn of many reads and writes takes one timer and one breaker call', async () => {
  const clock = new CountingClock();
  const counted = await start(nodes[0]!, { clock });
  await counted.read('warm');
  clock.timers = 0;
  const before = counted.node.stats().latency.count;
  const entry = { payload: payload(1), life: LIFE, fence: FENCE, epoch: EPOCH };
  const writes = keys(50).map((key) => counted.node.write(key, entry));
  await Promise.all([...writes, counted.read(...keys(500))]);
  // And one beat of the hang watch.
  expect(clock.timers).toBeLessThanOrEqual(2);
  expect(counted.node.stats().latency.count - before).toBe(1);
});

test('a server that has just been admitted knows the scripts: a burst does not carry their text', async () => {
  await redis('SCRIPT', 'FLUSH');
  await subject.node.readmit();
  await redis('CONFIG', 'RESETSTAT');
  await Promise.all(keys(50).map((key) => subject.lease(key, 'token')));
  expect(await calls('evalsha')).toBe(50);
  expect(await calls('eval')).toBe(0);
});
