// config/redis.conf is what we tell people to run: a real server must take it, and do what it says.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { LocalNodeError, type LocalNodes, startLocalNodes } from '../../src/local.ts';
import { command } from '../support/nodes.ts';

const file = fileURLToPath(new URL('../../config/redis.conf', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'ringcache-test-'));
let nodes: LocalNodes;

beforeAll(async () => {
  nodes = await startLocalNodes(1, { args: ['--include', file] }).catch(withoutDefragmentation);
});
afterAll(async () => {
  await nodes.close();
  rmSync(folder, { recursive: true });
});

// A build with the allocator of the distribution refuses one line, and the file says which.
function withoutDefragmentation(error: unknown): Promise<LocalNodes> {
  if (!(error instanceof LocalNodeError && /modified jemalloc/i.test(error.message))) throw error;
  const rest = readFileSync(file, 'utf8').replace(/^activedefrag yes\n/m, '');
  const copy = join(folder, 'redis.conf');
  writeFileSync(copy, rest);
  return startLocalNodes(1, { args: ['--include', copy] });
}

test.each([
  ['save', ''],
  ['appendonly', 'no'],
  ['maxmemory', String(512 * 1024 * 1024)],
  ['maxmemory-policy', 'allkeys-lru'],
  ['active-defrag-ignore-bytes', String(100 * 1024 * 1024)],
  ['active-defrag-threshold-lower', '10'],
  ['lazyfree-lazy-eviction', 'yes'],
])('%s is %j', async (name, value) => {
  const answer = await command(nodes[0]!, 'CONFIG', 'GET', name);
  expect(answer.split('\r\n')[4]).toBe(value); // after *2, $n, the name, $n
});

test('it turns active defragmentation on', () => {
  expect(readFileSync(file, 'utf8')).toMatch(/^activedefrag yes$/m);
});
