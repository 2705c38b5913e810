/** What the memory of a process holds, and what is said of it: see memory.ts. */

/** A node, as far as its entries are concerned. */
export interface Source {
  readonly node: string;
  /** How often its entries were dropped. */
  generation: number;
  /** Until when what is here may be shown, if it tells of changes; undefined: it does not. */
  trustedUntil: number | undefined;
  lineage: Lineage | undefined;
}

/** All entries of one node, between two changes of owners. */
export interface Lineage {
  readonly source: Source;
  /** That of the source when it began. */
  readonly generation: number;
  /** How often owners had changed when it began. */
  readonly era: number;
  /** Until when its entries may be shown; undefined: each has a life of its own. */
  trustedUntil: number | undefined;
  /** Whether its entries may be shown without another look. */
  standing: boolean;
}

/** A write of this process that is under way, or was just now. */
export interface OwnWrite {
  readonly key: string;
  /** How often a change of the key was told since. */
  told: number;
  /** Whether the key was forgotten since, or nobody knows what was told. */
  void: boolean;
}

/** When a tag was last deleted, as a sequence of the node; larger than any while nobody knows. */
export interface TagRecord {
  readonly deletedAt: number;
}

export interface Held {
  readonly value: unknown;
  lineage: Lineage;
  /** Of its tags; undefined when it has none. */
  readonly records: readonly TagRecord[] | undefined;
  /** The sequence under which it began: what was deleted later concerns it. */
  readonly seq: number;
  /** Whether a write of our own is to be told still. */
  ownUntold: boolean;
  /** When it was put, whole milliseconds: how old it was, and for how long it was fresh still at its node. */
  readonly ageMs: number;
  readonly forMs: number;
}

/** A value, how old it is, and for how long it is fresh still at its node. */
export interface Look {
  readonly value: unknown;
  readonly ageMs: number;
  readonly freshForMs: number;
}

export interface Arrival {
  readonly node: string;
  readonly hash: number;
  /** Taken before it was asked for; or our own write of it. */
  readonly ticket: number | OwnWrite;
  /** What is left of its life at the node. */
  readonly forMs: number;
  /** How long ago the node was asked, or the load began. */
  readonly agedMs: number;
  /** Whether the node does not have it, so that it tells nothing of a delete. */
  readonly notAtNode?: boolean;
  /** How old the value is; absent when it is new. */
  readonly valueAgeMs?: number | undefined;
  readonly bytes: number;
  /** Of its tags, and the sequence of the node under which it began. */
  readonly records?: readonly TagRecord[] | undefined;
  readonly seq?: number;
}
