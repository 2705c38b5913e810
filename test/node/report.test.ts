/** What a server says of itself, as numbers. */
import { describe, expect, test } from 'vitest';
import { readReport } from '../../src/node/report.ts';
import { useCaches } from '../cache/caches.ts';
import { eventually } from '../support/eventually.ts';
import { command, useNodes } from '../support/nodes.ts';

const nodes = useNodes(2, { args: ['--maxmemory', '64mb', '--maxmemory-policy', 'allkeys-lru'] });
const caches = useCaches();

describe('inspectNodes', () => {
  test('has the numbers that the server has', async () => {
    const cache = await caches.open({ nodes });
    await cache.setMany(Array.from({ length: 50 }, (_, i) => [`k${i}`, i]));
    const [first] = await cache.inspectNodes();
    const info = await command(nodes[0]!, 'INFO');
    expect(first).toMatchObject({ id: 'node-1', state: 'up', breaker: 'closed', weight: 1 });
    const told = first?.server;
    expect(info).toContain(`redis_version:${told?.version.replace('redis ', '')}`);
    expect(told?.memoryMaxBytes).toBe(64 * 2 ** 20);
    expect(told?.policy).toBe('allkeys-lru');
    expect(told?.memoryUsedBytes).toBeGreaterThan(100_000);
    expect(told?.fragmentation).toBeGreaterThan(0);
    expect(`:${told?.keys}\r\n`).toBe(await command(nodes[0]!, 'DBSIZE'));
    expect(told?.clients).toBeGreaterThanOrEqual(1);
    expect(told?.pingMs).toBeGreaterThan(0);
    expect(told?.evictions).toBe(0);
  });

  test('counts what is asked between two of them', async () => {
    const cache = await caches.open({ nodes: nodes.slice(0, 1), memory: false });
    await cache.set('there', 1);
    const [before] = await cache.inspectNodes();
    for (let i = 0; i < 5; i++) await cache.get('there');
    for (let i = 0; i < 7; i++) await cache.get('absent');
    const [after] = await cache.inspectNodes();
    const difference = (of: 'hits' | 'misses' | 'commands'): number =>
      (after?.server?.[of] ?? 0) - (before?.server?.[of] ?? 0);
    expect(difference('misses')).toBe(7);
    // The epoch and the sequence are read with each of the twelve.
    expect(difference('hits')).toBe(5 + 2 * 12);
    expect(difference('commands')).toBeGreaterThanOrEqual(12);
  });

  test('lists a node that does not answer, with its state and without numbers', async () => {
    const cache = await caches.open({ nodes });
    await nodes[1]!.kill();
    await eventually(async () => {
      const [first, second] = await cache.inspectNodes();
      expect(first).toMatchObject({ state: 'up', problem: undefined });
      expect(second).toMatchObject({ id: 'node-2', state: 'down', server: undefined });
      expect(second?.problem).toMatch(/ECONNREFUSED|the connection was lost/);
    });
  });

  test('lists a node that hangs within the budget of a request', async () => {
    const cache = await caches.open({ nodes, node: { timeout: 50 } });
    await nodes[0]!.pause();
    const [first] = await cache.inspectNodes();
    expect(first).toMatchObject({ server: undefined });
    expect(first?.problem).toBe('no answer within 50 ms');
  });
});

describe('readReport', () => {
  test('takes Valkey by its own version, and what is not told for nothing', () => {
    const info = '# Server\r\nredis_version:7.2.4\r\nvalkey_version:8.1.1\r\nused_memory:12x\r\n';
    expect(readReport([info, 3, 0.5])).toMatchObject({
      version: 'valkey 8.1.1',
      memoryUsedBytes: 0,
      policy: '',
      keys: 3,
      pingMs: 0.5,
    });
  });
});
