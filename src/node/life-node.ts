/**
 * What changes how long an entry of a node lives, and not what it says. The
 * part of `CacheNode` for that.
 */
import type { Fenced } from './fence.ts';

/** `expired`: if there was a value, it is stale from now on or gone; no lease stands that began before. */
export type ExpireAnswer = { readonly kind: 'expired' } | Fenced;

/** `absent`: nothing that may be believed. */
export type TouchAnswer = { readonly kind: 'touched' } | { readonly kind: 'absent' } | Fenced;

export interface TouchAsk {
  /** What the entry is to live from now on. */
  readonly life: { readonly ttlMs: number; readonly staleMs: number };
  /** The oldest epoch whose entries are believed here. */
  readonly since: number;
  readonly fence: string;
}

/** Every method rejects with `NodeUnavailableError` and nothing else. */
export interface LifeNode {
  /**
   * Makes the value stale, for whoever reads it, and ends any lease. It is kept
   * for its staleTtl from now; without one it is removed. Safe to repeat and to
   * do late, as a removal is.
   */
  expire(key: string, fence: string): Promise<ExpireAnswer>;
  /** Gives the entry that is there another life, fresh or stale. Acts in time or not at all. */
  touch(key: string, ask: TouchAsk): Promise<TouchAnswer>;
}
