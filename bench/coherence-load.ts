/** Writes to one node, for the coherence benchmark: plain SETs over bare sockets, or sets of a cache. */

import { once } from 'node:events';
import { createConnection, type Socket } from 'node:net';
import { createCache, type RingCache } from '../src/index.ts';
import { keysOf } from '../src/node/node-keys.ts';
import { obey } from './child.ts';
import { itemOf } from './keys.ts';

const KEY_BYTES = 12;
const CONNECTIONS = 50;
/** +OK and a line end. */
const OK_BYTES = 5;

let sockets: Socket[] = [];
let cache: RingCache;
let prefix = '';
let written = 0;

async function open(given: { port: number; namespace: string }): Promise<void> {
  const { port, namespace } = given;
  sockets = await Promise.all(
    Array.from({ length: CONNECTIONS }, async () => {
      const socket = createConnection({ port, host: '127.0.0.1', noDelay: true });
      await once(socket, 'connect');
      return socket;
    }),
  );
  prefix = keysOf(namespace).value('');
  cache = await createCache({
    ...{ nodes: [`redis://127.0.0.1:${port}`], namespace, memory: false, jitter: 0 },
    node: { timeout: 5_000 },
  });
}

/** Another one each time: of a key that is written twice at once the channels are told once. */
function nextKey(): string {
  return String(written++).padStart(KEY_BYTES, '0');
}

/** Plain SETs, so many at a time over each of the connections. */
async function plain(given: { count: number; atOnce: number }): Promise<number> {
  const each = Math.ceil(given.count / CONNECTIONS);
  await Promise.all(sockets.map((socket) => writeOver(socket, { ...given, count: each })));
  return each * CONNECTIONS;
}

function writeOver(socket: Socket, given: { count: number; atOnce: number }): Promise<void> {
  return new Promise((resolve, reject) => {
    let [sent, bytes] = [0, 0];
    const send = (): void => {
      let text = '';
      for (let i = 0; i < given.atOnce && sent < given.count; i++, sent++) {
        const key = prefix + nextKey();
        text += `*3\r\n$3\r\nSET\r\n$${key.length}\r\n${key}\r\n$3\r\nxyz\r\n`;
      }
      socket.write(text);
    };
    const read = (chunk: Buffer): void => {
      if (chunk[0] === 0x2d) reject(new Error(chunk.toString()));
      bytes += chunk.length;
      if (bytes < sent * OK_BYTES) return;
      if (sent < given.count) {
        send();
        return;
      }
      socket.off('data', read);
      resolve();
    };
    socket.on('data', read);
    send();
  });
}

/** Sets of the cache, so many at a time. */
async function ours(given: { count: number; atOnce: number }): Promise<number> {
  const item = itemOf(1);
  for (let left = given.count; left > 0; left -= given.atOnce) {
    const sets = Array.from({ length: Math.min(left, given.atOnce) }, () =>
      cache.set(nextKey(), item),
    );
    if ((await Promise.all(sets)).includes(false)) throw new Error('a set was not taken');
  }
  return given.count;
}

const handlers = { open, plain, ours };
export type CoherenceLoad = typeof handlers;
obey(handlers);
