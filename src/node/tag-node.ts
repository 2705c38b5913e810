/**
 * Tags and clears at one node: what has been deleted by tag or by prefix, and
 * since when. Nothing is removed by it: an entry says under which sequence its
 * load began, and counts as absent when one of its tags, or what its key
 * begins with, was deleted later.
 */
import type { TagRecord } from '../memory/held.ts';
import type { Fenced } from './fence.ts';

/** What is deleted together: all entries with a tag, or all keys that begin alike; every key begins with ''. */
export interface Invalidation {
  readonly kind: 'tag' | 'prefix';
  readonly name: string;
}

/** What is kept of them at most, of either kind, by each node. */
export const MAX_INVALIDATIONS = 10_000;

/** What an entry hangs on while it is held in memory. */
export interface Holding {
  readonly seq: number;
  /** One for each tag; undefined without tags. */
  readonly records: readonly TagRecord[] | undefined;
}

/** `raised`: whatever began before counts as absent at this node. */
export type RaiseAnswer = { readonly kind: 'raised' } | Fenced;

/** Every method that returns a promise rejects with `NodeUnavailableError` and nothing else. */
export interface TagNode {
  /** The newest sequence known: of what begins now, or earlier. */
  readonly sequence: number;
  /** Undefined when something it hangs on was deleted since, as far as is known here. */
  holding(
    key: string,
    entry: { readonly seq: number; readonly tags?: readonly string[] | undefined },
  ): Holding | undefined;
  /** The node's sequence has changed: looks what it is. */
  refresh(): void;
  /**
   * From now on nothing that hangs on them is held or shown from memory, until
   * they are settled: to be called before the node is asked.
   */
  expect(all: readonly Invalidation[]): void;
  /** To be called once for each `expect`, unless `raiseLater` is. */
  settle(all: readonly Invalidation[]): void;
  /** Makes the node count as absent what is there. */
  raise(all: readonly Invalidation[], fence: string): Promise<RaiseAnswer>;
  /** The same, whatever the epoch: a delete is right under each. */
  raiseAnyway(all: readonly Invalidation[]): Promise<void>;
  /** As soon as the node can be used again, before anything is read from it; bounded by `untilMs` from now. */
  raiseLater(all: readonly Invalidation[], untilMs: number): void;
}

/** As one text, for lists of what is to be done. */
export function textOf({ kind, name }: Invalidation): string {
  return (kind === 'tag' ? 't' : 'p') + name;
}

export function invalidationOf(text: string): Invalidation {
  return { kind: text.startsWith('t') ? 'tag' : 'prefix', name: text.slice(1) };
}
