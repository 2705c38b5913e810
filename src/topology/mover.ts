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
  | 'unneeded' // the owner has it, or there is nothing valid to copy
  | 'busy' // another one is loading or copying it
  | 'failed'; // a node could not be asked

/** Keys asked for by one SCAN: a step of about 0.2 ms at the server. */
const SCAN_COUNT = 200;
/** For a node that was late; together as long as a short outage. */
const RETRIES = 4;
const RETRY_PAUSE_MS = 200;
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
    if (answer.kind === 'busy') return 'busy';
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
  return new Mover(snapshot, options).run();
}

class Mover {
  readonly #snapshot: Snapshot;
  readonly #options: MoveOptions;
  readonly #pacer: Pacer;
  readonly #progress: MoveProgress = { scanned: 0, copied: 0, total: 0 };
  /** To be tried again: a node that was late once is a cold miss for each of them otherwise. */
  #failed: string[] = [];
  /** Walks that ended early: nobody knows how many keys were left. */
  #cutShort = 0;

  constructor(snapshot: Snapshot, options: MoveOptions) {
    this.#snapshot = snapshot;
    this.#options = options;
    this.#pacer = new Pacer(options);
  }

  async run(): Promise<{ scanned: number; copied: number; failed: number }> {
    const { nodes, source } = this.#snapshot;
    const sources = (source?.ids ?? []).flatMap((id) => nodes.get(id) ?? []);
    for (const size of await Promise.allSettled(sources.map((node) => node.size()))) {
      if (size.status === 'fulfilled') this.#progress.total += size.value;
    }
    for (const node of sources) await this.#walk(node);
    for (let retry = 1; retry <= RETRIES && this.#failed.length > 0; retry++) {
      await pause(this.#options.clock, retry * RETRY_PAUSE_MS, this.#options.signal);
      const again = this.#failed.splice(0);
      for (let at = 0; at < again.length && !this.#aborted; at += SCAN_COUNT) {
        // What is busy now may be our own: a lease granted when we had given up on it.
        const late = retry < RETRIES;
        await this.#copy(again.slice(at, at + SCAN_COUNT), late ? ['failed', 'busy'] : ['failed']);
      }
    }
    const { scanned, copied } = this.#progress;
    return { scanned, copied, failed: this.#failed.length + this.#cutShort };
  }

  get #aborted(): boolean {
    return this.#options.signal?.aborted ?? false;
  }

  async #walk(source: CacheNode): Promise<void> {
    const { ring } = this.#snapshot;
    let cursor = '0';
    do {
      if (this.#aborted) return;
      const step = await this.#scan(source, cursor);
      if (step === undefined) {
        this.#cutShort++;
        return;
      }
      cursor = step.cursor;
      this.#progress.scanned += step.keys.length;
      const isMoving = (key: string): boolean =>
        this.#snapshot.previousOwner(ring.hash(key)) === source;
      await this.#copy(step.keys.filter(isMoving), ['failed']);
    } while (cursor !== '0');
  }

  async #scan(
    source: CacheNode,
    cursor: string,
  ): Promise<{ cursor: string; keys: string[] } | undefined> {
    const { clock, signal } = this.#options;
    for (let retry = 1; ; retry++) {
      try {
        return await source.scan(cursor, SCAN_COUNT);
      } catch (error) {
        if (!(error instanceof NodeUnavailableError)) throw error;
        if (retry > RETRIES || this.#aborted) return undefined;
        await pause(clock, retry * RETRY_PAUSE_MS, signal);
      }
    }
  }

  async #copy(keys: readonly string[], again: readonly CopyOutcome[]): Promise<void> {
    const outcomes = await Promise.all(keys.map((key) => copyKey(key, this.#snapshot)));
    for (const [i, outcome] of outcomes.entries()) {
      if (outcome === 'copied') this.#progress.copied++;
      else if (again.includes(outcome)) this.#failed.push(keys[i] ?? '');
    }
    this.#options.onProgress(this.#progress);
    await this.#pacer.take(keys.length);
  }
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
