/**
 * What several processes wrote down, as figures: buckets of time around the
 * change, the worst of them, and reads that returned the past.
 */

import { quantile } from './bench.ts';
import type { Changed, Seen } from './rebalance-row.ts';

/** Times in milliseconds of the clock that the processes share. */
export interface Span {
  /** Before it nothing counts: the processes are warming up. */
  readonly from: number;
  /** When the change was asked for, or the node was killed. */
  readonly changeAt: number;
  readonly to: number;
}

/** One stretch of time, by when its requests were due. */
export interface Bucket {
  /** Its begin, from the change on. */
  readonly atMs: number;
  /** Of the reads that had not to wait for a needed load: how many were served from the cache. */
  readonly hitRate: number;
  readonly loadsPerSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
}

export interface Outcome {
  readonly buckets: readonly Bucket[];
  readonly reads: number;
  readonly neededLoads: number;
  /** Before the change there should be none: it tells whether the count is right. */
  readonly extraLoadsBefore: number;
  readonly extraLoads: number;
  readonly p50BeforeMs: number;
  readonly p99BeforeMs: number;
  readonly worstHitRate: number;
  readonly worstP50Ms: number;
  readonly worstP99Ms: number;
  readonly copiedByReads: number;
  readonly copiedByMover: number;
  /** Leases, copies, fills and writes, by reads and by the mover, beyond those that the time before the change lets expect. */
  readonly extraRequests: number;
  /** From when the change was asked for until the last process served by the new ring, and until it was complete. */
  readonly servesAfterMs: number | undefined;
  readonly doneAfterMs: number | undefined;
}

/** The whole outcome but `staleReads`, for which the history of all scenarios is needed. */
export function outcomeOf(
  seen: readonly Seen[],
  span: Span,
  at: { readonly bucketMs: number; readonly changed: Changed | undefined },
): Outcome {
  const { changed } = at;
  const buckets = bucketsOf(seen, span, at.bucketMs);
  const before = buckets.filter(({ atMs }) => atMs < 0);
  const after = buckets.filter(({ atMs }) => atMs >= 0);
  const latencies = before.flatMap((bucket) => bucket.latencies);
  const loads = seen.flatMap(({ loads: { at: times, extra } }) =>
    times.map((time, i) => ({ time, extra: extra[i]! })),
  );
  const since = (from: number, to: number, extra: boolean): number =>
    loads.filter((load) => load.time >= from && load.time < to && load.extra === extra).length;
  return {
    buckets: buckets.map(({ latencies: _, ...bucket }) => bucket),
    reads: seen.reduce((sum, { reads }) => sum + reads.id.length, 0),
    neededLoads: since(span.changeAt, span.to, false),
    extraLoadsBefore: since(span.from, span.changeAt, true),
    extraLoads: since(span.changeAt, span.to, true),
    p50BeforeMs: quantile(latencies, 0.5),
    p99BeforeMs: quantile(latencies, 0.99),
    worstHitRate: Math.min(...after.map(({ hitRate }) => hitRate)),
    worstP50Ms: Math.max(...after.map(({ p50Ms }) => p50Ms)),
    worstP99Ms: Math.max(...after.map(({ p99Ms }) => p99Ms)),
    copiedByReads: between(seen, 'copied', span.changeAt, span.to),
    copiedByMover: changed?.copiedByMover ?? 0,
    extraRequests: extraRequests(seen, span) + (changed?.requests ?? 0),
    servesAfterMs: changed && servesAt(seen, changed.epoch) - changed.startedAt,
    doneAfterMs: changed && changed.doneAt - changed.startedAt,
  };
}

type FullBucket = Bucket & { readonly latencies: readonly number[] };

function bucketsOf(seen: readonly Seen[], span: Span, bucketMs: number): FullBucket[] {
  const first = Math.ceil((span.from - span.changeAt) / bucketMs);
  const last = Math.floor((span.to - span.changeAt) / bucketMs);
  const indexOf = (time: number): number => Math.floor((time - span.changeAt) / bucketMs) - first;
  const parts = Array.from({ length: last - first }, () => {
    return { latencies: [] as number[], needed: 0, extra: 0, loads: 0 };
  });
  for (const { reads, loads } of seen) {
    for (const [i, dueAt] of reads.dueAt.entries()) {
      const part = parts[indexOf(dueAt)];
      if (part === undefined) continue;
      part.latencies.push(reads.latencyMs[i]!);
      if (reads.kind[i] === 'n') part.needed++;
      if (reads.kind[i] === 'x') part.extra++;
    }
    for (const time of loads.at) {
      const part = parts[indexOf(time)];
      if (part !== undefined) part.loads++;
    }
  }
  return parts.map(({ latencies, needed, extra, loads }, i) => ({
    atMs: (first + i) * bucketMs,
    hitRate: 1 - extra / Math.max(1, latencies.length - needed),
    loadsPerSecond: (loads * 1_000) / bucketMs,
    p50Ms: quantile(latencies, 0.5),
    p99Ms: quantile(latencies, 0.99),
    latencies,
  }));
}

function extraRequests(seen: readonly Seen[], span: Span): number {
  const before = between(seen, 'requests', span.from, span.changeAt);
  const expected = (before * (span.to - span.changeAt)) / (span.changeAt - span.from);
  return Math.round(between(seen, 'requests', span.changeAt, span.to) - expected);
}

/** How much a sum over all processes grew from one time to another. */
function between(
  seen: readonly Seen[],
  what: 'requests' | 'copied',
  ...[from, to]: [from: number, to: number]
): number {
  const at = (samples: Seen['samples'], time: number): number =>
    (samples.findLast((sample) => sample.at <= time) ?? samples[0])?.[what] ?? 0;
  return seen.reduce((sum, { samples }) => sum + at(samples, to) - at(samples, from), 0);
}

/** When the last process took up a ring of at least this epoch; the epoch is never reached: infinity. */
function servesAt(seen: readonly Seen[], epoch: number): number {
  const times = seen.map(({ rings }) => rings.find((ring) => ring.epoch >= epoch)?.at);
  return Math.max(...times.map((time) => time ?? Number.POSITIVE_INFINITY));
}

interface Write {
  readonly version: number;
  readonly ackedAt: number;
}

/** Every confirmed write of a row, and which reads should have known of it. */
export class History {
  /** By key, in the order in which they were confirmed: one process writes a key, one write after the other. */
  readonly #writes = new Map<number, Write[]>();

  add(seen: readonly Seen[]): void {
    for (const { writes } of seen) {
      for (const [i, id] of writes.id.entries()) {
        const write = { version: writes.version[i]!, ackedAt: writes.ackedAt[i]! };
        const known = this.#writes.get(id);
        if (known === undefined) this.#writes.set(id, [write]);
        else known.push(write);
      }
    }
  }

  /**
   * Reads that began `graceMs` or more after a write was confirmed and returned
   * an older version, in words. A read that joined another of its process
   * counts from when that one began: it is answered with what that one found.
   */
  staleReads(seen: readonly Seen[], graceMs: number): string[] {
    const stale: string[] = [];
    for (const [process, { reads }] of seen.entries()) {
      for (const [i, id] of reads.id.entries()) {
        const askedAt = reads.askedAt[i]!;
        const known = this.#writes.get(id)?.findLast((write) => write.ackedAt < askedAt - graceMs);
        const version = reads.version[i]!;
        if (known === undefined || version >= known.version) continue;
        const late = (askedAt - known.ackedAt).toFixed(1);
        stale.push(
          `process ${process} read version ${version} of key ${id}, ${late} ms after ${known.version} was confirmed`,
        );
      }
    }
    return stale;
  }
}
