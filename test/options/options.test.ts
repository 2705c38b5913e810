import { inspect } from 'node:util';
import { describe, expect, test } from 'vitest';
import { InvalidOptionError } from '../../src/errors.ts';
import {
  type CacheOptions,
  checkChangeOptions,
  type NodeOptions,
  resolveNode,
  resolveOptions,
} from '../../src/options.ts';

const URL_A = 'redis://h:1';
const NODES = [{ id: 'a', url: URL_A }];

function refusal(options: unknown): InvalidOptionError {
  try {
    resolveOptions(options as CacheOptions);
  } catch (error) {
    expect(error).toBeInstanceOf(InvalidOptionError);
    return error as InvalidOptionError;
  }
  throw new Error('it was accepted');
}

/** The options with `value` at a dotted path. */
function withAt(path: string, value: unknown): unknown {
  const parts = path.split('.');
  const last = parts.pop() ?? '';
  const options: Record<string, unknown> = { nodes: [{ ...NODES[0] }] };
  let at = options;
  for (const part of parts) {
    at[part] ??= {};
    at = at[part] as Record<string, unknown>;
  }
  at[last] = value;
  return options;
}

const NOT_NUMBERS = ['1', null, true, {}, [], Number.NaN];
const NOT_DURATIONS = [
  ...[-1, Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, 1e18, 3_153_600_000_001],
  ...['10', '5 m', '-1s', '', ' 5s', '5s ', '5S', '1e3ms', '.5s', '5.s', '1h30m', 's', '٣s'],
  ...[null, true, {}, [], ['5s']],
];

const DURATIONS: Record<string, unknown[]> = {
  ttl: [0, 0.5, '0s'],
  staleTtl: [],
  negativeTtl: [0],
  'memory.ttl': [0],
  'memory.maxStale': [0],
  'node.timeout': [0, 60_001],
  'node.connectTimeout': [0, 9, '2m'],
  'breaker.rollingCountTimeout': [99, 600_001],
  'breaker.resetTimeout': [9, '11m'],
  'load.timeout': [0],
  'load.softTimeout': [],
  'load.lease': [0, 99, '11m'],
};

const INTEGERS: Record<string, [number, number]> = {
  'memory.maxEntries': [1, 10_000_000],
  'memory.maxBytes': [1, Number.MAX_SAFE_INTEGER],
  'ring.points': [1, 65_536],
  'node.maxInFlight': [1, 1_000_000],
  'breaker.volumeThreshold': [1, 10_000],
  'load.concurrency': [1, 100_000],
  'compress.threshold': [0, Number.MAX_SAFE_INTEGER],
};

const NUMBERS: Record<string, [number, number]> = {
  jitter: [0, 1],
  earlyRefresh: [0, 100],
  'nodes.0.weight': [0.1, 100],
  'breaker.errorThresholdPercentage': [1, 99],
};

function numbersAround([least, most]: [number, number]): unknown[] {
  return [least - 0.01, least - 1, most + 1, Number.POSITIVE_INFINITY, ...NOT_NUMBERS];
}

const NAMES = ['', 'a b', 'a/b', 'ä', 'a\n', 'x'.repeat(65), 7, null, {}, ['a']];

const BAD: Record<string, unknown[]> = {
  ...Object.fromEntries(
    Object.entries(DURATIONS).map(([path, more]) => [path, [...more, ...NOT_DURATIONS]]),
  ),
  ...Object.fromEntries(
    Object.entries(INTEGERS).map(([path, range]) => [path, [...numbersAround(range), 1.5]]),
  ),
  ...Object.fromEntries(Object.entries(NUMBERS).map(([p, range]) => [p, numbersAround(range)])),
  'ring.placement': ['md5', '', null, 1],
  namespace: [...NAMES, 'shop:v', 'shop:', 'shop::x'],
  'nodes.0.id': NAMES,
  'nodes.0.url': [7, null, {}, undefined],
  'nodes.0.redis': ['tls', 7, null, true],
  nodes: [undefined, null, 'redis://h:1', {}, [], new Set(['redis://h:1'])],
  'nodes.0': [7, null, true, undefined, []],
  memory: [true, null, 5, 'off', []],
  ring: [null, 5, []],
  node: [null, 5, 'fast', []],
  breaker: [null, false, []],
  load: [null, 5, []],
  codec: ['xml', '', null, 5, {}, { encode() {} }, { encode: 1, decode: 2 }],
  compress: [true, null, 1024, 'gzip', []],
  'compress.threshold': [undefined],
  'memory.clone': ['yes', 1, null],
  'memory.freeze': ['yes', 0, null],
};

describe.each(Object.entries(BAD))('%s', (path, values) => {
  test.each(values.map((value) => [value]))(
    '%o is refused, with path, rule and what was given',
    (value) => {
      const error = refusal(withAt(path, value));
      expect(error.path).toBe(path);
      // One sentence for people, nothing of how it was found out.
      expect(error.message).toMatch(/^\S+ must be \S.*, but was given \S/);
      expect(error.message).not.toMatch(/Invalid|Expected/);
      expect(error.code).toBe('RINGCACHE_INVALID_OPTION');
    },
  );
});

test.each([
  ...Object.keys(DURATIONS).map((path) => [path, '60s'] as const),
  ...Object.entries(INTEGERS).flatMap(([path, ends]) => ends.map((end) => [path, end] as const)),
  ...Object.entries(NUMBERS).flatMap(([path, ends]) => ends.map((end) => [path, end] as const)),
  ['namespace', 'A-Za-z0-9._:-'.replace(':-', ':ab')] as const,
  ['codec', { encode: () => '', decode: () => 1 }] as const,
  ['memory', false] as const,
  ['compress', false] as const,
])('%s: %o is accepted', (path, value) => {
  expect(() => resolveOptions(withAt(path, value) as CacheOptions)).not.toThrow();
});

test.each([[undefined], [null], [5], ['redis://h:1'], [[]]])(
  'options %o are refused',
  (options) => {
    expect(refusal(options).path).toBe('options');
  },
);

test('copies and frozen values exclude each other; each alone, or neither, is accepted', () => {
  const sharing = (memory: object) => resolveOptions({ nodes: NODES, memory }).sharing;
  expect(refusal({ nodes: NODES, memory: { clone: true, freeze: true } })).toMatchObject({
    path: 'memory.freeze',
    message: 'memory.freeze must be false when memory.clone is true, but was given true',
  });
  expect(sharing({})).toBe('shared');
  expect(sharing({ clone: true, freeze: false })).toBe('copied');
  expect(sharing({ clone: false, freeze: true })).toBe('frozen');
  expect(resolveOptions({ nodes: NODES, memory: false }).sharing).toBe('shared');
});

test.each([
  'ttI',
  'memory.maxentries',
  'ring.replicas',
  'node.commandTimeout',
  'breaker.timeout',
  'load.retries',
  'compress.level',
  'nodes.0.host',
])('an unknown option is refused with its whole path: %s', (path) => {
  const options = withAt(path, 5) as { compress?: object };
  if (options.compress !== undefined) Object.assign(options.compress, { threshold: 1 });
  const error = refusal(options);
  expect(error.path).toBe(path);
  expect(error.message).toContain('there is no such option');
});

test('an option that does not exist does not show its value: it may be a password', () => {
  const options = { nodes: [{ id: 'a', url: URL_A, password: 'hunter2' }] };
  const error = refusal(options);
  expect(error.path).toBe('nodes.0.password');
  expect(inspect(error, { showHidden: true, depth: 9 })).not.toContain('hunter2');
});

test.each(['__proto__', 'constructor', 'toString'])(
  'an option of the name %s is unknown',
  (name) => {
    const options = JSON.parse(`{"nodes":["${URL_A}"],"memory":{"${name}":{"ttl":5}}}`) as unknown;
    expect(refusal(options).path).toBe(`memory.${name}`);
  },
);

describe('nodes', () => {
  test.each([
    ['redis://127.0.0.1:7001', '127.0.0.1:7001'],
    ['redis://cache-1', 'cache-1:6379'],
    ['rediss://cache-1:6380', 'cache-1:6380'],
    ['redis://user:secret@cache-1:7/3', 'cache-1:7'],
  ])('%s alone takes %s as its id', (url, id) => {
    expect(resolveOptions({ nodes: [url] }).seats).toEqual([
      { id, url, weight: 1, redis: undefined },
    ]);
  });

  test.each(['cache-1:6379', '', 'nonsense', 'redis://u:hunter2@h:port'])(
    '%s is no address, which is said before that it has no id, without showing it',
    (url) => {
      const error = refusal({ nodes: [url] });
      expect(error.path).toBe('nodes.0.url');
      expect(error.message).toContain('redis://');
      expect(inspect(error)).not.toContain('hunter2');
    },
  );

  test.each(['redis://[::1]:6379', 'unix:///run/redis.sock'])(
    '%s alone cannot be an id, and the message says what to write',
    (url) => {
      const error = refusal({ nodes: [url] });
      expect(error.path).toBe('nodes.0.id');
      expect(error.message).toContain('{ id, url }');
    },
  );

  test.each(['redis://[::1]:6379', 'unix:///run/redis.sock?db=2', 'unix://:secret@/run/r.sock'])(
    '%s is accepted with an id',
    (url) => {
      expect(resolveOptions({ nodes: [{ id: 'a', url }] }).seats[0]?.url).toBe(url);
    },
  );

  test('what stands where client options belong is not shown: it may be a password', () => {
    const nodes = [{ id: 'a', url: 'redis://h:1', redis: 'hunter2' as unknown as object }];
    const error = refusal({ nodes });
    expect(error.path).toBe('nodes.0.redis');
    expect(inspect(error)).not.toContain('hunter2');
  });

  test('the same id twice is refused, the id of a URL included', () => {
    expect(refusal({ nodes: [...NODES, { id: 'a', url: 'redis://h:2' }] }).path).toBe('nodes.1.id');
    expect(refusal({ nodes: ['redis://h:1', { id: 'h:1', url: 'redis://i:2' }] }).path).toBe(
      'nodes.1.id',
    );
  });

  test.each([
    ['redis://h:1', 'redis://h:1'],
    ['redis://h', 'redis://h:6379'],
    ['redis://h:1', 'redis://h:1/'],
    ['redis://h:1', 'redis://h:1/0'],
    ['redis://H:1', 'redis://h:1'],
    ['redis://u:one@h:1', 'redis://u:two@h:1'],
    ['unix:///r.sock', 'unix:///r.sock?db=0'],
  ])('one server under two names is refused: %s and %s', (one, two) => {
    const error = refusal({
      nodes: [
        { id: 'a', url: one },
        { id: 'b', url: two },
      ],
    });
    expect(error.path).toBe('nodes.1.url');
    expect(error.message).toContain('than that of a');
    expect(error.message).not.toMatch(/one@|two@/);
  });

  test('two databases of one server are two nodes', () => {
    const nodes = ['redis://h:1/0', 'redis://h:1/1'].map((url, i) => ({ id: `n${i}`, url }));
    expect(resolveOptions({ nodes }).seats).toHaveLength(2);
  });

  test.each(['redis://h:abc', 'redis://h:70000', 'redis://h:-1', 'http://h:1', 'h:1', '//h'])(
    'the address %s is refused without being shown',
    (url) => {
      const error = refusal({ nodes: [{ id: 'a', url }] });
      expect(error.path).toMatch(/^nodes\.(0|a)\.url$/);
      expect(error.message).toContain('redis://');
    },
  );

  test('more than 1,000 are refused', () => {
    const nodes = Array.from({ length: 1_001 }, (_, i) => `redis://h:${i + 1}`);
    expect(refusal({ nodes }).path).toBe('nodes');
    expect(resolveOptions({ nodes: nodes.slice(1) }).seats).toHaveLength(1_000);
  });

  test('may be any object that has an id and a URL, such as a LocalNode', () => {
    class LocalNodeLike {
      readonly id = 'local-1';
      readonly url = 'redis://127.0.0.1:7001';
      readonly #pid = 5;
      get pid(): number {
        return this.#pid;
      }
      stop(): void {}
    }
    expect(resolveOptions({ nodes: [new LocalNodeLike()] }).seats).toEqual([
      { id: 'local-1', url: 'redis://127.0.0.1:7001', weight: 1, redis: undefined },
    ]);
  });
});

describe('a password', () => {
  const PLACES: [string, unknown][] = [
    ['a broken port', { nodes: [{ id: 'a', url: 'redis://u:hunter2@h:abc' }] }],
    ['a broken port of a URL alone', { nodes: ['redis://u:hunter2@h:70000'] }],
    ['a slash in it', { nodes: [{ id: 'a', url: 'redis://u:hun/ter2@h:1' }] }],
    ['a slash in it, alone', { nodes: ['redis://u:7/hunter2@h:1'] }],
    ['a percent sign in it', { nodes: [{ id: 'a', url: 'redis://u:hunter2%zz@h:1' }] }],
    ['another scheme', { nodes: ['http://u:hunter2@h:1'] }],
    ['no scheme', { nodes: ['u:hunter2@h:1'] }],
    ['the URL as the id', { nodes: [{ id: 'redis://u:hunter2@h:1', url: URL_A }] }],
    ['the URL as the namespace', { nodes: [URL_A], namespace: 'redis://u:hunter2@h:1' }],
    ['a URL as the list', { nodes: 'redis://u:hunter2@h:1' }],
    ['one server twice', { nodes: ['a', 'b'].map((id) => ({ id, url: 'redis://u:hunter2@h:1' })) }],
    ['a socket', { nodes: ['unix://u:hunter2@/run/redis.sock'] }],
    ['a bad database', { nodes: [{ id: 'a', url: 'redis://u:hunter2@h:1/x' }] }],
  ];

  test.each(PLACES)('is not shown by what is said of %s', (_, options) => {
    const error = refusal(options);
    for (const text of [error.message, String(error.stack), inspect(error, { depth: 9 })]) {
      expect(text).not.toMatch(/hunter2|ter2/);
    }
    expect(JSON.stringify({ ...error, cause: error.cause })).not.toMatch(/hunter2|ter2/);
  });
});

test('what leaves is complete and in milliseconds', () => {
  const { entry, memory, compressFromBytes } = resolveOptions({
    nodes: [...NODES],
    ttl: '2m',
    compress: { threshold: 512 },
  });
  expect(entry).toMatchObject({ ttlMs: 120_000, negativeTtlMs: 120_000, memory: true });
  expect(memory).toMatchObject({ ttlMs: 60_000, maxStaleMs: 1_000 });
  expect(compressFromBytes).toBe(512);
  expect(resolveOptions({ nodes: [...NODES], negativeTtl: 5 }).entry.negativeTtlMs).toBe(5);
  expect(resolveOptions({ nodes: [...NODES], memory: false }).memory).toBe(false);
});

describe('what addNode and a change take', () => {
  test.each([
    [{ id: 'a b', url: URL_A }, 'node.id'],
    [{ id: 'a', url: 'nonsense' }, 'node.url'],
    [{ id: 'a', url: URL_A, weight: 0 }, 'node.weight'],
    [{ id: 'a', url: URL_A, wait: 1 }, 'node.wait'],
    [undefined, 'node'],
    [5, 'node'],
  ])('%o is refused', (node, path) => {
    expect(() => resolveNode(node as NodeOptions)).toThrow(expect.objectContaining({ path }));
  });

  test.each([
    ['warm', [0, 'yes', null]],
    ['keysPerSecond', [0, -1, Number.NaN, Number.POSITIVE_INFINITY, '5', null]],
    ['signal', [null, {}, 'abort']],
    ['onProgress', [null, {}, 'log']],
    ['keys', [5]],
  ])('%s', (name, values) => {
    for (const value of values) {
      const check = () => checkChangeOptions({ [name]: value });
      expect(check, String(value)).toThrow(expect.objectContaining({ path: name }));
    }
  });

  test('nothing is fine', () => {
    expect(() => checkChangeOptions(undefined)).not.toThrow();
    expect(() => checkChangeOptions({ warm: false, keysPerSecond: 0.5 + 0.5 })).not.toThrow();
  });
});
