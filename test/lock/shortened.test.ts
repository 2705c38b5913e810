// What a holder may rely on while its node is asked for another time: whatever
// the node may have set, whether its answer comes, comes late or is lost.
import { expect, test } from 'vitest';
import { NodeUnavailableError } from '../../src/errors.ts';
import type { Grip } from '../../src/lock/homes.ts';
import { HeldLock } from '../../src/lock/lock.ts';
import { PLAIN_SETTINGS } from '../../src/lock/settings.ts';
import { momentOf } from '../../src/lock/validity.ts';
import { FakeClock } from '../support/fake-clock.ts';

type Settle = PromiseWithResolvers<'prolonged' | 'lost'>;

const nothing = (): void => undefined;
const LOST_ANSWER = new NodeUnavailableError('node-1', 'timeout', 'no answer');

/** A lock of 10 s whose node answers when the test says so; the longest validity of it is 9,898 ms. */
function lockOf(): { clock: FakeClock; lock: HeldLock; asked: Settle[] } {
  const clock = new FakeClock();
  const asked: Settle[] = [];
  const grip: Grip = {
    prolong() {
      const settle = Promise.withResolvers<'prolonged' | 'lost'>();
      asked.push(settle);
      return settle.promise;
    },
    release: () => Promise.resolve(true),
  };
  const grant = { name: 'a', token: 't', number: 1, grip, since: momentOf(clock) };
  const host = { clock, renewed: nothing, released: nothing, lost: nothing };
  return { clock, lock: new HeldLock(grant, PLAIN_SETTINGS, host), asked };
}

test('a lock whose time is shortened is not relied on for longer, though the answer is lost', async () => {
  const { clock, lock, asked } = lockOf();
  const extending = lock.extend(1_000);
  // The node may have set it already.
  expect(lock.remaining()).toBe(988);
  asked[0]!.reject(LOST_ANSWER);
  await expect(extending).rejects.toMatchObject({ code: 'RINGCACHE_LOCK_UNAVAILABLE' });
  expect(lock.remaining()).toBe(988);
  await clock.advance(988);
  expect(lock.held).toBe(false);
  expect(lock.signal.aborted).toBe(true);
});

test('the loss of a lock whose time was shortened is told in time, though no answer comes', async () => {
  const { clock, lock } = lockOf();
  void lock.extend(1_000);
  const { signal } = lock;
  await clock.advance(987);
  expect(signal.aborted).toBe(false);
  await clock.advance(1);
  expect(signal.aborted).toBe(true);
});

test('a renewal that is answered after a shorter time was asked for does not lengthen it', async () => {
  const { clock, lock, asked } = lockOf();
  await clock.advance(3_334);
  expect(asked).toHaveLength(1);
  const extending = lock.extend(1_000);
  asked[0]!.resolve('prolonged');
  await clock.settle();
  expect(lock.remaining()).toBe(988);
  asked[1]!.resolve('prolonged');
  expect(await extending).toBe(988);
});

test('a lock whose time is lengthened is relied on for the old time until that is answered', async () => {
  const { lock, asked } = lockOf();
  const extending = lock.extend(20_000);
  expect(lock.remaining()).toBe(9_898);
  asked[0]!.resolve('prolonged');
  expect(await extending).toBe(19_798);
});
