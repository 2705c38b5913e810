/**
 * What a server tells by itself: a second connection to it that only listens,
 * made when something is first listened for.
 *
 * Not the connection of the requests: a server limits what it keeps for a
 * listener that reads slowly, and would cut large answers off with it. Whoever
 * listens must be able to do without: what is told while the connection is
 * away is lost.
 */
import { type Clock, within } from '../clock.ts';
import type { Place } from './address.ts';
import { Connection } from './connection.ts';
import type { NodeTuning } from './tuning.ts';

export class PushChannel {
  readonly #place: Place;
  readonly #clock: Clock;
  readonly #tuning: NodeTuning;
  readonly #listeners = new Map<string, (text: string) => void>();
  readonly #standing = new Set<string>();
  #connection: Connection | undefined;
  #opening: Promise<void> | undefined;
  #closed = false;

  constructor(place: Place, parts: { clock: Clock; tuning: NodeTuning }) {
    this.#place = place;
    this.#clock = parts.clock;
    this.#tuning = parts.tuning;
  }

  /** Whether what is published there arrives now. */
  stands(channel: string): boolean {
    return this.#standing.has(channel);
  }

  /**
   * Listens to a channel from now on, over lost connections too. Resolves to
   * whether it stands; never rejects.
   */
  async listen(channel: string, told: (text: string) => void): Promise<boolean> {
    if (this.#closed) return false;
    this.#listeners.set(channel, told);
    if (this.stands(channel)) return true;
    this.#opening ??= this.#connect();
    await this.#opening;
    await this.#subscribe(channel);
    return this.stands(channel);
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#standing.clear();
    await this.#connection?.close();
  }

  #connect(): Promise<void> {
    const connection = new Connection(this.#place, {
      clock: this.#clock,
      tuning: this.#tuning,
      listener: {
        ready: () => {
          for (const channel of this.#listeners.keys()) void this.#subscribe(channel);
        },
        lost: () => this.#standing.clear(),
        // The connection of the requests tells what is wrong with the server.
        trouble: () => undefined,
        message: (channel, text) => this.#listeners.get(channel)?.(text),
      },
    });
    this.#connection = connection;
    return connection.open();
  }

  async #subscribe(channel: string): Promise<void> {
    const connection = this.#connection;
    if (connection?.ready !== true || this.stands(channel)) return;
    let subscribed: Promise<unknown> | undefined;
    connection.send((client) => {
      subscribed = client.subscribe(channel);
    });
    try {
      await within(Promise.resolve(subscribed), this.#tuning.connectTimeoutMs, {
        clock: this.#clock,
        late: () => new Error('late'),
      });
      if (connection.ready) this.#standing.add(channel);
    } catch {
      // It may not (ACL), or the connection was lost, which is subscribed anew when it stands again.
    }
  }
}
