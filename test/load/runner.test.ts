import { describe, expect, test } from 'vitest';
import { InvalidOptionError, LoadTimeoutError } from '../../src/errors.ts';
import { type LoadContext, LoadRunner } from '../../src/load/runner.ts';
import { CacheCounters } from '../../src/metrics/metrics.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { TUNING } from '../support/simulated-process.ts';

interface Subject {
  readonly clock: FakeClock;
  readonly counters: CacheCounters;
  readonly runner: LoadRunner;
  run(
    invoke: (context: LoadContext) => unknown,
    signal?: AbortSignal,
  ): ReturnType<LoadRunner['run']>;
}

function subject(tuning: Partial<typeof TUNING> = {}): Subject {
  const clock = new FakeClock();
  const counters = new CacheCounters();
  const runner = new LoadRunner(clock, counters, { ...TUNING, timeoutMs: 1_000, ...tuning });
  return {
    clock,
    counters,
    runner,
    run: (invoke, signal = new AbortController().signal) =>
      runner.run({ key: 'key', stale: 'old', signal, invoke }),
  };
}

const hang = (): Promise<never> => new Promise(() => {});

/** What became of a promise, without waiting for it. */
function outcomeOf(promise: Promise<unknown>): { state: string; with?: unknown } {
  const outcome: { state: string; with?: unknown } = { state: 'pending' };
  promise.then(
    (value) => Object.assign(outcome, { state: 'resolved', with: value }),
    (error: unknown) => Object.assign(outcome, { state: 'rejected', with: error }),
  );
  return outcome;
}

describe('a loader', () => {
  test('is told the key, the stale value and a signal', async () => {
    const { run } = subject();
    let seen: LoadContext | undefined;
    await run((context) => {
      seen = context;
    });
    expect(seen).toMatchObject({ key: 'key', stale: 'old' });
    expect(seen?.signal.aborted).toBe(false);
  });

  test('gives its value, the time it took and no ttl of its own', async () => {
    const { run, clock, counters } = subject();
    const running = run(
      () => new Promise((resolve) => void clock.after(40, () => resolve('value'))),
    );
    await clock.advance(40);
    expect(await running).toEqual({ value: 'value', store: true, ttlMs: undefined, loadMs: 40 });
    expect(counters.loads).toBe(1);
    expect(counters.loadErrors).toBe(0);
    expect(counters.loadLatency.summary().count).toBe(1);
  });

  test('can set the ttl and keep its value from being stored', async () => {
    const { run } = subject();
    const loaded = await run(({ setTtl, skip }) => {
      setTtl('5s');
      skip();
      return 1;
    });
    expect(loaded).toMatchObject({ store: false, ttlMs: 5_000 });
  });

  test.each([0, -1, Number.NaN, '10', null])('that sets a ttl of %j fails', async (ttl) => {
    const { run } = subject();
    const failing = run(({ setTtl }) => setTtl(ttl as number));
    await expect(failing).rejects.toThrow(InvalidOptionError);
  });

  test.each([
    [
      'throws',
      () => {
        throw new Error('no');
      },
    ],
    ['rejects', () => Promise.reject(new Error('no'))],
  ])('that %s rejects the load with the same error', async (_, invoke) => {
    const { run, counters } = subject();
    await expect(run(invoke)).rejects.toThrow('no');
    expect(counters.loadErrors).toBe(1);
  });

  test.each(['text', 0, null, undefined, { a: 1 }])('may reject with %j', async (reason) => {
    const { run } = subject();
    const outcome = outcomeOf(run(() => Promise.reject(reason)));
    await new Promise((resolve) => setImmediate(resolve));
    expect(outcome).toEqual({ state: 'rejected', with: reason });
  });

  test.each([undefined, null, 0, ''])('may return %j', async (value) => {
    const { run } = subject();
    expect((await run(() => value)).value).toBe(value);
  });
});

describe('the timeout', () => {
  test('ends a load that does not settle, and aborts its signal', async () => {
    const { run, clock, counters } = subject();
    let signal: AbortSignal | undefined;
    const outcome = outcomeOf(
      run((context) => {
        signal = context.signal;
        return hang();
      }),
    );
    await clock.advance(999);
    expect(outcome.state).toBe('pending');
    await clock.advance(1);
    expect(outcome.with).toBeInstanceOf(LoadTimeoutError);
    expect(signal?.reason).toBe(outcome.with);
    expect(counters.loadErrors).toBe(1);
  });

  test('includes the wait for a turn', async () => {
    const { run, clock, runner } = subject({ concurrency: 1 });
    const first = outcomeOf(run(hang));
    await clock.advance(400);
    let called = false;
    const second = outcomeOf(
      run(() => {
        called = true;
        return hang();
      }),
    );
    await clock.advance(0);
    expect(runner.waiting).toBe(1);
    // The first is over and the second has its turn, with 400 ms left of its own time.
    await clock.advance(600);
    expect(first.with).toBeInstanceOf(LoadTimeoutError);
    expect(called).toBe(true);
    await clock.advance(399);
    expect(second.state).toBe('pending');
    await clock.advance(1);
    expect(second.with).toBeInstanceOf(LoadTimeoutError);
  });

  test('over before its turn: the loader is not called', async () => {
    const { run, clock, runner, counters } = subject({ concurrency: 1 });
    outcomeOf(run(hang));
    let called = false;
    const second = outcomeOf(run(() => (called = true)));
    await clock.advance(1_000);
    expect(second.with).toBeInstanceOf(LoadTimeoutError);
    expect(called).toBe(false);
    expect(runner.waiting).toBe(0);
    expect(counters.loads).toBe(1);
  });

  test('does not wait for what the loader does afterwards, nor mind how it ends', async () => {
    const { run, clock } = subject();
    const ends: ((how: 'value' | 'error') => void)[] = [];
    const load = (): Promise<string> =>
      new Promise((resolve, reject) => {
        ends.push((how) => (how === 'value' ? resolve('late') : reject(new Error('late'))));
      });
    const outcomes = [outcomeOf(run(load)), outcomeOf(run(load))];
    await clock.advance(1_000);
    ends[0]?.('value');
    ends[1]?.('error');
    await clock.advance(0);
    for (const outcome of outcomes) expect(outcome.with).toBeInstanceOf(LoadTimeoutError);
  });

  test('leaves no timer behind, however the load ended', async () => {
    const { run, clock } = subject({ concurrency: 1 });
    await run(() => 1);
    await run(() => Promise.reject(new Error('no'))).catch(() => {});
    await run(() => 1, AbortSignal.abort(new Error('gone'))).catch(() => {});
    expect(clock.pending).toBe(0);
  });
});

describe('a turn', () => {
  test('is given back by a loader that hangs beyond its time', async () => {
    const { run, clock } = subject({ concurrency: 1 });
    outcomeOf(run(hang));
    await clock.advance(1_000);
    expect((await run(() => 'next')).value).toBe('next');
  });

  test('is given back by a loader that throws', async () => {
    const { run } = subject({ concurrency: 1 });
    for (let i = 0; i < 3; i++) {
      await expect(run(() => Promise.reject(new Error('no')))).rejects.toThrow('no');
    }
    expect((await run(() => 'next')).value).toBe('next');
  });

  test('is not taken by a load that was aborted while it waited', async () => {
    const { run, clock } = subject({ concurrency: 1 });
    const control = new AbortController();
    const first = outcomeOf(run(hang));
    const second = outcomeOf(run(() => 'never', control.signal));
    control.abort(new Error('gone'));
    await clock.advance(1_000);
    expect(first.state).toBe('rejected');
    expect(second.with).toEqual(new Error('gone'));
    expect((await run(() => 'next')).value).toBe('next');
  });

  // The turn is handed over, and the one that gets it is aborted before it runs:
  //     first loader ends → leave() → second's turn → abort → second's loader
  // Which microtask that is does not matter: every one is tried.
  test('that comes together with an abort is given back, and no aborted loader is called', async () => {
    for (let microtasks = 0; microtasks < 20; microtasks++) {
      const { run, clock } = subject({ concurrency: 1 });
      const control = new AbortController();
      let end = (): void => {};
      const first = run(() => new Promise<void>((resolve) => (end = resolve)));
      let calledAborted = false;
      const second = outcomeOf(
        run(({ signal }) => {
          calledAborted = signal.aborted;
          return hang();
        }, control.signal),
      );
      await clock.advance(0);
      end();
      for (let i = 0; i < microtasks; i++) await Promise.resolve();
      control.abort(new Error('gone'));
      await clock.advance(0);
      expect(second.with, `after ${microtasks}`).toEqual(new Error('gone'));
      expect(calledAborted, `after ${microtasks}`).toBe(false);
      await first;
      expect((await run(() => 'next')).value).toBe('next');
    }
  });
});

describe('an abort from outside', () => {
  test('ends the load with its reason and reaches the loader', async () => {
    const { run, clock } = subject();
    const control = new AbortController();
    let signal: AbortSignal | undefined;
    const outcome = outcomeOf(
      run((context) => {
        signal = context.signal;
        return hang();
      }, control.signal),
    );
    await clock.advance(0);
    control.abort('reason');
    await clock.advance(0);
    expect(outcome).toEqual({ state: 'rejected', with: 'reason' });
    expect(signal?.reason).toBe('reason');
  });

  test('before the load begins: the loader is not called', async () => {
    const { run, counters } = subject();
    const control = AbortSignal.abort(new Error('gone'));
    await expect(run(() => 1, control)).rejects.toThrow('gone');
    expect(counters.loads).toBe(0);
  });
});
