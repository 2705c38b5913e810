// The house of DESIGN.md section 3 and the numbers of the style guide, checked
// on the source text. test/house/ has the checks, and proves that they can fail.
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { importsOf, refusal, roomOf } from './house/floors.ts';
import { type SourceFile, violations } from './house/rules.ts';
import { mask } from './house/source-text.ts';

const root = fileURLToPath(new URL('..', import.meta.url));

function filesIn(folder: string): SourceFile[] {
  let entries: string[];
  try {
    entries = readdirSync(`${root}/${folder}`, { recursive: true, encoding: 'utf8' });
  } catch {
    return []; // a folder that is not there yet
  }
  return entries
    .filter((path) => path.endsWith('.ts') && !path.includes('node_modules'))
    .map((path) => `${folder}/${path}`)
    .map((path) => ({ path, source: readFileSync(`${root}/${path}`, 'utf8') }));
}

const library = filesIn('src');
const everything = [
  library,
  ...['test', 'bench', 'demo', 'examples', 'config'].map(filesIn),
].flat();

test('every source file has a floor', () => {
  const homeless = library.filter(({ path }) => roomOf(path.slice('src/'.length)) === undefined);
  expect(homeless.map(({ path }) => path)).toEqual([]);
});

test('imports go down, or stay within the room', () => {
  const refused = library.flatMap(({ path, source }) =>
    importsOf(mask(source).text).flatMap((specifier) => {
      const why = refusal(path.slice('src/'.length), specifier);
      return why === undefined ? [] : [`${path} ${why}`];
    }),
  );
  expect(refused).toEqual([]);
});

test('the code keeps to the numbers and habits', () => {
  expect(everything.flatMap(violations)).toEqual([]);
});

test('the run-time dependencies are the agreed ones', () => {
  const manifest: unknown = JSON.parse(readFileSync(`${root}/package.json`, 'utf8'));
  expect(new Set(Object.keys(Object(Object(manifest).dependencies)))).toEqual(
    new Set(['ioredis', 'lru-cache', 'opossum', 'valibot', 'xxhash-wasm']),
  );
});
