// What caches are known to get wrong (docs/comparison.md) and no other file has: the rest is beside the room it is about.
import { expect, test } from 'vitest';
import { InvalidKeyError, InvalidValueError } from '../../src/index.ts';
import { eventually } from '../support/eventually.ts';
import { command, useNodes } from '../support/nodes.ts';
import { useCaches } from './caches.ts';

const nodes = useNodes(1);
const caches = useCaches();

test('what was deleted while the connection that tells of it was lost is not read from memory', async () => {
  const reader = await caches.open({ nodes, memory: { ttl: '1h' } });
  const writer = await caches.open({ nodes });
  await writer.set('k', 'old');
  expect(await reader.get('k')).toBe('old');
  expect(await reader.get('k')).toBe('old');
  // In one turn of this process: it cannot connect anew before the message was sent to nobody.
  const cut = command(nodes[0]!, 'CLIENT', 'KILL', 'TYPE', 'pubsub');
  expect(await writer.delete('k')).toBe(true);
  await cut;
  await eventually(async () => (await reader.get('k')) === undefined);
});

test('a key or value that is none is refused, not passed over', async () => {
  const cache = await caches.open({ nodes });
  const circular: Record<string, unknown> = {};
  circular['self'] = circular;
  await expect(cache.set('k', circular)).rejects.toThrow(InvalidValueError);
  const key = {
    toString: () => {
      throw new Error('cannot be a key');
    },
  };
  await expect(cache.getOrSet(key as never, () => 'row')).rejects.toThrow(InvalidKeyError);
});
