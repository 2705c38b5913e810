import { describe, expect, test } from 'vitest';
import { InvalidOptionError, LockLostError, LockUnavailableError } from '../../src/errors.ts';
import type { HeldLock } from '../../src/lock/lock.ts';
import type { LockOptions } from '../../src/lock/settings.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { heldByHand } from './by-hand.ts';

/** What is certain of 10 s: less 1 % and 2 ms. */
const CERTAIN = 9_898;

function held(options: LockOptions = {}) {
  const clock = new FakeClock(1_000);
  return { clock, ...heldByHand(clock, { ttl: 10_000, ...options }) };
}

function lossOf(lock: HeldLock): string | undefined {
  return lock.lossNow()?.reason;
}

describe('validity', () => {
  test('counts from when the request was sent, less what two clocks may drift apart', async () => {
    const { clock, lock } = held({ renew: false });
    expect(lock.remaining()).toBe(CERTAIN);
    await clock.advance(4_000);
    expect(lock.remaining()).toBe(CERTAIN - 4_000);
    await clock.advance(CERTAIN - 4_001);
    expect(lock).toMatchObject({ held: true });
    expect(lock.remaining()).toBe(1);
    await clock.advance(1);
    expect(lock).toMatchObject({ held: false });
    expect(lock.remaining()).toBe(0);
  });

  test('a wall clock that is set back does not lengthen it', async () => {
    const { clock, lock } = held({ renew: false });
    clock.jump(-3_600_000);
    await clock.advance(5_000);
    expect(lock.remaining()).toBe(CERTAIN - 5_000);
    await clock.advance(5_000);
    expect(lossOf(lock)).toBe('expired');
  });

  test('a wall clock that is set on ends it early, never late', () => {
    const { clock, lock } = held({ renew: false });
    clock.jump(5_000);
    expect(lock.remaining()).toBe(CERTAIN - 5_000);
    clock.jump(5_000);
    expect(lock.held).toBe(false);
    expect(() => lock.assertHeld()).toThrow(LockLostError);
  });

  // The monotonic clock, and every timer with it, stands still while the host sleeps.
  test('a host that was suspended for longer than the ttl finds it lost at the first look', () => {
    const { clock, lock, told } = held();
    const { signal } = lock;
    clock.jump(11_000);
    expect(lock.held).toBe(false);
    expect(() => lock.assertHeld()).toThrow('stood still');
    expect(signal.aborted).toBe(true);
    expect(told.lost).toMatchObject([{ error: { reason: 'stalled' } }]);
  });

  test('and, if nobody looks, with the next timer', async () => {
    const { clock, lock, grip, told } = held();
    clock.jump(11_000);
    await clock.advance(3_400);
    expect(told.lost).toMatchObject([{ error: { reason: 'stalled' } }]);
    expect(grip.prolonged).toEqual([]);
    expect(lock.signal.aborted).toBe(true);
  });

  test('while both clocks stand still nothing passes', async () => {
    const { clock, lock } = held();
    await clock.advance(0);
    expect(lock.remaining()).toBe(CERTAIN);
  });
});

describe('renewal', () => {
  test('goes out every third of the ttl and counts from when it was sent', async () => {
    const { clock, lock, grip, told } = held();
    await clock.advance(3_333);
    expect(grip.prolonged).toEqual([]);
    await clock.advance(1);
    expect(grip.prolonged).toEqual([10_000]);
    await clock.settle();
    expect(lock.remaining()).toBeGreaterThanOrEqual(CERTAIN - 1);
    await clock.advance(60_000);
    expect(grip.prolonged.length).toBeGreaterThanOrEqual(18);
    expect(told).toMatchObject({ renewed: grip.prolonged.length, lost: [] });
    expect(lock.held).toBe(true);
  });

  test('its time is not counted from the answer', async () => {
    const { clock, lock, grip } = held();
    grip.outcome = 'hangs';
    await clock.advance(3_334);
    await clock.advance(2_000);
    grip.answer('prolonged');
    await clock.settle();
    expect(lock.remaining()).toBeLessThanOrEqual(CERTAIN - 2_000);
    expect(lock.remaining()).toBeGreaterThan(CERTAIN - 2_010);
  });

  test('goes out every interval that was asked for', async () => {
    const { clock, grip } = held({ renew: { interval: '1s' } });
    await clock.advance(5_500);
    expect(grip.prolonged).toHaveLength(5);
  });

  test('is left out with renew: false', async () => {
    const { clock, lock, grip, told } = held({ renew: false });
    await clock.advance(CERTAIN);
    expect(grip.prolonged).toEqual([]);
    expect(lossOf(lock)).toBe('expired');
    expect(told.lost[0]?.error.message).toBe('lock "l" is not held: its time was over (fence 7)');
  });

  test('that fails is repeated after a tenth of the ttl, and holds when one succeeds', async () => {
    const { clock, lock, grip, told } = held();
    grip.outcome = 'fails';
    await clock.advance(3_334);
    expect(grip.prolonged).toHaveLength(1);
    await clock.advance(2_000);
    expect(grip.prolonged).toHaveLength(3);
    grip.outcome = 'prolonged';
    await clock.advance(1_000);
    expect(grip.prolonged).toHaveLength(4);
    await clock.settle();
    expect(told).toMatchObject({ renewed: 1, lost: [] });
    expect(lock.remaining()).toBeGreaterThan(9_000);
  });

  test('is repeated every 50 ms at most', async () => {
    const { clock, grip } = held({ ttl: 200 });
    grip.outcome = 'fails';
    await clock.advance(200);
    expect(grip.prolonged).toHaveLength(3);
  });

  test('that fails to the end loses the lock at the end of validity: unreachable', async () => {
    const { clock, lock, grip } = held();
    grip.outcome = 'fails';
    await clock.advance(CERTAIN - 1);
    expect(lock.held).toBe(true);
    await clock.advance(1);
    expect(lock.signal.reason).toMatchObject({ reason: 'unreachable' });
    expect(clock.pending).toBe(0);
  });

  test('that hangs: the signal fires at the end of validity, not with the answer', async () => {
    const { clock, lock, grip, told } = held();
    const { signal } = lock;
    grip.outcome = 'hangs';
    await clock.advance(CERTAIN - 1);
    expect(signal.aborted).toBe(false);
    await clock.advance(1);
    expect(signal.aborted).toBe(true);
    expect(signal.reason).toMatchObject({ code: 'RINGCACHE_LOCK_LOST', reason: 'unreachable' });
    expect(told.lost).toHaveLength(1);
    expect(clock.pending).toBe(0);
  });

  test('that succeeds too late does not revive the lock', async () => {
    const { clock, lock, grip, told } = held();
    grip.outcome = 'hangs';
    await clock.advance(CERTAIN);
    grip.answer('prolonged');
    await clock.advance(60_000);
    expect(lock.held).toBe(false);
    expect(told).toMatchObject({ renewed: 0, lost: [{ error: { reason: 'unreachable' } }] });
    expect(grip.prolonged).toHaveLength(1);
    expect(clock.pending).toBe(0);
  });

  // The timers of a process that stood still are late, and the answer may be read before them.
  test('that succeeds while the process stands still beyond the end does not, either', async () => {
    const { clock, lock, grip } = held();
    grip.outcome = 'hangs';
    await clock.advance(3_334);
    clock.jump(11_000);
    grip.answer('prolonged');
    await clock.settle();
    expect(lock.held).toBe(false);
    expect(lossOf(lock)).toBe('unreachable');
  });

  test('that finds the lock gone loses it at once: taken', async () => {
    const { clock, lock, grip, told } = held();
    grip.outcome = 'lost';
    await clock.advance(3_334);
    await clock.settle();
    expect(lossOf(lock)).toBe('taken');
    expect(told.lost[0]?.error.message).toContain('its node does not have it any more');
    expect(clock.pending).toBe(0);
  });
});

describe('extend', () => {
  test('sets the time left, does not add to it', async () => {
    const { clock, lock, grip } = held();
    await clock.advance(1_000);
    expect(await lock.extend(20_000)).toBe(20_000 - 202);
    expect(await lock.extend(20_000)).toBe(20_000 - 202);
    expect(grip.prolonged).toEqual([20_000, 20_000]);
  });

  test('without a ttl it sets the one it was acquired with', async () => {
    const { lock, grip } = held();
    await lock.extend('30s');
    expect(await lock.extend()).toBe(CERTAIN);
    expect(grip.prolonged).toEqual([30_000, 10_000]);
  });

  test('later renewals keep it, at their pace', async () => {
    const { clock, lock, grip } = held();
    await lock.extend(30_000);
    await clock.advance(9_999);
    expect(grip.prolonged).toEqual([30_000]);
    await clock.advance(2);
    expect(grip.prolonged).toEqual([30_000, 30_000]);
  });

  test('to less than the interval: renewals go by the new ttl', async () => {
    const { clock, lock, grip, told } = held({ renew: { interval: 5_000 } });
    expect(await lock.extend(900)).toBe(889);
    await clock.advance(3_000);
    expect(grip.prolonged.length).toBeGreaterThanOrEqual(9);
    expect(told.lost).toEqual([]);
  });

  test('with renew: false it is lost when the new time is over', async () => {
    const { clock, lock, grip } = held({ renew: false });
    await clock.advance(9_000);
    await lock.extend(5_000);
    await clock.advance(4_947);
    expect(lock.held).toBe(true);
    await clock.advance(1);
    expect(lossOf(lock)).toBe('expired');
    expect(grip.prolonged).toEqual([5_000]);
  });

  test.each([9, 60_001, -1, Number.NaN, '61s', 'soon'])(
    'refuses %s, and sends nothing',
    async (ttl) => {
      const { lock, grip } = held();
      await expect(lock.extend(ttl)).rejects.toThrow(InvalidOptionError);
      await expect(lock.extend(ttl)).rejects.toThrow('ttl must be a duration');
      expect(grip.prolonged).toEqual([]);
      expect(lock.held).toBe(true);
    },
  );

  test('that is not answered: held still, and renewed again soon', async () => {
    const { clock, lock, grip } = held();
    grip.outcome = 'fails';
    const failure = await lock.extend(20_000).catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(LockUnavailableError);
    expect(failure).toMatchObject({
      lock: 'l',
      node: 'node-1',
      code: 'RINGCACHE_LOCK_UNAVAILABLE',
    });
    expect(String(failure)).toContain('held still');
    expect(lock.remaining()).toBe(CERTAIN);
    grip.outcome = 'prolonged';
    await clock.advance(1_001);
    expect(grip.prolonged).toHaveLength(2);
  });

  test('of a lock that was lost, or is lost meanwhile, rejects with the loss', async () => {
    const { lock, grip, told } = held();
    grip.outcome = 'lost';
    await expect(lock.extend()).rejects.toMatchObject({ reason: 'taken', fence: 7 });
    await expect(lock.extend()).rejects.toThrow(LockLostError);
    expect(grip.prolonged).toHaveLength(1);
    expect(told.lost).toHaveLength(1);
  });

  test('that hangs beyond the end: the signal does not wait for it', async () => {
    const { clock, lock, grip } = held();
    grip.outcome = 'hangs';
    const extended = lock.extend(20_000).catch((error: unknown) => error);
    await clock.advance(CERTAIN);
    expect(lock.signal.aborted).toBe(true);
    grip.answer('prolonged');
    expect(await extended).toMatchObject({ code: 'RINGCACHE_LOCK_LOST' });
  });

  test('of a lock that was released rejects: released', async () => {
    const { lock, grip } = held();
    await lock.release();
    await expect(lock.extend()).rejects.toMatchObject({ reason: 'released' });
    expect(grip.prolonged).toEqual([]);
  });

  // The node acts, its answer is lost: it ends the lock after 1 s and grants it to another.
  test('to less counts from when it was sent, answered or not', async () => {
    const { clock, lock, grip } = held();
    grip.outcome = 'hangs';
    const extended = lock.extend(1_000).catch((error: unknown) => error);
    expect(lock.remaining()).toBe(988);
    await clock.advance(987);
    expect(lock.held).toBe(true);
    await clock.advance(1);
    expect(lock.held).toBe(false);
    expect(lock.signal.aborted).toBe(true);
    grip.answer('fails');
    expect(await extended).toMatchObject({ code: 'RINGCACHE_LOCK_LOST' });
  });

  test('to less is not undone by the answer to an earlier renewal', async () => {
    const { clock, lock, grip } = held();
    grip.outcome = 'hangs';
    await clock.advance(3_334);
    const extended = lock.extend(1_000).catch((error: unknown) => error);
    grip.answer('prolonged');
    await clock.settle();
    expect(lock.remaining()).toBeLessThanOrEqual(988);
    grip.answer('prolonged');
    expect(await extended).toBe(988);
  });
});
