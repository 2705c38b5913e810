/**
 * Where locks live, as the one who waits for them and the one who holds them
 * see it: one node of the ring, or a majority of all.
 */
import type { NodeUnavailableError, TopologyConflictError, Vote } from '../errors.ts';
import type { LockInspection } from '../node/lock-node.ts';
import type { Moment } from './validity.ts';

export interface AttemptAsk {
  readonly name: string;
  readonly token: string;
  readonly ttlMs: number;
  /** Takes a place in the queue when the lock is busy, if its messages can be heard. */
  readonly queue: boolean;
  /** Whoever asked has gone: nothing is to be taken any more. */
  readonly over: () => boolean;
}

export type Attempt = Granted | (Refusal & Aftermath);

/** Of a refusal. */
interface Aftermath {
  /**
   * Something that was taken is being given back. The token must not be used
   * again: giving back may be repeated, and late, and would end what it has then.
   *
   *     P: take(t) at A and B · B hangs · give back t · … take(t) again: granted
   *     B:                                                            gives back t, at last
   */
  readonly spent?: boolean;
}

export type Granted = {
  readonly kind: 'granted';
  readonly grip: Grip;
  readonly number: number;
  /** Just before the first request of those that were granted was sent. */
  readonly since: Moment;
};

export type Refusal =
  | { readonly kind: 'busy'; readonly remainingMs: number }
  | {
      readonly kind: 'unavailable';
      readonly node: string;
      readonly why: string;
      readonly retryAfterMs?: number;
      readonly cause?: NodeUnavailableError;
    }
  | { readonly kind: 'no-quorum'; readonly votes: readonly Vote[] }
  | { readonly kind: 'conflict'; readonly error: TopologyConflictError };

/** What is held of one lock. */
export interface Grip {
  /** Sets its time. `lost` when somebody else may have it. @throws NodeUnavailableError when that is not known. */
  prolong(ttlMs: number): Promise<'prolonged' | 'lost'>;
  /**
   * Gives it back wherever it is held. Resolves to whether it was ours; if that
   * cannot be known it goes on in the background. Never rejects.
   *
   * @param keepMs More than 0: leaves it to end by itself after this time.
   */
  release(keepMs: number): Promise<boolean>;
}

export interface LockHomes {
  /** One try. Never rejects, and settles in bounded time. */
  attempt(ask: AttemptAsk): Promise<Attempt>;
  /** After a try that is not to be repeated: leaves the queue and gives back what may have been granted. */
  abandon(name: string, ask: { readonly token: string; readonly ttlMs: number }): void;
  /** Has this process told when a lock is reserved for it; resolves to whether it newly came to be heard. Never rejects. */
  listen(name: string): Promise<boolean>;
  /** The node that is asked first. */
  nodeOf(name: string): string;
  /** @throws NodeUnavailableError */
  look(name: string): Promise<LockInspection & { readonly node: string }>;
}
