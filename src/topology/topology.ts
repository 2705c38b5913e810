/**
 * Many nodes as one: the topology document in force, the snapshot built from
 * it, and the nodes it names.
 *
 * It takes up a newer document wherever one is met, swaps the snapshot, and
 * sees to it that what it knows is confirmed. It does not know what is cached,
 * nor why a ring changes.
 */
import type { Clock, Timer } from '../clock.ts';
import type { TopologyConflictError } from '../errors.ts';
import { epochOf } from '../node/fence.ts';
import type { CacheNode, Greeting, NodeHost } from '../node/node.ts';
import { HashRing } from '../ring/ring.ts';
import { Admittance, type Refusal } from './admittance.ts';
import { propose, raiseAll } from './announce.ts';
import {
  CONTROL_ID,
  encodeDocument,
  fenceOfDocument,
  type Member,
  parseDocument,
  publicAddress,
  type TopologyDocument,
} from './document.ts';
import { MissedDeletes, NONE_MISSED } from './missed.ts';
import { memberOf } from './ring-change.ts';
import { RingShelf } from './ring-shelf.ts';
import { placeOf, type Seat, Seats } from './seats.ts';
import { type RingEra, Snapshot } from './snapshot.ts';
import { firstDocument } from './successors.ts';
import { CONFIRM_MS, View } from './view.ts';

export type { Seat };

export interface RingTuning {
  readonly points: number;
  readonly placement: 'xxh32' | 'ketama';
}

export interface TopologyParts {
  readonly clock: Clock;
  readonly ring: RingTuning;
  /** URL of the server that decides about changes; undefined: one of the nodes does. */
  readonly control?: string | undefined;
  /** Makes the node of a seat; does not connect it. */
  readonly seat: (seat: Seat, host: NodeHost) => CacheNode;
  /** Nothing is cached at these nodes, so nothing can be missed. */
  readonly locksOnly?: true;
  /** Called right after the snapshot was swapped. */
  readonly swapped: (now: Snapshot, adopted: boolean) => void;
}

/** A node that turns us away though no newer document is to be found is not asked about it more often than this. */
const FRUITLESS_MS = 100;

export class Topology {
  /** What nodes missed while they were away. */
  readonly missed: MissedDeletes;
  readonly #parts: TopologyParts;
  readonly #seats: Seats;
  readonly #admittance: Admittance;
  readonly #view: View;
  /** The newest document known; the snapshot follows it as soon as its nodes are connected. */
  #document: TopologyDocument;
  #snapshot: Snapshot;
  readonly #rings: RingShelf;
  /** Of the document that this process has proposed last. */
  #proposed: string | undefined;
  #takingUp: Promise<void> | undefined;
  #refreshing: Promise<void> | undefined;
  #fruitlessUntil = 0;
  #confirming: Timer | undefined;
  readonly #opening = new Map<CacheNode, Promise<void>>();
  #closed = false;

  private constructor(parts: TopologyParts, seats: readonly Seat[], ring: HashRing) {
    const { clock, control } = parts;
    this.#parts = parts;
    this.missed = new MissedDeletes(this, {
      clock,
      node: (id) => this.#seats.nodes.findLast((node) => node.id === id),
      learn: (found) => void this.#learn(found),
    });
    this.#view = new View(clock, () => this.#ringsInForce());
    this.#admittance = new Admittance(this.#admittanceHost());
    this.#seats = new Seats({
      clock,
      make: parts.seat,
      trusted: this.#view.trusted,
      admit: (place, id, greeting) => this.#admittance.decide({ place, id, greeting }),
    });
    for (const seat of seats) this.#seats.take(seat.id, seat);
    if (control !== undefined) {
      this.#seats.take(CONTROL_ID, { id: CONTROL_ID, url: control, weight: 1 });
    }
    const controlUrl = control === undefined ? undefined : publicAddress(control);
    const { points } = parts.ring;
    this.#document = firstDocument(seats.map(memberOf), { ring, points, controlUrl });
    this.#rings = new RingShelf(ring);
    this.#snapshot = this.#build(this.#document, [{ since: 1, ring }]);
  }

  /** A topology that is not connected yet. */
  static async create(seats: readonly Seat[], parts: TopologyParts): Promise<Topology> {
    const ring = await HashRing.create(
      seats.map(({ id, weight }) => ({ id, weight })),
      parts.ring,
    );
    return new Topology(parts, seats, ring);
  }

  /** What an operation uses from its start to its end. Hot path. */
  get snapshot(): Snapshot {
    return this.#snapshot;
  }

  get document(): TopologyDocument {
    return this.#document;
  }

  /** The node that decides which document comes next. */
  get control(): CacheNode | undefined {
    const { id, url } = this.#document.control;
    if (url !== undefined) return this.#seats.node(CONTROL_ID);
    return this.#snapshot.nodes.get(id) ?? this.#snapshot.leaving.get(id);
  }

  /**
   * Connects all nodes; those that do not answer are left to heal.
   *
   * @throws TopologyConflictError when a node serves another member list of the same epoch.
   */
  async open(): Promise<void> {
    const { nodes } = this.#seats;
    await Promise.all(nodes.map((node) => Promise.all([node.open(), node.openPush()])));
    // One that came back with what it had waits for the control, which was not there yet.
    const down = this.#seats.nodes.filter((node) => node.state().state !== 'up');
    await Promise.all(down.map((node) => node.readmit()));
    await this.#takingUp;
    this.#confirmLater();
    for (const { error } of this.#admittance.refusals) throw error;
  }

  /**
   * Looks for a newer document and takes it up: for an operation that a node
   * turned away as outdated. Resolves when the snapshot is the newest known.
   *
   * @param outdated What the operation used: if another is in force already, nobody is asked.
   */
  refresh(outdated: Snapshot): Promise<void> {
    if (this.#snapshot !== outdated) return Promise.resolve();
    if (this.#takingUp !== undefined) return this.#takingUp;
    // All that were turned away meanwhile wait for the same answer: one that
    // went on without it would be turned away again, until it gave up.
    this.#refreshing ??= this.#lookForNews().finally(() => {
      this.#refreshing = undefined;
    });
    return this.#refreshing;
  }

  async #lookForNews(): Promise<void> {
    if (this.#parts.clock.now() < this.#fruitlessUntil || this.#closed) return;
    const { epoch } = this.#document;
    await new Promise<void>((resolve) => {
      // The first news will do: a node that hangs does not hold up the others' keys.
      const asked = this.#seats.nodes.map(async (node) => {
        await this.hearFrom(node);
        if (this.#document.epoch > epoch) resolve();
      });
      void Promise.all(asked).then(() => resolve());
    });
    await this.#takingUp;
    if (this.#document.epoch === epoch) {
      this.#fruitlessUntil = this.#parts.clock.now() + FRUITLESS_MS;
    }
  }

  /** The node of a seat that may join, connected; the caller takes it back with `dismiss` if it does not. */
  async invite(member: Member, seat: Seat): Promise<CacheNode> {
    const place = placeOf(member);
    this.#admittance.await(place);
    const left = this.#seats.node(place);
    if (left !== undefined && this.#seats.seat(place)?.url === seat.url) {
      // It has left shortly before, and locks may be on it still.
      await left.readmit();
      return left;
    }
    const node = this.#seats.take(place, seat);
    await Promise.all([node.open(), left?.close()]);
    return node;
  }

  /** Why a node was not admitted; undefined when it was, or could not be asked. */
  refusalOf(member: Member): TopologyConflictError | undefined {
    return this.#admittance.refusalOf(placeOf(member));
  }

  /** Does nothing when the node is a member by now: another process may have added it meanwhile. */
  async dismiss(member: Member): Promise<void> {
    await this.#takingUp;
    const place = placeOf(member);
    this.#admittance.forget(place);
    const node = this.#seats.node(place);
    const { nodes, leaving } = this.#snapshot;
    if (node === undefined || nodes.get(member.id) === node) return;
    if (leaving.get(member.id) === node) return;
    this.#seats.release(place);
    await node.close();
  }

  /** Resolves when the newest document that is known is in force here. */
  async settled(): Promise<void> {
    await this.#takingUp;
  }

  /** Puts a document into force here. It must have been accepted by the control, or found at a node. */
  async takeUp(document: TopologyDocument): Promise<void> {
    this.#learn(document, false);
    await this.#takingUp;
  }

  /** The nodes that are not used, and why. */
  get refusals(): Refusal[] {
    return [...this.#admittance.refusals];
  }

  async readmitAll(): Promise<void> {
    await Promise.all(this.#seats.nodes.map((node) => node.readmit()));
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#confirming?.cancel();
    await this.#seats.close();
  }

  #admittanceHost(): ConstructorParameters<typeof Admittance>[0] {
    const document = (): TopologyDocument => this.#document;
    return {
      get document() {
        return document();
      },
      learn: (found) => void this.#learn(found),
      learnFromOthers: async (id) => {
        const { control } = this;
        // Whatever is in force was accepted there first.
        if (control !== undefined && control.id !== id && (await this.hearFrom(control)))
          return true;
        const others = this.#seats.nodes.filter((node) => node.id !== id);
        const answers = await Promise.all(others.map((node) => this.hearFrom(node)));
        return 2 * answers.filter(Boolean).length >= others.length;
      },
      enact: async (next) => {
        await propose(this, next);
        // Before it is used it stands at all that can be reached: its control may lose it.
        await raiseAll(this, next);
        // Its nodes are connected already; and the caller is about to be admitted, which others may wait for.
        this.#learn(next);
      },
      missed: async (id) => {
        const keepsNothing = this.#parts.locksOnly || id === CONTROL_ID;
        return keepsNothing ? NONE_MISSED : this.missed.atAdmission(id);
      },
      heard: (id, { askedAt }) => this.#view.heard(id, askedAt),
    };
  }

  /** Without those that nobody can reach. */
  #ringsInForce(): (readonly string[])[] {
    const { ring, source } = this.#snapshot;
    if (source === undefined) return [ring.ids];
    const leaving = this.#document.locks.leaving.filter(({ lost }) => lost);
    const lost = new Set(leaving.map(({ id }) => id));
    return [ring.ids, source.ids.filter((id) => !lost.has(id))];
  }

  #confirmLater(): void {
    if (this.#closed) return;
    this.#confirming = this.#parts.clock.after(CONFIRM_MS, () => {
      for (const node of this.#seats.nodes) void this.hearFrom(node);
      if (!this.#parts.locksOnly) this.missed.lookAfter(this.#snapshot.nodes.keys());
      this.#confirmLater();
    });
  }

  /** A node has told that its epoch is another one. */
  async newsAt(id: string): Promise<void> {
    const node = this.#seats.nodes.findLast((one) => one.id === id);
    if (node?.state().state !== 'up') return; // it is greeted when it is admitted
    const greeting = await node.greet().catch(() => undefined);
    // One that was emptied is admitted again by whoever asks it next, and waits for that.
    if (greeting?.fence === undefined || this.#closed) return;
    this.#fits(parseDocument(greeting.announced)); // its ring is on the shelf then
    if (greeting.fence !== this.#proposed) this.#hear(node, greeting, greeting.fence);
  }

  proposing(next: TopologyDocument): void {
    this.#proposed = fenceOfDocument(next);
  }

  /** Learns what a node knows, and tells it what it does not. Resolves to whether it knew nothing newer. */
  async hearFrom(node: CacheNode): Promise<boolean> {
    const greeting = await node.greet().catch(() => undefined);
    if (greeting === undefined || this.#closed) return false;
    if (greeting.fence !== undefined) return this.#hear(node, greeting, greeting.fence);
    // It was emptied.
    await node.readmit();
    return false;
  }

  #hear(node: CacheNode, greeting: Greeting, stands: string): boolean {
    const document = this.#learn(parseDocument(greeting.document));
    const [fence, text] = [fenceOfDocument(document), encodeDocument(document)];
    const epoch = epochOf(stands);
    // Of two documents of one epoch nobody knows which is in force.
    if (epoch > document.epoch || (epoch === document.epoch && stands !== fence)) return false;
    this.#view.heard(node.id, greeting.askedAt);
    if (stands === fence && greeting.document === text) return true;
    // Its copy may have been evicted, or it has not been told yet. If that fails, whoever uses it sees to it.
    node.install(fence, text).catch(() => {});
    return true;
  }

  /** Takes up a document that is newer and fits; resolves to the newest. */
  #learn(found: TopologyDocument | undefined, adopted = true): TopologyDocument {
    if (!this.#closed && this.#fits(found)) {
      this.#document = found;
      this.#takingUp ??= this.#followDocument(adopted).finally(() => {
        this.#takingUp = undefined;
      });
    }
    return this.#document;
  }

  #fits(document: TopologyDocument | undefined): document is TopologyDocument {
    if (document === undefined || document.epoch <= this.#document.epoch) return false;
    // A node of another fleet does not tell this one what to do. At the start the
    // nodes know better than the configuration which fleet this is.
    if (this.#document.epoch > 1 && document.origin !== this.#document.origin) return false;
    // With other ring options this process would look for every key at another
    // node than the rest of the fleet does.
    return this.#rings.ringOf(document.members).fingerprint === document.fingerprint;
  }

  async #followDocument(adopted: boolean): Promise<void> {
    let document: TopologyDocument;
    do {
      document = this.#document;
      for (const node of this.#seats.takeAll(document)) void this.#open(node);
      // Connected before the snapshot names them, else their keys would miss for as long; but for new
      // ones while the ring changes: the nodes before are asked for what they cannot say yet.
      const before = new Set(document.source?.map(({ id }) => id));
      const isAwaited = (id: string): boolean => document.source === null || before.has(id);
      await Promise.all([...this.#opening].flatMap(([{ id }, it]) => (isAwaited(id) ? it : [])));
    } while (document !== this.#document && !this.#closed);
    if (this.#closed) return;
    const eras = document.history.map(({ since, members, takenBack }): RingEra => {
      return { since, ring: this.#rings.ringOf(members), takenBack: takenBack ?? false };
    });
    this.#snapshot = this.#build(document, eras);
    this.#admittance.joined();
    this.#seats.keepOnly(document);
    this.#parts.swapped(this.#snapshot, adopted);
  }

  #open(node: CacheNode): Promise<void> {
    const opened = node.open().finally(() => this.#opening.delete(node));
    this.#opening.set(node, opened);
    return opened;
  }

  /** A node that has just joined, until it is connected or could not be; undefined for all others. */
  connecting(node: CacheNode): Promise<void> | undefined {
    return this.#opening.size === 0 ? undefined : this.#opening.get(node);
  }

  #build(document: TopologyDocument, eras: readonly RingEra[]): Snapshot {
    return new Snapshot({
      epoch: document.epoch,
      fence: fenceOfDocument(document),
      eras,
      joint: document.source !== null,
      floors: document.floors,
      // A member at another address is the source of what it has too.
      nodes: this.#nodesOf([...(document.source ?? []), ...document.members]),
      locksSince: document.locks.since,
      lockFloor: document.locks.floor,
      leaving: this.#nodesOf(document.locks.leaving),
    });
  }

  #nodesOf(members: readonly Member[]): Map<string, CacheNode> {
    const nodes = new Map<string, CacheNode>();
    for (const member of members) {
      const node = this.#seats.node(placeOf(member));
      if (node !== undefined) nodes.set(member.id, node);
    }
    return nodes;
  }
}
