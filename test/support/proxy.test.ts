// What the proxy does to one connection and not to another.
import { Redis } from 'ioredis';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { eventually } from './eventually.ts';
import { command, useNodes } from './nodes.ts';
import { FaultProxy } from './proxy.ts';

const nodes = useNodes(1);
const clients: Redis[] = [];
let proxy: FaultProxy;

beforeEach(async () => {
  await command(nodes[0]!, 'FLUSHALL');
  proxy = await FaultProxy.start(nodes[0]!.port);
});
afterEach(async () => {
  for (const client of clients.splice(0)) client.disconnect();
  await proxy.close();
});

async function connect(connectionName: string): Promise<Redis> {
  const client = new Redis(proxy.url, { connectionName, retryStrategy: () => null });
  client.on('error', () => {});
  clients.push(client);
  await client.ping();
  return client;
}

test('a fault with a name is for those who call themselves so', async () => {
  const [cut, other] = [await connect('p1'), await connect('p2')];
  proxy.set({ kind: 'blackhole' }, 'p1');
  const lost = cut.set('k', 'lost').catch(() => 'never');
  expect(await other.set('k', 'there')).toBe('OK');
  proxy.reset('p1');
  expect(await lost).toBe('never');
  expect(await other.get('k')).toBe('there');
  proxy.set({ kind: 'none' }, 'p1');
  expect(await (await connect('p1')).get('k')).toBe('there');
});

test('what strays arrives though its client has gone, after what others sent meanwhile', async () => {
  const gone = await connect('p1');
  proxy.stray();
  gone.set('k', 'strayed').catch(() => {});
  const before = proxy.connections;
  gone.disconnect();
  const next = await connect('p1');
  expect(await next.set('k', 'new')).toBe('OK');
  expect(proxy.connections).toBe(before + 1);
  proxy.arrive();
  await eventually(async () => (await next.get('k')) === 'strayed');
});
