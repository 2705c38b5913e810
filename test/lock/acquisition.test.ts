/** What a caller gets, when, for each way in which the nodes may answer. */
import { describe, expect, test } from 'vitest';
import {
  ClosedError,
  LockLostError,
  LockTimeoutError,
  LockUnavailableError,
  QuorumError,
  TopologyConflictError,
} from '../../src/errors.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { type AttemptOutcome, away, locksByHand } from './by-hand.ts';

const BUSY = { kind: 'busy', remainingMs: 4_000 } as const;
const UNAVAILABLE = {
  kind: 'unavailable',
  node: 'node-1',
  why: 'node-1 is away',
  cause: away(),
} as const;

function rooms() {
  const clock = new FakeClock(1_000);
  return { clock, ...locksByHand(clock) };
}

/** The outcome as a value, so that a rejection is never unhandled. */
function caught(work: Promise<unknown>): Promise<unknown> {
  return work.then(
    (value) => value,
    (error: unknown) => error,
  );
}

test.each<[string, AttemptOutcome, new (...args: never[]) => Error, object]>([
  ['busy', BUSY, LockTimeoutError, { code: 'RINGCACHE_LOCK_TIMEOUT', retryAfterMs: 4_000 }],
  ['away', UNAVAILABLE, LockUnavailableError, { node: 'node-1', cause: { reason: 'timeout' } }],
  [
    'in quarantine',
    { kind: 'unavailable', node: 'node-1', why: 'restarted', retryAfterMs: 900 },
    LockUnavailableError,
    { code: 'RINGCACHE_LOCK_UNAVAILABLE', retryAfterMs: 900 },
  ],
  [
    'without a majority',
    { kind: 'no-quorum', votes: [{ node: 'a', vote: 'unavailable', error: away() }] },
    QuorumError,
    { code: 'RINGCACHE_QUORUM', votes: [{ node: 'a', vote: 'unavailable' }] },
  ],
  ['silent', 'hangs', LockUnavailableError, { node: 'node-1' }],
])(
  'a node that is %s to the end: the wait ends in time, and says so',
  async (_, outcome, error, fields) => {
    const { clock, homes, locks } = rooms();
    homes.outcomes.set('l', outcome);
    const failure = caught(locks.acquire('l', { waitTimeout: 2_000 }));
    await clock.advance(1_999);
    expect(locks.stats().waiting).toBe(1);
    await clock.advance(1);
    await clock.settle();
    expect(locks.stats().waiting).toBe(0);
    expect(await failure).toBeInstanceOf(error);
    expect(await failure).toMatchObject({ lock: 'l', ...fields });
    expect(clock.pending).toBe(0);
  },
);

test('a conflict ends the wait at once', async () => {
  const { clock, homes, locks } = rooms();
  const error = new TopologyConflictError('node-1', 'serves locks in another way');
  homes.outcomes.set('l', { kind: 'conflict', error });
  await expect(locks.acquire('l')).rejects.toBe(error);
  await expect(locks.tryAcquire('l')).rejects.toBe(error);
  expect(clock.pending).toBe(0);
});

test('a single try waits for the answer of its node', async () => {
  for (const single of ['acquire', 'tryAcquire'] as const) {
    const { clock, homes, locks } = rooms();
    homes.outcomes.set('l', 'hangs');
    const lock = locks[single]('l', { waitTimeout: 0 });
    await clock.advance(99);
    homes.answer('granted');
    expect(await lock).toMatchObject({ name: 'l', held: true });
  }
});

test('and has the budget of its node, whatever hangs', async () => {
  const { clock, homes, locks } = rooms();
  homes.outcomes.set('l', 'hangs');
  const failures = [locks.acquire('l', { waitTimeout: 0 }), locks.tryAcquire('l')].map(caught);
  await clock.advance(100);
  await clock.settle();
  for (const failure of failures) expect(await failure).toBeInstanceOf(LockUnavailableError);
});

// A wait of 5 s that ends 30 s late is none.
test('a try that hangs does not hold up the end of the wait; what it is granted late is given back', async () => {
  const { clock, homes, locks } = rooms();
  homes.outcomes.set('l', 'hangs');
  const failure = caught(locks.acquire('l', { waitTimeout: 300 }));
  await clock.advance(300);
  await clock.settle();
  expect(await failure).toBeInstanceOf(LockUnavailableError);
  expect(homes.abandoned).toEqual([]);
  homes.answer('granted');
  await clock.settle();
  expect(homes.abandoned).toEqual(['l']);
  expect(locks.stats()).toMatchObject({ held: 0, acquired: 0, unavailable: 1 });
});

// The deadline had fired, and only its last step was still to come.
test('an answer in the turn of the deadline is a lock, and it stays one', async () => {
  const { clock, homes, locks } = rooms();
  homes.outcomes.set('l', 'hangs');
  const acquired = locks.acquire('l', { waitTimeout: 300 });
  clock.after(300, () => homes.answer('granted'));
  await clock.advance(300);
  await clock.settle();
  const lock = await acquired;
  expect(lock.held).toBe(true);
  // What the renewals ask, to know whether anybody still wants the lock.
  expect(homes.asked[0]?.over()).toBe(false);
});

test('a lock whose time was over before this process heard of it is given back, and asked for again', async () => {
  const { clock, homes, locks } = rooms();
  homes.outcomes.set('l', 'hangs');
  const acquired = locks.acquire('l', { ttl: 1_000, retryDelay: 100 });
  await clock.settle();
  homes.answer('granted');
  // The event loop stood still between the answer and its reader.
  clock.jump(2_000);
  await clock.advance(100);
  expect(homes.grips.get('l')?.released).toEqual([0]);
  homes.answer('granted');
  await clock.settle();
  expect((await acquired).remaining()).toBeGreaterThan(900);
  expect(homes.asked).toHaveLength(2);
});

describe('tries', () => {
  test('retries: 0 is one, retries: 2 are three, retryDelay apart', async () => {
    for (const [retries, tries] of [
      [0, 1],
      [2, 3],
    ] as const) {
      const { clock, homes, locks } = rooms();
      homes.outcomes.set('l', BUSY);
      const failure = caught(locks.acquire('l', { retries, retryDelay: 100 }));
      await clock.advance(100 * retries);
      await clock.settle();
      expect(await failure).toBeInstanceOf(LockTimeoutError);
      expect(await failure).toMatchObject({ waitedMs: 100 * retries });
      expect(homes.asked).toHaveLength(tries);
    }
  });

  test('go on within waitTimeout alone', async () => {
    const { clock, homes, locks } = rooms();
    homes.outcomes.set('l', BUSY);
    const failure = caught(locks.acquire('l', { retries: 100, retryDelay: 100, waitTimeout: 450 }));
    await clock.advance(450);
    await clock.settle();
    expect(await failure).toMatchObject({ waitedMs: 450 });
    expect(homes.asked).toHaveLength(5);
  });

  test('without retries grow apart to a second, so that a long wait costs little', async () => {
    const { clock, homes, locks } = rooms();
    homes.outcomes.set('l', { kind: 'busy', remainingMs: 60_000 });
    const failure = caught(locks.acquire('l', { waitTimeout: '60s' }));
    await clock.advance(60_000);
    await clock.settle();
    await failure;
    // 250, 500, 1000 ms, and then one a second at most.
    expect(homes.asked.length).toBeGreaterThan(45);
    expect(homes.asked.length).toBeLessThanOrEqual(63);
  });

  test('come when what is left of the holder is over', async () => {
    const { clock, homes, locks } = rooms();
    homes.outcomes.set('l', { kind: 'busy', remainingMs: 30 });
    const acquired = locks.acquire('l', { retryDelay: 1_000 });
    await clock.settle();
    homes.outcomes.delete('l');
    await clock.advance(50);
    await acquired;
    expect(homes.asked).toHaveLength(2);
  });

  test('come at once when the lock is reserved', async () => {
    const { clock, homes, wakes, locks } = rooms();
    homes.outcomes.set('l', BUSY);
    const acquired = locks.acquire('l');
    await clock.settle();
    homes.outcomes.delete('l');
    expect(wakes.wake(homes.asked[0]!.token)).toBe(true);
    await acquired;
    expect(homes.asked).toHaveLength(2);
  });

  // One whose caller has gone is passed on: see wakeOf in cache/lock-rooms.ts.
  test('are expected as long as somebody wants or has the lock, and no longer', async () => {
    const { clock, homes, wakes, locks } = rooms();
    const lock = await locks.acquire('l');
    expect(wakes.wake(lock.token)).toBe(true);
    await lock.release();
    expect(wakes.wake(lock.token)).toBe(false);
    homes.outcomes.set('l', BUSY);
    const failure = caught(locks.acquire('l', { waitTimeout: 100 }));
    await clock.advance(100);
    await clock.settle();
    await failure;
    expect(wakes.wake(homes.asked.at(-1)!.token)).toBe(false);
    expect(homes.abandoned).toEqual(['l']);
  });
});

describe('in line', () => {
  test('only the head asks; the next one does when it has its lock', async () => {
    const { clock, homes, locks } = rooms();
    homes.outcomes.set('l', 'hangs');
    const first = locks.acquire('l');
    const second = locks.acquire('l');
    await clock.settle();
    expect(homes.asked).toHaveLength(1);
    homes.answer('granted');
    await first;
    await clock.settle();
    expect(homes.asked).toHaveLength(2);
    homes.answer('granted');
    await second;
  });

  test('who is turned away is told what the head was told', async () => {
    for (const [outcome, error] of [
      [BUSY, LockTimeoutError],
      [UNAVAILABLE, LockUnavailableError],
    ] as const) {
      const { clock, homes, locks } = rooms();
      homes.outcomes.set('l', outcome);
      const failures = [1_500, 1_000, 1_000].map((waitTimeout) => {
        return caught(locks.acquire('l', { waitTimeout }));
      });
      await clock.advance(1_500);
      await clock.settle();
      for (const failure of failures) expect(await failure).toBeInstanceOf(error);
    }
  });

  test('who hears nothing because the head does not, either, blames the node', async () => {
    const { clock, homes, locks } = rooms();
    homes.outcomes.set('l', 'hangs');
    const failures = [locks.acquire('l'), locks.acquire('l', { waitTimeout: 50 })].map(caught);
    await clock.advance(5_000);
    await clock.settle();
    for (const failure of failures) expect(await failure).toBeInstanceOf(LockUnavailableError);
  });

  test('an abort ends the wait of its caller alone', async () => {
    const { clock, homes, locks } = rooms();
    homes.outcomes.set('l', 'hangs');
    const controller = new AbortController();
    const first = locks.acquire('l');
    const second = caught(locks.acquire('l', { signal: controller.signal }));
    const third = locks.acquire('l');
    await clock.settle();
    controller.abort(new Error('changed my mind'));
    expect(await second).toMatchObject({ message: 'changed my mind' });
    homes.answer('granted');
    await first;
    await clock.settle();
    homes.answer('granted');
    await third;
  });
});

describe('closing', () => {
  test('ends every wait, in line or at a node, and loses what is held', async () => {
    const { clock, homes, locks } = rooms();
    const held = await locks.acquire('held');
    homes.outcomes.set('l', BUSY);
    homes.outcomes.set('silent', 'hangs');
    const names = ['l', 'l', 'silent', 'silent'];
    const waits = names.map((name) => caught(locks.acquire(name, { waitTimeout: Infinity })));
    await clock.settle();
    locks.end();
    for (const wait of waits) expect(await wait).toBeInstanceOf(ClosedError);
    expect(held.signal.reason).toMatchObject({ reason: 'closed' });
    expect(await held.release()).toBe(false);
    expect(clock.pending).toBe(0);
  });

  test('afterwards everything rejects with ClosedError', async () => {
    const { locks } = rooms();
    locks.end();
    const work = () => Promise.resolve();
    const calls = [
      locks.acquire('l'),
      locks.tryAcquire('l'),
      locks.using('l', {}, work),
      locks.tryUsing('l', {}, work),
      locks.acquireAll(['l']),
      locks.inspect('l'),
    ];
    for (const call of calls) await expect(call).rejects.toThrow(ClosedError);
    expect(locks.stats()).toMatchObject({ held: 0, waiting: 0 });
  });
});

describe('several at once', () => {
  test('waitTimeout is for all together', async () => {
    const { clock, homes, locks } = rooms();
    for (const name of ['a', 'b']) homes.outcomes.set(name, BUSY);
    const failure = caught(
      locks.acquireAll(['b', 'a'], { waitTimeout: 1_000, retries: 99, retryDelay: 100 }),
    );
    await clock.advance(600);
    homes.outcomes.delete('a');
    await clock.advance(400);
    await clock.settle();
    expect(await failure).toMatchObject({ code: 'RINGCACHE_LOCK_TIMEOUT', lock: 'b' });
    expect(homes.grips.get('a')?.released).toEqual([0]);
    expect(locks.stats()).toMatchObject({ held: 0, waiting: 0 });
  });

  // Nothing was done under them: the next who wants one is not to wait for an hour.
  test('those that were had already are given back at once, whatever minHold says', async () => {
    const { clock, homes, locks } = rooms();
    homes.outcomes.set('b', BUSY);
    const failure = caught(locks.acquireAll(['a', 'b'], { minHold: '1h', retries: 0 }));
    await clock.settle();
    expect(await failure).toBeInstanceOf(LockTimeoutError);
    expect(homes.grips.get('a')?.released).toEqual([0]);
  });

  test('one that is lost while the others are waited for: none is held', async () => {
    const { clock, homes, locks } = rooms();
    homes.outcomes.set('b', BUSY);
    const failure = caught(locks.acquireAll(['a', 'b'], { ttl: 1_000 }));
    await clock.advance(100);
    homes.grips.get('a')!.outcome = 'lost';
    await clock.advance(1_000);
    homes.outcomes.delete('b');
    await clock.advance(2_000);
    expect(await failure).toBeInstanceOf(LockLostError);
    expect(homes.grips.get('b')?.released).toEqual([0]);
    expect(locks.stats().held).toBe(0);
    expect(clock.pending).toBe(0);
  });
});
