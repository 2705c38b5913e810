/**
 * Copies, in the background, what has changed hands: walks through the
 * previous owners and stores at the present owner what it lacks.
 *
 * Every copy goes the way of a load: lease at the new owner, read at the old
 * one, fill under the lease. A set or delete in between ends the lease, so a
 * copy never brings back what was replaced; a plain write if absent would
 * (57 % of adversarial schedules). The mover is an optimisation of the tail:
 * what is read while the ring changes is copied by the reads.
 */
import { randomUUID } from 'node:crypto';
import type { Clock } from '../clock.ts';
import { pause } from '../clock.ts';
import { NodeUnavailableError } from '../errors.ts';
import type { CacheNode } from '../node/node.ts';
import type { Snapshot } from './snapshot.ts';

export interface MoveProgress {
  /** Keys looked at. */
  scanned: number;
  /** Keys stored at their new owner. */
  copied: number;
  /** Keys that the previous owners hold, of every namespace: an upper bound of `scanned`. */
  total: number;
}

export interface MoveOptions {
  readonly clock: Clock;
  readonly keysPerSecond: number;
  readonly signal: AbortSignal | undefined;
  readonly onProgress: (progress: Readonly<MoveProgress>) => void;
}

export type CopyOutcome =
  | 'copied' // stored at the new owner
  | 'unneeded' // the owner has it, another process is loading it, or there is nothing valid to copy
  | 'failed'; // a node could not be asked

/** Keys asked for by one SCAN: a step of about 0.2 ms at the server. */
const SCAN_COUNT = 200;
/** How long a copy may take before its key is given up to whoever wants to load it. */
const COPY_LEASE_MS = 2_000;

/** Copies `key` from its previous to its present owner, under a lease there. */
export async function copyKey(key: string, snapshot: Snapshot): Promise<CopyOutcome> {
  const hash = snapshot.ring.hash(key);
  const source = snapshot.previousOwner(hash);
  if (source === undefined) return 'unneeded';
  const owner = snapshot.owner(hash);
  const token = randomUUID();
  try {
    const ask = { token, leaseMs: COPY_LEASE_MS, fence: snapshot.fence };
    let answer = await owner.lease(key, ask);
    if (answer.kind === 'value' && !snapshot.believes(answer.stored, hash)) {
      // Left over from when it owned the key before: as if nothing were there.
      answer = await owner.lease(key, { ...ask, seen: answer.stored });
    }
    if (answer.kind !== 'leased') return answer.kind === 'unknown' ? 'failed' : 'unneeded';
    return await copyUnderLease(key, { snapshot, owner, source, hash, token });
  } catch (error) {
    if (error instanceof NodeUnavailableError) return 'failed';
    throw error;
  }
}

interface LeasedCopy {
  readonly snapshot: Snapshot;
  readonly owner: CacheNode;
  readonly source: CacheNode;
  readonly hash: number;
  readonly token: string;
}

async function copyUnderLease(key: string, at: LeasedCopy): Promise<CopyOutcome> {
  const { snapshot, owner, source, hash, token } = at;
  let outcome: CopyOutcome = 'unneeded';
  try {
    const found = await source.copy(key, snapshot.fence);
    if (found.kind === 'value' && snapshot.believesPrevious(found.stored, hash)) {
      const { payload, life } = found;
      const { fence, epoch } = snapshot;
      const fill = await owner.fill(key, { token, payload, life, fence, epoch });
      if (fill.kind === 'stored') return 'copied';
      outcome = fill.kind === 'lost' ? 'unneeded' : 'failed';
    } else if (found.kind === 'unknown' || found.kind === 'stale') {
      outcome = 'failed';
    }
  } catch (error) {
    await owner.dropLease(key, token).catch(() => {});
    throw error;
  }
  await owner.dropLease(key, token);
  return outcome;
}

/** Walks through all previous owners of a joint snapshot. Stops when aborted; never rejects for a node that fails. */
export async function moveKeys(
  snapshot: Snapshot,
  options: MoveOptions,
): Promise<{ scanned: number; copied: number; failed: number }> {
  const progress = { scanned: 0, copied: 0, total: 0 };
  let failed = 0;
  const sources = (snapshot.source?.ids ?? []).map((id) => snapshot.nodes.get(id));
  const present = sources.filter((node) => node !== undefined);
  for (const size of await Promise.allSettled(present.map((node) => node.size()))) {
    if (size.status === 'fulfilled') progress.total += size.value;
  }
  const pacer = new Pacer(options);
  for (const source of present) {
    let cursor = '0';
    do {
      if (options.signal?.aborted) return { ...progress, failed };
      let keys: string[];
      try {
        ({ cursor, keys } = await source.scan(cursor, SCAN_COUNT));
      } catch (error) {
        if (!(error instanceof NodeUnavailableError)) throw error;
        failed++;
        break;
      }
      progress.scanned += keys.length;
      const moving = keys.filter((key) => {
        return snapshot.previousOwner(snapshot.ring.hash(key)) === source;
      });
      const outcomes = await Promise.all(moving.map((key) => copyKey(key, snapshot)));
      progress.copied += outcomes.filter((outcome) => outcome === 'copied').length;
      failed += outcomes.filter((outcome) => outcome === 'failed').length;
      options.onProgress(progress);
      await pacer.take(moving.length);
    } while (cursor !== '0');
  }
  return { ...progress, failed };
}

/** Spends at most so many keys a second, measured from its start. */
class Pacer {
  readonly #options: MoveOptions;
  readonly #startedAt: number;
  #taken = 0;

  constructor(options: MoveOptions) {
    this.#options = options;
    this.#startedAt = options.clock.now();
  }

  async take(keys: number): Promise<void> {
    this.#taken += keys;
    const { clock, keysPerSecond, signal } = this.#options;
    const dueMs = (this.#taken / keysPerSecond) * 1_000;
    const aheadMs = dueMs - (clock.now() - this.#startedAt);
    if (aheadMs > 0) await pause(clock, aheadMs, signal);
  }
}
