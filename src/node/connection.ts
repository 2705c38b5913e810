/**
 * The connection to one server: set up so that nothing is ever queued, sent
 * again or waited for without a bound, and taken down so that nothing is left.
 *
 * Tells when it stands and when it is lost. Knows no budgets of requests, no
 * breaker, no keys. The only place that creates a client; measured behaviour
 * behind each option: docs/decisions.md.
 */
import type { Socket } from 'node:net';
import { Command, Redis, type RedisOptions } from 'ioredis';
import { type Clock, pause } from '../clock.ts';
import type { NodeUnavailableError } from '../errors.ts';
import { addressOf, type Place } from './address.ts';
import { Failures, judge } from './failure.ts';
import { HangWatch } from './hang-watch.ts';
import type { NodeTuning } from './tuning.ts';

export type Client = Redis;

export interface ConnectionListener {
  /** It stands, logged in, and the server has loaded its data. */
  ready(): void;
  /** It does not any more, or the attempt failed. */
  lost(): void;
  /** Why it is lost, or cannot be made. @param tell As in `Verdict`. */
  trouble(error: NodeUnavailableError, tell: boolean): void;
  /** Something was published on a channel that this connection subscribed to: bytes, or a list of keys; null: all keys. */
  message?(channel: string, message: Buffer | Buffer[] | null): void;
}

const noop = (): void => undefined;

/** A silence that costs the connection while something is waited for: at least this, at least three budgets. */
const MIN_SILENCE_MS = 300;
const QUIT_MS = 200;
/** TCP and TLS, log-in, and the answer that it is ready each have the time to connect. */
const OPEN_ATTEMPTS = 3;

/** 50, 100, 200 … 1,000 ms, each shortened by up to a half. Never null, which would mean never again. */
function retryDelayMs(attempt: number): number {
  const cap = Math.min(50 * 2 ** (attempt - 1), 1000);
  return cap / 2 + (Math.random() * cap) / 2;
}

/** These win over whatever `redis` options were given. */
const SAFETY = {
  lazyConnect: true,
  // A queued or re-sent write can overwrite what another process wrote meanwhile.
  enableOfflineQueue: false,
  maxRetriesPerRequest: 0,
  autoResendUnfulfilledCommands: false,
  autoResubscribe: false,
  reconnectOnError: null,
  retryStrategy: retryDelayMs,
  // LOADING nodes stay out; asked again soon, whatever they say about how long.
  enableReadyCheck: true,
  maxLoadingRetryTime: 200,
  disconnectTimeout: 100,
  enableAutoPipelining: false,
  // Would leave the command in the queue and costs 15 %: the budget is ours.
  commandTimeout: undefined,
  // Cuts the connection after a block of our own event loop: see hang-watch.ts.
  socketTimeout: undefined,
  // Answers and keys as this folder reads and writes them.
  keyPrefix: '',
  replyMapping: 'legacy',
  stringNumbers: false,
  monitor: false,
  readOnly: false,
  showFriendlyErrorStack: false,
} as const;

/** Nothing listens at a port, or a socket file does not exist. */
const NO_SERVER: ReadonlySet<unknown> = new Set(['ECONNREFUSED', 'ENOENT']);

function codeOf(error: unknown): unknown {
  return error instanceof Error ? Reflect.get(error, 'code') : undefined;
}

// ioredis' types do not know `exactOptionalPropertyTypes`: what is undefined is as if absent.
function newClient(options: object): Redis {
  return new Redis(options as RedisOptions & { replyMapping: 'legacy' });
}

/** As `client.callBuffer`, without what it looks at for each call and SAFETY rules out. */
export function sendCommand(
  client: Client,
  name: string,
  operands: (string | number | Buffer)[],
): Promise<unknown> {
  const command = new Command(name, operands, { replyEncoding: null });
  return client.sendCommand(command) as Promise<unknown>;
}

export class Connection {
  readonly failures: Failures;
  readonly #client: Redis;
  readonly #clock: Clock;
  readonly #secure: boolean;
  readonly #attemptMs: number;
  readonly #watch: HangWatch;
  #stood = false;
  #closed = false;
  #refused = false;

  constructor(
    place: Place,
    options: { clock: Clock; tuning: NodeTuning; listener: ConnectionListener },
  ) {
    const { clock, tuning, listener } = options;
    const address = addressOf(place);
    this.failures = new Failures(place.id, address.secrets);
    this.#secure = address.secure;
    this.#attemptMs = tuning.connectTimeoutMs;
    this.#clock = clock;
    const wanted: Record<string, unknown> = {
      keepAlive: 5000,
      ...address.options,
      ...SAFETY,
      connectTimeout: tuning.connectTimeoutMs,
      // What is pushed comes as messages there, whatever the server speaks besides.
      ...(listener.message === undefined ? {} : { protocol: 2 }),
    };
    this.#client = newClient(wanted);
    // The other event would make a text of a list of keys.
    this.#client.on('messageBuffer', (channel: Buffer, message: Buffer | Buffer[] | null) => {
      listener.message?.(channel.toString(), message);
    });
    this.#watch = this.#newWatch(Math.max(MIN_SILENCE_MS, 3 * tuning.timeoutMs));
    this.#client.on('connect', () => {
      this.#refused = false;
      this.#watch.start();
    });
    this.#client.on('ready', () => {
      this.#stood = true;
      listener.ready();
    });
    this.#client.on('close', () => {
      this.#watch.stop();
      listener.lost();
    });
    this.#client.on('end', () => listener.lost());
    // Without a listener ioredis prints the error, password included.
    this.#client.on('error', (error: unknown) => {
      this.#refused = NO_SERVER.has(codeOf(error));
      const { reason, tell } = judge(error);
      listener.trouble(this.failures.from(error, reason, this.#hint(error)), tell);
    });
  }

  /** Settles with the first attempt, or when it has had its time; later ones go on by themselves. Never rejects. */
  async open(): Promise<void> {
    if (this.#closed || this.#client.status !== 'wait') return;
    // Bounded from outside: with Sentinels that do not answer, ioredis goes on
    // asking them without an end.
    const enough = new AbortController();
    const connected = this.#client.connect().then(noop, noop);
    await Promise.race([
      connected,
      pause(this.#clock, OPEN_ATTEMPTS * this.#attemptMs, enough.signal),
    ]);
    enough.abort();
  }

  /** Whether the last attempt found no server at the address, while its host answered. */
  get refused(): boolean {
    return this.#refused;
  }

  get ready(): boolean {
    return this.#client.status === 'ready';
  }

  /** Runs `write` so that all it sends leaves in one piece. */
  send<T>(write: (client: Client) => T): T {
    // Undefined before the first attempt, whatever the type says.
    const stream = this.#client.stream as Socket | undefined;
    stream?.cork();
    try {
      return write(this.#client);
    } finally {
      stream?.uncork();
      if (this.ready) this.#watch.start();
    }
  }

  /** Gives this connection up; another one is made by itself. */
  cut(): void {
    (this.#client.stream as Socket | undefined)?.destroy(new Error('cut'));
  }

  /**
   * Ends it within QUIT_MS. Does not wait for 'end', which never comes when a
   * reconnect is pending (ioredis issue 1830).
   */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#watch.stop();
    if (this.ready) {
      const enough = new AbortController();
      const quit = this.#client.quit().then(noop, noop);
      await Promise.race([quit, pause(this.#clock, QUIT_MS, enough.signal)]);
      enough.abort();
    }
    this.#client.disconnect();
    (this.#client.stream as Socket | undefined)?.destroy();
  }

  #newWatch(limitMs: number): HangWatch {
    const stream = (): Socket | undefined => this.#client.stream;
    return new HangWatch(this.#clock, limitMs, {
      bytesRead: () => stream()?.bytesRead ?? 0,
      // Until it is ready there is always something to wait for: the handshake.
      waiting: () => this.#client.status === 'connect' || this.#client.commandQueue.length > 0,
      cut: () => stream()?.destroy(new Error(`no data within ${limitMs} ms`)),
    });
  }

  // Only of a connection that never stood: later the same codes mean other things.
  #hint(error: unknown): string {
    if (this.#stood) return '';
    const code = codeOf(error);
    if (this.#secure && code === 'ETIMEDOUT')
      return ' (does the port speak TLS? this connection does)';
    if (!this.#secure && code === 'ECONNRESET') {
      return ' (does the port expect TLS, rediss://? this connection does not speak it)';
    }
    return '';
  }
}
