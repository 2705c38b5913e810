/**
 * What stands on the list of what a node missed: a key as it is, and a tag or
 * prefix marked as such. A key that would look like one is marked as well.
 */
import { OVERFLOW } from '../node/guard-node.ts';
import { type Invalidation, invalidationOf, textOf } from '../node/tag-node.ts';

const MARK = '\0';
const KEY = `${MARK}k`;

export function noteOf(missed: string | Invalidation): string {
  if (typeof missed !== 'string') return MARK + textOf(missed);
  return missed.startsWith(MARK) ? KEY + missed : missed;
}

export function readNotes(notes: Iterable<string>): {
  readonly keys: string[];
  readonly invalidations: Invalidation[];
} {
  const keys: string[] = [];
  const invalidations: Invalidation[] = [];
  for (const note of notes) {
    if (note === OVERFLOW) continue;
    if (note.startsWith(KEY)) keys.push(note.slice(KEY.length));
    else if (note.startsWith(MARK)) invalidations.push(invalidationOf(note.slice(MARK.length)));
    else keys.push(note);
  }
  return { keys, invalidations };
}
