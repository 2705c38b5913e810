/** A process that uses a node, loses it, and connects to it again. */
import { dawdle, type Steps } from './model-steps.ts';
import {
  GUARDIANS,
  type Key,
  NAMES,
  type Name,
  NODE,
  type RejoinNode,
  type RejoinWorld,
  type Unconfirmed,
} from './rejoin-model-world.ts';

const READ_ATTEMPTS = 5;
const WRITE_ATTEMPTS = 2;

/** What is between this process and one node. */
interface Wire {
  isCut: boolean;
  /** Another one whenever the connection was lost. */
  generation: number;
}

/** The node as it was admitted. */
interface Admitted {
  readonly generation: number;
  readonly floor: number;
  readonly epoch: number;
  /** When the connection stood. */
  readonly since: number;
  /** The guardians that answered then, each with its run. */
  readonly told: ReadonlyMap<Name, number>;
}

interface List {
  readonly run: number;
  readonly notes: ReadonlyMap<Key, number>;
}
type Lists = ReadonlyMap<Name, List>;

export class RejoinClient {
  readonly #name: string;
  readonly #world: RejoinWorld;
  readonly #wires = new Map<Name, Wire>(
    NAMES.map((name) => [name, { isCut: false, generation: 1 }]),
  );
  #admitted: Admitted = { generation: 1, floor: 0, epoch: 0, since: 0, told: new Map() };

  constructor(name: string, world: RejoinWorld) {
    this.#name = name;
    this.#world = world;
  }

  /** The network between this process and a node. */
  cut(name: Name, isCut: boolean): void {
    this.#wire(name).isCut = isCut;
    this.lose(name);
  }

  /** The connection is lost, as it is when the node goes away. */
  lose(name: Name): void {
    this.#wire(name).generation += 1;
  }

  *read(key: Key): Steps {
    const world = this.#world;
    const floor = world.truth.acknowledged(key);
    const unconfirmed = world.unconfirmed.filter((one) => one.key === key);
    world.counts.reads += 1;
    for (let i = 0; i < READ_ATTEMPTS; i++) {
      const admitted = yield* this.#admission();
      if (admitted === undefined) break;
      const version = yield* this.#attempt(key, admitted);
      if (version === undefined) continue;
      const missed = unconfirmed.filter((one) => one.version > version && isAfter(admitted, one));
      const isStale = version < floor || missed.some((one) => wasTold(admitted, one));
      if (isStale) world.stale.push(`${this.#name} read ${key}: ${version}`);
      if (missed.length > 0 && !isStale) world.counts.untold += 1;
      world.tell?.(`${isStale ? 'STALE: ' : ''}${this.#name} has read ${key}: ${version}`);
      return;
    }
    yield; // loaded, and not stored
    world.counts.loads += 1;
  }

  /** A delete: tried twice, noted, tried once more. */
  *remove(key: Key): Steps {
    const world = this.#world;
    yield;
    const version = world.truth.raise(key);
    world.tell?.(`${this.#name} raises ${key} to ${version}`);
    for (let i = 0; i < WRITE_ATTEMPTS; i++) {
      if ((yield* this.#removeAt(key)) === 'removed') return world.truth.acknowledge(key, version);
      yield;
    }
    let failed: 'down' | 'unreached' | 'untried' = world.node(NODE).isUp ? 'untried' : 'down';
    let failedAt = world.moment();
    let note = world.has('noted-after-the-retry') ? undefined : yield* this.#note(key);
    if (!world.has('no-retry')) {
      const outcome = yield* this.#removeAt(key);
      if (outcome === 'removed') return world.truth.acknowledge(key, version);
      failed = outcome;
      failedAt = world.moment();
    }
    note ??= yield* this.#note(key);
    // A node that was down for everybody was connected by everybody since.
    const since = failed === 'down' ? failedAt : note.at;
    world.unconfirmed.push({ key, version, since, noted: note.places });
    world.tell?.(`${this.#name}: ${key} ${version} is noted and not confirmed`);
  }

  *#attempt(key: Key, admitted: Admitted): Steps<number | undefined> {
    const world = this.#world;
    const { values, leases } = this.#node(NODE);
    yield;
    if (!this.#stands(admitted)) return undefined;
    const seen = values.get(key);
    if (seen !== undefined && seen.stamp >= admitted.floor) {
      world.counts.hits += 1;
      return seen.version;
    }
    yield;
    if (!this.#stands(admitted)) return undefined;
    let token: number | undefined;
    if (!leases.has(key)) {
      token = world.moment();
      leases.set(key, token);
    }
    yield;
    const version = world.truth.load(key);
    world.counts.loads += 1;
    yield* dawdle(world.dice);
    if (token !== undefined && this.#stands(admitted) && leases.get(key) === token) {
      values.set(key, { version, stamp: admitted.epoch });
      leases.delete(key);
      world.tell?.(`${this.#name} stores ${key}: ${version}`);
    }
    return version;
  }

  *#removeAt(key: Key): Steps<'removed' | 'down' | 'unreached'> {
    const admitted = yield* this.#admission();
    yield;
    if (admitted !== undefined && this.#stands(admitted)) {
      removeFrom(this.#node(NODE), key);
      return 'removed';
    }
    return this.#node(NODE).isUp ? 'unreached' : 'down';
  }

  /** At the guardians that can be reached. */
  *#note(key: Key): Steps<{ at: number; places: Map<Name, number> }> {
    const world = this.#world;
    const places = new Map<Name, number>();
    for (const name of GUARDIANS) {
      yield* dawdle(world.dice);
      if (!this.#reaches(name)) continue;
      const { run, missed } = this.#node(name);
      places.set(name, run);
      world.counts.noted += 1;
      if (!world.has('no-list')) missed.set(key, world.moment());
    }
    return { at: world.moment(), places };
  }

  /** The node, if it may be used: admitted anew when the connection was lost. */
  *#admission(): Steps<Admitted | undefined> {
    const world = this.#world;
    const { generation } = this.#wire(NODE);
    if (this.#admitted.generation === generation) {
      return this.#stands(this.#admitted) ? this.#admitted : undefined;
    }
    const early = world.has('list-read-before-connecting') ? yield* this.#lists() : undefined;
    yield;
    const node = this.#node(NODE);
    const { run } = node;
    const since = world.moment();
    if (!this.#isConnected(generation, run)) return undefined;
    const lists = early ?? (yield* this.#lists());
    yield;
    // Compared and set at the control.
    if (run !== world.run || this.#isInDoubt(lists)) world.raiseFloor();
    world.run = Math.max(run, world.run);
    const { floor, epoch } = world;
    yield* dawdle(world.dice);
    if (!this.#isConnected(generation, run)) return undefined;
    const told = new Map(Array.from(lists, ([name, list]) => [name, list.run]));
    const admitted = { generation, floor, epoch, since, told };
    if (world.has('used-before-it-is-applied')) this.#admitted = admitted;
    if (!(yield* this.#apply(lists, generation, run))) return undefined;
    this.#admitted = admitted;
    yield* this.#takeOff(lists);
    return admitted;
  }

  *#lists(): Steps<Lists> {
    const lists = new Map<Name, List>();
    for (const name of GUARDIANS) {
      yield;
      const { run, missed } = this.#node(name);
      if (this.#reaches(name)) lists.set(name, { run, notes: new Map(missed) });
    }
    return lists;
  }

  #isInDoubt(lists: Lists): boolean {
    if (this.#world.has('silence-means-nothing-was-missed')) return false;
    return lists.size < (this.#world.setup.asksAll === true ? GUARDIANS.length : 1);
  }

  *#apply(lists: Lists, generation: number, run: number): Steps<boolean> {
    const world = this.#world;
    if (world.has('list-not-applied')) return true;
    for (const key of new Set([...lists.values()].flatMap(({ notes }) => [...notes.keys()]))) {
      yield;
      if (!this.#isConnected(generation, run)) return false;
      removeFrom(this.#node(NODE), key);
      world.counts.applied += 1;
    }
    return true;
  }

  *#takeOff(lists: Lists): Steps {
    for (const [name, { notes }] of lists) {
      yield* dawdle(this.#world.dice);
      if (!this.#reaches(name)) continue;
      const { missed } = this.#node(name);
      for (const [key, mark] of notes) {
        if (missed.get(key) === mark || this.#world.has('taken-off-by-key')) missed.delete(key);
      }
    }
  }

  #node(name: Name): RejoinNode {
    return this.#world.node(name);
  }

  #wire(name: Name): Wire {
    return this.#wires.get(name)!;
  }

  #reaches(name: Name): boolean {
    return this.#node(name).isUp && !this.#wire(name).isCut;
  }

  #isConnected(generation: number, run: number): boolean {
    const isSame = this.#wire(NODE).generation === generation && this.#node(NODE).run === run;
    return isSame && this.#reaches(NODE);
  }

  #stands({ generation }: Admitted): boolean {
    return this.#wire(NODE).generation === generation && this.#reaches(NODE);
  }
}

function isAfter(admitted: Admitted, { since }: Unconfirmed): boolean {
  return admitted.since > since;
}

/** Whether one who has the note still was among those that answered; or nobody was, which is told by a floor. */
function wasTold(admitted: Admitted, { noted }: Unconfirmed): boolean {
  if (admitted.told.size === 0) return true;
  return [...noted].some(([name, run]) => admitted.told.get(name) === run);
}

function removeFrom(node: RejoinNode, key: Key): void {
  node.values.delete(key);
  node.leases.delete(key);
}
