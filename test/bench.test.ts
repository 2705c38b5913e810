// Goal: no benchmark rots unseen. Method: each runs in its small form, as a person would start it.

import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { promisify } from 'node:util';
import { describe, expect, test } from 'vitest';
import { scenarios } from '../bench/behaviour.ts';
import { quantile, Timing } from '../bench/bench.ts';
import { seededRandom, seededZipf, shuffled } from '../bench/random.ts';
import { benches } from '../bench/registry.ts';
import { formatTable, wrap } from '../bench/report.ts';

const MAIN = new URL('../bench/main.ts', import.meta.url).pathname;
const execute = promisify(execFile);

interface Outcome {
  code: number;
  stdout: string;
  stderr: string;
}

async function bench(...args: string[]): Promise<Outcome> {
  try {
    return { code: 0, ...(await execute(process.execPath, [MAIN, ...args])) };
  } catch (error) {
    return error as Outcome;
  }
}

describe('every benchmark runs small', () => {
  test.each(benches.map(({ name }) => name))('%s', { timeout: 120_000 }, async (name) => {
    const { code, stdout, stderr } = await bench(name, '--small', '--json');
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    const [result, ...others] = JSON.parse(stdout);
    expect(others).toEqual([]);
    expect(result).toMatchObject({ name, small: true });
    expect(result.checksum).toMatch(/^[0-9a-f]{8}$/);
    expect(result.summary).toMatch(/\w.*\.$/s);
    expect(result.tables.length).toBeGreaterThan(0);
  });

  test('and is named once', () => {
    expect(new Set(benches.map(({ name }) => name)).size).toBe(benches.length);
  });
});

test.each(scenarios)('what is compared as $id is a test of ours, too', ({ test: ours }) => {
  const text = readFileSync(new URL(`../${ours.file}`, import.meta.url), 'utf8');
  expect(text).toContain(ours.name);
});

describe('the command line', () => {
  test('prints tables and the checksum for people', async () => {
    const { code, stdout } = await bench('ring-lookup', '--small');
    expect(code).toBe(0);
    expect(stdout).toMatch(/^ring-lookup: /);
    expect(stdout).toMatch(/─{3,} /);
    expect(stdout).toMatch(/checksum [0-9a-f]{8}, /);
  });

  test('answers the same in every run', async () => {
    const runs = await Promise.all([1, 2].map(() => bench('ring-lookup', '--small', '--json')));
    const checksums = runs.map(({ stdout }) => JSON.parse(stdout)[0].checksum);
    expect(checksums[0]).toBe(checksums[1]);
  });

  test('lists what there is when it does not know a name', async () => {
    const { code, stdout, stderr } = await bench('rebalance', 'nonsense', '--small');
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toMatch(/unknown benchmark: nonsense/);
    for (const { name } of benches) expect(stderr).toContain(name);
  });

  test.each([['--nonsense'], ['--small', '--save']])('refuses %s %s', async (...args) => {
    expect((await bench(...args)).code).toBe(2);
  });

  test('explains itself', async () => {
    const { code, stdout } = await bench('--help');
    expect(code).toBe(0);
    expect(stdout).toMatch(/^usage: npm run bench/);
  });
});

describe('the kit', () => {
  test('quantiles are interpolated and need no order', () => {
    expect(quantile([3, 1, 2], 0.5)).toBe(2);
    expect(quantile([4, 1, 2, 3], 0.5)).toBe(2.5);
    expect(quantile([4, 1, 2, 3], 0)).toBe(1);
    expect(quantile([4, 1, 2, 3], 1)).toBe(4);
  });

  test('a ratio is taken round by round', () => {
    // Both became ten times slower in the second round: their ratio did not change.
    const base = new Timing('base', [10, 100, 10]);
    expect(new Timing('other', [20, 200, 20]).ratioTo(base)).toBe(2);
  });

  test('seeded numbers are the same in every run and evenly spread', () => {
    const random = seededRandom(1);
    const numbers = Array.from({ length: 10_000 }, random);
    expect(numbers.slice(0, 3)).toEqual(Array.from({ length: 3 }, seededRandom(1)));
    expect(numbers.every((number) => number >= 0 && number < 1)).toBe(true);
    expect(numbers.reduce((sum, number) => sum + number) / 10_000).toBeCloseTo(0.5, 1);
    expect(seededRandom(2)()).not.toBe(seededRandom(1)());
  });

  test('Zipf draws the first most, by its exponent', () => {
    const draw = seededZipf(1_000, 1, 7);
    const counts = new Array<number>(1_000).fill(0);
    for (let i = 0; i < 200_000; i++) counts[draw()]!++;
    // The second comes half as often as the first, the tenth a tenth as often.
    expect(counts[1]! / counts[0]!).toBeCloseTo(1 / 2, 1);
    expect(counts[9]! / counts[0]!).toBeCloseTo(1 / 10, 1);
    expect(counts[0]! / 200_000).toBeCloseTo(0.1336, 2);
  });

  test('shuffling keeps every item and the list it was given', () => {
    const items = Array.from({ length: 100 }, (_, i) => i);
    const other = shuffled(items, 3);
    expect(other).not.toEqual(items);
    expect(other.toSorted((a, b) => a - b)).toEqual(items);
    expect(shuffled(items, 3)).toEqual(other);
  });

  test('a table is aligned, numbers to the right', () => {
    const columns = [
      { key: 'row', head: 'row' },
      { key: 'part', head: 'part', percent: true, digits: 1 },
    ];
    const rows = [
      { row: 'a', part: 0.5 },
      { row: 'long', part: 0.0123 },
    ];
    expect(formatTable({ title: 'Title', columns, rows }).split('\n')).toEqual([
      'Title',
      'row     part',
      '────  ──────',
      'a     50.0 %',
      'long   1.2 %',
    ]);
    expect(wrap('aa bb cc', 5)).toBe('aa bb\ncc');
  });
});
