/**
 * Counters and latency histograms. Plain numbers that are added to where the
 * thing happens; nothing here knows what they mean to whom.
 */
import { createHistogram, type RecordableHistogram } from 'node:perf_hooks';

/** Milliseconds, except `count`. All 0 while nothing was recorded. */
export interface LatencySummary {
  readonly count: number;
  readonly meanMs: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly maxMs: number;
}

/** Latencies with a relative error of about 0.1 %, at a fixed memory cost. */
export class Latency {
  readonly #histogram: RecordableHistogram = createHistogram();

  record(ms: number): void {
    // The histogram takes integers from 1 on: microseconds.
    this.#histogram.record(Math.max(1, Math.round(ms * 1000)));
  }

  summary(): LatencySummary {
    const h = this.#histogram;
    if (h.count === 0) return { count: 0, meanMs: 0, p50Ms: 0, p99Ms: 0, maxMs: 0 };
    return {
      count: h.count,
      meanMs: h.mean / 1000,
      p50Ms: h.percentile(50) / 1000,
      p99Ms: h.percentile(99) / 1000,
      maxMs: h.max / 1000,
    };
  }
}

/** What one node was asked and how it went. */
export class NodeCounters {
  /** Keys read in batches. */
  reads = 0;
  /** MGETs that carried them. */
  batches = 0;
  /** Scripts sent: leases, fills, writes, deletes. */
  scripts = 0;
  /** Requests that failed, by connection, budget or refusal. */
  failures = 0;
  /** Of these: no answer within `node.timeout`. */
  timeouts = 0;
  /** Requests not sent because the breaker was open or too many were unanswered. */
  rejected = 0;
  /** Entries that could not be read: unknown version, broken or too large. Each counted as a miss. */
  broken = 0;
  /** Times the breaker opened. */
  opened = 0;
  readonly latency = new Latency();
}

/** What the callers of one cache asked for and got. */
export class CacheCounters {
  /** Reads answered from this process's memory. */
  memoryHits = 0;
  /** Reads answered with a fresh value from the owning node. */
  nodeHits = 0;
  /** Reads answered with a value past its ttl, within staleTtl. */
  staleHits = 0;
  /** Reads that found nothing usable. */
  misses = 0;
  /** Calls of a loader. */
  loads = 0;
  /** Of these: rejected or timed out. */
  loadErrors = 0;
  /** Loads that ran because the owning node could not be used. */
  unprotectedLoads = 0;
  /** Callers that joined a load or read already under way in this process. */
  coalesced = 0;
  /** Keys whose value came from another process's load. */
  awaited = 0;
  /** Values copied from the previous owner while the ring changes, by reads. */
  copied = 0;
  /** Loaded values that were not stored because a set or delete came first, or the lease ran out. */
  fencedFills = 0;
  /** Loaded values that were not stored because they were too large or could not be encoded. */
  refusedValues = 0;
  sets = 0;
  deletes = 0;
  expires = 0;
  touches = 0;
  /** Sets, deletes and expires that no node confirmed at once. */
  unconfirmed = 0;
  readonly loadLatency = new Latency();
}

/** What the users of one `Locks` asked for and got. */
export class LockCounters {
  /** Locks granted. */
  acquired = 0;
  /** Single tries that found the lock taken. */
  busy = 0;
  /** Waits that ended because another had the lock. */
  timeouts = 0;
  /** Waits that ended because the node, or a majority, could not grant it. */
  unavailable = 0;
  /** Renewals and extensions that were confirmed. */
  renewals = 0;
  released = 0;
  /** Locks that could not be relied on any more before they were released. */
  lost = 0;
  /** From the call to the lock. */
  readonly waits = new Latency();
  /** From the lock to its release or loss. */
  readonly holds = new Latency();
}

/** Plain numbers since the start; times in milliseconds. */
export interface LockStats extends Readonly<Omit<LockCounters, 'waits' | 'holds'>> {
  /** Locks held now. */
  readonly held: number;
  /** Callers that wait now. */
  readonly waiting: number;
  readonly waits: LatencySummary;
  readonly holds: LatencySummary;
}
