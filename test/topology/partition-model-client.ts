/** A process that goes by what it knows for as long as half of the nodes confirm it. */
import { dawdle, type Steps } from './model-steps.ts';
import {
  type Document,
  KEY,
  type NodeName,
  type PartitionNode,
  type PartitionWorld,
  type Peer,
  passes,
  type Ring,
  VIEW_LEASE,
} from './partition-model-world.ts';

const ATTEMPTS = 4;

/** A node's answer to a script: what it gave, or that it knows of something newer. */
type Answer<T> = { readonly kind: 'done'; readonly value: T } | { readonly kind: 'stale' };

export class PartitionClient {
  readonly #name: Peer;
  readonly #world: PartitionWorld;
  #document: Document;
  readonly #heardAt = new Map<NodeName, number>();

  constructor(name: Peer, world: PartitionWorld) {
    this.#name = name;
    this.#world = world;
    this.#document = world.documents[0]!;
  }

  /** Asks the nodes, one after the other, whether they know anything newer. */
  *confirm(): Steps {
    const { ring, source } = this.#document;
    for (const name of new Set([...ring.members, ...(source?.members ?? [])])) {
      yield* this.#ask(name, () => undefined);
    }
  }

  *read(): Steps {
    const world = this.#world;
    const floor = world.truth.acknowledged(KEY);
    world.counts.reads += 1;
    let version: number | undefined;
    for (let i = 0; i < ATTEMPTS && version === undefined; i++) {
      version = yield* this.#attempt();
    }
    if (version === undefined) {
      yield; // loaded, and not stored
      version = world.truth.load(KEY);
    }
    world.tell?.(`${this.#name} has read ${version}, epoch ${this.#document.epoch}`);
    if (version < floor) world.stale.push(`${this.#name} read ${version} after ${floor}`);
  }

  /** Acknowledged if the source and then the owner have confirmed it. */
  *remove(): Steps {
    const { truth, tell } = this.#world;
    yield;
    const version = truth.raise(KEY);
    for (let i = 0; i < ATTEMPTS; i++) {
      if (!(yield* this.#removeOnce())) continue;
      truth.acknowledge(KEY, version);
      tell?.(`${this.#name}: ${version} is acknowledged, epoch ${this.#document.epoch}`);
      return;
    }
  }

  *#removeOnce(): Steps<boolean> {
    const document = this.#document;
    const places = new Set([document.source?.owner ?? document.ring.owner, document.ring.owner]);
    for (const name of places) {
      const answer = yield* this.#script(name, document, (node) => {
        node.held = undefined;
        node.lease = undefined;
      });
      if (answer?.kind !== 'done') return false;
    }
    return true;
  }

  *#attempt(): Steps<number | undefined> {
    const world = this.#world;
    const document = this.#document;
    const { owner } = document.ring;
    const token = world.newToken();
    const found = yield* this.#script(owner, document, (node) => {
      const { held } = node;
      if (held !== undefined && world.hasSeenAllSince(held.stamp, document, owner)) return held;
      node.lease ??= token;
      return undefined;
    });
    if (found?.kind !== 'done') return undefined;
    if (found.value !== undefined) {
      world.counts.hits += 1;
      return found.value.version;
    }
    return yield* this.#obtain(document, token);
  }

  /** Copied from the source, or loaded; stored if the lease is ours. */
  *#obtain(document: Document, token: number): Steps<number> {
    const world = this.#world;
    const { owner } = document.ring;
    const source = document.source?.owner ?? owner;
    let version: number | undefined;
    let mayStore = true;
    if (source !== owner) {
      const copied = yield* this.#script(source, document, ({ held }) => held);
      const held = copied?.kind === 'done' ? copied.value : undefined;
      mayStore = copied?.kind === 'done';
      const isValid = held !== undefined && world.hasSeenAllSince(held.stamp, document, source);
      if (isValid) version = held.version;
      world.counts.copied += Number(isValid);
    }
    if (version === undefined) {
      yield;
      version = world.truth.load(KEY);
      world.counts.loads += 1;
    }
    yield* dawdle(world.dice);
    if (!mayStore) return version;
    const held = { version, stamp: document.epoch };
    yield* this.#script(owner, document, (node) => {
      if (node.lease !== token) return;
      node.held = held;
      node.lease = undefined;
    });
    return version;
  }

  /** A script of a node, unless what this process knows may be old. Takes up what the node knows. */
  *#script<T>(
    name: NodeName,
    document: Document,
    act: (node: PartitionNode) => T,
  ): Steps<Answer<T> | undefined> {
    if (!this.#trusts()) {
      const before = this.#document;
      yield* this.confirm();
      // What it trusts now may be another document than the one that this is about.
      if (!this.#trusts() || this.#document !== before) return undefined;
    }
    return yield* this.#ask(name, (node): Answer<T> => {
      return passes(node, document) ? { kind: 'done', value: act(node) } : { kind: 'stale' };
    });
  }

  *#ask<T>(name: NodeName, act: (node: PartitionNode) => T): Steps<T | undefined> {
    const world = this.#world;
    const askedAt = world.now;
    const told = yield* world.ask(this.#name, name, (node) => {
      return { answer: act(node), document: node.document };
    });
    if (told === undefined) return undefined;
    const { answer, document } = told;
    if (document.epoch > this.#document.epoch) {
      this.#document = document;
      world.tell?.(`${this.#name} takes up epoch ${document.epoch}, told by ${name}`);
    }
    // It knows nothing newer than what this process knows now.
    if (document.epoch === this.#document.epoch) this.#heardAt.set(name, askedAt);
    return answer;
  }

  #trusts(): boolean {
    const world = this.#world;
    const { ring, source } = this.#document;
    if (world.has('no-view-lease')) return true;
    if (source === undefined) return this.#hearsHalfOf(ring.members);
    if (world.has('half-of-both-together')) {
      return this.#hearsHalfOf([...new Set([...ring.members, ...source.members])]);
    }
    return this.#hearsHalfOf(ring.members) && this.#hearsHalfOf(source.members);
  }

  #hearsHalfOf(members: Ring['members']): boolean {
    const { now } = this.#world;
    const heard = members.filter(
      (name) => now - (this.#heardAt.get(name) ?? -VIEW_LEASE - 1) <= VIEW_LEASE,
    );
    const enough = this.#world.has('one-answer-is-enough') ? 1 : Math.ceil(members.length / 2);
    return heard.length >= enough;
  }
}
