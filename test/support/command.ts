/** One command to one node, with no client library in between. */
import { createConnection } from 'node:net';

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
