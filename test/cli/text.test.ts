/** Text as it is printed: nothing that came from outside moves the cursor, and tables fit. */
import { describe, expect, test } from 'vitest';
import { Screen } from '../../src/cli/screen.ts';
import { table } from '../../src/cli/table.ts';
import {
  bar,
  bytes,
  cut,
  escaped,
  escapedJson,
  inOrder,
  time,
  widthOf,
  wrap,
} from '../../src/cli/text.ts';

describe('escaped', () => {
  test.each([
    ['plain: ä 日本 👍', 'plain: ä 日本 👍'],
    ['a\x1b[2Jb', 'a\\x1b[2Jb'],
    ['a\nb\rc\td', 'a\\nb\\x0dc\\x09d'],
    ['\x7f\x9b31m', '\\x7f\\x9b31m'],
    ['left\u202eright\u2066', 'left\\u202eright\\u2066'],
    ['no\u200bspace\ufeff', 'no\\u200bspace\\ufeff'],
    ['line\u2028break', 'line\\u2028break'],
  ])('%j becomes %j', (given, shown) => {
    expect(escaped(given)).toBe(shown);
  });
});

describe('escapedJson', () => {
  test('is the same JSON without anything that a terminal may obey', () => {
    const value = { key: 'a\x1b[2J\x9b\u202e\u2028\x7f\n', list: [1, 'ä'] };
    const text = escapedJson(value, 2);
    expect(JSON.parse(text)).toEqual(value);
    expect(text).not.toMatch(/[\p{Cc}\u202e\u2028](?<!\n)/u);
  });

  test('has what is not known as null', () => {
    expect(escapedJson({ epoch: undefined })).toBe('{"epoch":null}');
  });
});

test('widths are those of a terminal', () => {
  expect(widthOf('\x1b[31mred\x1b[39m')).toBe(3);
  expect(widthOf('日本')).toBe(4);
  expect(widthOf('e\u0301')).toBe(1);
  expect(cut('cache-one', 5)).toBe('cach…');
  expect(cut('日本語', 4)).toBe('日…');
  expect(wrap('one two three', 7)).toEqual(['one two', 'three']);
});

test('a bar is exact to an eighth of a column, and never longer than its room', () => {
  expect([0, 0.5, 1, 2, -1].map((part) => bar(part, 4))).toEqual(['', '██', '████', '████', '']);
  expect(bar(1 / 32, 4)).toBe('▏');
});

test('numbers are short and true', () => {
  expect([0, 1_023, 1_536, 20 * 2 ** 20, 3 * 2 ** 40].map(bytes)).toEqual([
    '0 B',
    '1023 B',
    '1.5 kB',
    '20 MB',
    '3.0 TB',
  ]);
  expect([0.123, 4.56, 78.9, 3_400, 61_000, 3_600_000, 2 * 86_400_000].map(time)).toEqual([
    '0.12 ms',
    '4.6 ms',
    '79 ms',
    '3.4 s',
    '61 s',
    '60 min',
    '2 d',
  ]);
});

test('nodes are in the order in which a person looks for them', () => {
  const ids = (nodes: { id: string; weight?: number }[]) => inOrder(nodes).map(({ id }) => id);
  const [ten, two, leaving] = [{ id: 'n-10' }, { id: 'n-2' }, { id: 'n-1', weight: 0 }];
  expect(ids([leaving, ten, two])).toEqual(['n-2', 'n-10', 'n-1']);
});

describe('a table', () => {
  const terminal = (columns: number): Screen => {
    const stream = { isTTY: true, columns, rows: 24 } as unknown as NodeJS.WriteStream;
    return new Screen(stream, { colour: false });
  };
  const columns = [
    { title: 'node' },
    { title: 'share', right: true },
    { title: 'address', spare: 2 },
    { title: 'version', spare: 1 },
  ];
  const rows = [
    ['a', '1.5 %', 'redis://127.0.0.1:6379', 'redis 7'],
    ['a-longer-name', '98.5 %', 'redis://127.0.0.1:6380', 'redis 7'],
  ];

  test('aligns its columns, numbers to the right', () => {
    expect(table(terminal(120), columns, rows)).toEqual([
      'node            share  address                 version',
      'a               1.5 %  redis://127.0.0.1:6379  redis 7',
      'a-longer-name  98.5 %  redis://127.0.0.1:6380  redis 7',
    ]);
  });

  test('leaves the least important out when there is no room', () => {
    expect(table(terminal(40), columns, rows)[2]).toBe('a-longer-name  98.5 %  redis 7');
  });

  test('shortens names before it is wider than the terminal', () => {
    const long = [['n'.repeat(64), '98.5 %', '', '']];
    for (const line of table(terminal(40), columns, long)) {
      expect(widthOf(line)).toBeLessThanOrEqual(40);
    }
  });

  test('escapes every cell', () => {
    expect(table(terminal(120), columns, [['a\x1b[2J', '', '', '']])[1]).toContain('a\\x1b[2J');
  });
});
