/**
 * Judges the entries of one node by their tags and prefixes, with what is
 * known of it here; and asks for the news when that is not enough.
 *
 * Every read brings the node's sequence along, in the same step. It says
 * whether this process knows all that was deleted there before:
 *
 *     entry not older than the sequence → nothing was deleted since: valid
 *     sequence not newer than the table → the table decides
 *     else → the news are fetched first
 *
 * So a read that begins after a tag was deleted never shows an entry of
 * before, whether or not a message about it has arrived.
 */
import { type Clock, within } from '../clock.ts';
import type { NodeUnavailableError } from '../errors.ts';
import type { TagRecord } from '../memory/held.ts';
import { newestOf, type Sequence } from './sequence.ts';
import type { Holding, Invalidation } from './tag-node.ts';
import { type Begun, type Expectation, TagTable } from './tag-table.ts';

/** What has been deleted since, in the order in which it was. */
export interface News {
  /** As it is now. Undefined when there is more, which is to be asked for. */
  readonly sequence: Sequence | undefined;
  readonly told: readonly (Invalidation & { readonly seq: number })[];
}

export interface TagHost {
  /** Records that entries in memory refer to. */
  recordsInUse(): ReadonlySet<TagRecord>;
  /** Keys of this node have been cleared: those that are held in memory are to go, if they were begun before. */
  cleared(node: string, isCleared: (key: string, seq: number) => boolean): void;
  /** Something was deleted, and nobody knows what: nothing that is held may be shown. */
  uncertain(node: string): void;
}

export interface KnownTagsParts {
  readonly node: string;
  readonly clock: Clock;
  readonly host: TagHost;
  /** What came after `since`. Rejects with `NodeUnavailableError`. */
  readonly fetch: (since: Sequence) => Promise<News>;
  readonly late: () => NodeUnavailableError;
}

/** An entry that was found, and is to be judged. */
export interface Judged extends Begun {
  overtaken: boolean;
}

/** Hot path: whether something was deleted since an entry was begun that may concern it. */
export function isInQuestion({ seq, tags }: Begun, at: Sequence): boolean {
  return seq < at.clears || (tags !== undefined && seq < at.tags);
}

/** News may be overtaken by newer ones while they are fetched. */
const ROUNDS = 5;

/** The node is not the one it was. */
function isOlder(now: Sequence, before: Sequence): boolean {
  return now.tags < before.tags || now.clears < before.clears;
}

export class KnownTags {
  readonly #parts: KnownTagsParts;
  readonly #table: TagTable;
  #fetching: Promise<void> | undefined;
  /** What stood at the node when it was last looked at. */
  #seen: Sequence | undefined;
  /** How often the table was begun anew. */
  #begun = 0;

  constructor(parts: KnownTagsParts) {
    this.#parts = parts;
    this.#table = new TagTable(() => parts.host.recordsInUse());
  }

  get sequence(): number {
    return newestOf(this.#seen ?? this.#table.known);
  }

  /** Hot path, once for a batch: what stands at the node; undefined when it has lost it. */
  seen(sequence: Sequence | undefined): Sequence {
    if (sequence === undefined) return this.#lost();
    const before = this.#seen;
    if (sequence === before) return sequence;
    this.#seen = sequence;
    // Of what was deleted before the first look nothing is held that would be shown.
    if (before === undefined || this.#table.covers(sequence)) return sequence;
    if (isOlder(sequence, before)) this.#forget();
    this.refresh();
    return sequence;
  }

  /** More than is known: whoever needs it asks the node, which begins anew. */
  #lost(): Sequence {
    this.refresh();
    const { tags, clears } = this.#seen ?? this.#table.known;
    const { known } = this.#table;
    return { tags: Math.max(tags, known.tags) + 1, clears: Math.max(clears, known.clears) + 1 };
  }

  /** Judges at once, if that can be done; says whether it could. */
  judge(key: string, entry: Judged, at: Sequence): boolean {
    if (!isInQuestion(entry, at)) return true;
    if (!this.#table.covers(at)) return false;
    entry.overtaken = this.#table.isOvertaken(key, entry);
    return true;
  }

  /** Fetches the news until all is known that came before `at`. @throws NodeUnavailableError */
  reach(at: Sequence, leftMs: number): Promise<void> {
    const { clock, late } = this.#parts;
    return within(this.#reach(at), leftMs, { clock, late });
  }

  /** For what waited for the news. */
  judgeNow(key: string, entry: Judged): void {
    entry.overtaken = this.#table.isOvertaken(key, entry);
  }

  async #reach(at: Sequence): Promise<void> {
    for (let round = 0; !this.#table.covers(at); round++) {
      if (round === ROUNDS) throw this.#parts.late();
      await this.#fetch();
    }
  }

  /** Looks for news behind what goes on. */
  refresh(): void {
    const { node, host } = this.#parts;
    // Who reads asks again; what is held does not.
    this.#fetch().catch(() => host.uncertain(node));
  }

  /** All of the news, of a node that is not in use yet: ten thousand names take longer than one read may. */
  async learn(fetch: KnownTagsParts['fetch']): Promise<void> {
    await this.#fetching?.catch(() => {});
    await this.#fetch(fetch);
  }

  #fetch(fetch = this.#parts.fetch): Promise<void> {
    this.#fetching ??= this.#fetchAll(fetch).finally(() => {
      this.#fetching = undefined;
    });
    return this.#fetching;
  }

  async #fetchAll(fetch: KnownTagsParts['fetch']): Promise<void> {
    const begun = this.#begun;
    let { tags, clears } = this.#table.known;
    for (;;) {
      const { sequence, told } = await fetch({ tags, clears });
      // What came before was told to a table that is gone.
      if (begun !== this.#begun) return;
      this.#take(told);
      for (const { kind, seq } of told) {
        if (kind === 'tag') tags = Math.max(tags, seq);
        else clears = Math.max(clears, seq);
      }
      if (sequence === undefined) continue;
      if (isOlder(sequence, this.#table.known)) {
        this.#forget();
        return;
      }
      this.#table.reached(sequence);
      return;
    }
  }

  #take(told: News['told']): void {
    for (const one of told) this.#table.tell(one, one.seq);
    if (told.some(isPrefix)) this.#sweep();
  }

  #sweep(): void {
    const { node, host } = this.#parts;
    host.cleared(node, (key, seq) => this.#table.isOvertaken(key, { seq }));
  }

  holding(key: string, entry: Begun): Holding | undefined {
    if (this.#table.isOvertaken(key, entry)) return undefined;
    const { seq, tags } = entry;
    return { seq, records: tags === undefined ? undefined : this.#table.records(tags) };
  }

  expect(all: readonly Invalidation[], change: Expectation): void {
    for (const one of all) this.#table.expect(one, change);
    if (change.underWay === 1 && all.some(isPrefix)) this.#sweep();
  }

  /** The node has confirmed it. */
  tell(all: readonly Invalidation[], seq: number): void {
    this.#take(all.map((one) => ({ ...one, seq })));
  }

  // Restored from an old snapshot, or begun anew by a clock that was set back.
  #forget(): void {
    this.#begun++;
    this.#table.forget();
    this.#parts.host.uncertain(this.#parts.node);
  }
}

function isPrefix({ kind }: Invalidation): boolean {
  return kind === 'prefix';
}
