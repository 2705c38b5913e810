/**
 * The sequence of a node: a number that grows with every tag that is deleted
 * and every clear. An entry bears the one that was in force before its load
 * began, so whatever was deleted later is larger.
 *
 * On the node it is two numbers of fixed width, `<tags>:<clears>`: that of the
 * last deleted tag, and that of the last clear. It is in microseconds since
 * 1970, or one more than the last, so that it grows across a loss of data too.
 */

/** Of the last deleted tag, and of the last clear. */
export interface Sequence {
  readonly tags: number;
  readonly clears: number;
}

const DIGITS = 16;
const FORMAT = /^(\d{16}):(\d{16})$/;

// Lost, by eviction or with all the data, it is begun anew, and what was deleted before is not known any
// more: the empty name stands for everything, so all that is older counts as deleted. The DEL comes first
// for a full node, which refuses a script nothing that has written already (scripts.ts).
/** For scripts: `sequence(g)` is what stands there, `newest` the larger of the two, `fixed` one as text. */
export const SEQUENCE = `
local function fixed(number) return string.format('%0${DIGITS}.0f', number) end
local function newest(both)
  return math.max(tonumber(string.sub(both, 1, ${DIGITS})), tonumber(string.sub(both, ${DIGITS + 2})))
end
local function begin(g, last)
  local time = redis.call('TIME')
  local at = fixed(math.max(last + 1, time[1] * 1000000 + time[2]))
  redis.call('DEL', g, g .. ':t', g .. ':p')
  redis.call('ZADD', g .. ':t', at, '')
  redis.call('ZADD', g .. ':p', at, '')
  redis.call('SET', g, at .. ':' .. at)
  return at .. ':' .. at
end
local function sequence(g)
  local both = redis.call('GET', g)
  if both and #both == ${2 * DIGITS + 1} then return both end
  return begin(g, 0)
end`;

/** The sequence in the bytes of an answer; nearly always the one seen last. */
export class SequenceMemo {
  #bytes: Buffer = Buffer.alloc(0);
  #sequence: Sequence | undefined;

  /** Undefined when the node has lost it. */
  read(bytes: Buffer | null | undefined): Sequence | undefined {
    if (!bytes) return undefined;
    if (!bytes.equals(this.#bytes)) {
      // A copy: the client's buffer may be part of a large one.
      this.#bytes = Buffer.from(bytes);
      const [, tags, clears] = FORMAT.exec(bytes.toString('latin1')) ?? [];
      this.#sequence =
        tags === undefined ? undefined : { tags: Number(tags), clears: Number(clears) };
    }
    return this.#sequence;
  }
}

/** What an entry bears that was begun under it. */
export function newestOf(sequence: Sequence): number {
  return Math.max(sequence.tags, sequence.clears);
}
