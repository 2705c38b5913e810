/**
 * A TCP proxy in front of a node that can do to a connection what networks do:
 * delay, swallow, hold, cut in the middle of an answer, garble, accept and
 * close, refuse.
 */
import { once } from 'node:events';
import { createConnection, createServer, type Server, type Socket } from 'node:net';

/** What happens to everything that passes from now on. */
export type Fault =
  | { readonly kind: 'none' }
  /** Answers come this much later. */
  | { readonly kind: 'latency'; readonly ms: number }
  /** Nothing passes, in neither direction, and nothing is closed. */
  | { readonly kind: 'blackhole' }
  /** Requests pass; answers are kept until `release()`. */
  | { readonly kind: 'hold' }
  /** Requests pass; answers are lost, and the connection with them never. */
  | { readonly kind: 'drop' }
  /** The next answer ends after this many bytes, and the connection with it. */
  | { readonly kind: 'half'; readonly bytes: number }
  /** The next answer is not one. */
  | { readonly kind: 'garbage' }
  /** An answer that nobody asked for stands before the next one: all that follow are out of step. */
  | { readonly kind: 'stray' }
  /** New connections are accepted and closed at once. */
  | { readonly kind: 'slam' };

interface Link {
  readonly client: Socket;
  readonly server: Socket;
  readonly held: Buffer[];
  /** Answers on their way, the oldest first. */
  readonly late: Buffer[];
  /** When the last answer that is on its way arrives. */
  dueAt: number;
}

export class FaultProxy implements AsyncDisposable {
  readonly #target: number;
  readonly #server: Server;
  readonly #links = new Set<Link>();
  #fault: Fault = { kind: 'none' };
  #port = 0;
  /** Connections that were made to it. */
  accepted = 0;

  private constructor(target: number) {
    this.#target = target;
    this.#server = createServer({ noDelay: true }, (client) => this.#accept(client));
  }

  /** @param target The port on this machine that it stands before. */
  static async start(target: number): Promise<FaultProxy> {
    const proxy = new FaultProxy(target);
    await proxy.#listen();
    return proxy;
  }

  get port(): number {
    return this.#port;
  }

  get url(): string {
    return `redis://127.0.0.1:${this.#port}`;
  }

  get connections(): number {
    return this.#links.size;
  }

  set(fault: Fault): void {
    this.#fault = fault;
    if (fault.kind === 'none') this.release();
  }

  /** Lets the answers that were held go. */
  release(): void {
    for (const { client, held } of this.#links) {
      for (const chunk of held.splice(0)) client.write(chunk);
    }
  }

  /** Cuts all connections with RST. */
  reset(): void {
    for (const { client, server } of this.#links) {
      client.resetAndDestroy();
      server.destroy();
    }
  }

  /** Cuts all connections and refuses new ones until `accept()`. */
  async refuse(): Promise<void> {
    const closed = once(this.#server, 'close');
    this.#server.close();
    this.reset();
    await closed;
  }

  /** Takes connections again, on the same port. */
  accept(): Promise<void> {
    return this.#listen();
  }

  async close(): Promise<void> {
    if (this.#server.listening) await this.refuse();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #listen(): Promise<void> {
    this.#server.listen(this.#port, '127.0.0.1');
    await once(this.#server, 'listening');
    const address = this.#server.address();
    if (address === null || typeof address === 'string') throw new Error('no port');
    this.#port = address.port;
  }

  #accept(client: Socket): void {
    this.accepted += 1;
    if (this.#fault.kind === 'slam') {
      client.destroy();
      return;
    }
    const server = createConnection({ port: this.#target, host: '127.0.0.1', noDelay: true });
    const link: Link = { client, server, held: [], late: [], dueAt: 0 };
    this.#links.add(link);
    const end = (): void => {
      client.destroy();
      server.destroy();
      this.#links.delete(link);
    };
    for (const socket of [client, server]) socket.on('error', end).on('close', end);
    client.on('data', (chunk) => {
      if (this.#fault.kind !== 'blackhole') server.write(chunk);
    });
    server.on('data', (chunk) => this.#answer(link, chunk));
  }

  #answer(link: Link, chunk: Buffer): void {
    const { client, server, held } = link;
    const fault = this.#fault;
    switch (fault.kind) {
      case 'none':
      case 'slam':
        deliver(link, chunk, 0);
        return;
      case 'latency':
        deliver(link, chunk, fault.ms);
        return;
      case 'hold':
        held.push(chunk);
        return;
      case 'half':
        this.#fault = { kind: 'none' };
        client.end(chunk.subarray(0, fault.bytes));
        server.destroy();
        return;
      case 'stray':
        this.#fault = { kind: 'none' };
        client.write(Buffer.concat([Buffer.from('+OK\r\n'), chunk]));
        return;
      case 'garbage':
        this.#fault = { kind: 'none' };
        client.write('HTTP/1.1 400 Bad Request\r\n\r\n');
        return;
      case 'blackhole':
      case 'drop':
        return;
    }
  }
}

/** Later, but never before what was sent earlier: TCP keeps the order. */
function deliver(link: Link, chunk: Buffer, delayMs: number): void {
  const { client, late } = link;
  const now = performance.now();
  link.dueAt = Math.max(link.dueAt, now + delayMs);
  if (link.dueAt <= now && late.length === 0) {
    client.write(chunk);
    return;
  }
  late.push(chunk);
  // Timers that are due in the same millisecond run in any order: each sends what is oldest.
  setTimeout(() => client.write(late.shift() ?? ''), link.dueAt - now);
}
