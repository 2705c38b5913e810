/** P1: one cold key, any number of callers in any number of processes, one load. */
import { expect, test } from 'vitest';
import { eventually } from '../support/eventually.ts';
import type { App } from '../support/fork.ts';
import { useFork } from '../support/fork.ts';
import { useNodes } from '../support/nodes.ts';
import type { CacheApp, StampedePlan, StampedeResult } from './cache-app.ts';
import { Held, useCaches } from './caches.ts';

const nodes = useNodes(3);
const fork = useFork();
const caches = useCaches();

function startApps(count: number, lease = '10s'): Promise<App<CacheApp>[]> {
  const options = { nodes, load: { lease } };
  return Promise.all(Array.from({ length: count }, () => caches.openIn(fork, options)));
}

function ask(
  apps: App<CacheApp>[],
  plan: Omit<StampedePlan, 'at' | 'callers' | 'key'>,
): Promise<StampedeResult[]> {
  const at = Date.now() + 100;
  return Promise.all(
    apps.map((app) => app.call('stampede', { key: 'cold', callers: 250, at, ...plan })),
  );
}

const loadsOf = (results: StampedeResult[]) => results.flatMap((result) => result.loads);
const slowestOf = (results: StampedeResult[]) => Math.max(...results.map((r) => r.slowestMs));

test('1,000 callers in four processes cost one load, and nobody waits much longer than it takes', async () => {
  const apps = await startApps(4);
  const results = await ask(apps, { loadMs: 300, value: 'the value' });
  expect(loadsOf(results)).toHaveLength(1);
  for (const result of results) {
    expect(result.values).toEqual(['the value']);
    expect(result.errors).toEqual([]);
  }
  process.stdout.write(
    `stampede: load 300 ms, slowest caller ${slowestOf(results).toFixed(0)} ms\n`,
  );
  expect(slowestOf(results)).toBeLessThan(300 + 300);
});

test('a load that takes four leases is still the only one: its lease is renewed', async () => {
  const apps = await startApps(4, '300ms');
  const results = await ask(apps, { loadMs: 1_200, value: 1 });
  expect(loadsOf(results)).toHaveLength(1);
  for (const result of results) expect(result.values).toEqual([1]);
  process.stdout.write(
    `renewal: load 1200 ms, slowest caller ${slowestOf(results).toFixed(0)} ms\n`,
  );
  expect(slowestOf(results)).toBeLessThan(1_200 + 300);
});

test('when the loading process is killed, another loads as soon as the lease has run out', async () => {
  const [first, second, third] = await startApps(3, '400ms');
  await first!.call('beginLoad', 'cold');
  const start = performance.now();
  const rest = ask([second!, third!], { loadMs: 20, value: 'from another' });
  await first!.kill();
  const results = await rest;
  const tookMs = performance.now() - start;
  expect(loadsOf(results)).toHaveLength(1);
  for (const result of results) {
    expect(result.values).toEqual(['from another']);
    expect(result.errors).toEqual([]);
  }
  process.stdout.write(`killed loader: lease 400 ms, all served after ${tookMs.toFixed(0)} ms\n`);
  expect(tookMs).toBeGreaterThan(250);
  expect(tookMs).toBeLessThan(1_500);
});

test('when the load fails, each process tries in its turn, never two at once', async () => {
  const apps = await startApps(4);
  const results = await ask(apps, { loadMs: 60, value: 0, failure: 'the database is away' });
  const loads = loadsOf(results).sort((a, b) => a.began - b.began);
  expect(loads).toHaveLength(4);
  for (const [i, load] of loads.entries()) {
    if (i > 0) expect(load.began).toBeGreaterThanOrEqual(loads[i - 1]!.ended - 2);
  }
  for (const result of results) {
    expect(result.errors).toEqual(['the database is away']);
    expect(result.values).toEqual([]);
  }
});

test('when the first load fails and the next succeeds, the others get its value', async () => {
  const [first, ...others] = await startApps(3);
  const cache = await caches.open({ nodes });
  // Long enough for the others to be started while it runs, on a busy machine too.
  const failing = first!.call('stampede', {
    ...{ key: 'cold', callers: 1, at: 0, loadMs: 1_000, value: 0, failure: 'no' },
  });
  await eventually(async () => (await cache.explain('cold')).leased);
  const results = await ask(others, { loadMs: 30, value: 'second' });
  expect((await failing).errors).toEqual(['no']);
  expect(loadsOf(results)).toHaveLength(1);
  for (const result of results) expect(result.values).toEqual(['second']);
});

test('in one process a failing loader runs once, and all who wait get its very error', async () => {
  const cache = await caches.open({ nodes });
  const load = new Held<never>();
  const calls = Array.from({ length: 100 }, () => cache.getOrSet('k', load.loader));
  await load.begun;
  calls.push(...Array.from({ length: 100 }, () => cache.getOrSet('k', load.loader)));
  const failure = new RangeError('no such row');
  load.fail(failure);
  for (const settled of await Promise.allSettled(calls)) {
    expect(settled).toMatchObject({ status: 'rejected' });
    expect(settled.status === 'rejected' && settled.reason).toBe(failure);
  }
  expect(load.calls).toBe(1);
  expect(cache.stats()).toMatchObject({ loads: 1, loadErrors: 1, coalesced: 199 });
  expect(await cache.getOrSet('k', () => 'next')).toBe('next');
});
