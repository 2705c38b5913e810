/**
 * One Redis server, as the rest of ringcache sees it: every question that can
 * be asked of it, and for each question the closed list of its answers.
 *
 * Whatever goes wrong (connection, budget, refusal) is one error,
 * `NodeUnavailableError`; no type of the Redis client passes this border. Every
 * operation carries the fence of the snapshot it was started with, and is
 * answered `stale` or `unknown` instead of acting when the node's epoch says
 * that the snapshot may not be used.
 */
import type { NodeUnavailableError } from '../errors.ts';
import type { LatencySummary, NodeCounters } from '../metrics/metrics.ts';
import { type Fenced, UNKNOWN_EPOCH } from './fence.ts';
import type { GuardNode } from './guard-node.ts';
import type { LifeNode } from './life-node.ts';
import type { LockNode } from './lock-node.ts';
import type { ServerReport } from './report.ts';
import type { Invalidation, TagNode } from './tag-node.ts';

/** An encoded value: what the codec made of it, without the header. */
export interface Payload {
  readonly codec: number;
  readonly flags: number;
  readonly bytes: Buffer;
}

/** How long an entry is to live, from the moment it is sent. */
export interface Life {
  /** Fresh for this long. */
  readonly ttlMs: number;
  /** Kept this much longer, to be served while stale. */
  readonly staleMs: number;
  /** How long the load took; 0 for a plain set. */
  readonly loadMs: number;
  /** How long ago the value was stored elsewhere; absent when it is new. */
  readonly ageMs?: number | undefined;
  readonly tags?: readonly string[] | undefined;
}

/** An entry that was found on a node and could be decoded. */
export interface Stored {
  readonly value: unknown;
  /** The epoch in which it was written. */
  readonly stamp: number;
  /** End of freshness in the node's clock: with `stamp`, the identity of the entry. */
  readonly freshUntil: number;
  /** The same, as milliseconds from now; 0 or less when stale. */
  readonly freshForMs: number;
  readonly loadMs: number;
  /** When it was stored, in the node's clock; a copy says when the value was. */
  readonly writtenAt: number;
  /** The node's sequence before the load began: what was changed by tag since then, changed it. */
  readonly seq: number;
  readonly tags: readonly string[] | undefined;
  /** Whether one of its tags, or what its key begins with, was deleted since: it counts as absent. */
  readonly overtaken: boolean;
  /** Size of the payload as it was stored. */
  readonly bytes: number;
}

/** How long ago its value was stored, in milliseconds. */
export function ageOf({
  freshUntil,
  freshForMs,
  writtenAt,
}: Pick<Stored, 'freshUntil' | 'freshForMs' | 'writtenAt'>): number {
  // What is left of its freshness was reckoned with the node's clock.
  return Math.max(0, freshUntil - freshForMs - writtenAt);
}

/** Takes the answers to batched reads. Exactly one of the two is called for each read, never within the call of `read`. Must not throw. */
export interface Reader {
  /**
   * @param position What was passed to `read`.
   * @param stored Undefined when nothing is there, or nothing readable.
   * @param epoch The node's epoch; `UNKNOWN_EPOCH` when the node has lost it.
   */
  found(position: number, stored: Stored | undefined, epoch: number): void;
  failed(position: number, error: NodeUnavailableError): void;
}

export { type Fenced, UNKNOWN_EPOCH };

/**
 * What is left of a node's time for one read, however many requests that
 * takes. Spent by the requests that carry it, from when each is sent: what
 * waits for its turn in a busy process does not wait for the node.
 */
export interface Budget {
  leftMs: number;
}

export interface LeaseAsk {
  readonly token: string;
  readonly leaseMs: number;
  readonly fence: string;
  /** What the asker has already found unusable, or wants refreshed. */
  readonly seen?: Stored | undefined;
  readonly budget?: Budget | undefined;
}

export type LeaseAnswer =
  | { readonly kind: 'value'; readonly stored: Stored } // there is a value other than the one seen
  /** There is none, and the token now holds the right to store one that begins under this sequence. */
  | { readonly kind: 'leased'; readonly seq: number }
  | { readonly kind: 'busy'; readonly remainingMs: number } // another token holds that right
  | Fenced;

export type FillAnswer =
  | { readonly kind: 'stored' } // the lease was ours, and has ended
  | { readonly kind: 'lost' } // a set, a delete, expiry or eviction ended the lease first
  | { readonly kind: 'refused' } // the node is full; it still serves
  | Fenced;

/** `refused`: the node is full; what stood there before is removed, since its writer has replaced it. */
export type WriteAnswer = { readonly kind: 'stored' } | { readonly kind: 'refused' } | Fenced;

export type RemoveAnswer = { readonly kind: 'removed'; readonly existed: boolean } | Fenced;

export type CopyAnswer =
  | {
      readonly kind: 'value';
      readonly stored: Stored;
      readonly payload: Payload;
      /** What is left of its life here. */
      readonly life: Life;
      /** As of none. */
      readonly leaseLeftMs: number;
    }
  /** `leaseLeftMs`: for so long somebody else has the right to store one yet; 0 when nobody has. */
  | { readonly kind: 'none'; readonly leaseLeftMs: number }
  | Fenced;

export interface ScanStep {
  readonly of: 'values' | 'leases';
  /** About how many keys of any kind the server looks at. */
  readonly count: number;
}

/** What stands at a node under one key, for people. */
export interface Inspection {
  readonly stored: Stored | undefined;
  /** Until the node forgets the entry; 0 when there is none. */
  readonly leftMs: number;
  readonly leased: boolean;
  readonly leaseLeftMs: number;
}

/** What a node says of itself when a connection to it stands. */
export interface Greeting {
  /** When it was asked, in the time of this process. */
  readonly askedAt: number;
  /** Changes whenever the server process was restarted. */
  readonly runId: string;
  /** The run id under which its data was admitted: another one, when it came back with what it had before. */
  readonly servedRun: string | undefined;
  /** What it has as its epoch; undefined when it has none. */
  readonly fence: string | undefined;
  /** Its copy of the topology document. */
  readonly document: string | undefined;
  /** The document that is about to be proposed: a hint, no more. */
  readonly announced?: string | undefined;
}

/** What was deleted while the node was away, as others have kept it for it. */
export interface MissedKeys {
  readonly keys: readonly string[];
  readonly invalidations: readonly Invalidation[];
  /** They have been removed, and the node is in use. */
  removed(): void;
}

/** What a node is to be told before it is used. */
export type Admission =
  | {
      readonly kind: 'install';
      readonly fence: string;
      readonly document: string;
      /** Called as soon as the node has taken them. */
      readonly accepted?: () => void;
      /** To be removed before it is used. */
      readonly missed?: MissedKeys | undefined;
    }
  | { readonly kind: 'reject'; readonly reason: Error };

/**
 * Decides, for a node that has just been connected, whether and with which
 * epoch it is used. Asked again until an `install` finds the node unchanged.
 */
export type Admit = (node: string, greeting: Greeting) => Admission | Promise<Admission>;

/** What a node asks of those who know about all of them. */
export interface NodeHost {
  readonly admit: Admit;
  /** Whether the topology that this process knows may be used still. */
  readonly trusted: () => boolean;
}

export interface NodeState {
  readonly state: 'up' | 'down' | 'connecting';
  readonly breaker: 'closed' | 'open' | 'halfOpen';
}

/** The plain numbers of one node. */
export type NodeStats = Readonly<Omit<NodeCounters, 'latency'>> & {
  readonly latency: LatencySummary;
  /** Requests sent and not answered yet. */
  readonly inFlight: number;
  /** Deletes that wait to be confirmed. */
  readonly unconfirmed: number;
  /** Whether it tells this process what others change. */
  readonly tracked: boolean;
};

/** What a node reports by itself. Listeners must not throw. */
export interface NodeListener {
  /** It became usable, or stopped being so. */
  state(node: string, state: NodeState): void;
  /** Something a person should hear of: a wrong password, a refused script, a node that is no cache node. */
  trouble(node: string, error: Error): void;
  /** A delete that could not be confirmed before is now. */
  confirmed(node: string, key: string): void;
  /** The same of a tag, or a prefix. */
  raised(node: string, one: Invalidation): void;
}

/** Every method that returns a promise rejects with `NodeUnavailableError` and nothing else. */
export interface CacheNode {
  readonly id: string;
  state(): NodeState;
  /** Whether no server runs at its address, as far as this process can tell. False for one that merely does not answer. */
  readonly gone: boolean;
  stats(): NodeStats;
  /** What it is to the locks. */
  readonly locks: LockNode;
  /** What it keeps for other nodes. */
  readonly guard: GuardNode;
  /** What is deleted here by tag or prefix. */
  readonly tags: TagNode;
  /** What changes how long its entries live. */
  readonly life: LifeNode;

  /** Starts connecting; resolves when the first attempt succeeded or failed. Never rejects. */
  open(): Promise<void>;

  /** Resolves when the first attempt to be told by it what others change succeeded or failed. Never rejects. */
  openPush(): Promise<void>;

  /** How long the batch of reads took whose answers are being told: for a reader, within `found`. */
  readonly lastReadMs: number;
  /** Reads in the next batch to this node. Hot path: no promise, no closure. */
  read(key: string, reader: Reader, position: number): void;

  /**
   * Takes the right to store `key`, unless there is a value other than `seen`.
   */
  lease(key: string, ask: LeaseAsk): Promise<LeaseAnswer>;
  /** Lengthens a lease that is still ours; resolves to whether it was. */
  extendLease(key: string, ask: { token: string; leaseMs: number }): Promise<boolean>;
  /** Whether it tells when the load under a lease is over that was found `busy`. */
  readonly announces: boolean;
  /** Ends a lease that is still ours, storing nothing. */
  dropLease(key: string, token: string): Promise<void>;
  /** Stores if `token` still holds the lease, and ends the lease. */
  fill(
    key: string,
    entry: {
      token: string;
      payload: Payload;
      life: Life;
      fence: string;
      epoch: number;
      /** That came with the lease. */
      seq: number;
      budget?: Budget | undefined;
    },
  ): Promise<FillAnswer>;
  /** Stores, and ends any lease, so that a load under way is not stored. */
  write(
    key: string,
    entry: { payload: Payload; life: Life; fence: string; epoch: number },
  ): Promise<WriteAnswer>;
  /** Removes the value and any lease. */
  remove(key: string, fence: string): Promise<RemoveAnswer>;
  /** Removes it as soon as the node can be used again, before anything is read from it; bounded by `untilMs` from now. */
  removeLater(key: string, untilMs: number): void;
  /** Removes values and leases, whatever the epoch: a delete is right under each. */
  removeAll(keys: readonly string[]): Promise<void>;
  /** Reads a value with what is left of its life, to store it at another node. */
  copy(key: string, fence: string, budget?: Budget): Promise<CopyAnswer>;

  inspect(key: string): Promise<Inspection>;
  /** One step through the keys that have a value, or a lease, here; ends when `cursor` is '0' again. */
  scan(cursor: string, step: ScanStep): Promise<{ cursor: string; keys: string[] }>;
  /** How many keys the server's database holds, of every namespace: an upper bound for `scan`. */
  size(): Promise<number>;
  /** What the server says of itself, now. */
  report(): Promise<ServerReport>;
  /** The greeting of a node in use: its epoch and document now. Asked even when this process may ask nothing else. */
  greet(): Promise<Greeting>;
  /**
   * Raises the node to `fence` and leaves a copy of the document; `stale` when it is further
   * already, `unknown` when it has no fence. Since two documents never have the same fence, this
   * is a compare-and-set of the epoch: of two documents made from one, a node takes the first.
   * Asked even when this process may ask nothing else.
   */
  install(fence: string, document: string): Promise<{ kind: 'installed' } | Fenced>;
  /** Has all who listen to it ask for a document that is about to be proposed. */
  announce(document: string): Promise<void>;
  /** Stops using the node until it has been admitted anew; resolves when that succeeded or failed. */
  readmit(): Promise<void>;

  /** Ends the connection; requests under way are rejected. Idempotent; leaves no timer and no socket. */
  close(): Promise<void>;
}
