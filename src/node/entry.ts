/**
 * An entry as it stands in Redis: a header of 20 bytes, big-endian, and the
 * payload. Documented in docs/wire-format.md; a change of the layout is a new
 * version. Knows nothing of keys and scripts, except that the scripts take the
 * bytes of stamp and fresh-until as the identity of an entry.
 *
 *     0  u8  version        4  u48 epoch stamp
 *     1  u8  codec         10  u48 fresh until, ms, the node's clock
 *     2  u8  flags         16  u32 load time, ms
 *     3  u8  reserved, 0   20  payload
 */
import type { PayloadCodec } from './codec.ts';
import type { Payload, Stored } from './node.ts';

export const HEADER_BYTES = 20;
const VERSION = 1;
const STAMP_AT = 4;
const FRESH_UNTIL_AT = 10;
const LOAD_AT = 16;
const MAX_UINT32 = 0xffffffff;

export interface EntryHeader {
  readonly stamp: number;
  readonly freshUntil: number;
  readonly loadMs: number;
}

export function writeEntry(payload: Payload, header: EntryHeader): Buffer {
  const entry = Buffer.allocUnsafe(HEADER_BYTES + payload.bytes.length);
  entry[0] = VERSION;
  entry[1] = payload.codec;
  entry[2] = payload.flags;
  entry[3] = 0;
  writeIdentity(entry, STAMP_AT, header);
  entry.writeUInt32BE(Math.min(MAX_UINT32, Math.max(0, Math.round(header.loadMs))), LOAD_AT);
  payload.bytes.copy(entry, HEADER_BYTES);
  return entry;
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

/** The payload of a readable entry, not decoded. */
export function payloadOf(entry: Buffer): Payload {
  return { codec: entry[1]!, flags: entry[2]!, bytes: entry.subarray(HEADER_BYTES) };
}

/** A class, because V8 under load allocates literals that live for a while among the old objects: see load/reads.ts. */
class FoundEntry implements Stored {
  readonly value: unknown;
  readonly stamp: number;
  readonly freshUntil: number;
  readonly freshForMs: number;
  readonly loadMs: number;
  readonly bytes: number;

  constructor(value: unknown, entry: Buffer, nodeNow: number) {
    this.value = value;
    this.stamp = entry.readUIntBE(STAMP_AT, 6);
    this.freshUntil = entry.readUIntBE(FRESH_UNTIL_AT, 6);
    this.freshForMs = this.freshUntil - nodeNow;
    this.loadMs = entry.readUInt32BE(LOAD_AT);
    this.bytes = entry.length - HEADER_BYTES;
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
  try {
    const value = codec.decode(entry[1]!, entry[2]!, entry.subarray(HEADER_BYTES));
    if (value === undefined) return undefined;
    return new FoundEntry(value, entry, nodeNow);
  } catch {
    return undefined;
  }
}
