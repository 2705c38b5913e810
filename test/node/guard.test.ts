/** What a node keeps for others that did not confirm a delete, on a real server. */
import { beforeEach, describe, expect, test } from 'vitest';
import type { NodeUnavailableError } from '../../src/errors.ts';
import { fenceOf } from '../../src/node/fence.ts';
import { MAX_NOTES, type Notes, OVERFLOW } from '../../src/node/guard-node.ts';
import type { MissedKeys } from '../../src/node/node.ts';
import { command, useNodes } from '../support/nodes.ts';
import { FaultProxy } from '../support/proxy.ts';
import { EPOCH, FENCE, Subject, timed, useSubjects } from './subject.ts';

const nodes = useNodes(1);
const start = useSubjects();
const redis = (...words: string[]): Promise<string> => command(nodes[0]!, ...words);
let subject: Subject;

beforeEach(async () => {
  await redis('CONFIG', 'SET', 'maxmemory', '0');
  await redis('FLUSHALL');
  subject = await start(nodes[0]!);
});

function note(keys: readonly string[], mark = 'm1', keepMs = 60_000) {
  return subject.node.guard.note('other', { keys, mark, keepMs, fence: FENCE });
}

async function notes(of: Subject = subject): Promise<Notes> {
  const answer = await of.node.guard.notesFor('other', EPOCH);
  if (answer.kind !== 'notes') throw new Error(answer.kind);
  return answer.notes;
}

const named = (count: number): string[] => Array.from({ length: count }, (_, i) => `key ${i}`);
const pttl = async (): Promise<number> => Number((await redis('PTTL', 'rc:m:other')).slice(1));

describe('notes', () => {
  test('are there for whoever asks, by node; a key once, with its last mark', async () => {
    expect(await note(['a', 'b'])).toEqual({ kind: 'noted' });
    expect(await note(['b', 'ü\r\n'], 'm2')).toEqual({ kind: 'noted' });
    const second = await start(nodes[0]!);
    expect(Object.fromEntries(await notes(second))).toEqual({ a: 'm1', b: 'm2', 'ü\r\n': 'm2' });
    expect(await second.node.guard.notesFor('third', EPOCH)).toEqual({
      kind: 'notes',
      notes: new Map(),
    });
  });

  test('are all read, however many', async () => {
    const keys = named(3_000);
    expect(await note(keys)).toEqual({ kind: 'noted' });
    expect(new Set((await notes()).keys())).toEqual(new Set(keys));
  });

  test('live as long as the longest that was asked for', async () => {
    await note(['a'], 'm1', 60_000);
    await note(['b'], 'm2', 1_000);
    expect(await pttl()).toBeGreaterThan(50_000);
    await note(['c'], 'm3', 90_000);
    expect(await pttl()).toBeGreaterThan(80_000);
  });

  test('are taken off as they were read; what was noted again since stays', async () => {
    await note(named(1_200));
    const read = await notes();
    await note(['key 7'], 'm2');
    await subject.node.guard.takeOff('other', read);
    expect([...(await notes())]).toEqual([['key 7', 'm2']]);
    await subject.node.guard.takeOff('other', await notes());
    expect(await redis('EXISTS', 'rc:m:other')).toBe(':0\r\n');
  });

  test('that are too many become a mark that there were some, and stay one', async () => {
    await note(named(MAX_NOTES));
    expect((await notes()).size).toBe(MAX_NOTES);
    await note(['one more'], 'm2');
    const full = await notes();
    expect([...full]).toEqual([[OVERFLOW, 'm2']]);
    expect(await pttl()).toBeGreaterThan(50_000);
    await note(['another'], 'm3');
    await subject.node.guard.takeOff('other', full);
    expect([...(await notes())]).toEqual([[OVERFLOW, 'm3']]);
    await subject.node.guard.takeOff('other', await notes());
    expect((await notes()).size).toBe(0);
  });

  test('are taken by a node that is full and may not evict', async () => {
    await redis('CONFIG', 'SET', 'maxmemory-policy', 'noeviction');
    await redis('CONFIG', 'SET', 'maxmemory', '1');
    expect(await subject.set('k', 1)).toEqual({ kind: 'refused' });
    expect(await note(['a'])).toEqual({ kind: 'noted' });
    await note(named(MAX_NOTES));
    expect([...(await notes()).keys()]).toEqual([OVERFLOW]);
  });

  test('are not taken under an outdated or a lost epoch', async () => {
    await redis('SET', 'rc:e', fenceOf(EPOCH + 1, '00000000'));
    expect(await note(['a'])).toEqual({ kind: 'stale' });
    await redis('DEL', 'rc:e');
    expect(await note(['a'])).toEqual({ kind: 'unknown' });
    expect(await redis('EXISTS', 'rc:m:other')).toBe(':0\r\n');
  });

  test('are taken from a process whose topology is not confirmed: the fence is', async () => {
    let trusted = true;
    subject = await start(nodes[0]!, { trusted: () => trusted });
    trusted = false;
    await expect(subject.node.remove('k', FENCE)).rejects.toMatchObject({ reason: 'unconfirmed' });
    expect(await note(['a'])).toEqual({ kind: 'noted' });
  });

  test('are not told to who knows an older ring: he is shown the newer one', async () => {
    await note(['a']);
    await redis('SET', 'rc:e', fenceOf(EPOCH + 1, '00000000'));
    await redis('SET', 'rc:t', 'newer document');
    const ask = () => subject.node.guard.notesFor('other', EPOCH);
    expect(await ask()).toEqual({ kind: 'newer', document: 'newer document' });
    await redis('DEL', 'rc:t');
    expect(await ask()).toEqual({ kind: 'newer', document: undefined });
    expect(await subject.node.guard.notesFor('other', EPOCH + 2)).toMatchObject({ kind: 'notes' });
    expect(await redis('GET', 'rc:e')).toContain(fenceOf(EPOCH + 1, '00000000'));
  });

  test('of a node that has lost its epoch are lost as well, whatever is there', async () => {
    await note(['a']);
    await redis('DEL', 'rc:e');
    expect(await subject.node.guard.notesFor('other', EPOCH)).toEqual({ kind: 'unknown' });
  });
});

describe('who is asked for notes', () => {
  test('need not have been admitted, but to take some', async () => {
    await note(['a']);
    const reject = () => ({ kind: 'reject', reason: new Error('not now') }) as const;
    const refused = await start(nodes[0]!, { admit: reject });
    expect([...(await notes(refused)).keys()]).toEqual(['a']);
    const ask = { keys: ['b'], mark: 'm', keepMs: 1_000, fence: FENCE };
    await expect(refused.node.guard.note('other', ask)).rejects.toMatchObject({
      reason: 'breaker-open',
    });
  });

  test('is waited for while its first connection is made, and not for its admission', async () => {
    await note(['a']);
    await using slow = await FaultProxy.start(nodes[0]!.port);
    slow.set({ kind: 'latency', ms: 30 });
    const places = [nodes[0]!, { id: 'slow', url: slow.url }];
    const found: string[][] = [];
    // As at the start of a process: each is admitted by what the other has noted.
    const pair: [Subject, Subject] = places.map((place, i) => {
      const admit = async () => {
        found.push([...(await notes(pair[1 - i]!)).keys()]);
        return { kind: 'install', fence: FENCE, document: '{}' } as const;
      };
      return new Subject(place, { admit });
    }) as [Subject, Subject];
    await Promise.all(pair.map(({ node }) => node.open()));
    expect(pair.map(({ up }) => up)).toEqual([true, true]);
    expect(found).toEqual([['a'], ['a']]);
    await Promise.all(pair.map(({ node }) => node.close()));
  });

  test('is waited for when its connection was lost just now, and not later', async () => {
    await note(['a']);
    await using proxy = await FaultProxy.start(nodes[0]!.port);
    const behind = await start({ id: 'n', url: proxy.url });
    proxy.reset();
    await command(nodes[0]!, 'PING');
    expect([...(await notes(behind)).keys()]).toEqual(['a']);
    await proxy.refuse();
    await command(nodes[0]!, 'PING');
    const once = await timed(notes(behind));
    expect(once.error?.reason).toBe('connection');
    const again = await timed(notes(behind));
    expect(again.error?.reason).toBe('connection');
    expect(again.ms).toBeLessThan(200);
  });

  test('answers nothing when it was closed', async () => {
    await subject.node.close();
    const failed = await subject.node.guard
      .notesFor('other', EPOCH)
      .catch((error: NodeUnavailableError) => error.reason);
    expect(failed).toBe('closed');
  });
});

describe('what a node missed', () => {
  /** Whether the node was in use whenever it was told that all is removed. */
  async function openAfter(keys: readonly string[]): Promise<{ second: Subject; told: boolean[] }> {
    const told: boolean[] = [];
    const missed: MissedKeys = { keys, invalidations: [], removed: () => told.push(second.up) };
    const admit = () => ({ kind: 'install', fence: FENCE, document: '{}', missed }) as const;
    const second = new Subject(nodes[0]!, { admit });
    await second.node.open();
    return { second, told };
  }

  test('is removed before it is used, with the leases; then that is told', async () => {
    const keys = named(1_100);
    await Promise.all([...keys, 'kept'].map((key) => subject.set(key, 'old')));
    await redis('DEL', 'rc:v:key 0');
    await subject.lease('key 0', 'token');
    const { second, told } = await openAfter(keys);
    // The fence, the document, the run, the sequence and its two sets, and one value.
    expect(await redis('DBSIZE')).toBe(':7\r\n');
    expect(await second.readValue('kept')).toBe('old');
    expect(told).toEqual([true]);
    await second.node.close();
  });

  test('is not told to be removed by an admission that fails', async () => {
    await subject.set('a', 'old');
    await redis('SET', 'rc:e', fenceOf(EPOCH + 1, '00000000'));
    const { second, told } = await openAfter(['a']);
    expect(second.up).toBe(false);
    expect(told).toEqual([]);
    await second.node.close();
  });
});

test('many keys are removed at once, whatever the epoch', async () => {
  const keys = named(1_100);
  await Promise.all(keys.map((key) => subject.set(key, 1)));
  await redis('SET', 'rc:e', fenceOf(EPOCH + 1, '00000000'));
  await subject.node.removeAll(keys);
  expect(await redis('DBSIZE')).toBe(':6\r\n');
});
