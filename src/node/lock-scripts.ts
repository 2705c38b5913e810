/**
 * What one node does for locks, each in one step. The token primitive is that
 * of the leases (`TOKEN` in scripts.ts); what is added is a number that grows
 * with every grant, a queue of those who wait, and a gate that is shut while a
 * node may have forgotten what it granted.
 */
import type { AcquireAsk } from './lock-node.ts';
import type { NodeKeys } from './node-keys.ts';
import { FENCED, REPLY, type Script, script, TOKEN } from './scripts.ts';

/** A number that nobody was granted for so long is begun anew, from the server's clock. */
const COUNTER_MS = 7 * 24 * 3_600_000;
/** A queue that nobody has looked at for so long is forgotten: those who wait ask more often. */
const QUEUE_MS = 120_000;
/** How long a lock stays reserved for the one who has been told of it. */
const RESERVE_MS = 500;
/** Fence numbers are microseconds since 1970 at least: what is smaller is a counter that began at 0. */
const LEAST_NUMBER = '1000000000000000';

// In microseconds, as a double: exact until the year 2255.
const NOW = `
local function now()
  local time = redis.call('TIME')
  return time[1] * 1000000 + time[2]
end`;

// The number grows across a loss of data too, as long as the server's clock was
// not set back: a counter that is not there begins at the microsecond. TIME is
// asked only then. '%.0f', since Lua would write 1.79e+15.
/**
 * fence gate lock counter queue · fence gate token ttlMs floor? waiter?
 * → {1, number} granted | {0, ms} busy | shut. What most come without comes last, and is left out.
 */
export const ACQUIRE = script(
  5,
  `${FENCED}${TOKEN}${NOW}
if redis.call('GET', KEYS[2]) ~= ARGV[2] then return ${REPLY.shut} end
local floor = tonumber(ARGV[5] or '0')
local place = ARGV[6] and ARGV[6] .. ' ' .. ARGV[3]
if not take(KEYS[3], ARGV[3], ARGV[4]) then
  if place then
    redis.call('ZADD', KEYS[5], 'NX', string.format('%.0f', now()), place)
    redis.call('PEXPIRE', KEYS[5], ${QUEUE_MS})
  end
  return {0, left(KEYS[3])}
end
if place then redis.call('ZREM', KEYS[5], place) end
local number = redis.call('INCR', KEYS[4])
if number < ${LEAST_NUMBER} or number <= floor then
  number = math.max(now(), floor + 1)
  redis.call('SET', KEYS[4], string.format('%.0f', number), 'PX', ${COUNTER_MS})
end
return {1, number}`,
);

/** fence lock · fence token ttlMs → 1 lengthened | 0 not ours. Never takes it again. */
export const PROLONG = script(
  2,
  `${FENCED}${TOKEN}
if not holds(KEYS[2], ARGV[2]) then return 0 end
return redis.call('PEXPIRE', KEYS[2], ARGV[3])`,
);

// The next who waits gets the lock reserved before anybody else can take it, and
// is told so. Nobody receives what is told to a dead process: the one behind it
// is next. A server that does not let us PUBLISH has no receivers; those who wait
// ask again by themselves. No fence: it touches only what the token owns.
// The name is what follows `ns:k:l:` in the lock's key, as long as `ns:k:w:`, the channel.
/** lock queue · token channel keepMs? waiter? → 1 was ours | 0 not. */
export const RELEASE = script(
  2,
  `${TOKEN}
if ARGV[4] then redis.call('ZREM', KEYS[2], ARGV[4] .. ' ' .. ARGV[1]) end
if not holds(KEYS[1], ARGV[1]) then return 0 end
if ARGV[3] and tonumber(ARGV[3]) > 0 then
  redis.call('PEXPIRE', KEYS[1], ARGV[3])
  return 1
end
while true do
  local first = redis.call('ZPOPMIN', KEYS[2])
  if #first == 0 then
    redis.call('DEL', KEYS[1])
    return 1
  end
  local waiter, token = string.match(first[1], '^(%S+) (%S+)$')
  local receivers = redis.pcall('PUBLISH', ARGV[2] .. waiter, token .. ' ' .. string.sub(KEYS[1], #ARGV[2] + 1))
  if type(receivers) == 'number' and receivers > 0 then
    redis.call('SET', KEYS[1], token, 'PX', ${RESERVE_MS})
    return 1
  end
end`,
);

/** lock counter · token number → 1 the counter is at least that | 0 not ours. */
export const RAISE = script(
  2,
  `${TOKEN}
if not holds(KEYS[1], ARGV[1]) then return 0 end
if tonumber(redis.call('GET', KEYS[2]) or '0') < tonumber(ARGV[2]) then
  redis.call('SET', KEYS[2], ARGV[2], 'PX', ${COUNTER_MS})
end
return 1`,
);

/** lock counter queue → holder's token, its time left, the last number, how many wait. */
export const LOOK = script(
  3,
  `return {redis.call('GET', KEYS[1]), redis.call('PTTL', KEYS[1]), redis.call('GET', KEYS[2]), redis.call('ZCARD', KEYS[3])}`,
);

// A gate is `<state> <run id> <profile>`; the state is `new`, `open`, or the
// millisecond of this server's clock at which it opens. Its run is another than
// the server's: it was restarted (or a replica took over) and may have forgotten
// grants. It is gone: whoever asks says, by what it claims, what that means.
/**
 * gate · run profile longestMs claim → {state, ms or profile}: `open`, `new`,
 * `missing`, `quarantined` with what is left, `conflict` with the profile that is there.
 */
export const KNOCK: Script = script(
  1,
  `local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local run, profile, longest, claim = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4]
local function put(state)
  redis.call('SET', KEYS[1], state .. ' ' .. run .. ' ' .. profile)
end
local function quarantine()
  put(string.format('%.0f', now + longest))
  return {'quarantined', longest}
end
local gate = redis.call('GET', KEYS[1])
if not gate then
  if claim == 'ask' then return {'missing', 0} end
  if claim == 'new' then put('new'); return {'new', 0} end
  if claim == 'joined' then put('open'); return {'open', 0} end
  return quarantine()
end
local state, was, other = string.match(gate, '^(%S+) (%S+) (%S+)$')
if was ~= run then return quarantine() end
if other ~= profile then return {'conflict', other} end
if state == 'open' then return {'open', 0} end
if state == 'new' then
  if claim == 'wiped' then return quarantine() end
  if claim == 'open' then put('open'); return {'open', 0} end
  return {'new', 0}
end
if now < tonumber(state) then return {'quarantined', tonumber(state) - now} end
put('open')
return {'open', 0}`,
);

export const LOCK_SCRIPTS: readonly Script[] = [ACQUIRE, PROLONG, RELEASE, RAISE, LOOK, KNOCK];

/** What ACQUIRE is sent with. */
export function acquireOperands(
  keys: NodeKeys,
  name: string,
  { ask, gate }: { readonly ask: AcquireAsk; readonly gate: string },
): (string | number)[] {
  const { fence, token, ttlMs, waiter, floor } = ask;
  const named = [keys.fence, keys.gate, keys.lock(name), keys.counter(name), keys.queue(name)];
  const operands = [...named, fence, gate, token, Math.ceil(ttlMs)];
  if (waiter !== '') return [...operands, floor, waiter];
  return floor > 0 ? [...operands, floor] : operands;
}

/** What RELEASE is sent with. */
export function releaseOperands(
  keys: NodeKeys,
  name: string,
  ask: { readonly token: string; readonly waiter: string; readonly keepMs: number },
): (string | number)[] {
  const { token, waiter, keepMs } = ask;
  const operands = [keys.lock(name), keys.queue(name), token, keys.channel];
  if (waiter !== '') return [...operands, wholeMs(keepMs), waiter];
  return keepMs > 0 ? [...operands, wholeMs(keepMs)] : operands;
}

function wholeMs(ms: number): number {
  return Math.max(0, Math.ceil(ms));
}
