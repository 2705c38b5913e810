/**
 * What a node keeps for another one: the keys whose old value that one could
 * not remove, because it did not answer. Whoever uses it next reads them here
 * first, in whichever process.
 *
 * The contract only; which node guards which is the topology's concern.
 */
import type { Fenced } from './fence.ts';

/** A list longer than this is given up for a mark that there was one. */
export const MAX_NOTES = 10_000;

/** Stands in the place of a key (which is never empty) when a list became too long. */
export const OVERFLOW = '';

/**
 * Keys, and for each the mark under which it was noted last. Only what bears
 * that mark still may be taken off: it may have been noted again after it was
 * read, and removed only before.
 */
export type Notes = ReadonlyMap<string, string>;

/** Keys that some process has removed from a node: their notes, as it took them off. */
export interface TakenOff {
  readonly node: string;
  /** Of the topology under which they were removed. */
  readonly fence: string;
  readonly notes: Notes;
}

export interface NoteAsk {
  readonly keys: readonly string[];
  /** A new one each time. */
  readonly mark: string;
  /** How long a value may live that is to be removed. */
  readonly keepMs: number;
  readonly fence: string;
}

export type NoteAnswer = { readonly kind: 'noted' } | Fenced;

export type NotesAnswer =
  | { readonly kind: 'notes'; readonly notes: Notes }
  /** The guardian is at a later epoch, in which others may guard: the document it has. */
  | { readonly kind: 'newer'; readonly document: string | undefined }
  /** It has lost its epoch, and with it whatever was noted. */
  | { readonly kind: 'unknown' };

/** Every method that returns a promise rejects with `NodeUnavailableError` and nothing else. */
export interface GuardNode {
  /** Notes keys for `node`. The list lives as long as the longest `keepMs` that it was given. */
  note(node: string, ask: NoteAsk): Promise<NoteAnswer>;
  /**
   * All that is noted for `node`. Also of a guardian that is not in use (yet):
   * waits for a connection that is being made, and a moment for one that was
   * lost just now, since this host may have lost all at once.
   *
   * @param epoch Of the asker.
   */
  notesFor(node: string, epoch: number): Promise<NotesAnswer>;
  /**
   * Takes off what was read, unless it was noted again since.
   *
   * @param removedUnder The fence of the topology under which it was removed, for
   *   certain: all processes are told of it. Undefined: nobody is.
   */
  takeOff(node: string, notes: Notes, removedUnder?: string): Promise<void>;
}
