/**
 * Values to bytes and back. Knows the size limit and compression; nothing of
 * the header in front of the bytes, of keys or of Redis.
 */
import { deflateRawSync, inflateRawSync } from 'node:zlib';
import { InvalidOptionError, InvalidValueError } from '../errors.ts';
import type { Payload } from './node.ts';

/** Turns values into bytes and back. Both may throw; what `decode` throws on is a miss. */
export interface Codec {
  encode(value: unknown): string | Uint8Array;
  /** @param bytes Only valid during the call: copy what is to be kept. */
  decode(bytes: Buffer): unknown;
}

/** The largest value that is stored, encoded and before compression. */
export const MAX_VALUE_BYTES = 1_048_576;

/** On the wire, in the header of every entry: never renumber. */
const JSON_ID = 0;
const MSGPACK_ID = 1;
const CUSTOM_ID = 2;

const DEFLATED = 1;

const jsonCodec: Codec = {
  encode: encodeJson,
  decode: (bytes) => JSON.parse(bytes.toString()) as unknown,
};

/**
 * JSON, refusing what it would silently lose at the top: undefined, functions,
 * symbols, NaN and the infinities. Deeper down it loses what JSON loses.
 */
function encodeJson(value: unknown): string {
  if (typeof value === 'number' && !Number.isFinite(value)) {
    throw new InvalidValueError(`JSON has no ${value}`);
  }
  const text = JSON.stringify(value) as string | undefined;
  if (text === undefined) throw new InvalidValueError(`JSON cannot carry ${kindOf(value)}`);
  return text;
}

function kindOf(value: unknown): string {
  return typeof value === 'object' ? 'this object' : `a value of type ${typeof value}`;
}

interface MsgpackModule {
  encode(value: unknown): Uint8Array;
  decode(bytes: Uint8Array): unknown;
}

/** Loads the optional package behind `codec: 'msgpack'`. */
export async function loadMsgpack(): Promise<Codec> {
  let module: MsgpackModule;
  try {
    module = (await import('@msgpack/msgpack')) as MsgpackModule;
  } catch (error) {
    throw new InvalidOptionError(
      'codec',
      'json or a codec of your own as long as the package @msgpack/msgpack is not installed (npm install @msgpack/msgpack)',
      'msgpack',
      { cause: error },
    );
  }
  const { encode, decode } = module;
  return {
    encode: (value) => encode(value),
    // A copy: binary parts of the value would be views of what the connection
    // received, and keep 64 KiB alive for each.
    decode: (bytes) => decode(new Uint8Array(bytes)),
  };
}

export interface PayloadOptions {
  /** What `loadMsgpack` gave; needed to write msgpack, and to read what others wrote with it. */
  readonly msgpack?: Codec | undefined;
  /** Encoded values of at least this many bytes are compressed. Never when it is undefined. */
  readonly compressFromBytes?: number | undefined;
}

/** The codec that was chosen, with the limit and the compression around it. */
export class PayloadCodec {
  readonly #id: number;
  readonly #codecs: ReadonlyMap<number, Codec>;
  readonly #compressFromBytes: number;

  constructor(codec: 'json' | 'msgpack' | Codec = 'json', options: PayloadOptions = {}) {
    const codecs = new Map([[JSON_ID, jsonCodec]]);
    if (options.msgpack !== undefined) codecs.set(MSGPACK_ID, options.msgpack);
    if (typeof codec === 'object') codecs.set(CUSTOM_ID, codec);
    this.#id = codec === 'json' ? JSON_ID : codec === 'msgpack' ? MSGPACK_ID : CUSTOM_ID;
    if (!codecs.has(this.#id)) {
      throw new InvalidOptionError('codec', 'a codec that has been loaded', codec);
    }
    this.#codecs = codecs;
    this.#compressFromBytes = options.compressFromBytes ?? Number.POSITIVE_INFINITY;
  }

  /** @throws InvalidValueError when the codec cannot carry the value, or it is too large. */
  encode(value: unknown): Payload {
    const bytes = this.#bytesOf(value);
    if (bytes.length > MAX_VALUE_BYTES) throw tooLarge(bytes.length);
    if (bytes.length >= this.#compressFromBytes) {
      const deflated = deflateRawSync(bytes);
      if (deflated.length < bytes.length) {
        return { codec: this.#id, flags: DEFLATED, bytes: deflated };
      }
    }
    return { codec: this.#id, flags: 0, bytes };
  }

  /** The value as another process would get it; itself when it cannot be stored. */
  passThrough(value: unknown): unknown {
    try {
      const { codec, flags, bytes } = this.encode(value);
      return this.decode(codec, flags, bytes);
    } catch {
      return value;
    }
  }

  #bytesOf(value: unknown): Buffer {
    // Every codec: undefined means "nothing here" everywhere in the cache.
    if (value === undefined) throw new InvalidValueError('undefined stands for no value');
    let encoded: unknown;
    try {
      encoded = (this.#codecs.get(this.#id) ?? jsonCodec).encode(value);
    } catch (error) {
      if (error instanceof InvalidValueError) throw error;
      throw new InvalidValueError(`its codec failed on ${kindOf(value)}`, { cause: error });
    }
    if (typeof encoded === 'string') {
      // A character is at least one byte: do not copy what is too large anyway.
      if (encoded.length > MAX_VALUE_BYTES) throw tooLarge(encoded.length);
      return Buffer.from(encoded);
    }
    if (encoded instanceof Uint8Array) {
      return Buffer.from(encoded.buffer, encoded.byteOffset, encoded.byteLength);
    }
    throw new InvalidValueError(`its codec returned ${kindOf(encoded)} instead of bytes`);
  }

  /**
   * Throws on whatever cannot be read: an unknown codec or flag, broken bytes,
   * and more than MAX_VALUE_BYTES when decompressed (200 MB come out of 200 KB;
   * zlib stops at the limit after 6-15 ms).
   */
  decode(codecId: number, flags: number, bytes: Buffer): unknown {
    const codec = this.#codecs.get(codecId);
    if (codec === undefined) throw new Error('unknown codec');
    if (flags === 0) return codec.decode(bytes);
    if (flags !== DEFLATED) throw new Error('unknown flags');
    return codec.decode(inflateRawSync(bytes, { maxOutputLength: MAX_VALUE_BYTES }));
  }
}

function tooLarge(bytes: number): InvalidValueError {
  return new InvalidValueError(
    `it takes ${bytes} bytes or more, and the limit is ${MAX_VALUE_BYTES}`,
  );
}
