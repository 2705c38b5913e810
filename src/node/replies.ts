/** What the scripts answered, as the closed lists of the contract. */
import type { ReadHost } from './batch.ts';
import { type FoundEntry, isKept, payloadOf, readEntry } from './entry.ts';
import {
  ageOf,
  type CopyAnswer,
  type Fenced,
  type FillAnswer,
  type Inspection,
  type LeaseAnswer,
  type RemoveAnswer,
  type WriteAnswer,
} from './node.ts';
import { REPLY } from './scripts.ts';
import { newestOf, type Sequence } from './sequence.ts';

/** An entry, and what had been deleted at its node when it was read. */
export interface Unjudged<T> {
  readonly answer: T;
  readonly stored: FoundEntry;
  readonly at: Sequence;
}

const UNKNOWN: Fenced = { kind: 'unknown' };
const STALE: Fenced = { kind: 'stale' };

export class ReplyReader {
  readonly #host: ReadHost;

  constructor(host: ReadHost) {
    this.#host = host;
  }

  /** Undefined when there is a value that cannot be read. */
  lease(reply: unknown): LeaseAnswer | Unjudged<LeaseAnswer> | undefined {
    if (!Array.isArray(reply) || reply.length === 1) return this.leaseAnyway(reply);
    const [sequence, entry] = reply as [Buffer, Buffer];
    const stored = this.#read(entry);
    const at = this.#host.tags.seen(sequence);
    return stored && { answer: { kind: 'value', stored }, stored, at };
  }

  leaseAnyway(reply: unknown): LeaseAnswer {
    if (Array.isArray(reply)) {
      const [sequence] = reply as [Buffer];
      return { kind: 'leased', seq: newestOf(this.#host.tags.seen(sequence)) };
    }
    return fenced(reply) ?? { kind: 'busy', remainingMs: Number(reply) };
  }

  fill(reply: unknown): FillAnswer {
    if (reply === REPLY.refused) return { kind: 'refused' };
    return fenced(reply) ?? { kind: reply === 1 ? 'stored' : 'lost' };
  }

  write(reply: unknown): WriteAnswer {
    return fenced(reply) ?? { kind: reply === 1 ? 'stored' : 'refused' };
  }

  remove(reply: unknown): RemoveAnswer {
    return fenced(reply) ?? { kind: 'removed', existed: reply === 1 };
  }

  install(reply: unknown): { kind: 'installed' } | Fenced {
    return fenced(reply) ?? { kind: 'installed' };
  }

  copy(reply: unknown): CopyAnswer | Unjudged<CopyAnswer> {
    if (!Array.isArray(reply)) return fenced(reply) ?? { kind: 'none', leaseLeftMs: Number(reply) };
    const [entry, leftMs, leaseLeftMs, sequence] = reply as [Buffer, number, number, Buffer];
    const stored = this.#read(entry);
    if (stored === undefined) return { kind: 'none', leaseLeftMs };
    const ttlMs = Math.max(0, stored.freshForMs);
    const life = {
      ttlMs,
      staleMs: isKept(entry) ? Math.max(0, leftMs - ttlMs) : 0,
      loadMs: stored.loadMs,
      ageMs: ageOf(stored),
      tags: stored.tags,
    };
    const payload = payloadOf(entry);
    const answer: CopyAnswer = { kind: 'value', stored, payload, life, leaseLeftMs };
    return { answer, stored, at: this.#host.tags.seen(sequence) };
  }

  /** @param key For people: judged with what is known here. */
  inspection(reply: unknown, key: string): Inspection {
    const [entry, leftMs, leaseLeftMs] = reply as [Buffer | null, number, number];
    const stored = entry === null ? undefined : this.#read(entry);
    if (stored !== undefined) this.#host.tags.known.judgeNow(key, stored);
    return {
      stored,
      leftMs: Math.max(0, leftMs),
      // 0 in its last millisecond, -1 without an end, -2 when there is none.
      leased: leaseLeftMs !== -2,
      leaseLeftMs: Math.max(0, leaseLeftMs),
    };
  }

  #read(entry: Buffer): FoundEntry | undefined {
    const stored = readEntry(entry, this.#host.codec, this.#host.nodeClock.now());
    if (stored === undefined) this.#host.counters.broken += 1;
    return stored;
  }
}

/** @throws TypeError for what no script of ours answers: the answer is not to this question. */
export function fenced(reply: unknown): Fenced | undefined {
  if (typeof reply !== 'number') throw new TypeError('a script was answered with something else');
  if (reply === REPLY.unknown) return UNKNOWN;
  if (reply === REPLY.stale) return STALE;
  return undefined;
}
