/**
 * The shape of the options: each rule with the words that say it, and the
 * defaults of the rooms filled in. Says nothing of what the options mean.
 */
import * as v from 'valibot';
import { type Duration, durationMs, durationRule } from '../duration.ts';
import { InvalidOptionError } from '../errors.ts';
import { ENTRY_DEFAULTS, LOAD_DEFAULTS } from '../load/settings.ts';
import { MEMORY_DEFAULTS } from '../memory/settings.ts';
import type { ClientOptions } from '../node/address.ts';
import type { Codec } from '../node/codec.ts';
import { BREAKER_DEFAULTS, NODE_DEFAULTS } from '../node/tuning.ts';
import { NAME, NAME_RULE, RING_DEFAULTS } from '../ring/members.ts';

export const CACHE_DEFAULTS = {
  namespace: 'ringcache',
  earlyRefresh: 0,
  codec: 'json',
  compress: false,
} as const;

const MINUTE_MS = 60_000;

function duration(range: { least: number; most?: number }) {
  const { least, most = Number.POSITIVE_INFINITY } = range;
  const rule =
    durationRule(least) + (most === Number.POSITIVE_INFINITY ? '' : ` and at most ${most} ms`);
  return v.pipe(
    v.custom<Duration>((given) => {
      const ms = durationMs(given);
      return ms !== undefined && ms >= least && ms <= most;
    }, rule),
    v.transform((given) => durationMs(given) ?? 0),
  );
}

function integer(least: number, most: number) {
  return v.custom<number>((given) => {
    return Number.isInteger(given) && (given as number) >= least && (given as number) <= most;
  }, `an integer of ${least} to ${most}`);
}

function number(least: number, most: number) {
  return v.custom<number>((given) => {
    return typeof given === 'number' && given >= least && given <= most;
  }, `a number of ${least} to ${most}`);
}

const name = v.custom<string>((given) => typeof given === 'string' && NAME.test(given), NAME_RULE);

// `a` and `a:v` in one server: the entry `v:k` of the first would be the entry
// `k` of the second. A part of one letter is what tells our own keys apart.
const namespace = v.custom<string>((given) => {
  if (typeof given !== 'string' || !NAME.test(given)) return false;
  return given
    .split(':')
    .slice(1)
    .every((part) => part.length > 1);
}, `${NAME_RULE}, with no empty or one-letter part after a ':'`);

const isCodec = (given: unknown): given is Codec => {
  const codec = given as Partial<Codec> | null | undefined;
  return typeof codec?.encode === 'function' && typeof codec.decode === 'function';
};

/** An object with these options and no others. To valibot, an array is one too. */
function group<T extends v.ObjectEntries>(entries: T, rule: string) {
  const shape = v.strictObject(entries, rule);
  return v.pipe(
    v.custom<v.InferInput<typeof shape>>((given) => {
      return typeof given === 'object' && given !== null && !Array.isArray(given);
    }, rule),
    shape,
  );
}

const nodeShape = group(
  {
    id: name,
    url: v.string('a URL (redis://, rediss:// or unix://)'),
    weight: v.optional(number(0.1, 100), 1),
    redis: v.optional(
      v.custom<ClientOptions>(
        (given) => typeof given === 'object' && given !== null,
        'an object of ioredis options',
      ),
    ),
  },
  'an object { id, url } or a URL',
);

export const nodeSchema = v.union(
  [
    v.pipe(
      v.string(),
      v.transform((url) => ({ id: idOfUrl(url), url, weight: 1, redis: undefined })),
    ),
    nodeShape,
  ],
  'an object { id, url } or a URL',
);

const groups = {
  memory: group(
    {
      maxEntries: v.optional(integer(1, 10_000_000), MEMORY_DEFAULTS.maxEntries),
      maxBytes: v.optional(integer(1, Number.MAX_SAFE_INTEGER), MEMORY_DEFAULTS.maxBytes),
      ttl: v.optional(duration({ least: 1 }), MEMORY_DEFAULTS.ttl),
      maxStale: v.optional(duration({ least: 1 }), MEMORY_DEFAULTS.maxStale),
      clone: v.optional(v.boolean('true or false'), MEMORY_DEFAULTS.clone),
      freeze: v.optional(v.boolean('true or false'), MEMORY_DEFAULTS.freeze),
    },
    'an object or false',
  ),
  ring: group(
    {
      points: v.optional(integer(1, 65_536), RING_DEFAULTS.points),
      placement: v.optional(
        v.picklist(['xxh32', 'ketama'], "'xxh32' or 'ketama'"),
        RING_DEFAULTS.placement,
      ),
    },
    'an object',
  ),
  node: group(
    {
      timeout: v.optional(duration({ least: 1, most: MINUTE_MS }), NODE_DEFAULTS.timeoutMs),
      connectTimeout: v.optional(
        duration({ least: 10, most: MINUTE_MS }),
        NODE_DEFAULTS.connectTimeoutMs,
      ),
      maxInFlight: v.optional(integer(1, 1_000_000), NODE_DEFAULTS.maxInFlight),
    },
    'an object',
  ),
  breaker: group(
    {
      errorThresholdPercentage: v.optional(
        number(1, 99),
        BREAKER_DEFAULTS.errorThresholdPercentage,
      ),
      volumeThreshold: v.optional(integer(1, 10_000), BREAKER_DEFAULTS.volumeThreshold),
      rollingCountTimeout: v.optional(
        duration({ least: 100, most: 10 * MINUTE_MS }),
        BREAKER_DEFAULTS.rollingCountTimeoutMs,
      ),
      resetTimeout: v.optional(
        duration({ least: 10, most: 10 * MINUTE_MS }),
        BREAKER_DEFAULTS.resetTimeoutMs,
      ),
    },
    'an object',
  ),
  load: group(
    {
      timeout: v.optional(duration({ least: 1 }), LOAD_DEFAULTS.timeout),
      softTimeout: v.optional(duration({ least: 0 }), LOAD_DEFAULTS.softTimeout),
      concurrency: v.optional(integer(1, 100_000), LOAD_DEFAULTS.concurrency),
      lease: v.optional(duration({ least: 100, most: 10 * MINUTE_MS }), LOAD_DEFAULTS.lease),
    },
    'an object',
  ),
};

const nodes = v.pipe(
  v.array(nodeSchema, 'an array of nodes'),
  v.minLength(1, 'an array of at least one node'),
  v.maxLength(1_000, 'an array of at most 1000 nodes'),
);

// Checked by the room that obeys them.
const elsewhere = v.optional(v.unknown());

export const locksSchema = group(
  {
    nodes,
    namespace: v.optional(namespace, CACHE_DEFAULTS.namespace),
    quorum: v.optional(v.boolean('true or false'), false),
    node: v.optional(groups.node, {}),
    breaker: v.optional(groups.breaker, {}),
    ttl: elsewhere,
    maxTtl: elsewhere,
    waitTimeout: elsewhere,
    retries: elsewhere,
    retryDelay: elsewhere,
    renew: elsewhere,
    minHold: elsewhere,
    signal: elsewhere,
  },
  'an object of options',
);

export const cacheSchema = group(
  {
    nodes,
    namespace: v.optional(namespace, CACHE_DEFAULTS.namespace),
    ttl: v.optional(duration({ least: 1 }), ENTRY_DEFAULTS.ttl),
    jitter: v.optional(number(0, 1), ENTRY_DEFAULTS.jitter),
    staleTtl: v.optional(duration({ least: 0 }), ENTRY_DEFAULTS.staleTtl),
    negativeTtl: v.optional(duration({ least: 1 })),
    earlyRefresh: v.optional(number(0, 100), CACHE_DEFAULTS.earlyRefresh),
    memory: v.optional(v.union([v.literal(false), groups.memory], 'an object or false'), {}),
    ring: v.optional(groups.ring, {}),
    node: v.optional(groups.node, {}),
    breaker: v.optional(groups.breaker, {}),
    load: v.optional(groups.load, {}),
    codec: v.optional(
      v.union(
        [v.picklist(['json', 'msgpack']), v.custom<Codec>(isCodec)],
        "'json', 'msgpack' or an object with encode and decode",
      ),
      CACHE_DEFAULTS.codec,
    ),
    compress: v.optional(
      v.union(
        [
          v.literal(false),
          group({ threshold: integer(0, Number.MAX_SAFE_INTEGER) }, 'an object { threshold }'),
        ],
        'false or an object { threshold }',
      ),
      CACHE_DEFAULTS.compress,
    ),
    control: v.optional(v.string('a Redis URL')),
    lock: elsewhere,
  },
  'an object of options',
);

const ids = v.array(v.string('the id of a node'), 'an array of ids');

export const ringChangeSchema = group(
  {
    add: v.optional(v.array(nodeSchema, 'an array of nodes'), []),
    remove: v.optional(ids, []),
    weights: v.optional(v.record(v.string(), number(0.1, 100), 'an object of weights by id'), {}),
    urls: v.optional(
      v.record(v.string(), v.string('a Redis URL'), 'an object of addresses by id'),
      {},
    ),
  },
  'an object of changes',
);

export const changeSchema = group(
  {
    warm: v.optional(v.boolean('true or false'), true),
    keysPerSecond: v.optional(number(1, 1_000_000_000)),
    bytesPerSecond: v.optional(number(1, Number.MAX_SAFE_INTEGER)),
    signal: v.optional(
      v.custom<AbortSignal>((given) => given instanceof AbortSignal, 'an AbortSignal'),
    ),
    onProgress: v.optional(
      v.custom<() => void>((given) => typeof given === 'function', 'a function'),
    ),
  },
  'an object of options',
);

function idOfUrl(url: string): string {
  if (!URL.canParse(url)) return '';
  const { host, port } = new URL(url);
  return port === '' && host !== '' ? `${host}:6379` : host;
}

export function parse<T extends v.GenericSchema>(
  shape: T,
  given: unknown,
  under = '',
): v.InferOutput<T> {
  const result = v.safeParse(shape, given, { abortEarly: true });
  if (result.success) return result.output;
  throw asOptionError(result.issues[0], under);
}

/** The issue of the innermost part: a union's own issue says only that no branch fits. */
function asOptionError(issue: v.BaseIssue<unknown>, under: string): InvalidOptionError {
  const inner = innermost(issue);
  const path = [under, ...dotted(issue), ...(inner === issue ? [] : dotted(inner))]
    .filter((part) => part !== '')
    .join('.');
  if (inner.type === 'strict_object' && inner.expected === 'never') {
    return new InvalidOptionError(path, 'absent: there is no such option', inner.input);
  }
  if (inner.type === 'strict_object' && inner.input === undefined && inner.path !== undefined) {
    return new InvalidOptionError(path, 'given', inner.input);
  }
  // Whatever stands where client options belong may be a password.
  const given = path.endsWith('redis') ? typeof inner.input : inner.input;
  return new InvalidOptionError(path || 'options', inner.message, given);
}

function innermost(issue: v.BaseIssue<unknown>): v.BaseIssue<unknown> {
  // Of the branches of a union, the one that got furthest is the one that was meant.
  const branches = issue.issues ?? [];
  const meant = branches.find((branch) => branch.path !== undefined);
  return meant === undefined ? issue : innermost(meant);
}

function dotted(issue: v.BaseIssue<unknown>): string[] {
  return (issue.path ?? []).map((part) => String(part.key));
}
