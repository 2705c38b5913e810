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
import type { CacheNode, ScanStep, Stored } from '../node/node.ts';
import { planChange } from '../ring/plan.ts';
import type { Snapshot } from './snapshot.ts';

/** What the mover needs of the topology: the snapshot in force, which may change while it moves. */
export interface Moving {
  readonly snapshot: Snapshot;
  refresh(outdated: Snapshot): Promise<void>;
}

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
  readonly bytesPerSecond: number;
  /** Nodes that cannot be asked for what they had. */
  readonly lost: ReadonlySet<string>;
  readonly signal: AbortSignal | undefined;
  readonly onProgress: (progress: Readonly<MoveProgress>) => void;
}

export type CopyOutcome =
  | 'copied' // stored at the new owner
  | 'unneeded' // the owner has it, or there is nothing valid to copy
  | 'busy' // another one is loading or copying it
  | 'stale' // another document is in force
  | 'failed'; // a node could not be asked

export interface Copy {
  readonly outcome: CopyOutcome;
  readonly bytes: number;
}

const UNNEEDED: Copy = { outcome: 'unneeded', bytes: 0 };

/** Looked at by one SCAN: a step of about 0.2 ms at the server. */
const VALUES: ScanStep = { of: 'values', count: 200 };
/** There are few of them: hardly any is found in a step. */
const LEASES: ScanStep = { of: 'leases', count: 1_000 };
/** First for what somebody else is copying; then for a node that was late: together as long as a short outage. */
const RETRY_PAUSES_MS = [25, 200, 400, 600, 800];
/** What is tried again. What is busy may be our own: a lease granted when we had given up on it. */
const AGAIN: CopyOutcome[] = ['failed', 'stale', 'busy'];
/** And at last. */
const FAILED: CopyOutcome[] = ['failed', 'stale'];
/** Loads that take longer are waited for no more: the default of `load.timeout`. */
const LONGEST_LOAD_MS = 30_000;
const LOOK_MS = 20;
/** How long a copy may take before its key is given up to whoever wants to load it. */
const COPY_LEASE_MS = 2_000;

/** Copies `key` from its previous to its present owner, under a lease there. */
export async function copyKey(key: string, snapshot: Snapshot): Promise<Copy> {
  const hash = snapshot.ring.hash(key);
  const source = snapshot.previousOwner(hash);
  if (source === undefined) return UNNEEDED;
  const owner = snapshot.owner(hash);
  const token = randomUUID();
  try {
    const ask = { token, leaseMs: COPY_LEASE_MS, fence: snapshot.fence };
    let answer = await owner.lease(key, ask);
    if (answer.kind === 'value' && !isOfUse(answer.stored, snapshot, hash)) {
      answer = await owner.lease(key, { ...ask, seen: answer.stored });
    }
    if (answer.kind === 'leased') {
      return await copyUnderLease(key, { snapshot, owner, source, hash, token });
    }
    return { outcome: LEASE_OUTCOMES[answer.kind], bytes: 0 };
  } catch (error) {
    if (error instanceof NodeUnavailableError) return { outcome: 'failed', bytes: 0 };
    throw error;
  }
}

/** What is left over from when it owned the key before is as nothing; for what is stale the source may have better by now. */
function isOfUse(stored: Stored, snapshot: Snapshot, hash: number): boolean {
  return stored.freshForMs > 0 && snapshot.believes(stored, hash);
}

const LEASE_OUTCOMES = {
  value: 'unneeded',
  busy: 'busy',
  stale: 'stale',
  unknown: 'failed',
} as const;

interface LeasedCopy {
  readonly snapshot: Snapshot;
  readonly owner: CacheNode;
  readonly source: CacheNode;
  readonly hash: number;
  readonly token: string;
}

async function copyUnderLease(key: string, at: LeasedCopy): Promise<Copy> {
  const { snapshot, owner, source, hash, token } = at;
  let copy = UNNEEDED;
  try {
    const found = await source.copy(key, snapshot.fence);
    if (found.kind === 'value' && snapshot.believesPrevious(found.stored, hash)) {
      const { payload, life } = found;
      const { fence, epoch } = snapshot;
      const fill = await owner.fill(key, { token, payload, life, fence, epoch });
      if (fill.kind === 'stored') return { outcome: 'copied', bytes: payload.bytes.length };
      copy = { outcome: FILL_OUTCOMES[fill.kind], bytes: payload.bytes.length };
    } else if (found.kind === 'unknown') {
      copy = { outcome: 'failed', bytes: 0 };
    } else if (found.kind === 'stale') {
      copy = { outcome: 'stale', bytes: 0 };
    }
  } catch (error) {
    await owner.dropLease(key, token).catch(() => {});
    throw error;
  }
  await owner.dropLease(key, token);
  return copy;
}

const FILL_OUTCOMES = {
  lost: 'unneeded',
  refused: 'failed',
  stale: 'stale',
  unknown: 'failed',
} as const;

/** Walks through all previous owners of a joint snapshot. Stops when aborted; never rejects for a node that fails. */
export async function moveKeys(
  topology: Moving,
  options: MoveOptions,
): Promise<{ scanned: number; copied: number; failed: number }> {
  return new Mover(topology, options).run();
}

class Mover {
  readonly #topology: Moving;
  readonly #options: MoveOptions;
  readonly #pacer: Pacer;
  /** Which change is meant. */
  readonly #since: number;
  readonly #progress: MoveProgress = { scanned: 0, copied: 0, total: 0 };
  /** To be tried again: a node that was late once is a cold miss for each of them otherwise. */
  #failed: string[] = [];
  /** Nodes that could not be walked through: nobody knows how many keys were left. */
  readonly #cutShort = new Set<CacheNode>();

  constructor(topology: Moving, options: MoveOptions) {
    this.#topology = topology;
    this.#since = topology.snapshot.since;
    this.#options = options;
    this.#pacer = new Pacer(options);
  }

  async run(): Promise<{ scanned: number; copied: number; failed: number }> {
    const sources = this.#sources();
    for (const size of await Promise.allSettled(sources.map((node) => node.size()))) {
      if (size.status === 'fulfilled') this.#progress.total += size.value;
    }
    // Before the values: what is loaded meanwhile is met there, or here.
    const loading: string[] = [];
    for (const node of sources) {
      await this.#walk(node, LEASES, async (keys) => void loading.push(...keys));
    }
    for (const node of sources) {
      await this.#walk(node, VALUES, (keys) => this.#copy(keys, AGAIN));
    }
    await this.#copyLoaded(loading);
    for (const [tried, ms] of RETRY_PAUSES_MS.entries()) {
      if (this.#failed.length === 0) break;
      await pause(this.#options.clock, ms, this.#options.signal);
      const isLast = tried === RETRY_PAUSES_MS.length - 1;
      const again = this.#failed.splice(0);
      for (let at = 0; at < again.length && !this.#over; at += VALUES.count) {
        await this.#copy(again.slice(at, at + VALUES.count), isLast ? FAILED : AGAIN);
      }
    }
    const { scanned, copied } = this.#progress;
    return { scanned, copied, failed: this.#failed.length + this.#cutShort.size };
  }

  /** Aborted, or the change is complete or taken back by another. */
  get #over(): boolean {
    const { snapshot } = this.#topology;
    if (snapshot.source === undefined || snapshot.since !== this.#since) return true;
    return this.#options.signal?.aborted ?? false;
  }

  /** The nodes that lose keys and can be asked for them. */
  #sources(): CacheNode[] {
    const { nodes, ring, source } = this.#topology.snapshot;
    if (source === undefined) return [];
    const losing = new Set(planChange(source, ring).moves.map(({ from }) => from));
    const { lost } = this.#options;
    return [...losing].filter((id) => !lost.has(id)).flatMap((id) => nodes.get(id) ?? []);
  }

  /** Meets all keys that move away from it and are there from now on until the end. */
  async #walk(
    source: CacheNode,
    step: ScanStep,
    meet: (keys: string[]) => Promise<void>,
  ): Promise<void> {
    let cursor = '0';
    do {
      if (this.#over) return;
      const found = await this.#scan(source, cursor, step);
      if (found === undefined) {
        this.#cutShort.add(source);
        return;
      }
      cursor = found.cursor;
      if (step.of === 'values') this.#progress.scanned += found.keys.length;
      const { snapshot } = this.#topology;
      const isMoving = (key: string): boolean =>
        snapshot.previousOwner(snapshot.ring.hash(key)) === source;
      await meet(found.keys.filter(isMoving));
    } while (cursor !== '0');
  }

  async #scan(
    source: CacheNode,
    cursor: string,
    step: ScanStep,
  ): Promise<{ cursor: string; keys: string[] } | undefined> {
    const { clock, signal } = this.#options;
    for (const ms of [...RETRY_PAUSES_MS, undefined]) {
      try {
        return await source.scan(cursor, step);
      } catch (error) {
        if (!(error instanceof NodeUnavailableError)) throw error;
        if (ms === undefined || this.#over) return undefined;
        await pause(clock, ms, signal);
      }
    }
    return undefined;
  }

  /**
   * What was being loaded when the ring changed is stored at the source, under the lease from there,
   * while that is asked still. No other lease is given out there since all nodes were
   * raised, so this has an end: that of the longest load.
   */
  async #copyLoaded(keys: readonly string[]): Promise<void> {
    const { clock, signal } = this.#options;
    const until = clock.now() + LONGEST_LOAD_MS;
    for (let left = keys; left.length > 0 && !this.#over; ) {
      const stillLoads = await Promise.all(left.map((key) => this.#isLoading(key)));
      const stored = left.filter((_, i) => !stillLoads[i]);
      if (stored.length > 0) await this.#copy(stored, AGAIN);
      left = left.filter((_, i) => stillLoads[i]);
      if (left.length === 0 || clock.now() >= until) return;
      await pause(clock, LOOK_MS, signal);
    }
  }

  async #isLoading(key: string): Promise<boolean> {
    const { snapshot } = this.#topology;
    try {
      return (await snapshot.previousOwner(snapshot.ring.hash(key))?.inspect(key))?.leased ?? false;
    } catch (error) {
      // Whether it is to be copied is found out when that is tried.
      if (error instanceof NodeUnavailableError) return false;
      throw error;
    }
  }

  async #copy(keys: readonly string[], again: readonly CopyOutcome[]): Promise<void> {
    const { snapshot } = this.#topology;
    const copies = await Promise.all(keys.map((key) => copyKey(key, snapshot)));
    let bytes = 0;
    for (const [i, { outcome, bytes: copied }] of copies.entries()) {
      bytes += copied;
      if (outcome === 'copied') this.#progress.copied++;
      else if (again.includes(outcome)) this.#failed.push(keys[i] ?? '');
    }
    if (copies.some(({ outcome }) => outcome === 'stale')) await this.#topology.refresh(snapshot);
    this.#options.onProgress(this.#progress);
    await this.#pacer.take(keys.length, bytes);
  }
}

/** Spends at most so many keys and bytes a second, measured from its start. */
class Pacer {
  readonly #options: MoveOptions;
  readonly #startedAt: number;
  #keys = 0;
  #bytes = 0;

  constructor(options: MoveOptions) {
    this.#options = options;
    this.#startedAt = options.clock.now();
  }

  async take(keys: number, bytes: number): Promise<void> {
    this.#keys += keys;
    this.#bytes += bytes;
    const { clock, keysPerSecond, bytesPerSecond, signal } = this.#options;
    const dueMs = 1_000 * Math.max(this.#keys / keysPerSecond, this.#bytes / bytesPerSecond);
    const aheadMs = dueMs - (clock.now() - this.#startedAt);
    if (aheadMs > 0) await pause(clock, aheadMs, signal);
  }
}
