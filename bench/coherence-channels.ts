/**
 * So many processes' push channels to one node, in one process: connections
 * that ask for what ours ask for, and throw away what they are told. Reading it
 * is each process's own cost; here it would take the time of the server, with
 * which they share the machine.
 */

import { once } from 'node:events';
import { createConnection, type Socket } from 'node:net';
import { keysOf } from '../src/node/node-keys.ts';
import { obey } from './child.ts';

interface Channel {
  readonly socket: Socket;
  bytes: number;
}

const channels: Channel[] = [];

function command(...words: string[]): string {
  const parts = words.map((word) => `$${Buffer.byteLength(word)}\r\n${word}\r\n`);
  return `*${words.length}\r\n${parts.join('')}`;
}

/** Opens or closes channels until there are `count`. */
async function have(given: { port: number; count: number; namespace: string }): Promise<void> {
  const { port, count, namespace } = given;
  while (channels.length > count) channels.pop()?.socket.destroy();
  while (channels.length < count) channels.push(await open(port, namespace));
  for (const channel of channels) channel.bytes = 0;
}

async function open(port: number, namespace: string): Promise<Channel> {
  const { value, fence } = keysOf(namespace);
  const socket = createConnection({ port, host: '127.0.0.1', noDelay: true });
  await once(socket, 'connect');
  const id = /^:(\d+)/.exec(await answer(socket, command('CLIENT', 'ID')))?.[1] ?? '';
  const prefixes = [value(''), fence].flatMap((prefix) => ['PREFIX', prefix]);
  const tracking = command('CLIENT', 'TRACKING', 'ON', 'REDIRECT', id, 'BCAST', ...prefixes);
  const tracked = await answer(socket, tracking);
  if (tracked !== '+OK\r\n') throw new Error(`tracking: ${tracked}`);
  await answer(socket, command('SUBSCRIBE', '__redis__:invalidate'));
  const channel = { socket, bytes: 0 };
  socket.on('data', (chunk: Buffer) => {
    channel.bytes += chunk.length;
  });
  return channel;
}

async function answer(socket: Socket, question: string): Promise<string> {
  socket.write(question);
  const [chunk] = (await once(socket, 'data')) as [Buffer];
  return chunk.toString();
}

/** What the channel that was told least was told, in bytes, since `have`. */
function told(): number {
  return Math.min(...channels.map(({ bytes }) => bytes));
}

const handlers = { have, told: (_: null) => told() };
export type Channels = typeof handlers;
obey(handlers);
