/** `ringcache bench`: real reads, and nothing left behind. */
import { describe, expect, test } from 'vitest';
import { seats, useCaches } from '../cache/caches.ts';
import { command, useNodes } from '../support/nodes.ts';
import { cli, cliJson, start } from './cli.ts';

const nodes = useNodes(2);
const caches = useCaches();
const fleet = (): string[] => ['--node', nodes[0]!.url, '--namespace', caches.namespace];

interface Result {
  keys: number;
  reads: number;
  readsPerSecond: number;
  p50Ms: number | null;
  p99Ms: number | null;
  hitRate: number | null;
}
interface Bench {
  prefix: string;
  nodes: (Result & { id: string })[];
  all: Result;
  left: number;
}

const benchKeys = async (): Promise<string> =>
  (await Promise.all(nodes.map((node) => command(node, 'KEYS', '*ringcache-bench*')))).join('');

describe('bench', () => {
  test('reads its own keys from every node, and deletes them again', async () => {
    const cache = await caches.open({ nodes: seats(nodes) });
    await cache.set('mine', 1);
    const words = ['bench', '--seconds', '0.5', '--keys', '200', '--size', '50', ...fleet()];
    const told = await cliJson<Bench>(words);
    expect(told).toMatchObject({ left: 0, all: { keys: 200, hitRate: 1 } });
    expect(told.nodes.map(({ id }) => id)).toEqual(['node-1', 'node-2']);
    const sum = (of: 'keys' | 'reads'): number =>
      told.nodes.reduce((all, node) => all + node[of], 0);
    expect(sum('keys')).toBe(200);
    expect(sum('reads')).toBe(told.all.reads);
    for (const node of told.nodes) {
      expect(node).toMatchObject({ hitRate: 1 });
      expect(node.p50Ms).toBeGreaterThan(0);
      expect(node.p99Ms).toBeGreaterThanOrEqual(node.p50Ms ?? 0);
    }
    expect(await benchKeys()).toBe('*0\r\n*0\r\n');
    expect(await cache.get('mine')).toBe(1);
  });

  test('says what it does before, and a table after', async () => {
    await caches.open({ nodes: seats(nodes) });
    const { code, stdout, stderr } = await cli([
      'bench',
      '--seconds',
      '0.2',
      '--keys',
      '50',
      ...fleet(),
    ]);
    expect(code).toBe(0);
    expect(stderr).toMatch(
      /^Writes 50 keys of 100 bytes under ringcache-bench:[0-9a-f]{8}:, reads them for 0\.2 s, 64 at a time/,
    );
    expect(stdout).toMatch(/^node +keys +reads\/s +p50 +p99 +hits$/m);
    expect(stdout).toMatch(/^all +50 +[\d,]+ +[\d.]+ ms +[\d.]+ ms +100\.0 %$/m);
  });

  test('deletes its keys after Ctrl-C, and fails with the numbers until then', async () => {
    await caches.open({ nodes: seats(nodes) });
    const running = start(['bench', '--seconds', '60', '--json', ...fleet()]);
    await running.says(/Writes/);
    await expect.poll(benchKeys, { timeout: 10_000 }).toContain('ringcache-bench');
    running.signal('SIGINT');
    const { code, stdout, stderr } = await running.ended;
    expect(code).toBe(1);
    expect(stderr).toContain('Interrupted');
    expect(JSON.parse(stdout)).toMatchObject({ left: 0 });
    expect(await benchKeys()).toBe('*0\r\n*0\r\n');
  });

  test('has no numbers of a node that is down, and fails', async () => {
    await caches.open({ nodes: seats(nodes) });
    await nodes[1]!.kill();
    const { code, stdout, stderr } = await cli(['bench', '--seconds', '0.2', '--json', ...fleet()]);
    expect(code).toBe(1);
    const told = JSON.parse(stdout) as Bench;
    expect(told.nodes[0]).toMatchObject({ id: 'node-1', hitRate: 1 });
    expect(told.nodes[1]).toMatchObject({ keys: 0, reads: 0, p50Ms: null, hitRate: null });
    expect(stderr).toContain('could not be deleted');
  });
});
