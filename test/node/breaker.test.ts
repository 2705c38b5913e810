/** The wrapper around opossum: each test a trap that was measured in it. */
import { afterEach, describe, expect, test } from 'vitest';
import { Breaker, type Outcome } from '../../src/node/breaker.ts';
import { BREAKER_DEFAULTS } from '../../src/node/tuning.ts';
import { eventually } from '../support/eventually.ts';

const RESET_MS = 30;

class Trial {
  opened = 0;
  probes: PromiseWithResolvers<boolean>[] = [];
  readonly breaker: Breaker;

  constructor(tuning: Partial<typeof BREAKER_DEFAULTS> = {}) {
    this.breaker = new Breaker(
      { ...BREAKER_DEFAULTS, resetTimeoutMs: RESET_MS, rollingCountTimeoutMs: 10_000, ...tuning },
      {
        opened: () => {
          this.opened += 1;
        },
        probe: () => {
          const probe = Promise.withResolvers<boolean>();
          this.probes.push(probe);
          return probe.promise;
        },
      },
    );
  }

  begin(count: number): Outcome[] {
    return Array.from({ length: count }, () => this.breaker.begin());
  }

  async fail(count: number): Promise<void> {
    for (const outcome of this.begin(count)) outcome.fail();
    await settled();
  }

  async succeed(count: number): Promise<void> {
    for (const outcome of this.begin(count)) outcome.succeed();
    await settled();
  }

  /** As the admission does: closes, then says so. */
  async pass(): Promise<void> {
    this.breaker.close();
    this.probes.at(-1)?.resolve(true);
    await settled();
  }
}

const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

const trials: Trial[] = [];
function trial(tuning?: Partial<typeof BREAKER_DEFAULTS>): Trial {
  const one = new Trial(tuning);
  trials.push(one);
  return one;
}
afterEach(() => {
  for (const one of trials.splice(0)) one.breaker.shutdown();
});

describe('the breaker', () => {
  test('starts open, which is no opening, and is tried after the reset time', async () => {
    const { breaker, probes, ...rest } = trial();
    expect(breaker.state).toBe('open');
    expect(rest.opened).toBe(0);
    await eventually(() => probes.length === 1);
    expect(breaker.state).toBe('halfOpen');
    expect(breaker.closed).toBe(false);
  });

  test('opens above the share of failures, once there are enough groups', async () => {
    const one = trial({ volumeThreshold: 5, errorThresholdPercentage: 50 });
    one.breaker.close();
    await one.fail(4);
    expect(one.breaker.closed).toBe(true);
    await one.fail(1);
    expect(one.breaker.closed).toBe(false);
    expect(one.opened).toBe(1);
  });

  test('stays closed at exactly the share', async () => {
    const one = trial({ volumeThreshold: 4 });
    one.breaker.close();
    await one.succeed(5);
    await one.fail(5);
    expect(one.breaker.closed).toBe(true);
    await one.fail(1);
    expect(one.breaker.closed).toBe(false);
  });

  test('starts counting from nothing when it closes: as many failures open it as the first time', async () => {
    // opossum alone, with 1,000 calls rejected while open: 997 failures.
    const one = trial({ volumeThreshold: 5 });
    one.breaker.close();
    await one.succeed(1000);
    one.breaker.open();
    await eventually(() => one.probes.length === 1);
    await one.pass();
    expect(one.breaker.closed).toBe(true);
    await one.fail(4);
    expect(one.breaker.closed).toBe(true);
    await one.fail(1);
    expect(one.breaker.closed).toBe(false);
  });

  test('is not closed by the late success of a request that was sent before it opened', async () => {
    const one = trial();
    one.breaker.close();
    const [old] = one.begin(1);
    one.breaker.open();
    await eventually(() => one.probes.length === 1);
    old?.succeed();
    await settled();
    expect(one.breaker.state).toBe('halfOpen');
  });

  test('is not opened again by the late failures of requests that were sent before', async () => {
    const one = trial();
    one.breaker.close();
    const old = one.begin(49);
    one.breaker.open();
    await eventually(() => one.probes.length === 1);
    await one.pass();
    for (const outcome of old) outcome.fail();
    await settled();
    expect(one.breaker.closed).toBe(true);
    expect(one.opened).toBe(1);
  });

  test('is not held half-open by a probe that fails, and tries again and again', async () => {
    const one = trial();
    await eventually(() => one.probes.length === 1);
    one.probes[0]?.resolve(false);
    await eventually(() => one.breaker.state === 'open');
    await eventually(() => one.probes.length === 2);
    one.probes[1]?.reject(new Error('no'));
    await eventually(() => one.probes.length === 3);
    await one.pass();
    expect(one.breaker.closed).toBe(true);
  });

  test('is opened by the loss of the connection while a probe is out, and the probe cannot close it', async () => {
    const one = trial();
    await eventually(() => one.probes.length === 1);
    one.breaker.open();
    expect(one.breaker.state).toBe('open');
    one.probes[0]?.resolve(true);
    await settled();
    expect(one.breaker.closed).toBe(false);
    await eventually(() => one.probes.length === 2);
  });

  test('a failure costs about the same with 50,000 calls in the window as with none', async () => {
    // opossum with percentiles: 7 ms against 22 µs.
    const one = trial({ volumeThreshold: 1_000_000 });
    one.breaker.close();
    const cost = async (): Promise<number> => {
      const start = performance.now();
      for (let i = 0; i < 20; i += 1) await one.fail(1);
      return performance.now() - start;
    };
    await cost();
    const few = await cost();
    await one.succeed(50_000);
    expect((await cost()) / few).toBeLessThan(50);
  });

  test('does nothing after shutdown, whatever comes late', async () => {
    const one = trial();
    one.breaker.close();
    const old = one.begin(10);
    one.breaker.shutdown();
    for (const outcome of old) outcome.fail();
    one.breaker.open();
    one.breaker.close();
    await new Promise((resolve) => setTimeout(resolve, 2 * RESET_MS));
    expect(one.opened).toBe(0);
    expect(one.probes).toEqual([]);
  });
});
