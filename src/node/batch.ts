/**
 * Reads, gathered: one MGET for up to 64 keys, with the node's fence and
 * its sequence as the first keys. The hot path of the library: nothing is allocated per key but
 * what is found (`await`-ing one GET per key costs four times the rest).
 */
import type { Clock } from '../clock.ts';
import type { NodeUnavailableError } from '../errors.ts';
import type { NodeCounters } from '../metrics/metrics.ts';
import type { PayloadCodec } from './codec.ts';
import type { Client } from './connection.ts';
import { type FoundEntry, readEntry } from './entry.ts';
import { epochOf } from './fence.ts';
import { isInQuestion } from './known-tags.ts';
import { type Reader, UNKNOWN_EPOCH } from './node.ts';
import type { NodeClock } from './node-clock.ts';
import type { NodeKeys } from './node-keys.ts';
import type { RedisTagNode } from './redis-tag-node.ts';
import type { Sequence } from './sequence.ts';
import type { Request } from './turn.ts';

/**
 * One giant MGET makes client and server work in turns, several overlap: 64
 * reads in flight ran at 687,000 keys/s in MGETs of 16, and at 275,000 in one;
 * 512 at 800,000 in MGETs of 64 and 467,000 in one.
 */
const MIN_CHUNK_KEYS = 16;
const MAX_CHUNK_KEYS = 64;
const CHUNKS = 4;
/** The fence and the sequence. */
const HEAD_KEYS = 2;

/** What the reads of one node share. */
export interface ReadHost {
  readonly clock: Clock;
  readonly keys: NodeKeys;
  readonly codec: PayloadCodec;
  readonly nodeClock: NodeClock;
  readonly counters: NodeCounters;
  readonly epochs: EpochMemo;
  readonly tags: RedisTagNode;
  /** The whole budget of one read. */
  readonly timeoutMs: number;
  /** How long the batch took whose answers are being told. */
  lastReadMs: number;
}

/** The epoch in a fence as bytes; nearly always the one seen last. */
export class EpochMemo {
  #bytes: Buffer = Buffer.alloc(0);
  #epoch: number = UNKNOWN_EPOCH;

  read(bytes: Buffer | null | undefined): number {
    if (!bytes) return UNKNOWN_EPOCH;
    if (!bytes.equals(this.#bytes)) {
      // A copy: the client's buffer may be part of a large one.
      this.#bytes = Buffer.from(bytes);
      this.#epoch = epochOf(bytes.toString('latin1'));
    }
    return this.#epoch;
  }
}

/** The reads of one turn, as parallel arrays. */
export class Reads {
  readonly keys: string[] = [];
  readonly readers: Reader[] = [];
  readonly positions: number[] = [];

  add(valueKey: string, reader: Reader, position: number): void {
    this.keys.push(valueKey);
    this.readers.push(reader);
    this.positions.push(position);
  }

  get count(): number {
    return this.keys.length;
  }

  chunks(host: ReadHost): Chunk[] {
    const size = Math.min(MAX_CHUNK_KEYS, Math.max(MIN_CHUNK_KEYS, Math.ceil(this.count / CHUNKS)));
    const chunks: Chunk[] = [];
    for (let from = 0; from < this.count; from += size) {
      chunks.push(new Chunk(host, this, { from, to: Math.min(from + size, this.count) }));
    }
    return chunks;
  }
}

/** An entry that was found, and cannot be judged with what is known here. */
interface Unjudged {
  readonly at: number;
  readonly stored: FoundEntry;
}

class Chunk implements Request {
  readonly large = true;
  readonly #host: ReadHost;
  readonly #reads: Reads;
  readonly #from: number;
  readonly #to: number;
  #sentAt = 0;

  constructor(host: ReadHost, reads: Reads, range: { from: number; to: number }) {
    this.#host = host;
    this.#reads = reads;
    this.#from = range.from;
    this.#to = range.to;
  }

  send(client: Client): Promise<unknown> {
    const { counters, clock } = this.#host;
    const { fence, sequence } = this.#host.keys;
    this.#sentAt = clock.now();
    counters.batches += 1;
    counters.reads += this.#to - this.#from;
    const keys = this.#reads.keys.slice(this.#from, this.#to);
    keys.unshift(fence, sequence);
    return client.mgetBuffer(keys);
  }

  answered(reply: unknown): void {
    if (!Array.isArray(reply) || reply.length !== this.#to - this.#from + HEAD_KEYS) {
      throw new TypeError('MGET was answered with something else');
    }
    const found = reply as (Buffer | null)[];
    const { epochs, nodeClock, tags } = this.#host;
    const { readers, positions } = this.#reads;
    const epoch = epochs.read(found[0]);
    const sequence = tags.seen(found[1]);
    const nodeNow = nodeClock.now();
    let unjudged: Unjudged[] | undefined;
    this.#host.lastReadMs = this.#host.clock.now() - this.#sentAt;
    for (let at = this.#from; at < this.#to; at += 1) {
      const entry = found[at - this.#from + HEAD_KEYS];
      const stored = entry ? this.#decode(entry, nodeNow) : undefined;
      if (stored !== undefined && isInQuestion(stored, sequence)) {
        if (!tags.known.judge(this.#keyOf(at), stored, sequence)) {
          unjudged ??= [];
          unjudged.push({ at, stored });
          continue;
        }
      }
      readers[at]!.found(positions[at]!, stored, epoch);
    }
    if (unjudged !== undefined) void this.#judgeLater(unjudged, { sequence, epoch });
  }

  /** What was deleted since this process last looked has to be known first. */
  async #judgeLater(all: Unjudged[], seen: { sequence: Sequence; epoch: number }): Promise<void> {
    const { tags, timeoutMs, clock } = this.#host;
    const { readers, positions } = this.#reads;
    try {
      await tags.known.reach(seen.sequence, timeoutMs - this.#host.lastReadMs);
    } catch (error) {
      for (const { at } of all) readers[at]!.failed(positions[at]!, error as NodeUnavailableError);
      return;
    }
    for (const { at, stored } of all) {
      tags.known.judgeNow(this.#keyOf(at), stored);
      this.#host.lastReadMs = clock.now() - this.#sentAt;
      readers[at]!.found(positions[at]!, stored, seen.epoch);
    }
  }

  #keyOf(at: number): string {
    return this.#reads.keys[at]!.slice(this.#host.keys.value('').length);
  }

  #decode(entry: Buffer, nodeNow: number): FoundEntry | undefined {
    const stored = readEntry(entry, this.#host.codec, nodeNow);
    if (stored === undefined) this.#host.counters.broken += 1;
    return stored;
  }

  failed(error: NodeUnavailableError): void {
    const { readers, positions } = this.#reads;
    for (let at = this.#from; at < this.#to; at += 1) readers[at]!.failed(positions[at]!, error);
  }
}
