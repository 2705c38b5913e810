/** A port on loopback that nobody listens on. */
import { randomInt } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:net';

// Below the range from which systems take ports for outgoing connections
// (Linux 32768 and up, macOS 49152 and up). A server restarted on its port
// must find it free: a port of that range may meanwhile belong to some
// client's connection, and a client that reconnects to it in vain can even be
// connected to itself, because its own port is then chosen from the same range.
const FIRST_PORT = 16_384;
const END_PORT = 32_768;

/** Somebody else may take it before it is used. */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = randomInt(FIRST_PORT, END_PORT);
    if (await isFree(port)) return port;
  }
}

async function isFree(port: number): Promise<boolean> {
  const server = createServer();
  try {
    await once(server.listen(port, '127.0.0.1'), 'listening');
  } catch {
    return false;
  }
  await once(server.close(), 'close');
  return true;
}
