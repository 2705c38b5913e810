/**
 * What a server tells by itself: a second connection to it that only listens.
 *
 *     CLIENT ID → CLIENT TRACKING ON REDIRECT <own id> BCAST PREFIX …
 *               → SUBSCRIBE __redis__:invalidate, and whatever else is listened to
 *     PING, again and again
 *
 * Redis then tells of every key with one of the prefixes that is written,
 * removed, evicted or expires, whoever did it. It redirects to the connection
 * itself, so that who tracks and who is told live and die together: with two
 * connections, one could be lost without the other noticing (measured). The
 * protocol is the old one, since the client drops such messages in the new.
 *
 * What is told while the connection is away is lost, and one that hangs tells
 * nothing. So it says, too, up to when all has been told: an answered PING
 * means that nothing sent before it is on its way any more. To be safe the PING
 * before the last counts.
 *
 * Not the connection of the requests: a server limits what it keeps for a
 * listener that reads slowly, and would cut large answers off with it.
 */
import { type Clock, type Timer, within } from '../clock.ts';
import type { Place } from './address.ts';
import { type Client, Connection } from './connection.ts';
import { judge } from './failure.ts';
import type { TakenOff } from './guard-node.ts';
import type { NodeKeys } from './node-keys.ts';
import { takenOffOf } from './redis-guard-node.ts';
import type { NodeTuning } from './tuning.ts';

/** What a node tells by itself. Listeners must not throw. */
export interface PushListener {
  /** Changes are told from now on, or are not any more. What was changed before may not have been told. */
  tracked(node: string, tracked: boolean): void;
  /** The server does not let us be told, and why. */
  refused(node: string, error: Error): void;
  /** All that was changed before `at`, in the time of this process, has been told. */
  heard(node: string, at: number): void;
  /** The value of a key was written, removed or evicted, or has expired. */
  changed(node: string, key: string): void;
  /** All of them. */
  flushed(node: string): void;
  /** Something was deleted by tag or prefix. */
  invalidated(node: string): void;
  /** Its epoch is another one. */
  news(node: string): void;
  /** The load of a key, for which some process waits, is over. */
  loadOver(node: string, key: string): void;
  /** What `node` keeps for another one, which did not confirm a delete, has changed. */
  noted(node: string, of: string): void;
  /** Some process has removed what was noted. */
  takenOff(node: string, what: TakenOff): void;
}

export interface PushWatch {
  readonly listener: PushListener;
  /** Whether changes of values are to be told: every write costs the server some for each listener. */
  readonly values: boolean;
  /** Between two PINGs; by default a second: nobody is in a hurry to know that it hangs. */
  readonly beatMs?: number;
}

const IDLE_BEAT_MS = 1_000;
const INVALIDATE = '__redis__:invalidate';
const LETTER = { value: 0x76, epoch: 0x65, sequence: 0x67, missed: 0x6d } as const;

export interface PushParts {
  readonly clock: Clock;
  readonly tuning: NodeTuning;
  readonly keys: NodeKeys;
  /** Undefined: it is told nothing but what it listens to, and connects when it first does. */
  readonly watch?: PushWatch | undefined;
}

export class PushChannel {
  readonly #place: Place;
  readonly #parts: PushParts;
  readonly #listeners = new Map<string, (text: string) => void>();
  readonly #standing = new Set<string>();
  /** Bytes before what tells the kinds of keys apart, and before the key of a value, or the node that missed something. */
  readonly #letterAt: number;
  readonly #keyAt: number;
  #connection: Connection | undefined;
  #opening: Promise<void> | undefined;
  /** Of the connection that stands: settles when it may subscribe. */
  #armed: Promise<void> | undefined;
  #generation = 0;
  #tracked = false;
  #beat: Timer | undefined;
  /** When the PINGs were sent that are unanswered, and the last one that is not. */
  #sent: number[] = [];
  #closed = false;

  constructor(place: Place, parts: PushParts) {
    this.#place = place;
    this.#parts = parts;
    this.#letterAt = Buffer.byteLength(parts.keys.fence) - 1;
    this.#keyAt = Buffer.byteLength(parts.keys.value(''));
    if (parts.watch !== undefined) {
      const { listener } = parts.watch;
      const { keys } = parts;
      this.#listeners.set(keys.loads, (text) => {
        const takenOff = takenOffOf(keys, text);
        if (takenOff !== undefined) listener.takenOff(place.id, takenOff);
        else listener.loadOver(place.id, text.slice(keys.lease('').length));
      });
    }
  }

  /** Whether changes are told. */
  get tracked(): boolean {
    return this.#tracked;
  }

  /** Whether what is published there arrives now. */
  stands(channel: string): boolean {
    return this.#standing.has(channel);
  }

  /** Resolves when the first attempt succeeded or failed. Never rejects. */
  async open(): Promise<void> {
    if (this.#parts.watch === undefined || this.#closed) return;
    await this.#connected();
  }

  /**
   * Listens to a channel from now on, over lost connections too. Resolves to
   * whether it stands; never rejects.
   */
  async listen(channel: string, told: (text: string) => void): Promise<boolean> {
    if (this.#closed) return false;
    this.#listeners.set(channel, told);
    if (this.stands(channel)) return true;
    await this.#connected();
    await this.#subscribe(channel);
    return this.stands(channel);
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#lost();
    await this.#connection?.close();
  }

  async #connected(): Promise<void> {
    this.#opening ??= this.#connect();
    await this.#opening;
    await this.#armed;
  }

  #connect(): Promise<void> {
    const { clock, tuning } = this.#parts;
    const connection = new Connection(this.#place, {
      clock,
      tuning,
      listener: {
        ready: () => {
          this.#armed = this.#arm(connection);
        },
        lost: () => this.#lost(),
        // The connection of the requests tells what is wrong with the server.
        trouble: () => undefined,
        message: (channel, message) => this.#told(channel, message),
      },
    });
    this.#connection = connection;
    return connection.open();
  }

  async #arm(connection: Connection): Promise<void> {
    if (this.#closed) return;
    this.#generation += 1;
    const generation = this.#generation;
    const current = (): boolean => this.#generation === generation && connection.ready;
    await this.#track(connection, current);
    if (!current()) return;
    // Side by side: they wait for one round trip.
    await Promise.all(Array.from(this.#listeners.keys(), (channel) => this.#ask(channel)));
    if (current()) this.#beatLater();
  }

  async #track(connection: Connection, current: () => boolean): Promise<void> {
    const { watch, keys, clock } = this.#parts;
    if (watch === undefined) return;
    const values = watch.values ? [keys.value(''), keys.sequence] : [];
    const prefixes = [...values, keys.fence, keys.missed('')];
    try {
      const id = await this.#inTime(connection, (client) => client.client('ID'));
      if (!current()) return;
      const words = prefixes.flatMap((prefix) => ['PREFIX', prefix]);
      const sentAt = clock.now();
      await this.#inTime(connection, (client) =>
        Promise.all([
          client.client('TRACKING', 'ON', 'REDIRECT', id, 'BCAST', ...words),
          client.subscribe(INVALIDATE),
        ]),
      );
      if (!current()) return;
      this.#tracked = true;
      this.#sent = [sentAt];
      watch.listener.tracked(this.#place.id, true);
      watch.listener.heard(this.#place.id, sentAt);
    } catch (error) {
      // One that was lost is tried again when it stands.
      if (!current()) return;
      const { reason } = judge(error);
      if (reason === 'connection') connection.cut();
      else watch.listener.refused(this.#place.id, connection.failures.from(error, reason));
    }
  }

  #lost(): void {
    this.#generation += 1;
    this.#armed = undefined;
    this.#standing.clear();
    this.#beat?.cancel();
    this.#sent = [];
    if (!this.#tracked) return;
    this.#tracked = false;
    this.#parts.watch?.listener.tracked(this.#place.id, false);
  }

  async #subscribe(channel: string): Promise<void> {
    await this.#armed;
    await this.#ask(channel);
  }

  async #ask(channel: string): Promise<void> {
    const connection = this.#connection;
    if (connection?.ready !== true || this.stands(channel)) return;
    const generation = this.#generation;
    try {
      await this.#inTime(connection, (client) => client.subscribe(channel));
      if (this.#generation === generation && connection.ready) this.#standing.add(channel);
    } catch {
      // It may not (ACL), or the connection was lost, which is subscribed anew when it stands again.
    }
  }

  #inTime<T>(connection: Connection, ask: (client: Client) => Promise<T>): Promise<T> {
    const { clock, tuning } = this.#parts;
    const late = (): Error => new Error('late');
    return within(connection.send(ask), tuning.connectTimeoutMs, { clock, late });
  }

  #beatLater(): void {
    const { clock, watch } = this.#parts;
    this.#beat?.cancel();
    this.#beat = clock.after(watch?.beatMs ?? IDLE_BEAT_MS, () => {
      this.#ping();
      this.#beatLater();
    });
  }

  // One that hangs has two at most: the connection notices that, and is cut.
  #ping(): void {
    const connection = this.#connection;
    if (connection?.ready !== true || this.#sent.length > 2) return;
    const generation = this.#generation;
    const sent = this.#sent;
    sent.push(this.#parts.clock.now());
    connection
      .send((client) => client.ping())
      .then(
        () => {
          if (this.#generation !== generation) return;
          const before = sent.shift();
          if (this.#tracked && before !== undefined) {
            this.#parts.watch?.listener.heard(this.#place.id, before);
          }
        },
        () => undefined,
      );
  }

  #told(channel: string, message: Buffer | Buffer[] | null): void {
    if (this.#closed) return;
    if (Array.isArray(message)) this.#changed(message);
    else if (message !== null) this.#listeners.get(channel)?.(message.toString());
    else this.#flushed();
  }

  #flushed(): void {
    const listener = this.#parts.watch?.listener;
    listener?.flushed(this.#place.id);
    listener?.news(this.#place.id);
  }

  /** Hot path of a fleet that writes much: every key that anybody changed. */
  #changed(names: readonly Buffer[]): void {
    const { watch } = this.#parts;
    const { id } = this.#place;
    if (watch === undefined) return;
    let news = false;
    let invalidated = false;
    for (const name of names) {
      const letter = name[this.#letterAt];
      if (letter === LETTER.value) watch.listener.changed(id, name.toString('utf8', this.#keyAt));
      else if (letter === LETTER.epoch) news = true;
      else if (letter === LETTER.sequence) invalidated = true;
      else if (letter === LETTER.missed)
        watch.listener.noted(id, name.toString('utf8', this.#keyAt));
    }
    if (invalidated) watch.listener.invalidated(id);
    if (news) watch.listener.news(id);
  }
}
