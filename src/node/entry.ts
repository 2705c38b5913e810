/**
 * An entry as it stands in Redis: a header of 34 bytes, big-endian, the names
 * of its tags if it has any, and the payload. Documented in
 * docs/wire-format.md; a change of the layout is a new version. Knows nothing
 * of keys and scripts, except that the scripts take the bytes of stamp and
 * fresh-until as the identity of an entry, and may put in the sequence.
 *
 *     0  u8  version        16  u32 load time, ms
 *     1  u8  codec          20  f64 sequence
 *     2  u8  flags          28  u48 written at, ms, the node's clock
 *     3  u8  reserved, 0    34  if the flag says so, tags: u8 how many,
 *     4  u48 epoch stamp            and for each u8 length and UTF-8
 *    10  u48 fresh until, ms,       payload
 *            the node's clock
 */
import type { PayloadCodec } from './codec.ts';
import type { Life, Payload, Stored } from './node.ts';

export const HEADER_BYTES = 34;
export const VERSION = 2;
const STAMP_AT = 4;
const FRESH_UNTIL_AT = 10;
const LOAD_AT = 16;
const SEQUENCE_AT = 20;
const WRITTEN_AT = 28;
/** Flags of the header; the others belong to the payload. */
export const TAGGED = 0x80;
/** It is stale, whatever the time is. */
export const STALE = 0x40;
/** It is kept for a while when it is stale: its expiry alone cannot tell, it came later than it was sent. */
export const KEPT = 0x20;
const OF_HEADER = TAGGED | STALE | KEPT;
const MAX_UINT32 = 0xffffffff;

export interface EntryHeader {
  readonly stamp: number;
  readonly freshUntil: number;
  readonly loadMs: number;
  readonly writtenAt: number;
  readonly seq: number;
  /** `STALE` and `KEPT`, or neither. */
  readonly life?: number;
  /** At most 255, each of at most 255 bytes. */
  readonly tags?: readonly string[] | undefined;
}

export function writeEntry(payload: Payload, header: EntryHeader): Buffer {
  const tags = tagsOf(header);
  const entry = Buffer.allocUnsafe(HEADER_BYTES + tags.length + payload.bytes.length);
  entry[0] = VERSION;
  entry[1] = payload.codec;
  entry[2] = payload.flags | (tags.length > 0 ? TAGGED : 0) | (header.life ?? 0);
  entry[3] = 0;
  writeIdentity(entry, STAMP_AT, header);
  entry.writeUInt32BE(Math.min(MAX_UINT32, Math.max(0, Math.round(header.loadMs))), LOAD_AT);
  entry.writeDoubleBE(header.seq, SEQUENCE_AT);
  entry.writeUIntBE(header.writtenAt, WRITTEN_AT, 6);
  tags.copy(entry, HEADER_BYTES);
  payload.bytes.copy(entry, HEADER_BYTES + tags.length);
  return entry;
}

/** An entry as it is to stand on the node, and for how many milliseconds it is to be kept there. */
export function sealEntry(
  entry: { payload: Payload; life: Life; epoch: number },
  nodeNow: number,
): [bytes: Buffer, keepMs: number] {
  const { ttlMs, staleMs, loadMs, ageMs = 0, tags } = entry.life;
  const bytes = writeEntry(entry.payload, {
    stamp: entry.epoch,
    freshUntil: Math.round(nodeNow + ttlMs),
    writtenAt: Math.max(0, Math.round(nodeNow - ageMs)),
    loadMs,
    seq: 0,
    // A copy of what is stale: fresh for nobody, not even for some milliseconds of another clock.
    life: (ttlMs <= 0 ? STALE : 0) | (staleMs > 0 ? KEPT : 0),
    tags,
  });
  return [bytes, Math.max(1, Math.ceil(ttlMs + staleMs))];
}

const NO_BYTES = Buffer.alloc(0);

function tagsOf({ tags }: EntryHeader): Buffer {
  if (tags === undefined || tags.length === 0) return NO_BYTES;
  const parts = [Buffer.of(tags.length)];
  for (const tag of tags) {
    const name = Buffer.from(tag);
    parts.push(Buffer.of(name.length), name);
  }
  return Buffer.concat(parts);
}

function writeIdentity(
  into: Buffer,
  at: number,
  entry: { stamp: number; freshUntil: number },
): void {
  into.writeUIntBE(entry.stamp, at, 6);
  into.writeUIntBE(entry.freshUntil, at + FRESH_UNTIL_AT - STAMP_AT, 6);
}

/** The 12 bytes that tell one entry of a key from another: stamp and fresh-until. */
export function identityOf(entry: { stamp: number; freshUntil: number }): Buffer {
  const bytes = Buffer.allocUnsafe(LOAD_AT - STAMP_AT);
  writeIdentity(bytes, 0, entry);
  return bytes;
}

export function isKept(entry: Buffer): boolean {
  return (entry[2]! & KEPT) !== 0;
}

/** The payload of a readable entry, not decoded. */
export function payloadOf(entry: Buffer): Payload {
  const bytes = entry.subarray(payloadAt(entry));
  return { codec: entry[1]!, flags: entry[2]! & ~OF_HEADER, bytes };
}

/** Beyond the end of what is cut short. */
function payloadAt(entry: Buffer): number {
  if ((entry[2]! & TAGGED) === 0) return HEADER_BYTES;
  let at = HEADER_BYTES + 1;
  for (let left = entry[HEADER_BYTES] ?? 0; left > 0; left--) at += 1 + (entry[at] ?? entry.length);
  return at;
}

/** Of an entry that is as long as it says. */
function readTags(entry: Buffer): readonly string[] | undefined {
  if ((entry[2]! & TAGGED) === 0) return undefined;
  const tags: string[] = [];
  let at = HEADER_BYTES + 1;
  for (let left = entry[HEADER_BYTES]!; left > 0; left--) {
    const end = at + 1 + entry[at]!;
    tags.push(entry.toString('utf8', at + 1, end));
    at = end;
  }
  return tags;
}

/** A class, because V8 under load allocates literals that live for a while among the old objects: see load/reads.ts. */
class FoundEntry implements Stored {
  readonly value: unknown;
  readonly stamp: number;
  readonly freshUntil: number;
  readonly freshForMs: number;
  readonly loadMs: number;
  readonly writtenAt: number;
  readonly seq: number;
  readonly tags: readonly string[] | undefined;
  readonly bytes: number;

  constructor(value: unknown, entry: Buffer, nodeNow: number) {
    this.value = value;
    this.stamp = entry.readUIntBE(STAMP_AT, 6);
    this.freshUntil = entry.readUIntBE(FRESH_UNTIL_AT, 6);
    const freshForMs = this.freshUntil - nodeNow;
    this.freshForMs = (entry[2]! & STALE) === 0 ? freshForMs : Math.min(0, freshForMs);
    this.loadMs = entry.readUInt32BE(LOAD_AT);
    this.writtenAt = entry.readUIntBE(WRITTEN_AT, 6);
    this.seq = entry.readDoubleBE(SEQUENCE_AT);
    this.tags = readTags(entry);
    this.bytes = entry.length - payloadAt(entry);
  }
}

/**
 * Undefined for whatever cannot be read, whoever wrote it: a cache must not
 * fail on bytes that an older, newer or foreign program left under its key.
 *
 * @param nodeNow The node's clock, to say how much freshness is left.
 */
export function readEntry(entry: Buffer, codec: PayloadCodec, nodeNow: number): Stored | undefined {
  if (entry.length < HEADER_BYTES || entry[0] !== VERSION || entry[3] !== 0) return undefined;
  const at = payloadAt(entry);
  if (at > entry.length) return undefined;
  try {
    const value = codec.decode(entry[1]!, entry[2]! & ~OF_HEADER, entry.subarray(at));
    if (value === undefined) return undefined;
    return new FoundEntry(value, entry, nodeNow);
  } catch {
    return undefined;
  }
}
