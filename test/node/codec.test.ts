import { deflateRawSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { InvalidOptionError, InvalidValueError } from '../../src/errors.ts';
import { loadMsgpack, MAX_VALUE_BYTES, PayloadCodec } from '../../src/node/codec.ts';
import type { Payload } from '../../src/node/node.ts';

const json = new PayloadCodec();
const decoded = (codec: PayloadCodec, { codec: id, flags, bytes }: Payload): unknown =>
  codec.decode(id, flags, bytes);
const roundTrip = (codec: PayloadCodec, value: unknown): unknown =>
  decoded(codec, codec.encode(value));

describe('JSON', () => {
  test.each([null, false, 0, '', 'žluťoučký 🐎', [], { a: [1, { b: null }] }])(
    'carries %j',
    (value) => {
      expect(roundTrip(json, value)).toEqual(value);
    },
  );

  const cycle: Record<string, unknown> = {};
  cycle['self'] = cycle;
  test.each([
    ['undefined', undefined],
    ['a function', () => 1],
    ['a symbol', Symbol('s')],
    ['a BigInt', 1n],
    ['a BigInt inside', { a: [1n] }],
    ['a cycle', cycle],
    ['NaN', Number.NaN],
    ['Infinity', Number.POSITIVE_INFINITY],
    ['an object that becomes undefined', { toJSON: () => undefined }],
    [
      'an object that throws',
      {
        toJSON: () => {
          throw new Error('no');
        },
      },
    ],
  ])('refuses %s', (_, value) => {
    expect(() => json.encode(value)).toThrow(InvalidValueError);
  });

  test('does not let a cached __proto__ reach any prototype', () => {
    const value = json.decode(0, 0, Buffer.from('{"__proto__":{"polluted":true}}'));
    expect(Object.getPrototypeOf(value)).toBe(Object.prototype);
    expect(Reflect.get({}, 'polluted')).toBeUndefined();
  });
});

describe('the size limit', () => {
  test('lets a value of exactly the limit pass, and refuses one byte more, naming both sizes', () => {
    const fits = 'x'.repeat(MAX_VALUE_BYTES - 2); // and two quotes
    expect(roundTrip(json, fits)).toBe(fits);
    expect(() => json.encode(`${fits}x`)).toThrow(/1048577 bytes or more.*1048576/);
  });

  test('counts bytes, not characters', () => {
    expect(() => json.encode('é'.repeat(MAX_VALUE_BYTES / 2))).toThrow(InvalidValueError);
  });

  test('is on the value, not on what compression makes of it', () => {
    const squeezed = new PayloadCodec('json', { compressFromBytes: 0 });
    expect(() => squeezed.encode('x'.repeat(MAX_VALUE_BYTES))).toThrow(InvalidValueError);
  });
});

describe('compression', () => {
  const squeezed = new PayloadCodec('json', { compressFromBytes: 100 });

  test('begins at the threshold', () => {
    expect(squeezed.encode('x'.repeat(97)).flags).toBe(0); // 99 bytes with the quotes
    const { flags, bytes } = squeezed.encode('x'.repeat(98));
    expect(flags).toBe(1);
    expect(bytes.length).toBeLessThan(100);
  });

  test('is readable by a process that does not compress', () => {
    const value = { text: 'abc'.repeat(1000) };
    expect(decoded(json, squeezed.encode(value))).toEqual(value);
  });

  test('is dropped when it does not make the value smaller', () => {
    const noise = new PayloadCodec(
      { encode: () => crypto.getRandomValues(new Uint8Array(200)), decode: (b) => b.length },
      { compressFromBytes: 0 },
    );
    expect(noise.encode(1).flags).toBe(0);
    expect(roundTrip(noise, 1)).toBe(200);
  });

  test('a bomb is cut off at the size limit', () => {
    const bomb = deflateRawSync(Buffer.alloc(100 * MAX_VALUE_BYTES, '1'));
    expect(bomb.length).toBeLessThan(MAX_VALUE_BYTES);
    expect(() => json.decode(0, 1, bomb)).toThrow(/larger than/);
  });
});

describe('other codecs', () => {
  test('msgpack carries what JSON loses, and reads JSON entries too', async () => {
    const msgpack = new PayloadCodec('msgpack', { msgpack: await loadMsgpack() });
    const value = { at: new Date(5), bytes: new Uint8Array([1, 2]) };
    expect(msgpack.encode(value).codec).toBe(1);
    expect(roundTrip(msgpack, value)).toEqual(value);
    expect(decoded(msgpack, json.encode({ a: 1 }))).toEqual({ a: 1 });
    expect(() => msgpack.encode(undefined)).toThrow(InvalidValueError);
  });

  test('msgpack that was not loaded is refused at once', () => {
    expect(() => new PayloadCodec('msgpack')).toThrow(InvalidOptionError);
  });

  test('msgpack entries cannot be read without it', async () => {
    const msgpack = new PayloadCodec('msgpack', { msgpack: await loadMsgpack() });
    expect(() => decoded(json, msgpack.encode(1))).toThrow('unknown codec');
  });

  test('one of your own may give text or bytes', () => {
    const text = new PayloadCodec({ encode: String, decode: (b) => Number(b.toString()) });
    expect(text.encode(12)).toEqual({ codec: 2, flags: 0, bytes: Buffer.from('12') });
    expect(roundTrip(text, 12)).toBe(12);
    const whole = new Uint8Array([9, 1, 2, 9]);
    const part = new PayloadCodec({ encode: () => whole.subarray(1, 3), decode: (b) => [...b] });
    expect(roundTrip(part, 0)).toEqual([1, 2]);
  });

  test('one of your own that throws or gives nonsense is an InvalidValueError with its cause', () => {
    const cause = new Error('mine');
    const throwing = new PayloadCodec({
      encode: () => {
        throw cause;
      },
      decode: () => 0,
    });
    expect(() => throwing.encode(1)).toThrow(expect.objectContaining({ cause }));
    const nonsense = { encode: () => undefined as unknown as string, decode: () => 0 };
    expect(() => new PayloadCodec(nonsense).encode(1)).toThrow(InvalidValueError);
  });
});
