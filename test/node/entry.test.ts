import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { PayloadCodec } from '../../src/node/codec.ts';
import {
  HEADER_BYTES,
  identityOf,
  payloadOf,
  readEntry,
  writeEntry,
} from '../../src/node/entry.ts';
import { epochOf, fenceOf } from '../../src/node/fence.ts';
import { UNKNOWN_EPOCH } from '../../src/node/node.ts';

const codec = new PayloadCodec();
const header = {
  stamp: 3,
  freshUntil: 1_795_231_359_109,
  loadMs: 12,
  writtenAt: 1_795_231_299_109,
  seq: 1_795_231_299_109_007,
  tags: undefined,
};
const TAGS = ['user:1', 'äöü', 'x'.repeat(128)];
const entry = writeEntry(codec.encode({ a: 1 }), header);
const tagged = writeEntry(codec.encode({ a: 1 }), { ...header, tags: TAGS });

describe('an entry', () => {
  test('has the bytes that docs/wire-format.md gives', () => {
    expect(entry.toString('hex')).toBe(
      [
        '02000000',
        '000000000003',
        header.freshUntil.toString(16).padStart(12, '0'),
        '0000000c',
        '431983036f7e023c',
        header.writtenAt.toString(16).padStart(12, '0'),
        Buffer.from('{"a":1}').toString('hex'),
      ].join(''),
    );
  });

  test('with tags has their names before the payload, and says so in a flag', () => {
    const name = (tag: string): Buffer =>
      Buffer.concat([Buffer.of(Buffer.byteLength(tag)), Buffer.from(tag)]);
    const names = Buffer.concat([Buffer.of(TAGS.length), ...TAGS.map(name)]);
    const headed = Buffer.from(entry.subarray(0, HEADER_BYTES));
    headed[2] = 0x80;
    expect(tagged).toEqual(Buffer.concat([headed, names, Buffer.from('{"a":1}')]));
  });

  test('is read back with its tags, and its payload without', () => {
    const stored = readEntry(tagged, codec, 0);
    expect(stored).toMatchObject({ value: { a: 1 }, tags: TAGS, bytes: 7 });
    expect(payloadOf(tagged)).toEqual(codec.encode({ a: 1 }));
  });

  test('with tags is compressed and read back like any other', () => {
    const compressing = new PayloadCodec('json', { compressFromBytes: 10 });
    const value = 'long '.repeat(100);
    const bytes = writeEntry(compressing.encode(value), { ...header, tags: TAGS });
    expect(readEntry(bytes, codec, 0)).toMatchObject({ value, tags: TAGS });
  });

  test('with tags, cut short anywhere, is not readable, and never an exception', () => {
    for (let length = 0; length < tagged.length; length++) {
      expect(readEntry(tagged.subarray(0, length), codec, 0)).toBeUndefined();
    }
  });

  test('of version 1 is not readable', () => {
    const old = Buffer.from(`01000000${'00'.repeat(16)}7b7d`, 'hex');
    expect(readEntry(old, codec, 0)).toBeUndefined();
  });

  test('is read back, with the freshness left by the clock of the node', () => {
    const stored = readEntry(entry, codec, header.freshUntil - 500);
    expect(stored).toEqual({ value: { a: 1 }, ...header, freshForMs: 500, bytes: 7 });
    expect(payloadOf(entry)).toEqual(codec.encode({ a: 1 }));
  });

  test('is known by its stamp and fresh-until, the bytes 4 to 15', () => {
    expect(identityOf(header)).toEqual(entry.subarray(4, 16));
  });

  test('holds a load time that does not fit as the largest that does', () => {
    const long = writeEntry(codec.encode(1), { ...header, loadMs: 1e12 });
    expect(readEntry(long, codec, 0)?.loadMs).toBe(0xffffffff);
  });

  const changed = (at: number, byte: number): Buffer => {
    const copy = Buffer.from(entry);
    copy[at] = byte;
    return copy;
  };
  test.each([
    ['an unknown version', changed(0, 3)],
    ['an unknown codec', changed(1, 9)],
    ['a custom codec that this process has not', changed(1, 2)],
    ['unknown flags', changed(2, 2)],
    ['deflate that is none', changed(2, 1)],
    ['a reserved byte in use', changed(3, 1)],
    ['broken JSON', changed(HEADER_BYTES, 0)],
    ['a header cut short', entry.subarray(0, HEADER_BYTES - 1)],
    ['no payload', entry.subarray(0, HEADER_BYTES)],
    ['a foreign string', Buffer.from('hello')],
    ['nothing', Buffer.alloc(0)],
  ])('with %s is not readable, and never an exception', (_, bytes) => {
    expect(readEntry(bytes, codec, 0)).toBeUndefined();
  });

  test('of any bytes is read or not, and never an exception', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 60 }), (bytes) => {
        const noise = Buffer.from(bytes);
        readEntry(noise, codec, 0);
        noise.copy(Buffer.from(entry));
        const headed = Buffer.concat([entry.subarray(0, HEADER_BYTES), noise]);
        readEntry(headed, codec, 0);
        headed[2] = 0x80;
        readEntry(headed, codec, 0);
      }),
      { numRuns: 300 },
    );
  });
});

describe('a fence', () => {
  test('sorts as text the way epochs sort as numbers', () => {
    fc.assert(
      fc.property(fc.maxSafeNat(), fc.maxSafeNat(), (a, b) => {
        expect(fenceOf(a, '00000000') < fenceOf(b, '00000000')).toBe(a < b);
        expect(epochOf(fenceOf(a, 'deadbeef'))).toBe(a);
      }),
    );
  });

  test.each(['', '5', 'x'.repeat(25), '0000000000000005:DEADBEEF'])(
    'that is none has no epoch: %j',
    (text) => {
      expect(epochOf(text)).toBe(UNKNOWN_EPOCH);
    },
  );
});
