/** What a tag may be, and how many an entry has. */
import { InvalidOptionError } from '../errors.ts';

export const MAX_TAGS = 32;
export const MAX_TAG_BYTES = 128;

const RULE = `strings of 1 to ${MAX_TAG_BYTES} bytes of well-formed UTF-8`;

/** Those of an entry, each once. @throws InvalidOptionError */
export function checkTags(tags: unknown): readonly string[] {
  if (!Array.isArray(tags) || tags.length > MAX_TAGS || !tags.every(isTag)) {
    throw new InvalidOptionError('tags', `at most ${MAX_TAGS} ${RULE}`, tags);
  }
  return [...new Set(tags)];
}

/** Those to be deleted: any number of them. @throws InvalidOptionError */
export function checkTagsToDelete(tags: unknown): readonly string[] {
  const all: unknown = typeof tags === 'string' ? [tags] : tags;
  if (!Array.isArray(all) || !all.every(isTag)) {
    throw new InvalidOptionError('tag', `a tag or an array of tags, ${RULE}`, tags);
  }
  return [...new Set(all)];
}

function isTag(tag: unknown): tag is string {
  if (typeof tag !== 'string' || tag === '') return false;
  // Two lone surrogates would become the same bytes.
  return tag.isWellFormed() && Buffer.byteLength(tag) <= MAX_TAG_BYTES;
}
