// biome-ignore-all lint/suspicious/noTemplateCurlyInString: the samples are source text
// The checks of the house, on samples that are bad: a check that cannot fail checks nothing.
import { describe, expect, test } from 'vitest';
import { importsOf, refusal, roomOf } from './floors.ts';
import { violations } from './rules.ts';
import { functionsIn, mask } from './source-text.ts';

const judge = (source: string, path = 'src/node/sample.ts'): string[] =>
  violations({ path, source });
const body = (lines: number): string => '  work();\n'.repeat(lines);

describe('habits', () => {
  test.each([
    ['const a: any = 1;', 'no any'],
    ['const a = b as any;', 'no any'],
    ['function f(...args: any[]): void {}', 'no any'],
    ['type A = Map<string, any>;', 'no any'],
    ['enum A { B }', 'no enum'],
    ['export const enum A { B }', 'no enum'],
    ['namespace A { }', 'no namespace'],
    ['export default 1;', 'no default export'],
    ['export { a as default };', 'no default export'],
    ["export * from './a.ts';", 'no export *'],
    ["export type * from './a.ts';", 'no export *'],
    ['setTimeout(f, 1);', 'timers only in clock.ts'],
    ['const t = setInterval;', 'timers only in clock.ts'],
    ['setImmediate(f);', 'timers only in clock.ts'],
    ["import { setTimeout as s } from 'node:timers/promises';", 'timers only in clock.ts'],
    ['const t = Date.now();', 'time only from clock.ts'],
    ['const t = new Date();', 'time only from clock.ts'],
    ['const t = performance.now();', 'time only from clock.ts'],
    ['console.log(1);', 'no console'],
    ['a.b!.c();', 'non-null ! after an index only'],
    ['f()!.c();', 'non-null ! after an index only'],
    [`// TO${'DO'}: later`, 'nothing left to do'],
  ])('%s', (source, rule) => {
    expect(judge(`${source}\n`)).toContainEqual(expect.stringContaining(`:1 ${rule}`));
  });

  test.each([
    'const many = Promise.any([]);',
    "const text = 'any enum setTimeout( console.log';",
    '// any enum, console.log, setTimeout()',
    'const text = `any ${"setTimeout("} console.`;',
    'const pattern = /any|console.|setTimeout/;',
    'const first = list[0]!;',
    'const x = list[at - 1]!.name;',
    'class A { #assignedLater!: string; }',
    'const different = a !== b && !c;',
    'const then = new Date(0);',
    '// biome-ignore lint/suspicious/noExplicitAny: the caller decides\ntype F = (self: any) => void;',
  ])('nothing is wrong with %s', (source) => {
    expect(judge(`${source}\n`)).toEqual([]);
  });

  test('each has its places where it does not count', () => {
    expect(judge('setTimeout(f, 1); Date.now();', 'src/clock.ts')).toEqual([]);
    expect(judge('console.log(1);', 'src/cli/main.ts')).toEqual([]);
    expect(judge('export default 1;', 'config/vitest.config.ts')).toEqual([]);
    expect(judge('a!.b();', 'test/a.test.ts')).toEqual([]);
  });

  test('a test that keeps the others from running is found', () => {
    expect(judge('test.only(1);', 'test/a.test.ts')).toHaveLength(1);
    expect(judge('describe.todo(1);', 'test/a.test.ts')).toHaveLength(1);
  });
});

describe('names', () => {
  test.each([
    'src/node/RedisNode.ts',
    'src/node/redis_node.ts',
    'src/Node/redis.ts',
    'src/utils.ts',
    'src/node/helpers.ts',
    'src/common/a.ts',
    'src/node/types.ts',
    'src/core.ts',
    'src/node/node-manager.ts',
  ])('%s is refused', (path) => {
    expect(judge('', path)).toHaveLength(1);
  });

  test.each(['src/node/redis-node.ts', 'test/node/redis-node.test.ts', 'src/ring/md5.ts'])(
    '%s is fine',
    (path) => {
      expect(judge('', path)).toEqual([]);
    },
  );
});

describe('numbers', () => {
  test('a file has at most 400 lines', () => {
    expect(judge('// a\n'.repeat(400))).toEqual([]);
    expect(judge('// a\n'.repeat(401))).toEqual([expect.stringContaining('401 lines')]);
  });

  const shapes: ReadonlyArray<readonly [string, string, string]> = [
    ['a function', 'function f(a: string): void {\n', '}\n'],
    ['an async function', 'async function f(): Promise<{ a: string; b: number }> {\n', '}\n'],
    ['a method', 'class A {\nm(): void {\n', '}\n}\n'],
    ['a private method', 'class A {\nasync #m<T>(a: T): Promise<T | undefined> {\n', '}\n}\n'],
    ['a constructor', 'class A {\nconstructor() {\n', '}\n}\n'],
    ['an arrow function', 'const f = (a: string): void => {\n', '};\n'],
    ['a returned function', 'const f = () =>\n  work((a): a is string => {\n', '});\n'],
    ['a getter', 'class A {\nget a(): { b: 1 } {\n', '}\n}\n'],
    ['a generator', 'function* f(): Iterable<string> {\n', '}\n'],
    ['an object result', 'function f(): { a: 1 } | { b: () => void } {\n', '}\n'],
  ];
  test.each(shapes)('%s has at most 60 lines', (_, open, close) => {
    // The line of the name and that of the closing brace count.
    expect(judge(open + body(58) + close)).toEqual([]);
    expect(judge(open + body(59) + close)).toEqual([
      expect.stringContaining('a function of 61 lines, at most 60'),
    ]);
  });

  test('what only looks like a function is not one', () => {
    expect(judge(`if (a) {\n${body(100)}}\nwhile (b) {\n${body(100)}}\n`)).toEqual([]);
    expect(judge(`const a = b ? f(c) : {\n${'  d: 1,\n'.repeat(100)}};\n`)).toEqual([]);
    expect(judge(`class A {\n${body(100)}}\n`)).toEqual([]);
  });

  test('braces in text do not end a function', () => {
    const odd = '  work(\'}\', `}${a}}`, /}/, "}"); // }\n';
    expect(judge(`function f(): void {\n${odd.repeat(59)}}\n`)).toHaveLength(1);
    expect(judge(`function f(): void {\n${odd.repeat(58)}}\n`)).toEqual([]);
  });

  test.each([
    'function f(a: A, b: B, c: C, d: D): void {}',
    'class A { #m(a: A, b = [1, 2], c: C, d?: D): void {} }',
    'const f = (a: A, b: B, c: Map<string, D>, d: D) => 1;',
    'class A { constructor(a: A, b: B, c: C, d: D) {} }',
    'function f(a: A, b: B, c: C, d: D, options: O = {}): void {}',
  ])('at most three positional parameters: %s', (source) => {
    expect(judge(source)).toEqual([expect.stringContaining('4 positional parameters')]);
  });

  test.each([
    'function f(a: A, b: B, c: C, options: O = {}): void {}',
    'function f(a: A, { b, c, d, e }: B): void {}',
    'function f(a: Map<string, B>, b: [A, B, C, D], c: (d: D, e: E) => void,): void {}',
    'function f(this: A, a: A, b: B, c: C): void {}',
    'call(a, b, c, d, e);',
  ])('three are allowed, and an options object: %s', (source) => {
    expect(judge(source)).toEqual([]);
  });
});

describe('floors', () => {
  test.each([
    ['node/redis-node.ts', '../load/flight.ts', 'floor 4'],
    ['load/flight.ts', '../lock/lock.ts', 'floor 4'],
    ['lock/lock.ts', '../load/flight.ts', 'floor 4'],
    ['ring/ring.ts', '../memory/memory.ts', 'floor 1'],
    ['errors.ts', './metrics/metrics.ts', 'floor 0'],
    ['cache.ts', './index.ts', 'floor 7'],
    ['local.ts', './index.ts', 'floor 7'],
    ['cli/main.ts', '../cache.ts', 'cli imports entry points only'],
    ['node/redis-node.ts', '../somewhere/else.ts', 'no floor'],
    ['load/flight.ts', 'ioredis', 'only'],
    ['cache.ts', 'opossum', 'only'],
    ['topology/topology.ts', 'xxhash-wasm', 'only'],
    ['cache.ts', 'lru-cache', 'only'],
    ['cache.ts', 'valibot', 'only'],
    ['cache.ts', 'lodash', 'no dependency of ours'],
    ['cache.ts', './errors', 'without .ts'],
  ])('%s may not import %s', (path, specifier, why) => {
    expect(refusal(path, specifier)).toContain(why);
  });

  test.each([
    ['node/redis-node.ts', './breaker.ts'],
    ['node/redis-node.ts', '../errors.ts'],
    ['duration.ts', './errors.ts'],
    ['node/redis-node.ts', 'ioredis'],
    ['node/redis-node.ts', 'node:net'],
    ['cache.ts', './load/flight.ts'],
    ['options.ts', './options-nodes.ts'],
    ['options.ts', 'valibot'],
    ['local.ts', './local/provide.ts'],
    ['local/apt.ts', '../errors.ts'],
    ['cli/main.ts', '../index.ts'],
    ['cli/main.ts', './ring.ts'],
  ])('%s may import %s', (path, specifier) => {
    expect(refusal(path, specifier)).toBeUndefined();
  });

  test('a file without a place has no floor', () => {
    expect(roomOf('stuff.ts')).toBeUndefined();
    expect(roomOf('stuff/a.ts')).toBeUndefined();
  });

  test('every kind of import is seen, and none in comments', () => {
    const source = `
      import a from 'a';
      import { type b,\n c } from "b";
      import type { d } from 'c';
      import 'd';
      export { e } from 'e';
      export type { f } from 'f';
      const g = await import('g');
      type H = import('h').H;
      // import 'no';
      /* import 'no'; */
      const text = 'import';
    `;
    expect(importsOf(mask(source).text)).toEqual(['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h']);
  });
});

test('masking keeps every place and line', () => {
  const source = 'const a = `x${{ b: `y${"}"}` }}z`; // 😀\nconst c = "😀" / d / e; /* f\n */ g();';
  const { text, code } = mask(source);
  expect(code).toHaveLength(source.length);
  expect(text).toHaveLength(source.length);
  expect(code.indexOf('g()')).toBe(source.indexOf('g()'));
  expect(code.split('\n')).toHaveLength(3);
  expect(code).toContain('/ d / e');
  expect(functionsIn(code)).toEqual([]);
});
