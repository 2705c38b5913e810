/** What `top` shows between two looks. */
import { describe, expect, test } from 'vitest';
import { ratesOf, type Sample } from '../../src/cli/top-frame.ts';
import type { NodeReport, ServerReport } from '../../src/index.ts';

const NONE = { opsPerSecond: undefined, hitRate: undefined, evictionsPerSecond: undefined };

function report(server: Partial<ServerReport> | undefined): NodeReport {
  const full: ServerReport | undefined = server && {
    version: 'redis 7',
    uptimeMs: 1,
    pingMs: 1,
    memoryUsedBytes: 1,
    memoryMaxBytes: 0,
    policy: '',
    fragmentation: 1,
    opsPerSecond: 42,
    commands: 0,
    hits: 0,
    misses: 0,
    evictions: 0,
    keys: 0,
    clients: 0,
    ...server,
  };
  const problem = full === undefined ? 'gone' : undefined;
  return { id: 'a', weight: 1, share: 1, state: 'up', breaker: 'closed', server: full, problem };
}

const sample = (server: Partial<ServerReport> | undefined): Sample => ({
  at: 1_000,
  epoch: 1,
  state: 'stable',
  nodes: [{ ...report(server), ...NONE }],
});

describe('the rates of a node', () => {
  test('are those of the interval', () => {
    const before = sample({ commands: 100, hits: 90, misses: 90, evictions: 1 });
    const now = report({ commands: 300, hits: 120, misses: 100, evictions: 5 });
    expect(ratesOf(now, { at: 3_000, before })).toEqual({
      opsPerSecond: 100,
      hitRate: 0.75,
      evictionsPerSecond: 2,
    });
  });

  test('are what the server says of itself at the first look, and after it was restarted', () => {
    const now = report({ commands: 10, hits: 1, misses: 3, opsPerSecond: 42 });
    const own = { opsPerSecond: 42, hitRate: 0.25, evictionsPerSecond: undefined };
    expect(ratesOf(now, { at: 3_000, before: undefined })).toEqual(own);
    const restarted = sample({ commands: 500, hits: 400, misses: 100 });
    expect(ratesOf(now, { at: 3_000, before: restarted })).toEqual(own);
    expect(ratesOf(now, { at: 3_000, before: sample(undefined) })).toEqual(own);
  });

  test('are not known when nothing was looked up, or it did not answer', () => {
    const idle = report({ commands: 1 });
    expect(ratesOf(idle, { at: 2_000, before: sample({}) }).hitRate).toBeUndefined();
    expect(ratesOf(report(undefined), { at: 2_000, before: sample({}) })).toEqual(NONE);
  });
});
