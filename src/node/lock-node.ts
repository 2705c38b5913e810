/**
 * One Redis server, as the locks see it: what can be asked of it, and for each
 * question the closed list of its answers. As in node.ts: whatever goes wrong
 * is a `NodeUnavailableError`.
 */
import type { Fenced } from './fence.ts';

export interface AcquireAsk {
  readonly token: string;
  readonly ttlMs: number;
  readonly fence: string;
  /** What all who use these locks must agree on; see `KnockAsk`. */
  readonly profile: string;
  /** Takes a place in the queue when the lock is busy; empty: does not. */
  readonly waiter: string;
  /** The number that is granted is larger than this one. */
  readonly floor: number;
}

export type AcquireAnswer =
  | { readonly kind: 'granted'; readonly number: number }
  | { readonly kind: 'busy'; readonly remainingMs: number }
  | { readonly kind: 'shut' } // grants nothing: ask with `knock` why
  | Fenced;

export type ProlongAnswer = { readonly kind: 'prolonged' } | { readonly kind: 'lost' } | Fenced;

/**
 * - `ask`: changes nothing unless the server was restarted.
 * - `new`: nobody is known to have had a lock here.
 * - `open`: all nodes that can be reached have at least been claimed as new, so one that was not has lost its data.
 * - `joined`: this node joins a ring whose locks are in use, and has none yet.
 * - `wiped`: locks were granted here before.
 */
export type Claim = 'ask' | 'new' | 'open' | 'joined' | 'wiped';

export interface KnockAsk {
  /** Written without spaces. A node that knows another one answers `conflict`. */
  readonly profile: string;
  /** The longest time for which a lock is granted: how long a node that lost its data grants none. */
  readonly longestMs: number;
  readonly claim: Claim;
}

/** Whether a node grants locks. */
export type GateAnswer =
  | { readonly kind: 'open' }
  | { readonly kind: 'new' } // nothing was granted here; others are still being asked
  | { readonly kind: 'missing' } // it knows nothing of locks: new, or it has lost its data
  | { readonly kind: 'quarantined'; readonly remainingMs: number }
  | { readonly kind: 'conflict'; readonly profile: string };

export interface LockInspection {
  readonly held: boolean;
  readonly remainingMs: number;
  /** The last number granted; 0 when none is remembered. */
  readonly number: number;
  readonly waiters: number;
}

/** Told the name of a lock that was reserved for `token`. Must not throw. */
export type Wake = (token: string, name: string) => void;

export interface LockNode {
  acquire(name: string, ask: AcquireAsk): Promise<AcquireAnswer>;
  /** Sets what is left of the time of a lock that is still ours. */
  prolong(
    name: string,
    ask: { readonly token: string; readonly ttlMs: number; readonly fence: string },
  ): Promise<ProlongAnswer>;
  /**
   * Ends a lock that is still ours, and gives it to the next who waits; leaves
   * the queue. Resolves to whether it was ours.
   *
   * @param ask.keepMs More than 0: it ends by itself after this time instead.
   */
  release(
    name: string,
    ask: { readonly token: string; readonly waiter: string; readonly keepMs: number },
  ): Promise<boolean>;
  /** The same as soon as the node can be used again; pointless after `forMs`. */
  releaseLater(name: string, token: string, forMs: number): void;
  /** Raises the number, so that the next one granted is larger. Resolves to whether the lock is ours. */
  raise(name: string, ask: { readonly token: string; readonly number: number }): Promise<boolean>;
  look(name: string): Promise<LockInspection>;
  knock(ask: KnockAsk): Promise<GateAnswer>;
  /** Whether it was restarted or emptied while this process knew it: others may have had locks there. */
  readonly forgetful: boolean;

  /** Whether `listen` has come to stand and has not been lost since. */
  readonly listening: boolean;
  /** Has what is told to `waiter` passed to `wake`, over a connection of its own. Resolves to whether it stands; never rejects. */
  listen(waiter: string, wake: Wake): Promise<boolean>;
  /** The policy by which the server may evict locks; undefined when it never does. */
  evictionPolicy(): Promise<string | undefined>;
}
