/** What the comments promise as defaults is what the code does. */
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { durationMs } from '../../src/duration.ts';
import { ENTRY_DEFAULTS, LOAD_DEFAULTS } from '../../src/load/settings.ts';
import { MEMORY_DEFAULTS } from '../../src/memory/settings.ts';
import { BREAKER_DEFAULTS, NODE_DEFAULTS } from '../../src/node/tuning.ts';
import { CACHE_DEFAULTS } from '../../src/options/schema.ts';
import { resolveOptions } from '../../src/options.ts';
import { RING_DEFAULTS } from '../../src/ring/members.ts';
import { CHANGE_DEFAULTS } from '../../src/topology/change.ts';

/** The `@default` of each field of an interface, nested fields included. */
function defaultsIn(file: string, name: string): Record<string, string> {
  const source = readFileSync(new URL(`../../src/${file}`, import.meta.url), 'utf8');
  const body = new RegExp(`interface ${name} \\{\\n(.*?)\\n\\}`, 's').exec(source)?.[1];
  if (body === undefined) throw new Error(`${file} has no interface ${name}`);
  const field = /\/\*\*((?:(?!\*\/).)*)\*\/\s*(?:readonly )?(\w+)[?:(]/gs;
  const found = [...body.matchAll(field)].flatMap(([, comment = '', field = '']) => {
    const said = /@default\s+(.*?)\s*$/s.exec(comment)?.[1];
    return said === undefined ? [] : [[field, said]];
  });
  return Object.fromEntries(found) as Record<string, string>;
}

/** A default as it is written: a number (perhaps with _ and a remark), a text in quotes, true or false. */
function read(written: string): unknown {
  const [first = ''] = written.split(' ');
  if (/^'.*'$/.test(first)) return first.slice(1, -1);
  if (first === 'true' || first === 'false') return first === 'true';
  return Number(first.replaceAll('_', ''));
}

/** Durations as milliseconds, so that '1s' and 1000 are one. */
function plain(value: unknown): unknown {
  return typeof value === 'string' ? (durationMs(value) ?? value) : value;
}

const PROMISED: [string, string, Record<string, unknown>][] = [
  ['memory/settings.ts', 'MemoryOptions', MEMORY_DEFAULTS],
  ['load/settings.ts', 'LoadOptions', LOAD_DEFAULTS],
  ['load/settings.ts', 'EntryOptions', { memory: true }],
  ['node/tuning.ts', 'NodeTuning', { ...NODE_DEFAULTS }],
  ['node/tuning.ts', 'BreakerTuning', { ...BREAKER_DEFAULTS }],
  ['options.ts', 'NodeOptions', { weight: 1 }],
  [
    'options.ts',
    'NodeTuningOptions',
    {
      timeout: NODE_DEFAULTS.timeoutMs,
      connectTimeout: NODE_DEFAULTS.connectTimeoutMs,
      maxInFlight: NODE_DEFAULTS.maxInFlight,
    },
  ],
  [
    'options.ts',
    'BreakerOptions',
    {
      errorThresholdPercentage: BREAKER_DEFAULTS.errorThresholdPercentage,
      volumeThreshold: BREAKER_DEFAULTS.volumeThreshold,
      rollingCountTimeout: BREAKER_DEFAULTS.rollingCountTimeoutMs,
      resetTimeout: BREAKER_DEFAULTS.resetTimeoutMs,
    },
  ],
  [
    'options.ts',
    'CacheOptions',
    { ...CACHE_DEFAULTS, ...ENTRY_DEFAULTS, ...RING_DEFAULTS, negativeTtl: 'the ttl' },
  ],
  ['ring/members.ts', 'RingOptions', { ...RING_DEFAULTS }],
  ['topology/change.ts', 'ChangeOptions', { ...CHANGE_DEFAULTS }],
];

describe.each(PROMISED)('%s, %s', (file, name, defaults) => {
  const said = defaultsIn(file, name);

  test('says of every default what it is', () => {
    expect(new Set(Object.keys(said))).toEqual(new Set(Object.keys(defaults)));
    for (const [field, written] of Object.entries(said)) {
      const expected = field === 'negativeTtl' ? written : plain(read(written));
      expect(plain(defaults[field]), field).toBe(expected);
    }
  });
});

test('options of which nothing is said are these defaults', () => {
  expect(resolveOptions({ nodes: ['redis://h:1'] })).toMatchInlineSnapshot(`
    {
      "breaker": {
        "errorThresholdPercentage": 50,
        "resetTimeoutMs": 1000,
        "rollingCountTimeoutMs": 2000,
        "volumeThreshold": 5,
      },
      "codec": "json",
      "compressFromBytes": undefined,
      "control": undefined,
      "entry": {
        "jitter": 0.1,
        "memory": true,
        "negativeTtlMs": 3600000,
        "staleMs": 0,
        "ttlMs": 3600000,
      },
      "load": {
        "concurrency": 100,
        "earlyRefresh": 0,
        "leaseMs": 10000,
        "nodeTimeoutMs": 100,
        "softTimeoutMs": 0,
        "timeoutMs": 30000,
      },
      "lock": {
        "maxTtlMs": 60000,
        "minHoldMs": 0,
        "renewEveryMs": undefined,
        "retries": Infinity,
        "retryDelayMs": 250,
        "signal": undefined,
        "ttlMs": 10000,
        "waitMs": 5000,
      },
      "memory": {
        "maxBytes": 104857600,
        "maxEntries": 10000,
        "maxStaleMs": 1000,
        "ttlMs": 60000,
      },
      "namespace": "ringcache",
      "node": {
        "connectTimeoutMs": 300,
        "maxInFlight": 10000,
        "timeoutMs": 100,
      },
      "ring": {
        "placement": "xxh32",
        "points": 512,
      },
      "seats": [
        {
          "id": "h:1",
          "redis": undefined,
          "url": "redis://h:1",
          "weight": 1,
        },
      ],
      "sharing": "shared",
    }
  `);
});
