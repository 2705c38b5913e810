/**
 * What others remove for this process: it cannot reach a node, they can.
 *
 *     A: delete fails … notes it at the guardians … and waits a little
 *     B: is told of the note → removes at the node → takes the note off
 *     A: is told that it was taken off → true
 *
 * Which note counts. A key is noted anew under another mark with every attempt,
 * and what B has read may be an older note than the one that A has just made:
 *
 *     A: notes k (1) …                                 notes k (2), at one guardian so far
 *     B:    reads k (1), removes … set by another …         takes k (1) off at the other
 *
 * So the marks of a process are numbered. Whoever waits counts those only that
 * were made after he began to: the removal came later still.
 */
import { randomBytes } from 'node:crypto';
import { type Clock, within } from '../clock.ts';
import { NodeUnavailableError } from '../errors.ts';
import type { TakenOff } from '../node/guard-node.ts';

/** A removal that this process waits for. */
export interface Awaited {
  readonly node: string;
  readonly key: string;
  /** Of the topology that was found to fail: under another one the key may have been elsewhere as well. */
  readonly fence: string;
}

/** After a wait for nothing nobody waits for the same node: what nobody reaches shall not be slow, too. */
const FRUITLESS_MS = 1_000;

export class Relay {
  readonly what: Awaited;
  /** The first mark that counts. */
  readonly since: number;
  /** Resolves when somebody has removed it; else never. */
  readonly done: Promise<void>;
  readonly tell: () => void;
  readonly #relays: Relays;

  constructor(relays: Relays, what: Awaited, since: number) {
    this.#relays = relays;
    this.what = what;
    this.since = since;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.done = promise;
    this.tell = resolve;
  }

  /** Whether somebody removes it within `ms`; false at once when that was waited for in vain just now. */
  within(ms: number): Promise<boolean> {
    return this.#relays.wait(this, ms);
  }

  /** It is not waited for any more. */
  end(): void {
    this.#relays.ended(this);
  }
}

export class Relays {
  readonly #clock: Clock;
  readonly #mine = `${randomBytes(6).toString('base64url')}.`;
  #marks = 0;
  /** By node, then by key. */
  readonly #awaited = new Map<string, Map<string, Set<Relay>>>();
  readonly #fruitlessUntil = new Map<string, number>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** One that nobody used before; for what is noted now. */
  newMark(): string {
    this.#marks += 1;
    return this.#mine + this.#marks;
  }

  /** To be called before the note is made: it may be done before that is answered. */
  expect(what: Awaited): Relay {
    const relay = new Relay(this, what, this.#marks + 1);
    const keys = this.#awaited.get(what.node) ?? new Map<string, Set<Relay>>();
    const all = keys.get(what.key) ?? new Set();
    this.#awaited.set(what.node, keys.set(what.key, all.add(relay)));
    return relay;
  }

  ended(relay: Relay): void {
    const { node, key } = relay.what;
    const keys = this.#awaited.get(node);
    const all = keys?.get(key);
    if (!all?.delete(relay) || all.size > 0) return;
    keys?.delete(key);
    if (keys?.size === 0) this.#awaited.delete(node);
  }

  /** Whether something that this process could not remove from `node` is waited for. */
  awaits(node: string): boolean {
    return this.#awaited.has(node);
  }

  /** Somebody has removed these keys from a node, and then taken off the notes of that. */
  told({ node, fence, notes }: TakenOff): void {
    const keys = this.#awaited.get(node);
    for (const [key, mark] of notes) {
      if (!mark.startsWith(this.#mine)) continue;
      this.#fruitlessUntil.delete(node);
      const made = Number(mark.slice(this.#mine.length));
      for (const relay of keys?.get(key) ?? []) {
        if (made >= relay.since && fence === relay.what.fence) relay.tell();
      }
    }
  }

  async wait({ what: { node }, done }: Relay, ms: number): Promise<boolean> {
    const clock = this.#clock;
    if (clock.now() < (this.#fruitlessUntil.get(node) ?? 0)) return false;
    const late = (): NodeUnavailableError => new NodeUnavailableError(node, 'timeout');
    try {
      await within(done, ms, { clock, late });
      return true;
    } catch {
      this.#fruitlessUntil.set(node, clock.now() + FRUITLESS_MS);
      return false;
    }
  }
}
