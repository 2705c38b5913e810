/**
 * What a process knows of the deleted tags and cleared prefixes of one node,
 * and since when. Pure: where it comes from is the concern of known-tags.ts.
 *
 * For each tag there is one record, which entries in memory refer to. A hit
 * compares the number in it with the entry's own, and looks nothing up.
 */
import type { TagRecord } from '../memory/held.ts';
import type { Sequence } from './sequence.ts';
import type { Invalidation } from './tag-node.ts';

/** What an entry says of itself. */
export interface Begun {
  readonly seq: number;
  readonly tags?: readonly string[] | undefined;
}

/** Records that nothing refers to are dropped when there are twice as many as were needed last, or this many. */
const FEW_RECORDS = 20_000;

/** A delete of this process begins or ends; one that failed is still to be confirmed, or is. */
export interface Expectation {
  readonly underWay?: 1 | -1;
  readonly isLate?: boolean;
}

class Mark implements TagRecord {
  deletedAt: number;
  /** As the node says. */
  #told: number;
  /** Deletes of this process under way, whose number is not known yet. */
  #underWay = 0;
  /** Whether one of them is still to be confirmed. */
  #isLate = false;

  constructor(told: number) {
    this.deletedAt = told;
    this.#told = told;
  }

  tell(seq: number): void {
    this.#told = Math.max(this.#told, seq);
    this.#update();
  }

  expect({ underWay, isLate = this.#isLate }: Expectation): void {
    // What was expected of a node that is not the same any more is settled too.
    this.#underWay = Math.max(0, this.#underWay + (underWay ?? 0));
    this.#isLate = isLate;
    this.#update();
  }

  /** Nothing will tell it any more. */
  end(): void {
    this.deletedAt = Number.POSITIVE_INFINITY;
  }

  #update(): void {
    const isSettled = this.#underWay === 0 && !this.#isLate;
    this.deletedAt = isSettled ? this.#told : Number.POSITIVE_INFINITY;
  }
}

export class TagTable {
  /** All up to here is known. */
  #known: Sequence = { tags: 0, clears: 0 };
  readonly #tags = new Map<string, Mark>();
  /** Every tagged entry that is older counts as deleted. */
  #allTagsAt = 0;
  readonly #prefixes = new Map<string, Mark>();
  #newestClear = 0;
  #limit = FEW_RECORDS;
  readonly #inUse: () => ReadonlySet<TagRecord>;

  /** @param inUse Records that something refers to. */
  constructor(inUse: () => ReadonlySet<TagRecord>) {
    this.#inUse = inUse;
  }

  get known(): Sequence {
    return this.#known;
  }

  covers(sequence: Sequence): boolean {
    return this.#known.tags >= sequence.tags && this.#known.clears >= sequence.clears;
  }

  /** All that came before `known` has been told. */
  reached(known: Sequence): void {
    this.#known = known;
  }

  tell({ kind, name }: Invalidation, seq: number): void {
    if (kind === 'prefix') {
      this.#newestClear = Math.max(this.#newestClear, seq);
      this.#prefix(name).tell(seq);
      if (name === '') this.#forgetPrefixes(seq);
    } else if (name === '') {
      this.#allTagsAt = Math.max(this.#allTagsAt, seq);
      for (const mark of this.#tags.values()) mark.tell(this.#allTagsAt);
    } else {
      this.#tag(name).tell(seq);
    }
  }

  /** Deletes of this process: until all are settled, nothing that hangs on them is valid. */
  expect({ kind, name }: Invalidation, change: Expectation): void {
    if (kind === 'tag') {
      this.#tag(name).expect(change);
      return;
    }
    this.#prefix(name).expect(change);
    let newest = 0;
    for (const { deletedAt } of this.#prefixes.values()) newest = Math.max(newest, deletedAt);
    this.#newestClear = newest;
  }

  /** Whether something an entry hangs on was deleted since its load began. */
  isOvertaken(key: string, { seq, tags }: Begun): boolean {
    if (tags !== undefined) {
      if (seq < this.#allTagsAt) return true;
      for (const tag of tags) {
        const mark = this.#tags.get(tag);
        if (mark !== undefined && mark.deletedAt > seq) return true;
      }
    }
    return seq < this.#newestClear && this.#isCleared(key, seq);
  }

  /** Whether a key begins with something that was cleared after `seq`. Prefixes end where a part of a key does. */
  #isCleared(key: string, seq: number): boolean {
    for (let end = 0; ; ) {
      const mark = this.#prefixes.get(key.slice(0, end));
      if (mark !== undefined && mark.deletedAt > seq) return true;
      end = key.indexOf(':', end) + 1;
      if (end === 0) return false;
    }
  }

  /** For an entry to be held in memory: the records that say whether it is valid still. */
  records(tags: readonly string[]): readonly TagRecord[] {
    if (this.#tags.size >= this.#limit) this.#tidy();
    return tags.map((tag) => this.#tag(tag));
  }

  /** The node is not the one it was: what is known of it is not true any more. */
  forget(): void {
    // Entries in memory refer to them, and nobody will update them.
    for (const mark of this.#tags.values()) mark.end();
    this.#tags.clear();
    this.#prefixes.clear();
    this.#allTagsAt = 0;
    this.#newestClear = 0;
    this.#known = { tags: 0, clears: 0 };
  }

  /** Everything has been cleared since. */
  #forgetPrefixes(before: number): void {
    for (const [name, { deletedAt }] of this.#prefixes) {
      if (deletedAt < before) this.#prefixes.delete(name);
    }
  }

  #prefix(name: string): Mark {
    let mark = this.#prefixes.get(name);
    if (mark === undefined) {
      mark = new Mark(0);
      this.#prefixes.set(name, mark);
    }
    return mark;
  }

  #tag(name: string): Mark {
    let mark = this.#tags.get(name);
    if (mark === undefined) {
      mark = new Mark(this.#allTagsAt);
      this.#tags.set(name, mark);
    }
    return mark;
  }

  // Every tag of every entry that was ever held would stay here.
  #tidy(): void {
    const inUse = this.#inUse();
    for (const [name, mark] of this.#tags) {
      if (mark.deletedAt > this.#allTagsAt || inUse.has(mark)) continue;
      mark.end();
      this.#tags.delete(name);
    }
    this.#limit = Math.max(FEW_RECORDS, 2 * this.#tags.size);
  }
}
