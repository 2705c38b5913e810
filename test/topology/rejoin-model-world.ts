/** A node that goes away and comes back, its two guardians, and what is between them and each process. */
import { Dice, Truth } from './model-steps.ts';

export const KEYS = ['one', 'two'] as const;
export type Key = (typeof KEYS)[number];
/** The node has all keys. The guardians keep what it missed. */
export const NODE = 'node';
export const GUARDIANS = ['guardian', 'second guardian'] as const;
export type Name = typeof NODE | (typeof GUARDIANS)[number];
export const NAMES: readonly Name[] = [NODE, ...GUARDIANS];

/** A part of the protocol that is left out, or wrong. */
export type Mutation =
  // Of a restart.
  /** What a node had before its restart is believed. */
  | 'no-floor'
  // Of a delete that was not confirmed.
  | 'no-list'
  /** It is noted when the node has been tried again. */
  | 'noted-after-the-retry'
  /** Once it is noted, the node is not tried again. */
  | 'no-retry'
  // Of the admission.
  | 'list-not-applied'
  /** The list is read, then the connection is made. */
  | 'list-read-before-connecting'
  /** The node is used while what it missed is being removed. */
  | 'used-before-it-is-applied'
  /** What was applied is taken off by its key, whether or not it was noted again meanwhile. */
  | 'taken-off-by-key'
  /** When no guardian answers, nothing is taken to have been missed. */
  | 'silence-means-nothing-was-missed';

/** What happens to the guardians. */
export type GuardianFaults =
  | 'none'
  /** One goes away, comes back, perhaps empty, and goes again: always the same one. */
  | 'one'
  /** Now the one, now the other, never both at once. */
  | 'in turn';

export interface RejoinSetup {
  readonly seed: number;
  readonly mutation?: Mutation | undefined;
  /** Share of steps before which the node goes away. @default 0.02 */
  readonly outages?: number | undefined;
  /** Share of steps before which it comes back. @default 0.1 */
  readonly returns?: number | undefined;
  /** Share of outages that are crashes. @default 0.3 */
  readonly crashes?: number | undefined;
  /** Share of steps before which the network of one process is cut or healed. @default 0.02 */
  readonly cuts?: number | undefined;
  /** @default 'one' */
  readonly guardians?: GuardianFaults | undefined;
  /** Whether all guardians have to answer, or nothing that the node has is believed. @default false */
  readonly asksAll?: boolean | undefined;
}

export interface Held {
  readonly version: number;
  readonly stamp: number;
}

interface Content {
  readonly values: ReadonlyMap<Key, Held>;
  readonly leases: ReadonlyMap<Key, number>;
}

export class RejoinNode {
  isUp = true;
  run = 1;
  values = new Map<Key, Held>();
  leases = new Map<Key, number>();
  /** What the other node missed, with a mark for each time that it was noted. */
  readonly missed = new Map<Key, number>();
  #saved: Content = { values: new Map(), leases: new Map() };
  #crashed = false;

  save(): void {
    this.#saved = { values: new Map(this.values), leases: new Map(this.leases) };
  }

  goAway(crashed: boolean): void {
    this.isUp = false;
    this.#crashed = crashed;
  }

  /** As it was, or after a crash with what was saved. A list is not saved. */
  comeBack(): void {
    this.isUp = true;
    if (!this.#crashed) return;
    this.run += 1;
    this.values = new Map(this.#saved.values);
    this.leases = new Map(this.#saved.leases);
    this.missed.clear();
  }
}

/** A delete that the node did not confirm, and what may be relied on since. */
export interface Unconfirmed {
  readonly key: Key;
  readonly version: number;
  /** Whoever connected later must not read anything older. */
  readonly since: number;
  /** The guardians that have it, each with its run: another one has it no more. */
  readonly noted: ReadonlyMap<Name, number>;
}

export const NO_COUNTS = {
  ...{ reads: 0, hits: 0, loads: 0, floors: 0, noted: 0, applied: 0 },
  /** Reads of what a note was about that no guardian told the reader of. */
  untold: 0,
};
export type RejoinCounts = typeof NO_COUNTS;

export class RejoinWorld {
  readonly setup: RejoinSetup;
  readonly tell: ((line: string) => void) | undefined;
  readonly dice: Dice;
  readonly truth = new Truth<Key>();
  readonly counts = { ...NO_COUNTS };
  readonly stale: string[] = [];
  readonly unconfirmed: Unconfirmed[] = [];
  /** Of the document: below it, and of an earlier run, nothing is believed. */
  floor = 0;
  epoch = 0;
  run = 1;
  readonly #nodes = new Map(NAMES.map((name) => [name, new RejoinNode()]));
  #moment = 0;

  constructor(setup: RejoinSetup, tell: ((line: string) => void) | undefined) {
    this.setup = setup;
    this.tell = tell;
    this.dice = new Dice(setup.seed * 7_919);
  }

  has(mutation: Mutation): boolean {
    return this.setup.mutation === mutation;
  }

  node(name: Name): RejoinNode {
    return this.#nodes.get(name)!;
  }

  /** Later than all that were asked for before. */
  moment(): number {
    this.#moment += 1;
    return this.#moment;
  }

  raiseFloor(): void {
    if (this.has('no-floor')) return;
    this.epoch += 1;
    this.floor = this.epoch;
    this.counts.floors += 1;
  }
}
