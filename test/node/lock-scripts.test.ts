/** Taking, lengthening, numbering and looking at a lock in one step, on a real server. */
import { describe, expect, test } from 'vitest';
import { fenceOf } from '../../src/node/fence.ts';
import type { LockNode } from '../../src/node/lock-node.ts';
import { eventually } from '../support/eventually.ts';
import { useNodes } from '../support/nodes.ts';
import { askOf, PROFILE, useLocks } from './lock-subject.ts';
import { EPOCH, FENCE } from './subject.ts';

const nodes = useNodes(1);
const bench = useLocks(nodes);

const DAY_MS = 24 * 3_600_000;

async function granted(name: string, token: string, more = {}): Promise<number> {
  const answer = await bench.locks.acquire(name, askOf(token, more));
  if (answer.kind !== 'granted') throw new Error(`it was answered ${answer.kind}`);
  return answer.number;
}

async function serverMicros(): Promise<number> {
  const [, , seconds, , micros] = (await bench.redis('TIME')).split('\r\n');
  return Number(seconds) * 1_000_000 + Number(micros);
}

describe('the fence', () => {
  type Ask = (locks: LockNode, fence: string) => Promise<{ readonly kind: string }>;
  const fenced: [string, Ask][] = [
    ['acquire', (locks, fence) => locks.acquire('n', askOf('t', { fence }))],
    ['prolong', (locks, fence) => locks.prolong('n', { token: 't', ttlMs: 60_000, fence })],
  ];

  describe.each(fenced)('of %s', (_, ask) => {
    const contents = async (): Promise<(string | undefined)[]> => [
      (await bench.redis('KEYS', '*')).split('\r\n').sort().join(' '),
      await bench.text('GET', 'rc:e'),
      await bench.text('GET', 'rc:k:l:n'),
      await bench.text('GET', 'rc:k:n:n'),
    ];

    test.each([
      ['later on the node', fenceOf(EPOCH + 1, '00000000'), 'stale'],
      ['of the same epoch and other members', fenceOf(EPOCH, 'abadcafe'), 'stale'],
      ['lost by the node', undefined, 'unknown'],
    ])('%s: nothing was done', async (_case, stands, kind) => {
      await granted('n', 't', { ttlMs: 5_000 });
      await (stands === undefined
        ? bench.redis('DEL', 'rc:e')
        : bench.redis('SET', 'rc:e', stands));
      const was = await contents();
      expect(await ask(bench.locks, FENCE)).toEqual({ kind });
      expect(await contents()).toEqual(was);
      expect(await bench.number('PTTL', 'rc:k:l:n')).toBeLessThanOrEqual(5_000);
    });

    test('earlier on the node: raised, and the rest is done', async () => {
      await granted('n', 't');
      const next = fenceOf(EPOCH + 1, '00000000');
      const { kind } = await ask(bench.locks, next);
      expect(['granted', 'prolonged']).toContain(kind);
      expect(await bench.text('GET', 'rc:e')).toBe(next);
    });
  });

  // A process that knows the new ring is turned away by nobody, but whoever does not is, from then on.
  test('is raised by a lock that is busy as well', async () => {
    await granted('n', 'a');
    const next = fenceOf(EPOCH + 1, '00000000');
    expect((await bench.locks.acquire('n', askOf('b', { fence: next }))).kind).toBe('busy');
    expect(await bench.locks.prolong('n', { token: 'a', ttlMs: 1_000, fence: FENCE })).toEqual({
      kind: 'stale',
    });
  });
});

describe('a gate that is not open grants nothing:', () => {
  const run = () => bench.text('GET', 'rc:k:g').then((gate) => gate?.split(' ')[1] ?? '');
  test.each<[string, () => Promise<string | undefined>]>([
    ['it is gone', async () => undefined],
    ['it is new', async () => `new ${await run()} ${PROFILE}`],
    ['it is in quarantine', async () => `${Date.now() + 5_000} ${await run()} ${PROFILE}`],
    ['it was opened in another run', async () => `open another ${PROFILE}`],
    ['others use it in another way', async () => `open ${await run()} quorum-60000`],
  ])('%s', async (_, gate) => {
    const stands = await gate();
    await (stands === undefined
      ? bench.redis('DEL', 'rc:k:g')
      : bench.redis('SET', 'rc:k:g', stands));
    expect(await bench.locks.acquire('n', askOf('t'))).toEqual({ kind: 'shut' });
    expect(await bench.number('EXISTS', 'rc:k:l:n', 'rc:k:n:n', 'rc:k:q:n')).toBe(0);
  });

  test('what is held can be lengthened still', async () => {
    await granted('n', 't');
    await bench.redis('DEL', 'rc:k:g');
    const asked = bench.locks.prolong('n', { token: 't', ttlMs: 20_000, fence: FENCE });
    expect(await asked).toEqual({ kind: 'prolonged' });
  });
});

describe('a lock', () => {
  test('is taken for its ttl, rounded up to a millisecond', async () => {
    await granted('n', 't', { ttlMs: 4_000.2 });
    expect(await bench.text('GET', 'rc:k:l:n')).toBe('t');
    const left = await bench.number('PTTL', 'rc:k:l:n');
    expect(left).toBeGreaterThan(3_900);
    expect(left).toBeLessThanOrEqual(4_001);
  });

  test('is busy for another token, which is told for how long, and takes no place unasked', async () => {
    await granted('n', 'a', { ttlMs: 1_000 });
    const answer = await bench.locks.acquire('n', askOf('b'));
    expect(answer).toMatchObject({ kind: 'busy' });
    if (answer.kind === 'busy') {
      expect(answer.remainingMs).toBeGreaterThan(900);
      expect(answer.remainingMs).toBeLessThanOrEqual(1_000);
    }
    expect(await bench.text('GET', 'rc:k:l:n')).toBe('a');
    expect(await bench.number('EXISTS', 'rc:k:q:n')).toBe(0);
    expect(await granted('other', 'b')).toBeGreaterThan(0);
  });

  test('is granted again to the token that has it, for the time that is asked for now', async () => {
    const first = await granted('n', 'a', { ttlMs: 1_000 });
    expect(await granted('n', 'a', { ttlMs: 9_000 })).toBe(first + 1);
    expect(await bench.number('PTTL', 'rc:k:l:n')).toBeGreaterThan(8_900);
  });

  test('is free when it has run out', async () => {
    await granted('n', 'a', { ttlMs: 20 });
    await eventually(async () => (await bench.locks.acquire('n', askOf('b'))).kind === 'granted');
  });

  test('has nothing to do with a lease of the same name and the same token', async () => {
    expect(await bench.subject.lease('n', 'lease')).toMatchObject({ kind: 'leased' });
    await granted('n', 'lock');
    expect(await bench.subject.fill('n', 'lease', 'value')).toEqual({ kind: 'stored' });
    expect(await bench.locks.look('n')).toMatchObject({ held: true });
    await bench.subject.set('n', 'other');
    await bench.subject.node.remove('n', FENCE);
    expect(await bench.locks.look('n')).toMatchObject({ held: true });
    await bench.subject.lease('n', 'both');
    await bench.locks.release('n', { token: 'lock', waiter: '', keepMs: 0 });
    await granted('n', 'both');
    await bench.subject.node.dropLease('n', 'both');
    expect(await bench.locks.look('n')).toMatchObject({ held: true });
    await bench.subject.lease('n', 'both');
    await bench.locks.release('n', { token: 'both', waiter: '', keepMs: 0 });
    expect(await bench.subject.node.inspect('n')).toMatchObject({ leased: true });
  });

  test.each(['a b', 'x\r\nDEL y\r\n', '{tag}', '__proto__', 'é'.repeat(512)])(
    'is told apart by its whole name: %j',
    async (name) => {
      await granted(name, 't');
      expect(await bench.locks.look(name)).toMatchObject({ held: true });
      expect(await bench.number('EXISTS', `rc:k:l:${name}`)).toBe(1);
      expect(await bench.locks.release(name, { token: 't', waiter: '', keepMs: 0 })).toBe(true);
    },
  );
});

describe('the queue', () => {
  const waits = (token: string, waiter = 'w') => bench.locks.acquire('n', askOf(token, { waiter }));

  test('has a place for who asks for one while the lock is busy, by the time of the first try', async () => {
    await granted('n', 'a');
    const before = await serverMicros();
    expect((await waits('b')).kind).toBe('busy');
    const at = await bench.number('ZSCORE', 'rc:k:q:n', 'w b');
    expect(at).toBeGreaterThan(before);
    expect(at).toBeLessThan(await serverMicros());
    expect((await waits('c')).kind).toBe('busy');
    await waits('b');
    expect(await bench.number('ZSCORE', 'rc:k:q:n', 'w b')).toBe(at);
    expect(await bench.redis('ZRANGE', 'rc:k:q:n', '0', '-1')).toContain('w b\r\n$3\r\nw c');
    expect(await bench.locks.look('n')).toMatchObject({ waiters: 2 });
  });

  test('is forgotten two minutes after the last one asked', async () => {
    await granted('n', 'a');
    await waits('b');
    await bench.redis('PEXPIRE', 'rc:k:q:n', '1000');
    await waits('b');
    const left = await bench.number('PTTL', 'rc:k:q:n');
    expect(left).toBeGreaterThan(119_000);
    expect(left).toBeLessThanOrEqual(120_000);
  });

  test('is left by who is granted the lock, and by nobody else', async () => {
    await granted('n', 'a', { ttlMs: 30 });
    await waits('b');
    await waits('c');
    await eventually(async () => (await waits('b')).kind === 'granted');
    expect(await bench.redis('ZRANGE', 'rc:k:q:n', '0', '-1')).toBe('*1\r\n$3\r\nw c\r\n');
  });

  test('has no place for who is granted the lock at once', async () => {
    expect((await waits('b')).kind).toBe('granted');
    expect(await bench.number('EXISTS', 'rc:k:q:n')).toBe(0);
  });
});

describe('the number', () => {
  test('begins at the microsecond of the server, and is one more with every grant', async () => {
    const before = await serverMicros();
    const first = await granted('n', 'a');
    expect(first).toBeGreaterThan(before);
    expect(first).toBeLessThan(await serverMicros());
    await bench.locks.release('n', { token: 'a', waiter: '', keepMs: 0 });
    expect(await granted('n', 'b')).toBe(first + 1);
    expect(await bench.text('GET', 'rc:k:n:n')).toBe(String(first + 1));
  });

  test('does not grow while the lock is busy', async () => {
    const first = await granted('n', 'a');
    await bench.locks.acquire('n', askOf('b'));
    expect(await bench.number('GET', 'rc:k:n:n')).toBe(first);
  });

  test('grows over a loss of all data', async () => {
    const first = await granted('n', 'a');
    const gate = (await bench.text('GET', 'rc:k:g')) ?? '';
    await bench.redis('FLUSHALL');
    await bench.redis('SET', 'rc:k:g', gate);
    await bench.redis('SET', 'rc:e', FENCE);
    expect(await granted('n', 'b')).toBeGreaterThan(first);
  });

  test('that was begun at 0 is begun anew', async () => {
    await bench.redis('SET', 'rc:k:n:n', '17');
    const before = await serverMicros();
    expect(await granted('n', 'a')).toBeGreaterThan(before);
  });

  test('is larger than what the asker was granted elsewhere', async () => {
    const floor = (await serverMicros()) + 3_600_000_000;
    expect(await granted('n', 'a', { floor })).toBe(floor + 1);
    expect(await granted('n', 'a', { floor })).toBe(floor + 2);
    // The next one would be the floor itself.
    await bench.redis('SET', 'rc:k:n:n', String(floor - 1));
    expect(await granted('n', 'a', { floor })).toBe(floor + 1);
    expect(await granted('n', 'a', { floor: floor - 1_000 })).toBe(floor + 2);
  });

  test('is forgotten a week after it was begun', async () => {
    await granted('n', 'a');
    const left = await bench.number('PTTL', 'rc:k:n:n');
    expect(left).toBeGreaterThan(7 * DAY_MS - 5_000);
    expect(left).toBeLessThanOrEqual(7 * DAY_MS);
    await granted('n', 'a');
    expect(await bench.number('PTTL', 'rc:k:n:n')).toBeGreaterThan(0);
  });
});

describe('to lengthen', () => {
  const prolong = (token: string, ttlMs: number) =>
    bench.locks.prolong('n', { token, ttlMs, fence: FENCE });

  test('sets the time that is left, longer or shorter', async () => {
    await granted('n', 'a', { ttlMs: 5_000 });
    expect(await prolong('a', 30_000)).toEqual({ kind: 'prolonged' });
    expect(await bench.number('PTTL', 'rc:k:l:n')).toBeGreaterThan(29_000);
    expect(await prolong('a', 1_000)).toEqual({ kind: 'prolonged' });
    expect(await bench.number('PTTL', 'rc:k:l:n')).toBeLessThanOrEqual(1_000);
  });

  test("is not for another's lock, and leaves its time", async () => {
    await granted('n', 'a', { ttlMs: 5_000 });
    expect(await prolong('b', 60_000)).toEqual({ kind: 'lost' });
    expect(await bench.number('PTTL', 'rc:k:l:n')).toBeLessThanOrEqual(5_000);
  });

  test('does not take again what has run out', async () => {
    await granted('n', 'a');
    await bench.redis('DEL', 'rc:k:l:n');
    expect(await prolong('a', 60_000)).toEqual({ kind: 'lost' });
    expect(await bench.number('EXISTS', 'rc:k:l:n')).toBe(0);
  });
});

describe('to raise the number', () => {
  const raise = (token: string, number: number) => bench.locks.raise('n', { token, number });

  test('makes the next one larger', async () => {
    const number = (await granted('n', 'a')) + 1_000_000;
    expect(await raise('a', number)).toBe(true);
    expect(await granted('n', 'a')).toBe(number + 1);
    expect(await bench.number('PTTL', 'rc:k:n:n')).toBeGreaterThan(6 * DAY_MS);
  });

  test('never lowers it', async () => {
    const number = await granted('n', 'a');
    expect(await raise('a', number - 5)).toBe(true);
    expect(await bench.number('GET', 'rc:k:n:n')).toBe(number);
  });

  test('begins one that is gone', async () => {
    const number = await granted('n', 'a');
    await bench.redis('DEL', 'rc:k:n:n');
    expect(await raise('a', number)).toBe(true);
    expect(await bench.number('GET', 'rc:k:n:n')).toBe(number);
  });

  test('is only for who has the lock', async () => {
    const number = await granted('n', 'a');
    expect(await raise('b', number + 5)).toBe(false);
    expect(await bench.number('GET', 'rc:k:n:n')).toBe(number);
    await bench.redis('DEL', 'rc:k:l:n');
    expect(await raise('a', number + 5)).toBe(false);
  });
});

describe('to look', () => {
  test('finds nothing where nothing was', async () => {
    const nothing = { held: false, remainingMs: 0, number: 0, waiters: 0 };
    expect(await bench.locks.look('n')).toEqual(nothing);
  });

  test('finds what is left of the time, the last number and who waits', async () => {
    const number = await granted('n', 'a', { ttlMs: 5_000 });
    await bench.enqueue('n', 1, 'w x');
    const { remainingMs, ...rest } = await bench.locks.look('n');
    expect(rest).toEqual({ held: true, number, waiters: 1 });
    expect(remainingMs).toBeGreaterThan(4_900);
    await bench.locks.release('n', { token: 'a', waiter: '', keepMs: 0 });
    expect(await bench.locks.look('n')).toMatchObject({ held: false, remainingMs: 0, number });
  });
});

test('an eviction policy is told only of a server that may evict', async () => {
  const config = (limit: string, policy: string) =>
    bench.redis('CONFIG', 'SET', 'maxmemory', limit, 'maxmemory-policy', policy);
  try {
    await config('0', 'allkeys-lru');
    expect(await bench.locks.evictionPolicy()).toBeUndefined();
    await config('200mb', 'noeviction');
    expect(await bench.locks.evictionPolicy()).toBeUndefined();
    await config('200mb', 'allkeys-lru');
    expect(await bench.locks.evictionPolicy()).toBe('allkeys-lru');
    await config('200mb', 'volatile-ttl');
    expect(await bench.locks.evictionPolicy()).toBe('volatile-ttl');
  } finally {
    await config('0', 'noeviction');
  }
});
