/** What the parts of one history have in common: nodes, documents, the truth, and what is left out on purpose. */
import { Dice, Truth } from './model-steps.ts';
import {
  Control,
  type Document,
  drawOwners,
  type Held,
  type Key,
  ModelNode,
  NODES,
  type NodeName,
} from './ring-model-nodes.ts';

/** A part of the protocol that is left out, or wrong. */
export type Mutation =
  // What a node does.
  /** It serves every epoch. */
  | 'no-fence'
  /** Its script gives itself an epoch when it has none, and requests are sent again. */
  | 'scripts-begin-an-epoch'
  // What a process does.
  /** It looks at no epoch when it finds a value. */
  | 'hits-ignore-the-epoch'
  /** It goes on with the newest document in the midst of an operation. */
  | 'two-documents-in-one-operation'
  /** Its client sends requests again when a connection was lost. */
  | 'requests-sent-again'
  /** A load is stored if nothing is there, without a lease. */
  | 'fill-if-absent'
  /** The background copy stores if nothing is there, without a lease. */
  | 'mover-stores-if-absent'
  /** What was loaded is stored although the source could not be asked. */
  | 'fill-without-the-source'
  /** A fill that was turned away is repeated if the node owns the key again, whoever did between. */
  | 'fill-again-whoever-owned-between'
  /** Deletes go to the new owner alone. */
  | 'delete-at-the-owner-only'
  | 'owner-first-then-source'
  // What is believed.
  /** Everything that a node has. */
  | 'no-continuity'
  /** What a node had before a restart. */
  | 'no-floor'
  /** A change that was taken back interrupts those who owned before it. */
  | 'taking-back-interrupts'
  /** Of a change that was taken back, the new owner is asked for all that it has, as if it had owned before. */
  | 'taken-back-owner-always-owned'
  // What the driver does.
  | 'no-barrier'
  | 'no-barrier-after-taking-back'
  /** The barrier passes over nodes that have no epoch. */
  | 'barrier-skips-emptied-nodes'
  /** What was begun with one change is ended in another one that leads from and to the same rings. */
  | 'barrier-of-another-change';

export interface RingSetup {
  readonly seed: number;
  readonly mutation?: Mutation | undefined;
  /** Share of steps before which a node is restarted. @default 0.01 */
  readonly restarts?: number | undefined;
  /** Share of questions to a source that get no answer. @default 0 */
  readonly silentSources?: number | undefined;
  /** Share of steps before which a driver begins, @default 0.03, at most 8 times */
  readonly changes?: number | undefined;
  /** Share of joint phases that are taken back. @default 0.4 */
  readonly takenBack?: number | undefined;
}

export type Tell = (line: string) => void;

export const NO_COUNTS = {
  ...{ reads: 0, hits: 0, loads: 0, copied: 0, moved: 0, refused: 0 },
  ...{ floors: 0, changes: 0, takenBack: 0 },
};
export type RingCounts = typeof NO_COUNTS;

export class World {
  readonly setup: RingSetup;
  readonly tell: Tell | undefined;
  readonly dice: Dice;
  readonly control: Control;
  readonly truth = new Truth<Key>();
  readonly counts = { ...NO_COUNTS };
  readonly stale: string[] = [];
  /** Under way. */
  readonly writing: { readonly key: Key; readonly isSet: boolean }[] = [];
  readonly #nodes = new Map(NODES.map((name) => [name, new ModelNode()]));
  #tokens = 0;

  constructor(setup: RingSetup, tell: Tell | undefined) {
    this.setup = setup;
    this.tell = tell;
    // Neighbouring seeds make other histories.
    this.dice = new Dice(setup.seed * 7_919);
    this.control = new Control(drawOwners(this.dice));
  }

  has(mutation: Mutation): boolean {
    return this.setup.mutation === mutation;
  }

  node(name: NodeName): ModelNode {
    return this.#nodes.get(name)!;
  }

  newToken(): number {
    this.#tokens += 1;
    return this.#tokens;
  }

  /** What every script does first. A lower epoch of the node is raised. */
  passes(node: ModelNode, epoch: number): boolean {
    if (this.has('no-fence')) return true;
    if (node.epoch === undefined && !this.has('scripts-begin-an-epoch')) return false;
    if (node.epoch !== undefined && node.epoch > epoch) {
      this.counts.refused += 1;
      return false;
    }
    node.epoch = epoch;
    return true;
  }

  /** Whether what the owner has was stored while it saw every set and delete. */
  believes(held: Held | undefined, by: Document, key: Key): held is Held {
    return held !== undefined && this.believesSince(held.stamp, by, key);
  }

  believesSince(stamp: number, by: Document, key: Key): boolean {
    const owner = by.owners[key];
    if (stamp < by.floors[owner]) return false;
    return this.has('no-continuity') || stamp >= this.#heldSince(by.epoch, key, owner);
  }

  /** The same of the source, in a joint phase. */
  believesSource(held: Held | undefined, by: Document, key: Key): held is Held {
    const source = by.sources?.[key];
    if (source === undefined || held === undefined) return false;
    if (held.stamp < by.floors[source]) return false;
    return this.has('no-continuity') || held.stamp >= this.#sourceSince(by, key, source);
  }

  #sourceSince({ epoch, takesBack }: Document, key: Key, source: NodeName): number {
    const { documents } = this.control;
    const interrupts = this.has('taking-back-interrupts');
    let from = epoch;
    if (interrupts || (takesBack && this.has('taken-back-owner-always-owned'))) {
      while (from > 0 && documents[from]!.sources !== undefined) from -= 1;
      if (interrupts && documents[from]!.owners[key] !== source) return Number.POSITIVE_INFINITY;
      while (from > 0 && documents[from]!.owners[key] !== source) from -= 1;
    }
    return this.#heldSince(from, key, source);
  }

  /**
   * Since when a node has seen every set and delete of a key: as its owner, or
   * as the source that is asked besides. A change that is taken back leaves it
   * both, one after the other.
   */
  #heldSince(epoch: number, key: Key, node: NodeName): number {
    const { documents } = this.control;
    let since = epoch;
    while (since > 0) {
      const { owners, sources } = documents[since - 1]!;
      const isSource = sources?.[key] === node && !this.has('taking-back-interrupts');
      if (owners[key] !== node && !isSource) break;
      since -= 1;
    }
    return since;
  }
}
