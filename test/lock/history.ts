/**
 * Judges what several processes did with locks, afterwards: from what each of
 * them wrote down, by one clock (`process.hrtime` is the same in all processes
 * of a machine).
 *
 * A claim is the time in which a process could rely on a lock by what it knew
 * itself: from when `acquire` had resolved until it called `release`, until it
 * was told of the loss, or until the end that `remaining()` last gave, whichever
 * came first. So the claim of a process that was stopped or killed ends too,
 * though it never said so. Each end is rounded to the side that makes a claim
 * shorter: what overlaps here has overlapped.
 *
 *     1. No two claims to one name overlap.
 *     2. Fences grow: a lock that was granted before another was asked for, or
 *        relied on before another was, has the smaller one. No two are equal.
 *     3. No lock is given out whose time is over already.
 *     4. A register that fences guard takes no write of an older holder after
 *        one of a newer; writes to one that nothing guards are counted when they
 *        do. (Blind writes. Who reads, changes and writes back has to make the
 *        fence known to the register before he reads.)
 */

export type HistoryEvent =
  /** `acquire` has resolved. `until`: the end of the time that is certainly ours, as far as is known then. */
  | {
      readonly kind: 'granted';
      readonly op: string;
      readonly name: string;
      readonly calledAt: number;
      readonly at: number;
      readonly until: number;
      readonly fence: number;
    }
  /** It was looked at again: `until` may be later (renewed) or earlier (the wall clock jumped). */
  | {
      readonly kind: 'kept';
      readonly op: string;
      readonly at: number;
      readonly until: number;
    }
  /** `release` is about to be called, or the loss was signalled. */
  | {
      readonly kind: 'ended';
      readonly op: string;
      readonly at: number;
      readonly how: 'released' | 'lost';
    }
  /** The registers were written to. `place`: its number among the writes to that name, as the server counted them. */
  | {
      readonly kind: 'wrote';
      readonly op: string;
      readonly at: number;
      readonly place: number;
      /** Whether the guarded one took it. The other one takes everything. */
      readonly accepted: boolean;
    }
  /** `acquire` has rejected, or found the lock busy. */
  | {
      readonly kind: 'refused';
      readonly op: string;
      readonly name: string;
      readonly calledAt: number;
      readonly at: number;
      readonly why: string;
    };

export interface Violation {
  readonly kind: 'overlap' | 'fence' | 'stale-write';
  readonly name: string;
  readonly at: number;
  /** Those that are at odds. */
  readonly ops: readonly string[];
  readonly text: string;
}

export interface Verdict {
  readonly grants: number;
  /**
   * Locks whose time was over when their holder looked at them first. Nothing
   * is violated by it, and a process that does not get the processor in that
   * moment cannot help it; many of them would be a fault.
   */
  readonly dead: number;
  /** The longest time for which one claim lasted: that nothing overlaps is worth little if all are empty. */
  readonly longestClaimMs: number;
  readonly violations: readonly Violation[];
  /** Writes of older holders that the guarded register has refused. */
  readonly refusedWrites: number;
  /** Newer writes that the register without a guard has lost to older ones. */
  readonly lostWithoutFence: number;
}

interface Claim {
  readonly op: string;
  readonly name: string;
  readonly calledAt: number;
  readonly start: number;
  readonly fence: number;
  /** As far as it was known when it was granted. */
  readonly firstEnd: number;
  end: number;
  isOver: boolean;
}

interface Write {
  readonly claim: Claim;
  readonly at: number;
  readonly place: number;
  readonly accepted: boolean;
}

export function judge(events: Iterable<HistoryEvent>): Verdict {
  const claims = new Map<string, Claim>();
  const writes: Write[] = [];
  for (const event of events) take(event, claims, writes);
  const violations: Violation[] = [];
  let refusedWrites = 0;
  let lostWithoutFence = 0;
  for (const ofName of byName([...claims.values()], ({ name }) => name)) {
    violations.push(...overlaps(ofName), ...inversions(ofName));
  }
  for (const ofName of byName(writes, ({ claim }) => claim.name)) {
    const register = replay(ofName);
    violations.push(...register.violations);
    refusedWrites += register.refused;
    lostWithoutFence += register.lost;
  }
  violations.sort((a, b) => a.at - b.at);
  const longestClaimMs = [...claims.values()].reduce(
    (longest, { start, end }) => Math.max(longest, end - start),
    0,
  );
  const dead = [...claims.values()].filter(({ start, firstEnd }) => firstEnd <= start).length;
  return { grants: claims.size, dead, longestClaimMs, violations, refusedWrites, lostWithoutFence };
}

/** What was written down of a name from shortly before a violation until shortly after it, a line each. */
export function surroundings(
  events: Iterable<HistoryEvent>,
  violation: Violation,
  marginMs: number,
): string[] {
  const all = [...events];
  const names = new Map(
    all.flatMap((event) => ('name' in event ? [[event.op, event.name] as const] : [])),
  );
  const near = all.filter(({ op, at }) => {
    const isClose = Math.abs(at - violation.at) <= marginMs;
    return names.get(op) === violation.name && (isClose || violation.ops.includes(op));
  });
  near.sort((a, b) => a.at - b.at);
  return near.map((event) => {
    const mark = violation.ops.includes(event.op) ? '>' : ' ';
    const { kind, op, at, ...rest } = event;
    const details = Object.entries(rest).map(([key, value]) => `${key}=${shown(key, value)}`);
    return `${mark} ${at.toFixed(2)} ${op} ${kind} ${details.join(' ')}`;
  });
}

function shown(key: string, value: string | number | boolean): string {
  const isTime = key === 'until' || key === 'calledAt';
  return isTime && typeof value === 'number' ? value.toFixed(2) : String(value);
}

function take(event: HistoryEvent, claims: Map<string, Claim>, writes: Write[]): void {
  if (event.kind === 'refused') return;
  if (event.kind === 'granted') {
    const { op, name, calledAt, at, until, fence } = event;
    const firstEnd = until;
    claims.set(op, { op, name, calledAt, fence, start: at, firstEnd, end: until, isOver: false });
    return;
  }
  const claim = claims.get(event.op);
  if (claim === undefined) throw new Error(`${event.op} ${event.kind} before it was granted`);
  switch (event.kind) {
    case 'kept':
      if (claim.isOver) return;
      // Not ours any more: since when is not known, but not for longer than was known before.
      claim.end = event.until > event.at ? event.until : Math.min(claim.end, event.at);
      return;
    case 'ended':
      claim.end = Math.min(claim.end, event.at);
      claim.isOver = true;
      return;
    case 'wrote':
      writes.push({ claim, ...event });
      return;
  }
}

function overlaps(claims: readonly Claim[]): Violation[] {
  const found: Violation[] = [];
  const sorted = claims.filter(({ start, end }) => end > start).sort((a, b) => a.start - b.start);
  let last: Claim | undefined;
  for (const claim of sorted) {
    if (last !== undefined && claim.start < last.end) {
      const ms = Math.min(last.end, claim.end) - claim.start;
      found.push({
        kind: 'overlap',
        name: claim.name,
        at: claim.start,
        ops: [last.op, claim.op],
        text: `${last.op} and ${claim.op} both had ${claim.name} for ${ms.toFixed(2)} ms`,
      });
    }
    if (last === undefined || claim.end > last.end) last = claim;
  }
  return found;
}

/** `a` came before `b` when it was granted before `b` was asked for, or relied on before `b` was. */
function inversions(claims: readonly Claim[]): Violation[] {
  const found: Violation[] = [];
  const relied = claims.filter(({ start, end }) => end > start);
  found.push(
    ...outOfOrder(claims, { over: ({ start }) => start, begun: ({ calledAt }) => calledAt }),
    ...outOfOrder(relied, { over: ({ end }) => end, begun: ({ start }) => start }),
  );
  const seen = new Map<number, Claim>();
  for (const claim of claims) {
    const other = seen.get(claim.fence);
    if (other !== undefined) found.push(inversion(other, claim));
    seen.set(claim.fence, claim);
  }
  // Found by more than one of the rules.
  return [...new Map(found.map((violation) => [violation.ops.join(), violation])).values()];
}

function outOfOrder(
  claims: readonly Claim[],
  time: { over(claim: Claim): number; begun(claim: Claim): number },
): Violation[] {
  const found: Violation[] = [];
  const ended = [...claims].sort((a, b) => time.over(a) - time.over(b));
  let at = 0;
  let largest: Claim | undefined;
  for (const claim of [...claims].sort((a, b) => time.begun(a) - time.begun(b))) {
    for (; at < ended.length && time.over(ended[at]!) <= time.begun(claim); at++) {
      if (largest === undefined || ended[at]!.fence > largest.fence) largest = ended[at]!;
    }
    if (largest !== undefined && largest !== claim && largest.fence >= claim.fence) {
      found.push(inversion(largest, claim));
    }
  }
  return found;
}

function inversion(first: Claim, then: Claim): Violation {
  return {
    kind: 'fence',
    name: then.name,
    at: then.start,
    ops: [first.op, then.op],
    text: `${first.op} had fence ${first.fence} of ${then.name}, ${then.op} after it ${then.fence}`,
  };
}

function replay(writes: readonly Write[]): {
  readonly violations: Violation[];
  readonly refused: number;
  readonly lost: number;
} {
  const violations: Violation[] = [];
  let refused = 0;
  let lost = 0;
  let newest: Claim | undefined;
  let accepted: Claim | undefined;
  for (const { claim, at, ...write } of [...writes].sort((a, b) => a.place - b.place)) {
    if (newest !== undefined && claim.fence < newest.fence) lost++;
    else newest = claim;
    if (!write.accepted) refused++;
    else if (accepted !== undefined && claim.fence < accepted.fence) {
      violations.push({
        kind: 'stale-write',
        name: claim.name,
        at,
        ops: [accepted.op, claim.op],
        text: `the register took fence ${claim.fence} of ${claim.op} after ${accepted.fence} of ${accepted.op}`,
      });
    } else accepted = claim;
  }
  return { violations, refused, lost };
}

function byName<T>(all: readonly T[], nameOf: (one: T) => string): T[][] {
  const groups = new Map<string, T[]>();
  for (const one of all) {
    const group = groups.get(nameOf(one));
    if (group === undefined) groups.set(nameOf(one), [one]);
    else group.push(one);
  }
  return [...groups.values()];
}
