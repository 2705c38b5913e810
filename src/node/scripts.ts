/**
 * What is done on a node in one step. Each script is sent by its hash, and in
 * full when the node does not know it (after a restart or SCRIPT FLUSH).
 *
 * Answers are integers, negative ones the same everywhere (`REPLY`). Works from
 * Redis 6.2 on: no shebang line, which 6.2 would refuse.
 */
import { createHash } from 'node:crypto';
import { EPOCH_DIGITS } from './fence.ts';

export interface Script {
  readonly lua: string;
  readonly sha: string;
  readonly keys: number;
}

export const REPLY = { unknown: -1, stale: -2, refused: -3, shut: -4, late: -5 } as const;

export function script(keys: number, lua: string): Script {
  return { keys, lua, sha: createHash('sha1').update(lua).digest('hex') };
}

// KEYS[1] is the node's fence, ARGV[1] the asker's. Nothing is done when the
// node has none (only an admission may give it one) or a later one, or another
// of the same epoch. An earlier one is raised. SET is refused on a full node
// unless the script has written already: the DEL before it is there for that,
// so that a delete never fails because the fence could not be raised.
export const FENCED = `
local fence = redis.call('GET', KEYS[1])
if not fence then return ${REPLY.unknown} end
if fence ~= ARGV[1] then
  if string.sub(fence, 1, ${EPOCH_DIGITS}) >= string.sub(ARGV[1], 1, ${EPOCH_DIGITS}) then return ${REPLY.stale} end
  redis.call('DEL', KEYS[1])
  redis.call('SET', KEYS[1], ARGV[1])
end`;

// Whoever gave up on a set may have deleted the key since, or another process has. Bytes that were
// on their way meanwhile (a connection that stood still, a partition that heals) must not bring the
// older value back, nor a change of the ring that nobody makes any more. A fill needs no such bound:
// its lease has ended. The deadline is in milliseconds since 1970, in the clock of the node.
export const IN_TIME = (deadline: number): string => `
local time = redis.call('TIME')
if time[1] * 1000 + time[2] / 1000 > tonumber(ARGV[${deadline}]) then return ${REPLY.late} end`;

// The one primitive of leases and locks: a key that holds a token. It is taken
// when nobody has it, or again by the same token, whose answer was lost; only
// the token that holds it lengthens or ends it. A mark behind the token says
// that another process waits for the end of it.
const WAITED_FOR = '+';
export const TOKEN = `
local function holds(key, token)
  local held = redis.call('GET', key)
  return (held == token or held == token .. '${WAITED_FOR}') and held
end
local function take(key, token, ms)
  if redis.call('SET', key, token, 'NX', 'PX', ms) then return true end
  if not holds(key, token) then return false end
  redis.call('PEXPIRE', key, ms)
  return true
end
local function left(key)
  return math.max(1, redis.call('PTTL', key))
end`;

// Tells those who wait for the load under a lease that it is over. A server
// that does not let us PUBLISH has no receivers: they ask again by themselves.
export const OVER = (channel: number): string => `
local function over(key, held)
  if held and string.sub(held, -1) == '${WAITED_FOR}' then redis.pcall('PUBLISH', ARGV[${channel}], key) end
end`;

// After a SET that was called protected: full is an answer, all else an error.
const UNLESS_STORED = (onFull: string): string => `
if type(stored) == 'table' and stored.err then
  if not string.find(stored.err, 'OOM', 1, true) then return stored end
  ${onFull}
  return ${REPLY.refused}
end`;

/** fence value lease · fence token leaseMs seen → the value | 0 leased | remaining ms, 1 or more. */
export const LEASE = script(
  3,
  `${FENCED}${TOKEN}
local value = redis.call('GET', KEYS[2])
if value and ARGV[4] ~= '*' and string.sub(value, 5, 16) ~= ARGV[4] then return value end
if take(KEYS[3], ARGV[2], ARGV[3]) then return 0 end
local held = redis.call('GET', KEYS[3])
if string.sub(held, -1) ~= '${WAITED_FOR}' then redis.call('SET', KEYS[3], held .. '${WAITED_FOR}', 'KEEPTTL') end
return left(KEYS[3])`,
);

/** Leases whatever value is there. */
export const SEEN_ANY = '*';

/** fence value lease · fence token entry keepMs channel → 1 stored | 0 lost. */
export const FILL = script(
  3,
  `${FENCED}${TOKEN}${OVER(5)}
local held = holds(KEYS[3], ARGV[2])
if not held then return 0 end
local stored = redis.pcall('SET', KEYS[2], ARGV[3], 'PX', ARGV[4])
redis.call('DEL', KEYS[3])
over(KEYS[3], held)
${UNLESS_STORED('')}
return 1`,
);

// On a full node the old value goes too: its writer has replaced it at the
// source, so what is left would be served stale until its ttl.
/** fence value lease · fence entry keepMs deadline channel → 1 stored | late. */
export const WRITE = script(
  3,
  `${FENCED}${IN_TIME(4)}${OVER(5)}
local stored = redis.pcall('SET', KEYS[2], ARGV[2], 'PX', ARGV[3])
over(KEYS[3], redis.call('GETDEL', KEYS[3]))
${UNLESS_STORED(`redis.call('DEL', KEYS[2])`)}
return 1`,
);

/** fence value lease · fence channel → 1 existed | 0. */
export const REMOVE = script(
  3,
  `${FENCED}${OVER(2)}
local removed = redis.call('DEL', KEYS[2])
over(KEYS[3], redis.call('GETDEL', KEYS[3]))
return removed`,
);

/** fence value lease · fence → the value, what is left of its life and of a lease, 0 if there is none | what is left of a lease. */
export const COPY = script(
  3,
  `${FENCED}
local value = redis.call('GET', KEYS[2])
local leased = math.max(0, redis.call('PTTL', KEYS[3]))
if not value then return leased end
return {value, redis.call('PTTL', KEYS[2]), leased}`,
);

/** lease · token leaseMs → 1 lengthened | 0 not ours. Touches only what the token owns: no fence. */
export const EXTEND = script(
  1,
  `${TOKEN}
if not holds(KEYS[1], ARGV[1]) then return 0 end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])`,
);

/** lease · token channel → 1 dropped | 0 not ours. */
export const DROP = script(
  1,
  `${TOKEN}${OVER(2)}
local held = holds(KEYS[1], ARGV[1])
if not held then return 0 end
redis.call('DEL', KEYS[1])
over(KEYS[1], held)
return 1`,
);

/** value lease → value, its life left, lease's life left. */
export const INSPECT = script(
  2,
  `return {redis.call('GET', KEYS[1]), redis.call('PTTL', KEYS[1]), redis.call('PTTL', KEYS[2])}`,
);

/**
 * fence document run · fence document run first deadline → 1 installed | stale | unknown | late. The DEL first: see above.
 * The fence is written only if it is another one: all processes are told of it.
 * A node without a fence is given one only by whoever admits it, which asks the others before.
 */
export const INSTALL = script(
  3,
  `${IN_TIME(5)}
local fence = redis.call('GET', KEYS[1])
if not fence and ARGV[4] ~= '1' then return ${REPLY.unknown} end
if fence and fence ~= ARGV[1] and string.sub(fence, 1, ${EPOCH_DIGITS}) >= string.sub(ARGV[1], 1, ${EPOCH_DIGITS}) then return ${REPLY.stale} end
redis.call('DEL', KEYS[2])
if fence ~= ARGV[1] then redis.call('SET', KEYS[1], ARGV[1]) end
redis.call('SET', KEYS[2], ARGV[2])
redis.call('SET', KEYS[3], ARGV[3])
return 1`,
);

/** All of them: loaded when a node is admitted, so that a burst does not carry each in full. */
export const SCRIPTS: readonly Script[] = [
  LEASE,
  FILL,
  WRITE,
  REMOVE,
  COPY,
  EXTEND,
  DROP,
  INSPECT,
  INSTALL,
];
