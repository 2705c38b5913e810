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

test('a fault may be for what a server tells by itself, or for what it answers', async () => {
  const told: string[] = [];
  const listeners = await Promise.all(['p1', 'p2'].map((name) => connect(name)));
  for (const [i, listener] of listeners.entries()) {
    await listener.subscribe('news');
    listener.on('message', (_, text: string) => told.push(`${i + 1} ${text}`));
  }
  const asking = await connect('p1');
  proxy.set({ kind: 'hold' }, { role: 'pushes', name: 'p1' });
  await command(nodes[0]!, 'PUBLISH', 'news', 'one');
  await eventually(() => expect(told).toEqual(['2 one']));
  expect(await asking.ping()).toBe('PONG');
  proxy.set({ kind: 'blackhole' }, { role: 'requests' });
  proxy.set({ kind: 'none' }, { role: 'pushes', name: 'p1' });
  await eventually(() => expect(told).toEqual(['2 one', '1 one']));
  const lost = asking.ping().catch(() => 'never');
  await command(nodes[0]!, 'PUBLISH', 'news', 'two');
  await eventually(() => expect(told.slice(2).sort()).toEqual(['1 two', '2 two']));
  proxy.reset({ role: 'requests' });
  expect(await lost).toBe('never');
  expect(listeners.map(({ status }) => status)).toEqual(['ready', 'ready']);
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
