/**
 * A TCP proxy in front of a node that can do to a connection what networks do:
 * delay, swallow, hold, cut in the middle of an answer, garble, accept and
 * close, refuse; to all who connect, or to one by its name (`connectionName` of
 * the Redis client).
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
  /** What the client calls itself, as soon as it has. */
  name: string | undefined;
  readonly held: Buffer[];
  /** Requests that are underway for as long as that takes; undefined: they pass. */
  straying: Buffer[] | undefined;
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
  /** Of those that have a fault of their own. */
  readonly #faults = new Map<string, Fault>();
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

  /** @param name Only for those that call themselves so; `slam` is for all. */
  set(fault: Fault, name?: string): void {
    if (name === undefined) this.#fault = fault;
    else this.#faults.set(name, fault);
    if (fault.kind === 'none') this.release();
  }

  /**
   * What the connections of now send from now on strays in the network: it
   * arrives when they are let go by `arrive()`, though the client may have given
   * the connection up and made another one meanwhile.
   */
  stray(): void {
    for (const link of this.#links) link.straying ??= [];
  }

  arrive(): void {
    for (const link of this.#links) {
      for (const chunk of link.straying?.splice(0) ?? []) link.server.write(chunk);
      link.straying = undefined;
      if (link.client.destroyed) link.server.end();
    }
  }

  /** Lets the answers that were held go. */
  release(): void {
    for (const { client, held } of this.#links) {
      for (const chunk of held.splice(0)) client.write(chunk);
    }
  }

  /** Cuts all connections with RST, or those of one name. */
  reset(only?: string): void {
    for (const { client, server, name } of this.#links) {
      if (only !== undefined && name !== only) continue;
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
    const rest = { name: undefined, held: [], straying: undefined, late: [], dueAt: 0 };
    const link: Link = { client, server, ...rest };
    this.#links.add(link);
    const end = (): void => {
      client.destroy();
      if (link.straying !== undefined) return;
      server.destroy();
      this.#links.delete(link);
    };
    client.on('error', end).on('close', end);
    server.on('error', end).on('close', () => {
      link.straying = undefined;
      end();
    });
    client.on('data', (chunk) => this.#ask(link, chunk));
    server.on('data', (chunk) => this.#answer(link, chunk));
  }

  #ask(link: Link, chunk: Buffer): void {
    link.name ??= /\r\nsetname\r\n\$\d+\r\n(\S+)\r\n/i.exec(chunk.toString('latin1'))?.[1];
    if (this.#faultOf(link).kind === 'blackhole') return;
    if (link.straying === undefined) link.server.write(chunk);
    else link.straying.push(chunk);
  }

  #faultOf({ name = '' }: Link): Fault {
    const own = this.#faults.get(name);
    return own === undefined || own.kind === 'none' ? this.#fault : own;
  }

  /** It has struck once. */
  #over(link: Link): void {
    const own = this.#faults.get(link.name ?? '');
    if (own !== undefined && own.kind !== 'none') this.#faults.delete(link.name ?? '');
    else this.#fault = { kind: 'none' };
  }

  #answer(link: Link, chunk: Buffer): void {
    const { client, server, held } = link;
    const fault = this.#faultOf(link);
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
        this.#over(link);
        client.end(chunk.subarray(0, fault.bytes));
        server.destroy();
        return;
      case 'stray':
        this.#over(link);
        client.write(Buffer.concat([Buffer.from('+OK\r\n'), chunk]));
        return;
      case 'garbage':
        this.#over(link);
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
