/** What is done in one step with the sequence of a node: see sequence.ts and tag-node.ts. */
import { FENCED, type Script, script } from './scripts.ts';
import { SEQUENCE } from './sequence.ts';
import { MAX_INVALIDATIONS } from './tag-node.ts';

/** Names that are told in one step: half a millisecond of a server that has others to serve. */
export const NEWS_AT_ONCE = 1_000;

// Each name gets a number of its own, so that a reader can go on after any of them. The empty name always has
// the smallest: to forget the oldest is to raise it to theirs. A set that was lost takes the sequence with it.
const RAISED = (first: number): string => `
local g = KEYS[${first}]
local both = sequence(g)
if redis.call('EXISTS', g .. ':t', g .. ':p') < 2 then both = begin(g, newest(both)) end
local tags, clears = string.sub(both, 1, 16), string.sub(both, 18)
local time = redis.call('TIME')
local last = math.max(newest(both), time[1] * 1000000 + time[2])
redis.call('DEL', g)
for i = ${first}, #ARGV do
  local kind, name = string.sub(ARGV[i], 1, 1), string.sub(ARGV[i], 2)
  local set = g .. ':' .. kind
  last = last + 1
  if name == '' then redis.call('DEL', set) end
  redis.call('ZADD', set, fixed(last), name)
  if kind == 't' then tags = fixed(last) else clears = fixed(last) end
  local over = redis.call('ZCARD', set) - ${MAX_INVALIDATIONS + 1}
  if over > 0 then
    local newestForgotten = redis.call('ZRANGE', set, over, over, 'WITHSCORES')
    redis.call('ZREMRANGEBYRANK', set, 0, over)
    redis.call('ZADD', set, newestForgotten[2], '')
  end
end
redis.call('SET', g, tags .. ':' .. clears)
return last`;

/** fence sequence · fence text… → the new sequence | stale | unknown. */
export const RAISE = script(2, `${FENCED}${SEQUENCE}${RAISED(2)}`);

/** sequence · text… → the new sequence. Whatever the epoch: a delete is right under each. */
export const RAISE_ANYWAY = script(1, `${SEQUENCE}${RAISED(1)}`);

/** sequence · tags clears → the sequence, and of both the names that came after the one given, with their numbers. */
export const NEWS = script(
  1,
  `${SEQUENCE}
local g = KEYS[1]
local both = sequence(g)
if redis.call('EXISTS', g .. ':t', g .. ':p') < 2 then both = begin(g, newest(both)) end
local function after(set, seq)
  return redis.call('ZRANGEBYSCORE', set, '(' .. seq, '+inf', 'WITHSCORES', 'LIMIT', 0, ${NEWS_AT_ONCE})
end
return {both, after(g .. ':t', ARGV[1]), after(g .. ':p', ARGV[2])}`,
);

export const TAG_SCRIPTS: readonly Script[] = [RAISE, RAISE_ANYWAY, NEWS];
