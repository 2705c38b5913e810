import { describe, expect, test, vi } from 'vitest';
import { Lines, Patience, Wakes } from '../../src/lock/wait.ts';
import { FakeClock } from '../support/fake-clock.ts';

/** Whether it has settled by now. */
async function isSettled(work: Promise<unknown>): Promise<boolean> {
  let settled = false;
  const note = (): void => {
    settled = true;
  };
  work.then(note, note);
  await new Promise((resolve) => {
    setImmediate(resolve);
  });
  return settled;
}

describe('a line', () => {
  test('has one head; who leaves makes the next one the head, in order', async () => {
    const lines = new Lines<string>();
    expect(lines.enter('a')).toBeUndefined();
    const second = lines.enter('a');
    const third = lines.enter('a');
    expect(await isSettled(second!.turn)).toBe(false);
    lines.leave('a');
    await second!.turn;
    expect(await isSettled(third!.turn)).toBe(false);
    second!.leave();
    await third!.turn;
    third!.leave();
    expect(lines.enter('a')).toBeUndefined();
  });

  test('of another name is another line', () => {
    const lines = new Lines<string>();
    expect(lines.enter('a')).toBeUndefined();
    expect(lines.enter('b')).toBeUndefined();
  });

  test('goes on past one who left before it had its turn', async () => {
    const lines = new Lines<string>();
    lines.enter('a');
    const second = lines.enter('a');
    const third = lines.enter('a');
    second!.leave();
    expect(await isSettled(third!.turn)).toBe(false);
    lines.leave('a');
    await third!.turn;
    expect(await isSettled(second!.turn)).toBe(false);
  });

  // It was called, and gave up before it ran: the turn must not be lost with it.
  test('goes on past one who leaves in the moment in which it becomes the head', async () => {
    const lines = new Lines<string>();
    lines.enter('a');
    const second = lines.enter('a');
    const third = lines.enter('a');
    lines.leave('a');
    second!.leave();
    await third!.turn;
  });

  test('knows what its head was told, until nobody is left in it', () => {
    const lines = new Lines<string>();
    lines.tell('a', 'nobody is there');
    expect(lines.news('a')).toBeUndefined();
    lines.enter('a');
    const second = lines.enter('a');
    lines.tell('a', 'busy');
    expect(lines.news('a')).toBe('busy');
    lines.leave('a');
    expect(lines.news('a')).toBe('busy');
    second!.leave();
    lines.enter('a');
    expect(lines.news('a')).toBeUndefined();
  });
});

describe('a wake', () => {
  test('ends the wait at once, and leaves no timer', async () => {
    const clock = new FakeClock();
    const wakes = new Wakes();
    wakes.listen();
    wakes.listen();
    wakes.expect('t');
    const { woken } = wakes.wait(clock, 't', 1_000);
    expect(await isSettled(woken)).toBe(false);
    expect(wakes.wake('t')).toBe(true);
    await woken;
    expect(clock.pending).toBe(0);
  });

  test('that comes while a try is under way ends the wait after it', async () => {
    const clock = new FakeClock();
    const wakes = new Wakes();
    wakes.listen();
    wakes.listen();
    wakes.expect('t');
    expect(wakes.wake('t')).toBe(true);
    await wakes.wait(clock, 't', 1_000).woken;
    expect(clock.pending).toBe(0);
    // And only that one.
    const next = wakes.wait(clock, 't', 1_000);
    expect(await isSettled(next.woken)).toBe(false);
    next.cancel();
  });

  test('for nobody says so, also after somebody has gone', () => {
    const wakes = new Wakes();
    wakes.listen();
    wakes.listen();
    expect(wakes.wake('t')).toBe(false);
    wakes.expect('t');
    wakes.forget('t');
    expect(wakes.wake('t')).toBe(false);
  });

  test('is for the one it names', async () => {
    const clock = new FakeClock();
    const wakes = new Wakes();
    wakes.listen();
    wakes.listen();
    wakes.expect('a');
    wakes.expect('b');
    const a = wakes.wait(clock, 'a', 1_000);
    const b = wakes.wait(clock, 'b', 1_000);
    wakes.wake('b');
    await b.woken;
    expect(await isSettled(a.woken)).toBe(false);
    a.cancel();
  });

  test('that does not come: the wait ends after its time', async () => {
    const clock = new FakeClock();
    const wakes = new Wakes();
    wakes.listen();
    wakes.listen();
    wakes.expect('t');
    const { woken } = wakes.wait(clock, 't', 250);
    await clock.advance(249);
    expect(await isSettled(woken)).toBe(false);
    await clock.advance(1);
    await woken;
    expect(clock.pending).toBe(0);
  });

  test('a wait that is cancelled leaves no timer, and may be cancelled again', async () => {
    const clock = new FakeClock();
    const wakes = new Wakes();
    wakes.listen();
    wakes.listen();
    wakes.expect('t');
    const wait = wakes.wait(clock, 't', 250);
    wait.cancel();
    wait.cancel();
    await wait.woken;
    expect(clock.pending).toBe(0);
  });
});

describe('patience', () => {
  const late = () => new Error('late');
  const never = new Promise<never>(() => undefined);

  test('ends at its deadline, and rejects what is waited for', async () => {
    const clock = new FakeClock();
    const patience = new Patience(clock, { waitMs: 100, signal: undefined }, late);
    const outcome = expect(patience.while(never)).rejects.toThrow('late');
    await clock.advance(99);
    expect(patience.over).toBe(false);
    await clock.advance(1);
    await clock.settle();
    expect(patience.over).toBe(true);
    await outcome;
    expect(clock.pending).toBe(0);
  });

  test('is over for all that is waited for later', async () => {
    const clock = new FakeClock();
    const patience = new Patience(clock, { waitMs: 1_000, signal: undefined }, late);
    patience.end(new Error('enough'));
    await expect(patience.while(never)).rejects.toThrow('enough');
    patience.end(new Error('again'));
    await expect(patience.while(never)).rejects.toThrow('enough');
  });

  test('an answer that comes in the turn of the deadline is in time, and ends it', async () => {
    const clock = new FakeClock();
    const patience = new Patience(clock, { waitMs: 100, signal: undefined }, late);
    const answered = patience.while(
      new Promise<string>((resolve) => {
        clock.after(100, () => resolve('answer'));
      }),
    );
    void answered.then(() => patience.settle());
    await clock.advance(100);
    await clock.settle();
    expect(await answered).toBe('answer');
    expect(patience.over).toBe(false);
  });

  test.each([Number.POSITIVE_INFINITY, 2 ** 31, 30 * 24 * 3_600_000])(
    'of %s ms has no timer that would fire at once',
    async (waitMs) => {
      const clock = new FakeClock();
      const patience = new Patience(clock, { waitMs, signal: undefined }, late);
      expect(clock.pending).toBe(0);
      expect(await isSettled(patience.while(never))).toBe(false);
      patience.settle();
    },
  );

  test('of 24.8 days has a timer', () => {
    const clock = new FakeClock();
    const patience = new Patience(clock, { waitMs: 2 ** 31 - 1, signal: undefined }, late);
    expect(clock.pending).toBe(1);
    patience.settle();
    expect(clock.pending).toBe(0);
  });

  test('ends with the reason of an abort, and leaves no listener and no timer', async () => {
    const clock = new FakeClock();
    const controller = new AbortController();
    const { signal } = controller;
    const removed = vi.spyOn(signal, 'removeEventListener');
    const patience = new Patience(clock, { waitMs: 100, signal }, late);
    const outcome = expect(patience.while(never)).rejects.toBe('gone');
    controller.abort('gone');
    await outcome;
    expect(removed).toHaveBeenCalledOnce();
    expect(clock.pending).toBe(0);
  });

  test('of an aborted signal is over from the start', async () => {
    const clock = new FakeClock();
    const signal = AbortSignal.abort('before');
    const patience = new Patience(clock, { waitMs: 100, signal }, late);
    expect(patience.over).toBe(true);
    await expect(patience.while(never)).rejects.toBe('before');
    expect(clock.pending).toBe(0);
  });

  test('that is settled hears nothing any more', () => {
    const clock = new FakeClock();
    const controller = new AbortController();
    const { signal } = controller;
    const patience = new Patience(clock, { waitMs: 100, signal }, late);
    patience.settle();
    controller.abort();
    expect(patience.over).toBe(false);
    expect(clock.pending).toBe(0);
  });
});
