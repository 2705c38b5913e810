// What is loaded while its node cannot be asked, and the node still tells of changes.
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, expect, test } from 'vitest';
import { useCaches } from '../cache/caches.ts';
import { eventually } from '../support/eventually.ts';
import { useNodes } from '../support/nodes.ts';
import { FaultProxy } from '../support/proxy.ts';

const nodes = useNodes(1);
const room = useCaches();
let proxy: FaultProxy | undefined;
afterEach(() => proxy?.close());

const MAX_STALE_MS = 200;

test('is not shown for longer than maxStale: nobody tells of the delete of what is not there', async () => {
  proxy = await FaultProxy.start(nodes[0]!.port);
  const memory = { maxStale: MAX_STALE_MS };
  const cut = await room.open({ nodes: [{ id: 'a', url: proxy.url }], memory });
  const other = await room.open({ nodes: [{ id: 'a', url: nodes[0]!.url }], memory });
  await eventually(() => expect(cut.stats().nodes['a']?.tracked).toBe(true));
  proxy.set({ kind: 'blackhole' }, { role: 'requests' });
  await eventually(async () => {
    await cut.getOrSet('k', () => 'old');
    return cut.peek('k') === 'old';
  });
  expect(cut.stats().nodes['a']?.tracked).toBe(true);
  expect(await other.delete('k')).toBe(true);
  await sleep(MAX_STALE_MS + 50);
  expect(cut.peek('k')).toBeUndefined();
});
