/** The nodes of the model, and the documents that they are raised to. */
import type { Dice } from './model-steps.ts';

export const NODES = ['A', 'B', 'C'] as const;
export type NodeName = (typeof NODES)[number];
export const KEYS = ['one', 'two'] as const;
export type Key = (typeof KEYS)[number];

export type Owners = Readonly<Record<Key, NodeName>>;

/** What a ring is here: an owner for each key, drawn anew with every change. */
export function drawOwners(dice: Dice): Owners {
  return { one: dice.oneOf(NODES), two: dice.oneOf(NODES) };
}

export interface Held {
  readonly version: number;
  /** The epoch of the document by which it was stored. */
  readonly stamp: number;
}

interface Content {
  readonly epoch: number | undefined;
  readonly values: ReadonlyMap<Key, Held>;
  readonly leases: ReadonlyMap<Key, number>;
}

const NOTHING: Content = { epoch: undefined, values: new Map(), leases: new Map() };

export class ModelNode {
  /** Another one after each restart. */
  run = 1;
  epoch: number | undefined = 0;
  values = new Map<Key, Held>();
  /** Who may store a key: a token. */
  leases = new Map<Key, number>();
  #saved = NOTHING;

  save(): void {
    const { epoch, values, leases } = this;
    this.#saved = { epoch, values: new Map(values), leases: new Map(leases) };
  }

  /** With what was saved last, or with nothing. */
  restart(fromSaved: boolean): void {
    const { epoch, values, leases } = fromSaved ? this.#saved : NOTHING;
    this.run += 1;
    this.epoch = epoch;
    this.values = new Map(values);
    this.leases = new Map(leases);
  }

  raise(epoch: number): void {
    this.epoch = Math.max(epoch, this.epoch ?? epoch);
  }

  /** Value and lease, so that nothing which is being loaded is stored. */
  remove(key: Key): void {
    this.values.delete(key);
    this.leases.delete(key);
  }
}

export interface Document {
  readonly epoch: number;
  readonly owners: Owners;
  /** The owners before, which are asked as well; undefined while the ring is stable. */
  readonly sources: Owners | undefined;
  /** What a node had before its floor is not believed. */
  readonly floors: Readonly<Record<NodeName, number>>;
  /** The runs of the nodes for which that is so. */
  readonly runs: Readonly<Record<NodeName, number>>;
  /** The epoch of the change that it belongs to: floors are raised within one. */
  readonly change: number;
  /** Whether its joint phase takes back the one before. */
  readonly takesBack: boolean;
}

export type Step = Partial<Pick<Document, 'owners' | 'sources' | 'takesBack'>>;

/** The node that decides which document comes next. It is never silent here. */
export class Control {
  readonly documents: Document[] = [];

  constructor(owners: Owners) {
    const [floors, runs] = [
      { A: 0, B: 0, C: 0 },
      { A: 1, B: 1, C: 1 },
    ];
    const first = { owners, sources: undefined, floors, runs, change: 0, takesBack: false };
    this.documents.push({ epoch: 0, ...first });
  }

  get newest(): Document {
    return this.documents.at(-1)!;
  }

  /** Compares and sets. A floor that was raised since does not matter, another change does. */
  propose(base: Document, step: Step): boolean {
    if (this.newest.change !== base.change) return false;
    const epoch = this.documents.length;
    this.documents.push({ ...this.newest, ...step, epoch, change: epoch });
    return true;
  }

  /** What `node` had before this run is not believed. */
  raiseFloor(node: NodeName, run: number, isBelieved: boolean): void {
    const { newest } = this;
    if (newest.runs[node] === run) return;
    const epoch = this.documents.length;
    const floors = isBelieved ? newest.floors : { ...newest.floors, [node]: epoch };
    this.documents.push({ ...newest, epoch, floors, runs: { ...newest.runs, [node]: run } });
  }
}
