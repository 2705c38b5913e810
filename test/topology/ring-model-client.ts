/** A process: what it knows, and how it reads, writes and copies. */
import { dawdle, type Steps } from './model-steps.ts';
import type { Document, Key, ModelNode, NodeName } from './ring-model-nodes.ts';
import type { World } from './ring-model-world.ts';

/** Attempts of a read, each by one document, before it loads and stores nothing. */
const READ_ATTEMPTS = 6;

/** A request that is sent on it fails when the node has been restarted since. */
interface Link {
  readonly name: NodeName;
  readonly node: ModelNode;
  readonly run: number;
}

interface Loading {
  readonly key: Key;
  readonly document: Document;
  readonly link: Link;
  readonly token: number | undefined;
}

export class RingClient {
  document: Document;
  readonly #name: string;
  readonly #world: World;
  /** The run of each node to which it is connected. */
  readonly #runs: Record<NodeName, number> = { A: 1, B: 1, C: 1 };

  constructor(name: string, world: World) {
    this.#name = name;
    this.#world = world;
    this.document = world.control.newest;
  }

  refresh(): void {
    this.document = this.#world.control.newest;
  }

  *read(key: Key): Steps {
    const { truth, counts, stale, tell } = this.#world;
    const floor = truth.acknowledged(key);
    counts.reads += 1;
    let version: number | undefined;
    for (let i = 0; i < READ_ATTEMPTS && version === undefined; i++) {
      version = yield* this.#attempt(key);
    }
    if (version === undefined) {
      yield;
      version = truth.load(key);
    }
    tell?.(`${this.#name} has read ${key}: ${version}`);
    if (version < floor) stale.push(`${this.#name} read ${key}: ${version} after ${floor}`);
  }

  /**
   * A set, or a delete. Source first, then owner: the other way round, a read
   * between copies the old value over.
   */
  *write(key: Key, isSet: boolean): Steps {
    const { truth, tell, writing } = this.#world;
    // Of a set and what is written at the same time, either may be the last.
    const isBusy = (): boolean => writing.some((one) => one.key === key && (isSet || one.isSet));
    while (isBusy()) yield;
    const own = { key, isSet };
    writing.push(own);
    yield;
    const version = truth.raise(key);
    tell?.(`${this.#name} ${isSet ? 'sets' : 'deletes'} ${key}: ${version}`);
    while (!(yield* this.#replace(key, isSet ? version : undefined)));
    truth.acknowledge(key, version);
    writing.splice(writing.indexOf(own), 1);
    tell?.(`${this.#name}: ${key} ${version} is acknowledged`);
  }

  /** The background copy of one key. */
  *copy(key: Key): Steps {
    const world = this.#world;
    const { document } = this;
    const { [key]: owner } = document.owners;
    const source = document.sources?.[key];
    if (source === undefined || source === owner) return;
    if (!(yield* this.#connect(owner)) || !(yield* this.#connect(source))) return;
    if (this.document !== document) return;
    const [to, from] = [this.#link(owner), this.#link(source)];
    yield;
    const { values, leases } = to.node;
    if (!this.#passes(to, document) || world.believes(values.get(key), document, key)) return;
    if (leases.has(key)) return;
    const token = world.newToken();
    if (!world.has('mover-stores-if-absent')) leases.set(key, token);
    yield;
    if (!this.#passes(from, document)) return;
    const found = from.node.values.get(key);
    if (!world.believesSource(found, document, key)) return;
    yield* dawdle(world.dice);
    if (!this.#passes(to, document)) return;
    const mayStore = world.has('mover-stores-if-absent')
      ? !world.believes(to.node.values.get(key), document, key)
      : to.node.leases.get(key) === token;
    if (mayStore) this.#store(to.node, key, { version: found.version, stamp: document.epoch });
    world.counts.moved += Number(mayStore);
  }

  /** One attempt, by one document; undefined when it has to be made again. */
  *#attempt(key: Key): Steps<number | undefined> {
    const world = this.#world;
    if (!(yield* this.#connect(this.document.owners[key]))) return undefined;
    const begun = this.document;
    const document = (): Document =>
      world.has('two-documents-in-one-operation') ? this.document : begun;
    const link = this.#link(begun.owners[key]);
    const { node } = link;
    yield;
    if (!this.#isLive(link)) return undefined;
    const isNewer = node.epoch !== undefined && node.epoch > document().epoch;
    if (isNewer && !world.has('hits-ignore-the-epoch') && !world.has('no-fence')) {
      yield* this.#takeUpNews();
      return undefined;
    }
    const seen = node.values.get(key);
    if (world.believes(seen, document(), key)) {
      world.counts.hits += 1;
      return seen.version;
    }
    yield;
    if (!this.#isLive(link)) return undefined;
    if (!world.passes(node, document().epoch)) {
      yield* this.#takeUpNews();
      return undefined;
    }
    const found = node.values.get(key);
    if (world.believes(found, document(), key)) return found.version;
    let token: number | undefined;
    if (!node.leases.has(key)) {
      token = world.newToken();
      node.leases.set(key, token);
    }
    return yield* this.#obtain({ key, document: document(), link, token });
  }

  /** What the source has, or what is loaded; stored under the lease. */
  *#obtain(loading: Loading): Steps<number | undefined> {
    const { key } = loading;
    const world = this.#world;
    const copied = yield* this.#askSource(loading);
    if (copied === 'again') return undefined;
    let version = typeof copied === 'number' ? copied : undefined;
    if (version === undefined) {
      yield;
      version = world.truth.load(key);
      world.counts.loads += 1;
    } else {
      world.counts.copied += 1;
    }
    yield* dawdle(world.dice);
    const mayStore = copied !== 'silent' || world.has('fill-without-the-source');
    if (mayStore) yield* this.#fill(loading, version);
    return version;
  }

  *#askSource({ key, document }: Loading): Steps<number | 'nothing' | 'silent' | 'again'> {
    const world = this.#world;
    const source = document.sources?.[key];
    if (source === undefined || source === document.owners[key]) return 'nothing';
    const isUp = yield* this.#connect(source);
    if (this.document !== document) return 'again';
    if (!isUp || world.dice.happens(world.setup.silentSources ?? 0)) return 'silent';
    const link = this.#link(source);
    yield;
    if (!this.#isLive(link)) return 'silent';
    if (!world.passes(link.node, document.epoch)) {
      yield* this.#takeUpNews();
      return 'again';
    }
    const found = link.node.values.get(key);
    return world.believesSource(found, document, key) ? found.version : 'nothing';
  }

  /** Turned away, it is tried once more if the node has owned the key all the time since it gave the lease. */
  *#fill({ key, document, link, token }: Loading, version: number): Steps {
    const world = this.#world;
    const { node, name } = link;
    let by = document;
    if (!this.#isLive(link)) return;
    if (!world.passes(node, by.epoch)) {
      yield* this.#takeUpNews();
      by = this.document;
      const isOwned =
        world.has('fill-again-whoever-owned-between') ||
        world.believesSince(document.epoch, by, key);
      if (by.owners[key] !== name || !isOwned) return;
      yield* dawdle(world.dice);
      if (!this.#passes(link, by)) return;
    }
    const mayStore = world.has('fill-if-absent')
      ? !world.believes(node.values.get(key), by, key)
      : token !== undefined && node.leases.get(key) === token;
    if (mayStore) this.#store(node, key, { version, stamp: by.epoch });
  }

  #store(node: ModelNode, key: Key, held: { version: number; stamp: number }): void {
    node.values.set(key, held);
    node.leases.delete(key);
    this.#world.tell?.(`${this.#name} stores ${key}: ${held.version}, epoch ${held.stamp}`);
  }

  /** Whether it was replaced, or removed, wherever it may be. */
  *#replace(key: Key, version: number | undefined): Steps<boolean> {
    const world = this.#world;
    const { document } = this;
    const owner = document.owners[key];
    if (!(yield* this.#connect(owner))) return false;
    const source = document.sources?.[key];
    const moves = source !== undefined && source !== owner;
    if (moves && !(yield* this.#connect(source))) return false;
    if (this.document !== document) return false;
    let places = moves ? [source, owner] : [owner];
    if (world.has('delete-at-the-owner-only')) places = [owner];
    if (world.has('owner-first-then-source')) places.reverse();
    for (const link of places.map((name) => this.#link(name))) {
      yield;
      if (!this.#passes(link, this.#documentFor(document))) {
        yield* this.#takeUpNews();
        return false;
      }
      link.node.remove(key);
      if (version !== undefined) link.node.values.set(key, { version, stamp: document.epoch });
    }
    return true;
  }

  #documentFor(begun: Document): Document {
    return this.#world.has('two-documents-in-one-operation') ? this.document : begun;
  }

  /** Before a node is used that was restarted: what it has is from another life. */
  *#connect(name: NodeName): Steps<boolean> {
    const world = this.#world;
    const node = world.node(name);
    if (this.#runs[name] === node.run) return true;
    yield;
    const { run } = node;
    yield;
    const { epoch } = world.control.newest;
    world.control.raiseFloor(name, run, world.has('no-floor'));
    world.counts.floors += Number(world.control.newest.epoch > epoch);
    this.refresh();
    yield* dawdle(world.dice);
    if (node.run !== run) return false;
    node.raise(this.document.epoch);
    this.#runs[name] = run;
    return true;
  }

  *#takeUpNews(): Steps {
    yield;
    this.refresh();
  }

  #link(name: NodeName): Link {
    return { name, node: this.#world.node(name), run: this.#runs[name] };
  }

  #passes(link: Link, { epoch }: Document): boolean {
    return this.#isLive(link) && this.#world.passes(link.node, epoch);
  }

  #isLive({ node, run }: Link): boolean {
    const sendsAgain =
      this.#world.has('requests-sent-again') || this.#world.has('scripts-begin-an-epoch');
    return sendsAgain || node.run === run;
  }
}
