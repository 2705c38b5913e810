/**
 * A TCP proxy in front of a node that can do to a connection what networks do:
 * delay, swallow, hold, cut in the middle of an answer, garble, accept and
 * close, refuse; to all who connect, or to one by its name (`connectionName` of
 * the Redis client), or to those connections alone on which a server tells by
 * itself what changes, or to all others.
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

/** `pushes`: what is sent there is what the server tells by itself. `requests`: any other. */
export type Role = 'requests' | 'pushes';

/** Which connections; what is not said is any. */
export interface Whom {
  readonly name?: string;
  readonly role?: Role;
}

interface Link {
  readonly client: Socket;
  readonly server: Socket;
  /** What the client calls itself, as soon as it has. */
  name: string | undefined;
  /** For pushes as soon as the client has asked for any. */
  role: Role;
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
  /** Of those that have a fault of their own; by name and role. */
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

  /** @param whom Only for these; a string is a name. `slam` is for all. */
  set(fault: Fault, whom: string | Whom = {}): void {
    const selector = selectorOf(whom);
    if (selector === ANY) this.#fault = fault;
    else if (fault.kind === 'none') this.#faults.delete(selector);
    else this.#faults.set(selector, fault);
    for (const link of this.#links) if (this.#faultOf(link).kind !== 'hold') letGo(link);
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
    for (const link of this.#links) letGo(link);
  }

  /** Cuts all connections with RST, or only these; a string is a name. */
  reset(whom: string | Whom = {}): void {
    const selector = selectorOf(whom);
    for (const link of this.#links) {
      if (!selectorsOf(link).includes(selector)) continue;
      link.client.resetAndDestroy();
      link.server.destroy();
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
    const link: Link = { client, server, role: 'requests', ...rest };
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
    const text = chunk.toString('latin1');
    link.name ??= /\r\nsetname\r\n\$\d+\r\n(\S+)\r\n/i.exec(text)?.[1];
    if (/\r\n(?:tracking|subscribe)\r\n/i.test(text)) link.role = 'pushes';
    if (this.#faultOf(link).kind === 'blackhole') return;
    if (link.straying === undefined) link.server.write(chunk);
    else link.straying.push(chunk);
  }

  #faultOf(link: Link): Fault {
    const own = selectorsOf(link).find((selector) => this.#faults.has(selector));
    return (own === undefined ? undefined : this.#faults.get(own)) ?? this.#fault;
  }

  /** It has struck once. */
  #over(link: Link): void {
    const own = selectorsOf(link).find((selector) => this.#faults.delete(selector));
    if (own === undefined) this.#fault = { kind: 'none' };
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

const ANY = selectorOf({});

function selectorOf(whom: string | Whom): string {
  const { name = '', role = '' } = typeof whom === 'string' ? { name: whom } : whom;
  return `${role} ${name}`;
}

/** All that mean this connection, the closest first. */
function selectorsOf({ name = '', role }: Link): string[] {
  return [selectorOf({ name, role }), selectorOf({ name }), selectorOf({ role }), ANY];
}

function letGo({ client, held }: Link): void {
  for (const chunk of held.splice(0)) client.write(chunk);
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
