/**
 * What was promised for a phase and what was measured, side by side. Pure:
 * numbers in, checks out; how they were measured is not known here.
 */

export interface Check {
  readonly what: string;
  readonly expected: string;
  readonly measured: string;
  readonly kept: boolean;
  /** Not kept, and nobody's fault: this machine was too busy for it to be measured. */
  readonly unjudged?: boolean;
}

/** A part of something. */
interface Part {
  readonly of: number;
  readonly count: number;
}

/** Measured in every phase. */
export interface Basics {
  readonly requests: number;
  readonly errors: number;
  readonly firstError: string | undefined;
  readonly staleReads: number;
  /** Deletes after which a second client looked. */
  readonly lookedAfter: number;
  /** Loads, and those of them that the cache should have made unnecessary. */
  readonly loads: number;
  readonly extraLoads: number;
  /** Loads for keys of the node that could not be used. */
  readonly loadsOfAway: number;
  /** Extra loads that are explained by nodes that did not answer in time although nobody touched them: this machine is too busy. */
  readonly excusedLoads: number;
  readonly worstMs: number;
  /** Longest time that a reader waited beyond the load of its key, without the time for which this process stood still. */
  readonly worstWaitMs: number;
  /** Longest standstill of this process: it cannot notice an answer then. */
  readonly stallMs: number;
  /** The longest of the whole run: what was not stored then is missing later. */
  readonly worstStallMs: number;
}

/** Measured where it applies. */
export interface Facts {
  /** Callers of one cold key at the same moment. */
  readonly stampede?: { callers: number; loads: number };
  readonly hitRate?: { share: number; memory: number; nodes: number };
  /** Keys that no node has any more, and those of them that were not the lost node's. */
  readonly outage?: { node: string; share: number; owned: Part; lost: number; others: number };
  readonly breaker?: { node: string; opened: boolean; afterMs: number };
  readonly database?: { peak: number; limit: number };
  readonly healing?: { node: string; afterMs: number; withinMs: number };
  readonly reloaded?: { node: string; keys: number; of: number };
  readonly unconfirmed?: { deletes: number; waiting: number };
  readonly moved?: { planned: number; keys: Part; others: number; joins: boolean; node: string };
  /** Keys that ought to be at the nodes, and are not. */
  readonly census?: { held: number; missing: number };
  /** Keys that the change could not copy because a node answered too late. */
  readonly failedCopies?: number;
}

export interface PhaseResult {
  readonly title: string;
  readonly seconds: number;
  readonly basics: Basics;
  readonly checks: readonly Check[];
}

/** One read's whole budget at its node, as ringcache has it by default, and what a busy machine may add. */
export const NODE_TIMEOUT_MS = 100;
const TOLERANCE_MS = 50;
/** Shorter stalls are not worth a word. */
const STALL_MS = 20;
/** Standard deviations by which a count of keys may differ from the share of the circle. */
const SIGMAS = 5;

/** 0 when every promise was kept, 1 otherwise. */
export function exitCodeOf(results: readonly PhaseResult[]): 0 | 1 {
  return results.length > 0 && results.every(isKept) ? 0 : 1;
}

export function isKept({ checks }: Pick<PhaseResult, 'checks'>): boolean {
  return checks.length > 0 && !checks.some(isBroken);
}

export function isBroken({ kept, unjudged }: Check): boolean {
  return !kept && unjudged !== true;
}

/**
 * Errors, stale reads and where keys belong are judged in any case. The rest
 * depends on nodes that answer within their budget: where this process itself
 * did not run for as long as that, a miss proves nothing.
 */
export function judge(basics: Basics, facts: Facts): Check[] {
  const busy = basics.worstStallMs >= NODE_TIMEOUT_MS;
  const ifNotBusy = (check: Check): Check =>
    busy && !check.kept ? { ...check, unjudged: true } : check;
  return [
    ...judgeMove(facts),
    ...judgeFacts(facts).map(ifNotBusy),
    ...judgeAnswers(basics),
    ...[judgeLoads(basics), judgeWait(basics)].map(ifNotBusy),
  ];
}

/** What counts as extra after the loads have been taken off that a busy machine explains. */
export function unexplainedLoads({ extraLoads, excusedLoads }: Basics): number {
  return Math.max(0, extraLoads - excusedLoads);
}

function judgeAnswers(basics: Basics): Check[] {
  const { requests, errors, firstError, staleReads, lookedAfter } = basics;
  const first = firstError === undefined ? '' : `: ${firstError}`;
  return [
    {
      what: 'errors seen by callers',
      expected: '0',
      measured: `${int(errors)} of ${int(requests)}${first}`,
      kept: errors === 0 && requests > 0,
    },
    {
      what: 'stale reads after a delete',
      expected: '0',
      measured: `${int(staleReads)}, by two clients, after ${int(lookedAfter)} deletes`,
      kept: staleReads === 0,
    },
  ];
}

function judgeLoads(basics: Basics): Check {
  const { loads, loadsOfAway } = basics;
  const extra = unexplainedLoads(basics);
  const away = loadsOfAway === 0 ? '' : `, ${int(loadsOfAway)} for its keys`;
  return {
    what: 'extra loads, of cached keys',
    expected: '0',
    measured: `${int(extra)}, of ${int(loads)} loads${away}${excuse(basics.extraLoads - extra)}`,
    kept: extra === 0,
  };
}

function judgeWait({ worstWaitMs, worstMs, stallMs }: Basics): Check {
  const allowedMs = NODE_TIMEOUT_MS + TOLERANCE_MS;
  const stalled = stallMs > STALL_MS ? `, own stall ${ms(stallMs)}` : '';
  return {
    what: 'worst wait for Redis',
    expected: `≤ ${ms(allowedMs)}`,
    measured: `${ms(worstWaitMs)}; worst call ${ms(worstMs)}${stalled}`,
    kept: worstWaitMs <= allowedMs,
  };
}

function excuse(count: number): string {
  return count > 0 ? ` (${int(count)} more: machine too busy)` : '';
}

function judgeFacts(facts: Facts): Check[] {
  const { stampede, hitRate, outage, breaker, database, healing, reloaded } = facts;
  const checks: Check[] = [];
  if (stampede !== undefined) {
    checks.push({
      what: `${int(stampede.callers)} callers, one cold key`,
      expected: '1 load',
      measured: `${int(stampede.loads)} ${stampede.loads === 1 ? 'load' : 'loads'}`,
      kept: stampede.loads === 1,
    });
  }
  if (hitRate !== undefined) checks.push(judgeHitRate(hitRate));
  if (outage !== undefined) checks.push(judgeOutage(outage));
  if (breaker !== undefined) {
    checks.push({
      what: `breaker of ${breaker.node}`,
      expected: 'it opens',
      measured: breaker.opened ? `open after ${ms(breaker.afterMs)}` : 'still closed',
      kept: breaker.opened,
    });
  }
  if (database !== undefined) {
    checks.push({
      what: 'queries at once at the database',
      expected: `≤ ${database.limit} (load.concurrency)`,
      measured: `${database.peak} at most`,
      kept: database.peak <= database.limit,
    });
  }
  if (healing !== undefined) {
    checks.push({
      what: `${healing.node} is used again`,
      expected: `by itself, in ${ms(healing.withinMs)}`,
      measured: `after ${ms(healing.afterMs)}`,
      kept: healing.afterMs <= healing.withinMs,
    });
  }
  if (reloaded !== undefined) {
    checks.push({
      what: 'its keys come back',
      expected: '≥ 90 % by now',
      measured: `${percent(reloaded.keys / reloaded.of)}: ${int(reloaded.keys)} of ${int(reloaded.of)}`,
      kept: reloaded.keys >= 0.9 * reloaded.of,
    });
  }
  return [...checks, ...judgeContents(facts)];
}

function judgeContents({ unconfirmed, census, failedCopies = 0 }: Facts): Check[] {
  const checks: Check[] = [];
  if (unconfirmed !== undefined) {
    const { deletes, waiting } = unconfirmed;
    checks.push({
      what: 'deletes it could not confirm',
      expected: 'all made up for',
      measured: `${int(deletes - waiting)} of ${int(deletes)}`,
      kept: waiting === 0,
    });
  }
  if (census !== undefined) {
    const { held, missing } = census;
    const lost = Math.max(0, missing - failedCopies);
    checks.push({
      what: 'cached keys that got lost',
      expected: '0',
      measured: `${int(lost)} of ${int(held)}${excuse(missing - lost)}`,
      kept: lost === 0 && held > 0,
    });
  }
  return checks;
}

function judgeMove({ moved }: Facts): Check[] {
  if (moved === undefined) return [];
  const { planned, keys, others, joins, node } = moved;
  const stay = others === 0 ? 'no other' : `and ${int(others)} others`;
  return [
    {
      what: `keys that move ${joins ? 'to' : 'from'} ${node}`,
      expected: `${percent(planned)} (cache.plan)`,
      measured: `${percent(keys.count / keys.of)}, ${stay}`,
      kept: others === 0 && isNear(planned, keys),
    },
  ];
}

function judgeHitRate({ share, memory, nodes }: NonNullable<Facts['hitRate']>): Check {
  return {
    what: 'answered without the database',
    expected: '≥ 95 %',
    measured: `${percent(share)} = ${percent(memory)} + ${percent(nodes)}`,
    kept: share >= 0.95,
  };
}

function judgeOutage(outage: NonNullable<Facts['outage']>): Check {
  const { share, owned, lost, others } = outage;
  const rest = others === 0 ? 'all its own' : `and ${int(others)} of other nodes`;
  return {
    what: 'keys without a cache',
    expected: `${percent(share)}, its share`,
    measured: `${percent(lost / owned.of)}: ${int(lost)} of ${int(owned.of)}, ${rest}`,
    kept: lost === owned.count && others === 0 && isNear(share, owned),
  };
}

/** Whether a count of keys is what chance makes of this share. */
function isNear(share: number, { count, of }: Part): boolean {
  const deviation = Math.sqrt((share * (1 - share)) / of);
  return Math.abs(count / of - share) <= SIGMAS * deviation;
}

export function int(value: number): string {
  return Math.round(value).toLocaleString('en-US');
}

export function percent(share: number): string {
  return `${(share * 100).toFixed(1)} %`;
}

export function ms(value: number): string {
  if (value < 1) return `${value.toFixed(2)} ms`;
  return value < 1_000 ? `${value.toFixed(0)} ms` : `${(value / 1_000).toFixed(1)} s`;
}
