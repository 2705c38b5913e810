/** The network that falls in two, the nodes, the documents, and what is left out on purpose. */
import { Dice, type Steps, Truth } from './model-steps.ts';

export const NODES = ['A', 'B', 'C', 'D'] as const;
export type NodeName = (typeof NODES)[number];
export type Peer = 'driver' | `client ${number}` | NodeName;
/** One is enough: what can go wrong goes wrong key by key. */
export const KEY = 'key';

/** A part of the protocol that is left out, or wrong. */
export type Mutation =
  // What a process does.
  /** It uses what it knows, however long ago it heard that this is the newest. */
  | 'no-view-lease'
  /** It is enough to have heard from one node. */
  | 'one-answer-is-enough'
  /** In a joint phase, it is enough to have heard from half of the nodes of both rings together. */
  | 'half-of-both-together'
  // What the driver does.
  /** It goes on without a node that it could not raise. */
  | 'no-wait'
  /** It waits as well when it has raised half of them or less. */
  | 'half-is-most'
  /** It waits from when the change was decided. */
  | 'wait-from-the-decision';

export interface PartitionSetup {
  readonly seed: number;
  readonly mutation?: Mutation | undefined;
  /** The rings, one after the other. @default drawn */
  readonly rings?: readonly Ring[] | undefined;
  /** Who is apart, from some time in the first change on. @default drawn, at times that are drawn */
  readonly side?: readonly Peer[] | undefined;
}

/** Time is counted in steps of the whole. */
export const VIEW_LEASE = 300;
/** A request that was answered later is as good as lost. */
export const BUDGET = 60;

export interface Ring {
  readonly members: readonly NodeName[];
  readonly owner: NodeName;
}

export interface Document {
  readonly epoch: number;
  readonly ring: Ring;
  readonly source: Ring | undefined;
}

export interface PartitionNode {
  document: Document;
  held: { readonly version: number; readonly stamp: number } | undefined;
  lease: number | undefined;
}

export const NO_COUNTS = { reads: 0, hits: 0, loads: 0, copied: 0, closed: 0, closedEarly: 0 };
export type PartitionCounts = typeof NO_COUNTS;

export class PartitionWorld {
  readonly setup: PartitionSetup;
  readonly tell: ((line: string) => void) | undefined;
  readonly dice: Dice;
  readonly truth = new Truth<typeof KEY>();
  readonly counts = { ...NO_COUNTS };
  readonly stale: string[] = [];
  /** All that were ever decided, by epoch. The driver alone knows the last of them. */
  readonly documents: Document[];
  now = 0;
  /** When the newest document was. */
  decidedAt = 0;
  readonly #nodes: ReadonlyMap<NodeName, PartitionNode>;
  #apart: ReadonlySet<Peer> = new Set();
  #tokens = 0;
  #drawn = 0;

  constructor(setup: PartitionSetup, tell: ((line: string) => void) | undefined) {
    this.setup = setup;
    this.tell = tell && ((line) => tell(`${String(this.now).padStart(5)}  ${line}`));
    this.dice = new Dice(setup.seed * 7_919);
    const document = { epoch: 0, ring: this.drawRing(), source: undefined };
    this.documents = [document];
    const empty = () => ({ document, held: undefined, lease: undefined });
    this.#nodes = new Map(NODES.map((name) => [name, empty()]));
  }

  has(mutation: Mutation): boolean {
    return this.setup.mutation === mutation;
  }

  newToken(): number {
    this.#tokens += 1;
    return this.#tokens;
  }

  drawRing(): Ring {
    const given = this.setup.rings?.[this.#drawn++];
    if (given !== undefined) return given;
    const members = this.dice.shuffled(NODES).slice(0, this.dice.oneOf([2, 3, 3, 4]));
    return { members, owner: this.dice.oneOf(members) };
  }

  split(peers: Iterable<Peer>): void {
    this.#apart = new Set(peers);
    this.tell?.(`apart are: ${[...this.#apart].join(', ') || 'none'}`);
  }

  get isSplit(): boolean {
    return this.#apart.size > 0;
  }

  /** Undefined: no answer, or none in time. */
  *ask<T>(from: Peer, to: NodeName, act: (node: PartitionNode) => T): Steps<T | undefined> {
    const sentAt = this.now;
    yield* this.#way();
    if (this.#apart.has(from) !== this.#apart.has(to)) return undefined;
    const answer = act(this.#nodes.get(to)!);
    yield* this.#way();
    const isLate = this.now - sentAt > BUDGET;
    return isLate || this.#apart.has(from) !== this.#apart.has(to) ? undefined : answer;
  }

  *#way(): Steps {
    const untilAt = this.now + (this.dice.happens(0.15) ? this.dice.between(0, BUDGET) : 0);
    do yield;
    while (this.now < untilAt);
  }

  /** Whether `node` has seen every delete since `stamp`: as owner, or as source. */
  hasSeenAllSince(stamp: number, by: Document, node: NodeName): boolean {
    let { epoch } = by;
    while (epoch > 0) {
      const { ring, source } = this.documents[epoch - 1]!;
      if (ring.owner !== node && source?.owner !== node) break;
      epoch -= 1;
    }
    return stamp >= epoch;
  }
}

/** What every script does first. */
export function passes(node: PartitionNode, document: Document): boolean {
  if (node.document.epoch > document.epoch) return false;
  node.document = document;
  return true;
}
