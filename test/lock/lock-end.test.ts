/** How a lock ends: by release, by close, or by being lost, and by one of them only. */
import { describe, expect, test } from 'vitest';
import { LockLostError } from '../../src/errors.ts';
import type { LockOptions } from '../../src/lock/settings.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { heldByHand } from './by-hand.ts';

function held(options: LockOptions = {}) {
  const clock = new FakeClock(1_000);
  return { clock, ...heldByHand(clock, { ttl: 10_000, ...options }) };
}

type Subject = ReturnType<typeof held>;

describe('release', () => {
  test('gives it back once, whoever asks how often', async () => {
    const { clock, lock, grip, told } = held();
    await clock.advance(500);
    const both = await Promise.all([lock.release(), lock.release()]);
    expect([...both, await lock.release()]).toEqual([true, true, true]);
    await lock[Symbol.asyncDispose]();
    expect(grip.released).toHaveLength(1);
    expect(told.released).toEqual([{ heldMs: 500, confirmed: true }]);
    expect(told.lost).toEqual([]);
  });

  test('from its call on it is not held, and that is no loss', async () => {
    const { clock, lock, told } = held();
    const { signal } = lock;
    const released = lock.release();
    expect(lock).toMatchObject({ held: false });
    expect(lock.remaining()).toBe(0);
    expect(() => lock.assertHeld()).toThrow('it was released');
    await released;
    await clock.advance(60_000);
    expect(lock.lossNow()).toBeUndefined();
    expect(signal.aborted).toBe(false);
    expect(told.lost).toEqual([]);
  });

  test('resolves to false when its node did not confirm it', async () => {
    const { lock, grip, told } = held();
    grip.confirms = false;
    expect(await lock.release()).toBe(false);
    expect(told.released).toMatchObject([{ confirmed: false }]);
  });

  test('after a loss resolves to false and sends nothing more', async () => {
    const { clock, lock, grip, told } = held({ renew: false });
    await clock.advance(10_000);
    expect(lock.held).toBe(false);
    // That compares the token: it ends no other holder's lock, and spares others the rest of the ttl.
    expect(grip.released).toEqual([0]);
    expect(await lock.release()).toBe(false);
    await lock[Symbol.asyncDispose]();
    expect(grip.released).toEqual([0]);
    expect(told.released).toEqual([]);
  });

  test('finds a loss that no timer has told yet', async () => {
    const { clock, lock, told } = held();
    clock.jump(11_000);
    expect(await lock.release()).toBe(false);
    expect(told).toMatchObject({ released: [], lost: [{ error: { reason: 'stalled' } }] });
  });

  test('while a renewal is under way: neither its success nor its failure counts', async () => {
    for (const outcome of ['prolonged', 'lost', 'fails'] as const) {
      const { clock, lock, grip, told } = held();
      grip.outcome = 'hangs';
      await clock.advance(3_334);
      await lock.release();
      grip.answer(outcome);
      await clock.advance(60_000);
      expect(told, outcome).toMatchObject({ renewed: 0, lost: [] });
      expect(grip.prolonged).toHaveLength(1);
      expect(clock.pending).toBe(0);
    }
  });

  test('with minHold leaves it to end by itself when that is over', async () => {
    const { clock, lock, grip } = held({ minHold: '30s' });
    await clock.advance(12_000);
    await lock.release();
    expect(grip.released).toEqual([18_000]);
  });

  test('after minHold gives it back at once', async () => {
    const { clock, lock, grip } = held({ minHold: '5s' });
    await clock.advance(12_000);
    await lock.release();
    expect(grip.released).toHaveLength(1);
    expect(grip.released[0]).toBeLessThanOrEqual(0);
  });
});

describe('close', () => {
  test('loses it, and leaves it to end by itself: the work under it may go on', () => {
    const { lock, grip, told } = held();
    const { signal } = lock;
    lock.close();
    expect(lock.held).toBe(false);
    expect(signal.reason).toMatchObject({ reason: 'closed' });
    expect(told.lost).toHaveLength(1);
    expect(grip.released).toEqual([]);
  });

  test('of one that was released or lost says nothing more', async () => {
    const { lock, told } = held();
    await lock.release();
    lock.close();
    expect(told.lost).toEqual([]);
    const other = held({ renew: false });
    await other.clock.advance(10_000);
    other.lock.close();
    expect(other.told.lost).toMatchObject([{ error: { reason: 'expired' } }]);
  });
});

describe('a loss', () => {
  const losses: Record<string, { options?: LockOptions; lose(subject: Subject): unknown }> = {
    expired: { options: { renew: false }, lose: ({ clock }) => clock.advance(10_000) },
    stalled: {
      lose: async ({ clock }) => {
        clock.jump(20_000);
        await clock.advance(4_000);
      },
    },
    unreachable: {
      lose: async ({ clock, grip }) => {
        grip.outcome = 'fails';
        await clock.advance(10_000);
      },
    },
    taken: {
      lose: async ({ clock, grip }) => {
        grip.outcome = 'lost';
        await clock.advance(4_000);
      },
    },
    closed: { lose: ({ lock }) => lock.close() },
  };

  test.each(Object.entries(losses))(
    '%s: is told once, to the signal, the host and whoever asks',
    async (reason, { options, lose }) => {
      const subject = held(options);
      const { clock, lock, told } = subject;
      let aborts = 0;
      lock.signal.addEventListener('abort', () => {
        aborts += 1;
      });
      await lose(subject);
      await clock.advance(100_000);
      lock.close();
      await lock.release();
      expect(told.lost).toHaveLength(1);
      expect(aborts).toBe(1);
      const error = told.lost[0]?.error;
      expect(error).toBeInstanceOf(LockLostError);
      expect(error).toMatchObject({ reason, fence: 7, lock: 'l', name: 'LockLostError' });
      expect(lock.signal.reason).toBe(error);
      expect(() => lock.assertHeld()).toThrow(error);
      expect(clock.pending).toBe(0);
    },
  );

  test('is in a signal that is asked for later', async () => {
    const { clock, lock, told } = held({ renew: false });
    await clock.advance(10_000);
    expect(lock.signal.aborted).toBe(true);
    expect(lock.signal.reason).toBe(told.lost[0]?.error);
  });
});

test.each<[string, (subject: Subject) => unknown]>([
  ['released', ({ lock }) => lock.release()],
  ['closed', ({ lock }) => lock.close()],
  [
    'lost while a renewal hangs',
    async ({ clock, grip }) => {
      grip.outcome = 'hangs';
      await clock.advance(10_000);
    },
  ],
  [
    'lost while an extension hangs',
    async ({ clock, lock, grip }) => {
      grip.outcome = 'hangs';
      void lock.extend().catch(() => undefined);
      await clock.advance(10_000);
      grip.answer('prolonged');
    },
  ],
  [
    'released while an extension hangs',
    async ({ lock, grip }) => {
      grip.outcome = 'hangs';
      void lock.extend().catch(() => undefined);
      await lock.release();
      grip.answer('prolonged');
    },
  ],
])('no timer is left of a lock that was %s', async (_, end) => {
  const subject = held();
  await end(subject);
  await subject.clock.settle();
  expect(subject.clock.pending).toBe(0);
});
