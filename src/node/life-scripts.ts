/**
 * The scripts of life-node.ts. They read the header of an entry and write the
 * part of it that says how long it is fresh, in place: the value is not sent,
 * and not copied in the server. Layout: entry.ts.
 */
import { HEADER_BYTES, KEPT, STALE, TAGGED, VERSION } from './entry.ts';
import { FENCED, IN_TIME, OVER, type Script, script } from './scripts.ts';

// Bytes are counted from 1 here, and from 0 by SETRANGE. An entry that is not
// laid out as we know it has no header.
const HEADER = `
local function header(key)
  local bytes = redis.call('GETRANGE', key, 0, ${HEADER_BYTES - 1})
  if #bytes == ${HEADER_BYTES} and string.byte(bytes, 1) == ${VERSION} then return bytes end
end
local function freshen(key, bytes, life, freshUntil)
  local flags = string.byte(bytes, 3)
  local rest = flags % ${KEPT} + (flags >= ${TAGGED} and ${TAGGED} or 0)
  redis.call('SETRANGE', key, 2, string.char(rest + life) .. string.sub(bytes, 4, 10) .. freshUntil)
end`;

// The flag, because clocks are not enough: a process that takes the node's
// clock to be some milliseconds earlier would find the value fresh for so long.
// What is stale already is not kept for longer. GETDEL first: a full node
// refuses SETRANGE unless the script has written.
/** fence value lease · fence channel → 1. */
export const EXPIRE = script(
  3,
  `${FENCED}${OVER(2)}${HEADER}
over(KEYS[3], redis.call('GETDEL', KEYS[3]))
local bytes = header(KEYS[2])
if not bytes then
  redis.call('DEL', KEYS[2])
  return 1
end
local time = redis.call('TIME')
local now = math.floor(time[1] * 1000 + time[2] / 1000)
local freshUntil = struct.unpack('>I6', bytes, 11)
local left = redis.call('PTTL', KEYS[2])
local keep = left
if freshUntil > now then keep = left - (freshUntil - now) end
if keep < 1 or math.floor(string.byte(bytes, 3) / ${KEPT}) % 2 == 0 then
  redis.call('DEL', KEYS[2])
  return 1
end
if keep < left then redis.call('PEXPIRE', KEYS[2], keep) end
freshen(KEYS[2], bytes, ${STALE + KEPT}, struct.pack('>I6', math.min(freshUntil, now)))
return 1`,
);

// PEXPIRE first: see above.
/** fence value · fence since freshUntil keepMs deadline flags → 1 touched | 0 absent | late. */
export const TOUCH = script(
  2,
  `${FENCED}${IN_TIME(5)}${HEADER}
local bytes = header(KEYS[2])
if not bytes or struct.unpack('>I6', bytes, 5) < tonumber(ARGV[2]) then return 0 end
redis.call('PEXPIRE', KEYS[2], ARGV[4])
freshen(KEYS[2], bytes, tonumber(ARGV[6]), struct.pack('>I6', tonumber(ARGV[3])))
return 1`,
);

export const LIFE_SCRIPTS: readonly Script[] = [EXPIRE, TOUCH];
