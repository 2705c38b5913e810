/**
 * Judges what several processes read and wrote, afterwards: from what each of
 * them wrote down, by one clock (`process.hrtime` is the same in all processes
 * of a machine).
 *
 * Every value is a version of its key, and the versions of a key are raised at
 * a source that nothing is done to. A key is written by one process at a time,
 * one write after the other.
 *
 *     1. A read that begins after a set or delete was acknowledged shows that
 *        version, or a newer one, or nothing. With `maxStaleMs`, what another
 *        process wrote counts for a read from memory only after that time; of
 *        a read that does not say where it was answered, memory is assumed.
 *     2. No call is refused.
 *     3. After a change of the ring was acknowledged, every process serves by
 *        it within a while. (Measured; whoever asks knows what else was broken.)
 *     4. A load is due: something was removed that nothing has stored again
 *        since. (Counted; that nothing else is loaded is promised only while no
 *        node is broken.)
 *
 * Not a violation of 1, and counted: a read that joined another one of its
 * process which began before the write was acknowledged (docs/guarantees.md:
 * a load under way answers those who join it). It shows what that one shows.
 */

interface Operation {
  readonly by: string;
  readonly key: string;
  readonly start: number;
  readonly end: number;
}

/** `version`: null when nothing was found. `load`: through a loader, so it may join another one. */
export interface Read extends Operation {
  readonly kind: 'read';
  readonly how: 'peek' | 'get' | 'load';
  readonly version: number | null;
  /** Where it was answered: in the process, or beyond it. */
  readonly tier?: 'memory' | 'beyond';
  /**
   * When the clock was read by which memory judged it, at the earliest. Before
   * `start` if the process was stopped in the very turn of its event loop.
   */
  readonly asOf?: number;
}

/**
 * The loader was called. It begins with the read that needed it, which has asked
 * the nodes since, and is over when what was loaded was stored or could not be.
 */
export interface Load extends Operation {
  readonly kind: 'load';
  readonly calledAt: number;
  readonly version: number;
}

export interface Write extends Operation {
  readonly kind: 'write';
  readonly how: 'set' | 'delete';
  readonly version: number;
  /** Whether it was acknowledged. */
  readonly taken: boolean;
}

export type HistoryEvent =
  | Read
  | Load
  | Write
  /** A call has rejected. */
  | { readonly kind: 'refused'; readonly by: string; readonly at: number; readonly why: string }
  /** The process serves by this document from now on. */
  | { readonly kind: 'ring'; readonly by: string; readonly at: number; readonly epoch: number }
  /** A change of the ring was acknowledged to the process that drives it. */
  | { readonly kind: 'change'; readonly by: string; readonly at: number; readonly epoch: number }
  /** What was done to the fleet; only told. */
  | { readonly kind: 'fault'; readonly by: string; readonly at: number; readonly what: string }
  /** The process did not get to run. */
  | { readonly kind: 'stall'; readonly by: string; readonly at: number; readonly until: number };

export interface Violation {
  readonly key: string;
  readonly at: number;
  readonly by: string;
  readonly text: string;
}

export interface Verdict {
  readonly reads: number;
  /** Reads that found something. */
  readonly hits: number;
  /** Of these: answered from memory, as far as reads say so. */
  readonly memoryHits: number;
  /** Reads from memory that are too old by their start, and not by the clock that memory had read. */
  readonly late: number;
  readonly loads: number;
  /** Loads that were not due. */
  readonly extraLoads: readonly Violation[];
  readonly writes: number;
  readonly taken: number;
  /** Reads that were older than they would have had to be, by joining another one. */
  readonly joined: number;
  readonly violations: readonly Violation[];
  readonly refused: readonly string[];
  /** The longest it took after the acknowledgement of a change until a process served by it, its own stalls taken off. */
  readonly slowestMs: number;
}

export interface JudgeOptions {
  /** How long a process may go on reading from memory what another one has replaced. @default 0 */
  readonly maxStaleMs?: number;
}

export function judge(events: Iterable<HistoryEvent>, options: JudgeOptions = {}): Verdict {
  const { maxStaleMs = 0 } = options;
  const all = [...events];
  const reads = all.filter((event) => event.kind === 'read');
  const loads = all.filter((event) => event.kind === 'load');
  const writes = all.filter((event) => event.kind === 'write');
  const violations: Violation[] = [];
  const extraLoads: Violation[] = [];
  let [joined, late] = [0, 0];
  const [readsOf, loadsOf, writesOf] = [byKey(reads), byKey(loads), byKey(writes)];
  for (const [key, ofKey] of readsOf) {
    const found = staleReads(ofKey, writesOf.get(key) ?? [], maxStaleMs);
    violations.push(...found.violations);
    joined += found.joined;
    late += found.late;
  }
  for (const [key, ofKey] of loadsOf) extraLoads.push(...undue(ofKey, writesOf.get(key) ?? []));
  violations.sort((a, b) => a.at - b.at);
  return {
    reads: reads.length,
    hits: reads.filter(({ version }) => version !== null).length,
    memoryHits: reads.filter(({ version, tier }) => version !== null && tier === 'memory').length,
    late,
    loads: loads.length,
    extraLoads,
    writes: writes.length,
    taken: writes.filter(({ taken }) => taken).length,
    joined,
    violations,
    refused: all.flatMap((event) => (event.kind === 'refused' ? [event.why] : [])),
    slowestMs: slowest(all),
  };
}

/** What was written down of a key shortly before a violation, and of the ring, a line each. */
export function surroundings(
  events: Iterable<HistoryEvent>,
  violation: Violation,
  marginMs: number,
): string[] {
  const lines: { at: number; text: string }[] = [];
  for (const event of events) {
    const at = 'at' in event ? event.at : event.end;
    if (at < violation.at - marginMs || at > violation.at + marginMs) continue;
    if ('key' in event) {
      if (event.key !== violation.key) continue;
      // What found nothing, and what came when it was all over, explain nothing.
      if (event.kind === 'read' && event.version === null) continue;
    }
    lines.push({ at, text: shown(event) });
  }
  lines.sort((a, b) => a.at - b.at);
  return lines.map(({ text }) => `  ${text}`);
}

function shown(event: HistoryEvent): string {
  const { kind, by } = event;
  if ('at' in event) {
    const { kind: _, by: __, at, ...rest } = event;
    return `${at.toFixed(2).padStart(24)} ${by} ${kind} ${JSON.stringify(rest)}`;
  }
  const time = `${event.start.toFixed(2)}-${event.end.toFixed(2)}`.padStart(24);
  const how = 'how' in event ? ` ${event.how}` : '';
  const tier = event.kind === 'read' && event.tier !== undefined ? ` ${event.tier}` : '';
  const taken = event.kind === 'write' && !event.taken ? ' NOT TAKEN' : '';
  return `${time} ${by} ${kind}${how}${tier} v${event.version}${taken}`;
}

/** Of all that come up to a point, the one that is largest. */
class LargestUpTo<T> {
  readonly #points: number[] = [];
  readonly #largest: T[] = [];

  constructor(all: readonly T[], point: (one: T) => number, size: (one: T) => number) {
    for (const one of [...all].sort((a, b) => point(a) - point(b))) {
      const last = this.#largest.at(-1);
      this.#points.push(point(one));
      this.#largest.push(last === undefined || size(one) > size(last) ? one : last);
    }
  }

  upTo(limit: number): T | undefined {
    let [low, high] = [0, this.#points.length];
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#points[middle]! <= limit) low = middle + 1;
      else high = middle;
    }
    return this.#largest[low - 1];
  }
}

/** Asked for a moment: the newest version that was acknowledged before it. */
function acknowledged(writes: readonly Write[]): LargestUpTo<Write> {
  const taken = writes.filter((write) => write.taken);
  return new LargestUpTo(
    taken,
    ({ end }) => end,
    ({ version }) => version,
  );
}

function staleReads(
  reads: readonly Read[],
  writes: readonly Write[],
  maxStaleMs: number,
): { readonly violations: Violation[]; readonly joined: number; readonly late: number } {
  const byAll = acknowledged(writes);
  const own = new Map(
    [...new Set(writes.map(({ by }) => by))].map((by) => {
      return [by, acknowledged(writes.filter((write) => write.by === by))];
    }),
  );
  /** What a read must at least show, judged as of `at`. */
  const due = ({ by, tier, start }: Read, at = start): Write | undefined => {
    const theirs = byAll.upTo(tier === 'beyond' ? start : at - maxStaleMs);
    const mine = own.get(by)?.upTo(start);
    return (theirs?.version ?? 0) > (mine?.version ?? 0) ? theirs : mine;
  };
  const isBehind = (read: Read, write: Write | undefined): write is Write =>
    read.version !== null && write !== undefined && read.version < write.version;
  const violations: Violation[] = [];
  let [joined, late] = [0, 0];
  for (const read of reads) {
    const write = due(read);
    if (!isBehind(read, write)) continue;
    const isLate = read.tier === 'memory' && !isBehind(read, due(read, read.asOf));
    const leader = reads.find((other) => isJoinable(read, other) && !isBehind(other, due(other)));
    if (isLate) late++;
    else if (leader !== undefined) joined++;
    else violations.push(staleRead(read, write));
  }
  return { violations, joined, late };
}

/** Whether `read` may have joined `other`. */
function isJoinable(read: Read, other: Read): boolean {
  return (
    other !== read &&
    read.how === 'load' &&
    other.how === 'load' &&
    read.tier !== 'memory' &&
    other.tier !== 'memory' &&
    other.by === read.by &&
    other.version !== null &&
    other.version === read.version &&
    other.start <= read.start &&
    other.end >= read.start
  );
}

function staleRead(read: Read, write: Write): Violation {
  const { key, by, start, version, tier } = read;
  const late = (start - write.end).toFixed(2);
  const how = tier === undefined ? read.how : `${read.how}, ${tier}`;
  const text =
    `${key}: ${by} read v${version} (${how}), ${late} ms after ` +
    `${write.by}'s ${write.how} v${write.version} was acknowledged`;
  return { key, by, at: start, text };
}

/**
 * Loads of a key that had been stored, and not removed since. A write that was
 * not acknowledged removes, too, at some time.
 */
function undue(loads: readonly Load[], writes: readonly Write[]): Violation[] {
  const removals = writes
    .filter(({ how, taken }) => how === 'delete' || !taken)
    .map(({ start, end, taken }) => ({ start, end: taken ? end : Number.POSITIVE_INFINITY }));
  const removed = new LargestUpTo(
    removals,
    ({ start }) => start,
    ({ end }) => end,
  );
  const sets = writes.filter(({ how, taken }) => how === 'set' && taken);
  // What a removal ran into may not have been stored.
  const stores = [...loads, ...sets].filter(
    ({ start, end }) => (removed.upTo(end)?.end ?? Number.NEGATIVE_INFINITY) < start,
  );
  const stored = new LargestUpTo<Operation>(
    stores,
    ({ end }) => end,
    ({ start }) => start,
  );
  const found: Violation[] = [];
  for (const { key, by, start, calledAt, version } of loads) {
    const store = stored.upTo(start);
    // Before the first store there was nothing.
    if (store === undefined || store.start < (removed.upTo(calledAt)?.end ?? 0)) continue;
    const text = `${key}: ${by} loaded v${version}, which had been stored and not removed since`;
    found.push({ key, by, at: start, text });
  }
  return found;
}

function slowest(events: readonly HistoryEvent[]): number {
  const changes = events.filter((event) => event.kind === 'change');
  const stalls = events.filter((event) => event.kind === 'stall');
  const rings = events.filter((event) => event.kind === 'ring').sort((a, b) => a.at - b.at);
  const lastOf = new Map<string, number>();
  for (const event of events) {
    const at = 'at' in event ? event.at : event.end;
    lastOf.set(event.by, Math.max(lastOf.get(event.by) ?? 0, at));
  }
  const firstOf = new Map<string, number>();
  for (const { by, at } of rings) firstOf.set(by, Math.min(firstOf.get(by) ?? at, at));
  let slowestMs = 0;
  for (const change of changes) {
    for (const [by, last] of lastOf) {
      // One that came later began with the new ring.
      if ((firstOf.get(by) ?? Number.POSITIVE_INFINITY) > change.at) continue;
      const heard = rings.find((ring) => ring.by === by && ring.epoch >= change.epoch);
      // One that ended without having heard counts for as long as it lived.
      const until = heard?.at ?? last;
      const stalled = stalls
        .filter((stall) => stall.by === by)
        .reduce((sum, { at, until: end }) => {
          return sum + Math.max(0, Math.min(end, until) - Math.max(at, change.at));
        }, 0);
      slowestMs = Math.max(slowestMs, until - change.at - stalled);
    }
  }
  return slowestMs;
}

function byKey<T extends Operation>(operations: readonly T[]): Map<string, T[]> {
  const groups = new Map<string, T[]>();
  for (const operation of operations) {
    const group = groups.get(operation.key);
    if (group === undefined) groups.set(operation.key, [operation]);
    else group.push(operation);
  }
  return groups;
}
