/** Real Redis nodes for a test file. */
import { createConnection } from 'node:net';
import { afterAll, afterEach, beforeAll } from 'vitest';
import { type LocalNode, type LocalNodesOptions, startLocalNodes } from '../../src/local.ts';

/**
 * Starts `count` nodes before the tests of the file (or of the enclosing
 * `describe`) and ends them after. What a test has killed, stopped or paused
 * runs again when the next one begins: restarted empty, or resumed.
 *
 * The array is filled when the first test or `beforeEach` runs:
 *
 * ```ts
 * const nodes = useNodes(3);
 * test('…', async () => { await nodes[0]!.kill(); … });
 * ```
 */
export function useNodes(count: number, options: LocalNodesOptions = {}): LocalNode[] {
  const nodes: LocalNode[] = [];
  let close: (() => Promise<void>) | undefined;
  beforeAll(async () => {
    const started = await startLocalNodes(count, options);
    close = () => started.close();
    nodes.push(...started);
  });
  afterEach(async () => {
    await Promise.all(nodes.map((node) => (node.running ? node.resume() : node.restart())));
  });
  afterAll(async () => {
    await close?.();
    nodes.length = 0;
  });
  return nodes;
}

/**
 * Sends one command over a connection of its own, with no client library in
 * between, and resolves to the raw answer: `'+OK\r\n'`.
 */
export function command(node: { readonly port: number }, ...words: string[]): Promise<string> {
  const parts = words.map((word) => `$${Buffer.byteLength(word)}\r\n${word}\r\n`);
  return new Promise((resolve, reject) => {
    let answer = '';
    const socket = createConnection(node.port, '127.0.0.1');
    socket.setEncoding('utf8');
    // QUIT ends the connection, and so the answer.
    socket.write(`*${words.length}\r\n${parts.join('')}*1\r\n$4\r\nQUIT\r\n`);
    socket.on('data', (text: string) => {
      answer += text;
    });
    socket.once('error', reject);
    socket.once('close', () => resolve(answer.replace(/\+OK\r\n$/, '')));
  });
}
