/** The sequence of a node: what its scripts keep, and what a process knows of it. */
import { beforeEach, describe, expect, test } from 'vitest';
import { MAX_INVALIDATIONS } from '../../src/node/tag-node.ts';
import { TagTable } from '../../src/node/tag-table.ts';
import { command, useNodes } from '../support/nodes.ts';
import { EPOCH, FENCE, LIFE, payload, type Subject, useSubjects } from './subject.ts';

const nodes = useNodes(1);
const start = useSubjects();
const redis = (...words: string[]): Promise<string> => command(nodes[0]!, ...words);
let subject: Subject;

beforeEach(async () => {
  await redis('FLUSHALL');
  subject = await start(nodes[0]!);
});

const tag = (name: string) => ({ kind: 'tag', name }) as const;
const prefix = (name: string) => ({ kind: 'prefix', name }) as const;

function set(key: string, tags: string[]): Promise<unknown> {
  const life = { ...LIFE, tags };
  return subject.node.write(key, { payload: payload(1), life, fence: FENCE, epoch: EPOCH });
}

/** Whether a process that knows nothing yet finds the key. */
async function finds(key: string): Promise<boolean> {
  // The news of many tags take some round trips.
  const other = await start(nodes[0]!, { tuning: { timeoutMs: 5_000 } });
  const [result] = await other.read(key);
  if (result === undefined || 'error' in result) throw result?.error ?? new Error('no result');
  return result.stored !== undefined && !result.stored.overtaken;
}

describe('a node', () => {
  test('grows its sequence with everything that is deleted, and by the clock', async () => {
    const numbers: number[] = [];
    const look = async (): Promise<void> => {
      const [, tags, clears] = /(\d{16}):(\d{16})/.exec(await redis('GET', 'rc:g')) ?? [];
      numbers.push(Math.max(Number(tags), Number(clears)));
    };
    await look();
    await subject.node.tags.raise([tag('a'), tag('b')], FENCE);
    await look();
    await subject.node.tags.raise([prefix('users:')], FENCE);
    await look();
    expect(numbers).toEqual([...numbers].sort((a, b) => a - b));
    expect(new Set(numbers).size).toBe(3);
    expect(numbers[0]).toBeGreaterThan(1e15);
  });

  test('does nothing for whoever has an older fence', async () => {
    await set('k', ['a']);
    const older = FENCE.replace('5:', '4:');
    expect(await subject.node.tags.raise([tag('a')], older)).toEqual({ kind: 'stale' });
    expect(await finds('k')).toBe(true);
  });

  test('forgets the oldest tags of too many, and takes what is older for deleted', async () => {
    await set('old', ['first']);
    await set('untagged', []);
    await subject.node.tags.raise([tag('first')], FENCE);
    await set('middle', ['never deleted']);
    const many = Array.from({ length: MAX_INVALIDATIONS }, (_, i) => tag(`t${i}`));
    await subject.node.tags.raise(many, FENCE);
    await set('new', ['first']);
    expect(await redis('ZCARD', 'rc:g:t')).toBe(`:${MAX_INVALIDATIONS + 1}\r\n`);
    expect(await redis('ZSCORE', 'rc:g:t', 'first')).toBe('$-1\r\n');
    expect(await finds('old')).toBe(false);
    expect(await finds('middle')).toBe(true);
    expect(await finds('new')).toBe(true);
    await subject.node.tags.raise([tag('more'), tag('and more')], FENCE);
    expect(await finds('middle')).toBe(false);
    expect(await finds('untagged')).toBe(true);
  });

  test('that is full is told all the same', async () => {
    await set('k', ['a']);
    await redis('CONFIG', 'SET', 'maxmemory', '1');
    await redis('CONFIG', 'SET', 'maxmemory-policy', 'noeviction');
    try {
      expect(await subject.node.tags.raise([tag('a')], FENCE)).toEqual({ kind: 'raised' });
    } finally {
      await redis('CONFIG', 'SET', 'maxmemory', '0');
      await redis('CONFIG', 'SET', 'maxmemory-policy', 'allkeys-lru');
    }
    expect(await finds('k')).toBe(false);
  });

  test('of another run begins anew, so that its sequence cannot have been there before', async () => {
    await set('k', []);
    await redis('SET', 'rc:r', 'another run');
    expect(await finds('k')).toBe(false);
  });
});

describe('a table', () => {
  const table = (inUse = new Set<object>()): TagTable => new TagTable(() => inUse as never);

  test('knows prefixes where a part of a key ends', () => {
    const known = table();
    known.tell(prefix('users:'), 10);
    known.tell(prefix('a:b:'), 20);
    const cleared = (key: string, seq: number): boolean => known.isOvertaken(key, { seq });
    expect(cleared('users:1', 9)).toBe(true);
    expect(cleared('users:1', 10)).toBe(false);
    expect(cleared('users:x:1', 9)).toBe(true);
    expect(cleared('users', 9)).toBe(false);
    expect(cleared('users2:1', 9)).toBe(false);
    expect(cleared('a:b:c', 19)).toBe(true);
    expect(cleared('a:c', 19)).toBe(false);
    known.tell(prefix(''), 30);
    expect(cleared('anything', 29)).toBe(true);
  });

  test('shows nothing while a delete is under way, and afterwards what is newer', () => {
    const known = table();
    const [record] = known.records(['a']);
    known.expect(tag('a'), { underWay: 1 });
    expect(record?.deletedAt).toBe(Number.POSITIVE_INFINITY);
    known.tell(tag('a'), 7);
    expect(known.isOvertaken('k', { seq: 8, tags: ['a'] })).toBe(true);
    known.expect(tag('a'), { underWay: -1 });
    expect(record?.deletedAt).toBe(7);
    known.expect(tag('a'), { isLate: true });
    expect(record?.deletedAt).toBe(Number.POSITIVE_INFINITY);
    known.expect(tag('a'), { isLate: false });
    expect(record?.deletedAt).toBe(7);
  });

  test('raises all records when the oldest are forgotten', () => {
    const known = table();
    const [record] = known.records(['a']);
    known.tell(tag(''), 5);
    expect(record?.deletedAt).toBe(5);
    expect(known.records(['b'])[0]?.deletedAt).toBe(5);
    expect(known.isOvertaken('k', { seq: 4, tags: ['c'] })).toBe(true);
    expect(known.isOvertaken('k', { seq: 4 })).toBe(false);
  });

  test('drops records that nothing refers to, and ends them', () => {
    const inUse = new Set<object>();
    const known = table(inUse);
    const [kept] = known.records(['kept']);
    const [dropped] = known.records(['dropped']);
    inUse.add(kept!);
    for (let i = 0; i < 20_000; i++) known.records([`t${i}`]);
    known.tell(tag('kept'), 3);
    known.tell(tag('dropped'), 3);
    expect(kept?.deletedAt).toBe(3);
    expect(dropped?.deletedAt).toBe(Number.POSITIVE_INFINITY);
  });
});
