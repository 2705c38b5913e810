/** A node: one lock, the newest view it knows, and the scripts that read and change both in one step. */
import { TTL_MS } from './ring-model-setup.ts';
import type { VirtualTime } from './ring-model-time.ts';

export const NODE_NAMES = ['A', 'B', 'C', 'D'] as const;
export type NodeName = (typeof NODE_NAMES)[number];

/** The ring between two changes: who is in it, and where the lock belongs. */
export interface Era {
  readonly members: readonly NodeName[];
  readonly home: NodeName;
}

/** What a node or a process takes the ring to be. A higher epoch replaces a lower one. */
export interface View {
  readonly epoch: number;
  /** Whose majority confirms the view. */
  readonly members: readonly NodeName[];
  /** Where a lock is taken, on each of them: the owners in all eras that still count, oldest first. */
  readonly homes: readonly NodeName[];
}

export function viewOf(epoch: number, eras: readonly Era[]): View {
  return {
    epoch,
    members: NODE_NAMES.filter((name) => eras.some(({ members }) => members.includes(name))),
    // A set keeps the order of what comes first.
    homes: [...new Set(eras.map(({ home }) => home))],
  };
}

export type LockAnswer =
  | { readonly kind: 'granted' }
  | { readonly kind: 'busy' }
  | { readonly kind: 'not-yours' }
  | { readonly kind: 'stale-view'; readonly newer: View }
  /** The node knows no view, and so cannot tell whether the asker's is the newest. */
  | { readonly kind: 'no-view' };

const GRANTED: LockAnswer = { kind: 'granted' };

/** What the node does with the view that a command carries. */
export interface ViewRules {
  readonly refusesOldToAcquire: boolean;
  readonly refusesOldToRenew: boolean;
  /** A newer view than the node's is the node's from then on. */
  readonly learnsFromClients: boolean;
}

export class ModelNode {
  readonly name: NodeName;
  view: View | undefined;
  #lock: { readonly token: string; expiresAtMs: number } | undefined;
  readonly #time: VirtualTime;
  readonly #rules: ViewRules;

  constructor(name: NodeName, time: VirtualTime, rules: ViewRules) {
    this.name = name;
    this.#time = time;
    this.#rules = rules;
  }

  /** Takes the lock, or, with the same token, takes it again: a lost answer must not block its asker. */
  acquire(token: string, view: View): LockAnswer {
    const refusal = this.#refusal(view, this.#rules.refusesOldToAcquire);
    if (refusal !== undefined) return refusal;
    const holder = this.#holder();
    if (holder !== undefined && holder !== token) return { kind: 'busy' };
    this.#lock = { token, expiresAtMs: this.#time.nowMs + TTL_MS };
    return GRANTED;
  }

  /** Lengthens a lock that is there. It never takes one: who lost a lock must hear of it. */
  renew(token: string, view: View): LockAnswer {
    const refusal = this.#refusal(view, this.#rules.refusesOldToRenew);
    if (refusal !== undefined) return refusal;
    if (this.#holder() !== token) return { kind: 'not-yours' };
    this.#lock = { token, expiresAtMs: this.#time.nowMs + TTL_MS };
    return GRANTED;
  }

  release(token: string): void {
    if (this.#holder() === token) this.#lock = undefined;
  }

  /** From here on, no older view gets anything. */
  seal(view: View): void {
    if (this.view === undefined || this.view.epoch < view.epoch) this.view = view;
  }

  #holder(): string | undefined {
    if (this.#lock !== undefined && this.#lock.expiresAtMs <= this.#time.nowMs) {
      this.#lock = undefined;
    }
    return this.#lock?.token;
  }

  #refusal(view: View, isStrict: boolean): LockAnswer | undefined {
    if (isStrict) {
      if (this.view === undefined) return { kind: 'no-view' };
      if (this.view.epoch > view.epoch) return { kind: 'stale-view', newer: this.view };
    }
    if (this.#rules.learnsFromClients) this.seal(view);
    return undefined;
  }
}
