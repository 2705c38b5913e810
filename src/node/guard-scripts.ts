/** What is done in one step on a node that keeps notes for another: see guard-node.ts and scripts.ts. */
import { EPOCH_DIGITS } from './fence.ts';
import { MAX_NOTES, OVERFLOW } from './guard-node.ts';
import { FENCED, REPLY, type Script, script } from './scripts.ts';

/** Fields that are read in one step; a little more when the hash is being rebuilt. */
const READ_AT_ONCE = 500;

// A list that was forgotten looks like one that never was; so it may not be
// refused on a full node. PERSIST first: a script that has written already is
// refused nothing. What is kept in this way is little, and bounded.
/** fence list · fence mark keepMs key… → 1 noted. */
export const NOTE = script(
  2,
  `${FENCED}
local list, mark = KEYS[2], ARGV[2]
local left = redis.call('PTTL', list)
redis.call('PERSIST', list)
if redis.call('HEXISTS', list, '${OVERFLOW}') == 1 then
  redis.call('HSET', list, '${OVERFLOW}', mark)
else
  for i = 4, #ARGV do redis.call('HSET', list, ARGV[i], mark) end
  if redis.call('HLEN', list) > ${MAX_NOTES} then
    redis.call('DEL', list)
    redis.call('HSET', list, '${OVERFLOW}', mark)
  end
end
redis.call('PEXPIRE', list, math.max(left, tonumber(ARGV[3])))
return 1`,
);

// Raises nothing: it is asked of guardians that have not been admitted yet, too.
/** fence list document · epoch cursor → {cursor, {key, mark, …}} | the document of a later epoch | stale when it has none. */
export const NOTES = script(
  3,
  `local fence = redis.call('GET', KEYS[1])
if not fence then return ${REPLY.unknown} end
if string.sub(fence, 1, ${EPOCH_DIGITS}) > ARGV[1] then
  return redis.call('GET', KEYS[3]) or ${REPLY.stale}
end
return redis.call('HSCAN', KEYS[2], ARGV[2], 'COUNT', ${READ_AT_ONCE})`,
);

// Who noted something is told that it has been removed. Not what was noted again
// since, nor what is not there: a list that was lost, or became too long, says
// nothing about a key. One message, however many; without the right to PUBLISH
// there are no receivers, who go on without.
/** list · channel fence key mark … → how many were taken off. Touches only what bears the mark still: no fence but to be told. */
export const TAKE_OFF = script(
  1,
  `local taken = {}
for i = 3, #ARGV, 2 do
  if redis.call('HGET', KEYS[1], ARGV[i]) == ARGV[i + 1] then
    redis.call('HDEL', KEYS[1], ARGV[i])
    taken[#taken + 1] = {ARGV[i], ARGV[i + 1]}
  end
end
if #taken > 0 and ARGV[2] ~= '' then
  redis.pcall('PUBLISH', ARGV[1], KEYS[1] .. ' ' .. ARGV[2] .. ' ' .. cjson.encode(taken))
end
return #taken`,
);

export const GUARD_SCRIPTS: readonly Script[] = [NOTE, NOTES, TAKE_OFF];
