import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { afterAll, describe, expect, test } from 'vitest';
import { type ConfigSource, loadConfig } from '../../src/config.ts';
import { InvalidOptionError } from '../../src/errors.ts';
import { resolveOptions } from '../../src/options.ts';

const folder = mkdtempSync(join(tmpdir(), 'ringcache-config-'));
let files = 0;

afterAll(() => rmSync(folder, { recursive: true }));

function fileOf(content: unknown): string {
  const path = join(folder, `config-${files++}.json`);
  writeFileSync(path, typeof content === 'string' ? content : JSON.stringify(content));
  return path;
}

function refusal(source: ConfigSource): InvalidOptionError {
  try {
    loadConfig(source);
  } catch (error) {
    expect(error).toBeInstanceOf(InvalidOptionError);
    return error as InvalidOptionError;
  }
  throw new Error('it was accepted');
}

const NODE = { id: 'a', url: 'redis://h:1' };

describe('a file', () => {
  test('is read as it is, without $schema', () => {
    const file = fileOf({ $schema: './schema.json', nodes: [NODE], ttl: '5m' });
    expect(loadConfig({ file, env: {} })).toEqual({ nodes: [NODE], ttl: '5m' });
  });

  test('is found by RINGCACHE_CONFIG, and one that is named goes before that', () => {
    const env = { RINGCACHE_CONFIG: fileOf({ nodes: [NODE], namespace: 'env' }) };
    expect(loadConfig({ env }).namespace).toBe('env');
    const file = fileOf({ nodes: [NODE], namespace: 'named' });
    expect(loadConfig({ file, env }).namespace).toBe('named');
  });

  test('that is not there is refused by name', () => {
    const file = join(folder, 'missing.json');
    const error = refusal({ file, env: {} });
    expect(error.path).toBe('file');
    expect(error.message).toContain('ENOENT');
    expect(error.message).toContain('missing.json');
  });

  test('that is a folder is refused', () => {
    expect(refusal({ file: folder, env: {} }).message).toContain('EISDIR');
  });

  test.each([['[]'], ['"redis://u:hunter2@h:1"'], ['null'], ['5']])(
    'that holds %s is refused, and not shown',
    (content) => {
      const error = refusal({ file: fileOf(content), env: {} });
      expect(error.message).toContain('a JSON object of options');
      expect(error.message).not.toContain('hunter2');
    },
  );

  test.each([
    ['', 1, 1],
    ['{', 1, 2],
    ['{\n  "nodes": }', 2, 12],
    ['{"a":1,}', 1, 8],
    ['{"a":1}}', 1, 8],
    ['{\n\n"a" 1}', 3, 5],
    ["{'a':1}", 1, 2],
    ['x', 1, 1],
    ['{"a":trux}', 1, 9],
    ['{"a": "b\n"}', 1, 9],
    ['{\n  "nodes": [\n    "redis://u:hunter2@h:1" "b"\n  ]\n}', 3, 29],
    ['{\n  "nodes": [\n    {"url": "redis://u:hunter2@h:1"},\n    ?\n  ]\n}', 4, 5],
    ['\ufeff{}', 1, 1],
  ])('that is no JSON is refused with the place: %j', (content, line, column) => {
    const error = refusal({ file: fileOf(content), env: {} });
    expect(error.path).toBe('file');
    expect(error.message).toContain(`valid JSON (line ${line}, column ${column})`);
    expect(inspect(error, { depth: 9 })).not.toContain('hunter2');
    expect(error.cause).toBeUndefined();
  });

  test('that is no JSON shows nothing of what is in it, not even its beginning', () => {
    const error = refusal({ file: fileOf('{ "password": "hunter2", }'), env: {} });
    expect(inspect(error, { depth: 9 })).not.toContain('hunter2');
  });

  test('with __proto__ in it changes no prototype, and is refused by createCache', () => {
    const file = fileOf(`{"nodes":["redis://h:1"],"__proto__":{"ttl":5}}`);
    const options = loadConfig({ file, env: {} });
    expect(({} as { ttl?: number }).ttl).toBeUndefined();
    expect(() => resolveOptions(options)).toThrow(/^__proto__ must be absent/);
  });
});

describe('the environment', () => {
  test.each([
    ['redis://a:1', ['redis://a:1']],
    ['redis://a:1,redis://b:2', ['redis://a:1', 'redis://b:2']],
    [' redis://a:1 ,\n redis://b:2 ', ['redis://a:1', 'redis://b:2']],
    ['x=redis://a:1', [{ id: 'x', url: 'redis://a:1' }]],
    ['x=unix:///r.sock?db=1', [{ id: 'x', url: 'unix:///r.sock?db=1' }]],
    ['redis://u:p=q@a:1', ['redis://u:p=q@a:1']],
    ['x=redis://u:p=q@a:1', [{ id: 'x', url: 'redis://u:p=q@a:1' }]],
  ])('names nodes: %j', (listed, nodes) => {
    const options = loadConfig({ env: { RINGCACHE_NODES: listed } });
    expect(options).toEqual({ nodes });
    expect(resolveOptions(options).seats).toHaveLength(nodes.length);
  });

  test('replaces the nodes and the namespace of the file, and leaves the rest', () => {
    const file = fileOf({ nodes: [NODE], namespace: 'file', ttl: '5m' });
    const env = { RINGCACHE_NODES: 'redis://b:2', RINGCACHE_NAMESPACE: 'env' };
    expect(loadConfig({ file, env })).toEqual({
      nodes: ['redis://b:2'],
      namespace: 'env',
      ttl: '5m',
    });
  });

  test.each(['', ' ', ',', ' , '])('that lists %j as nodes is refused', (listed) => {
    expect(refusal({ env: { RINGCACHE_NODES: listed } }).path).toBe('RINGCACHE_NODES');
  });

  test('without nodes, with or without a file, is refused with what to do', () => {
    for (const source of [{ env: {} }, { file: fileOf({ ttl: 5 }), env: {} }]) {
      const error = refusal(source);
      expect(error.path).toBe('nodes');
      expect(error.message).toContain('RINGCACHE_NODES');
    }
  });

  test('is that of the process when none is given', () => {
    const before = process.env['RINGCACHE_NODES'];
    process.env['RINGCACHE_NODES'] = 'redis://own:1';
    try {
      expect(loadConfig().nodes).toEqual(['redis://own:1']);
    } finally {
      if (before === undefined) delete process.env['RINGCACHE_NODES'];
      else process.env['RINGCACHE_NODES'] = before;
    }
  });
});

describe('a log-in from the environment', () => {
  const login = { RINGCACHE_USERNAME: 'us er', RINGCACHE_PASSWORD: 'p@ss/w:rd' };

  test('is for nodes that have none, however they are written', () => {
    const env = { ...login, RINGCACHE_NODES: 'redis://a:1,x=rediss://b:2,redis://v:own@c:3' };
    const { nodes } = loadConfig({ env });
    expect(nodes).toEqual([
      'redis://us%20er:p%40ss%2Fw%3Ard@a:1',
      { id: 'x', url: 'rediss://us%20er:p%40ss%2Fw%3Ard@b:2' },
      'redis://v:own@c:3',
    ]);
    const [seat] = resolveOptions({ nodes }).seats;
    expect(seat?.id).toBe('a:1');
  });

  test('may be a password alone, and may contain what a replacement would expand', () => {
    const env = { RINGCACHE_PASSWORD: "$&$'$1", RINGCACHE_NODES: 'redis://a:1' };
    const url = loadConfig({ env }).nodes[0];
    expect(decodeURIComponent(new URL(String(url)).password)).toBe("$&$'$1");
  });

  test('leaves what is no node to createCache', () => {
    const file = fileOf({ nodes: [5, { id: 'a' }] });
    expect(loadConfig({ file, env: login }).nodes).toEqual([5, { id: 'a' }]);
    const noList = fileOf({ nodes: 'redis://h:1' });
    expect(() => resolveOptions(loadConfig({ file: noList, env: login }))).toThrow(
      /^nodes must be an array/,
    );
  });

  test.each([[null], [[null]]])('nodes: %j are refused in words, not with a TypeError', (nodes) => {
    const file = fileOf({ nodes });
    expect(() => resolveOptions(loadConfig({ file, env: login }))).toThrow(InvalidOptionError);
  });
});

test('the example file is valid', () => {
  const file = new URL('../../config/ringcache.example.json', import.meta.url).pathname;
  const options = loadConfig({ file, env: {} });
  const raw = JSON.parse(readFileSync(file, 'utf8')) as { nodes: { id: string }[] };
  expect(resolveOptions(options).seats.map(({ id }) => id)).toEqual(raw.nodes.map(({ id }) => id));
});
