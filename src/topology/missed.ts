/**
 * What a node missed: deletes that it did not confirm are noted at its
 * guardians, and every process that (re)connects to it does them first.
 *
 * Noted first, then the node is tried once more, and only then the delete
 * answers: a process that connected before the note was made, and so has not
 * read it, was connected when the node was tried.
 *
 *     A: delete fails … note at the guardians … delete fails again → false
 *     B: … connects to the node → reads the guardians' notes → removes → uses it
 *
 * The other way round B could connect between A's last attempt and A's note
 * (19 of 40,000 adversarial schedules, models/model_rejoin.mjs).
 *
 * What could not be kept: too long a list, or none of the guardians that had
 * answered before does now. Then nobody knows what the node missed, and what
 * it has is not to be believed: that is the admission's decision.
 */
import { type Clock, pause, type Timer } from '../clock.ts';
import { NodeUnavailableError } from '../errors.ts';
import { type Notes, OVERFLOW } from '../node/guard-node.ts';
import type { CacheNode, MissedKeys } from '../node/node.ts';
import type { Invalidation } from '../node/tag-node.ts';
import { parseDocument, type TopologyDocument } from './document.ts';
import { guardiansOf } from './guardians.ts';
import { noteOf, readNotes } from './missed-notes.ts';
import { Relays } from './relays.ts';
import type { Snapshot } from './snapshot.ts';

/** The topology, as far as it matters here. */
export interface Around {
  readonly snapshot: Snapshot;
  /** The newest known: may be ahead of the snapshot. */
  readonly document: TopologyDocument;
  refresh(outdated: Snapshot): Promise<void>;
}

export interface MissedHost {
  readonly clock: Clock;
  /** Also one that is not in use. */
  node(id: string): CacheNode | undefined;
  /** A document was found at a node. */
  learn(document: TopologyDocument | undefined): void;
}

/** What a node that has just been connected is to be rid of before it is used. */
export interface Missed extends MissedKeys {
  /**
   * Whether it missed more than that. `certain`: it did, and nobody knows
   * what. `possible`: those who would know do not answer any more.
   */
  readonly more: 'no' | 'possible' | 'certain';
}

/** What one guardian has noted for a node. */
interface List {
  readonly guardian: CacheNode;
  readonly notes: Notes;
}

const noop = (): void => undefined;

export const NONE_MISSED: Missed = { keys: [], invalidations: [], removed: noop, more: 'no' };

/** Notes for one node, gathered from all that fail together. */
interface Gathered {
  readonly keys: Set<string>;
  keepMs: number;
  readonly sent: Promise<boolean>;
}

/** The ring may change while notes are made or read: taken up this often. */
const ROUNDS = 3;
/** For the other guardians, when one has answered. */
const OTHERS_MS = 20;
/**
 * All processes are told of a note at once, and the first to look does what
 * is noted: so each looks after a pause of its own. Up to the longer one when
 * others have been first again and again; short of the time that a delete has.
 */
const PAUSE_MS = { least: 10, most: 40 };
/** Whoever has taken notes off is told of that, too, by each guardian, and finds nothing more. */
const OWN_ECHOES = 2;

export class MissedDeletes {
  /** What others remove for this process. */
  readonly relays: Relays;
  readonly #topology: Around;
  readonly #host: MissedHost;
  readonly #gathered = new Map<string, Gathered>();
  /** Nodes for which this process has noted something since it was last looked after. */
  readonly #noted = new Set<string>();
  readonly #settling = new Set<string>();
  /** The epoch in which one of a node's guardians last answered. */
  readonly #heardAt = new Map<string, number>();
  /** Nodes that are looked after soon. */
  readonly #soon = new Map<string, Timer>();
  /** How often in a row there was nothing to do. */
  readonly #idle = new Map<string, number>();
  #ended = false;

  constructor(topology: Around, host: MissedHost) {
    this.relays = new Relays(host.clock);
    this.#topology = topology;
    this.#host = host;
  }

  /**
   * Notes at the guardians of a node that it did not confirm the removal of a
   * key, a tag or a prefix. Resolves to whether one of them has it that also
   * tells this process when it has been removed; never rejects.
   *
   * @param keepMs After that the value has expired by itself.
   */
  note(id: string, missed: string | Invalidation, keepMs: number): Promise<boolean> {
    const gathered = this.#gathered.get(id) ?? this.#gather(id);
    gathered.keys.add(noteOf(missed));
    gathered.keepMs = Math.max(gathered.keepMs, keepMs);
    return gathered.sent;
  }

  // A bulk that a node does not answer is noted with a few scripts, not two for each key.
  #gather(id: string): Gathered {
    const { promise, resolve } = Promise.withResolvers<boolean>();
    const gathered: Gathered = { keys: new Set(), keepMs: 1, sent: promise };
    this.#gathered.set(id, gathered);
    queueMicrotask(() => {
      this.#gathered.delete(id);
      this.#noted.add(id);
      resolve(this.#send(id, gathered).catch(() => false));
    });
    return gathered;
  }

  async #send(id: string, { keys, keepMs }: Gathered): Promise<boolean> {
    let heard = false;
    for (let round = 0; round < ROUNDS; round++) {
      const { snapshot } = this.#topology;
      const mark = this.relays.newMark();
      const ask = { keys: [...keys], keepMs, mark, fence: snapshot.fence };
      const asked = guardiansOf(id, snapshot.ring.ids).map(async (guardian) => {
        const node = snapshot.nodes.get(guardian);
        try {
          const answer = await node?.guard.note(id, ask);
          if (answer?.kind === 'unknown') await node?.readmit();
          if (answer?.kind === 'noted' && node?.announces) heard = true;
          return answer?.kind;
        } catch (error) {
          if (!(error instanceof NodeUnavailableError)) throw error;
          return undefined;
        }
      });
      const answers = await Promise.all(asked);
      if (answers.includes('stale')) await this.#topology.refresh(snapshot);
      else if (!answers.includes('unknown')) break;
    }
    return heard;
  }

  /** To be asked when the connection stands: what is noted later is tried at the node once more. */
  async atAdmission(id: string): Promise<Missed> {
    const lists = await this.#ask(id);
    if (lists === undefined) return NONE_MISSED;
    if (lists.length === 0) return { ...NONE_MISSED, more: this.#inDoubt(id) };
    this.#heardAt.set(id, this.#topology.document.epoch);
    this.#noted.delete(id);
    const missed = missedOf(lists);
    return {
      ...missed,
      removed: () => {
        if (lists.every(({ notes }) => notes.size === 0)) return;
        // Nobody is told: under which topology that was is not known.
        this.#removedAt(id, missed, this.#topology.snapshot)
          .then(() => takeOff(id, lists))
          .catch(noop);
      },
      more: lists.some(({ notes }) => notes.has(OVERFLOW)) ? 'certain' : 'no',
    };
  }

  // Once for each time that all guardians are away, whichever process sees it
  // first, and not whenever one connects: else a node would be emptied again
  // and again because another is down. And not for a process that has never
  // heard from them: a start during an outage is no sign that this node was
  // away.
  #inDoubt(id: string): 'no' | 'possible' {
    const heardAt = this.#heardAt.get(id);
    if (heardAt === undefined) return 'no';
    return (this.#topology.document.floors[id] ?? 0) > heardAt ? 'no' : 'possible';
  }

  /** The lists of all guardians that answer; undefined in a ring without. */
  async #ask(id: string): Promise<List[] | undefined> {
    for (let round = 0; ; round++) {
      const { document } = this.#topology;
      const guardians = [...everyGuardianOf(id, document)].flatMap((guardian) => {
        return this.#host.node(guardian) ?? [];
      });
      if (guardians.length === 0) return undefined;
      const lists = await this.#gatherLists(id, guardians, document.epoch);
      // Others may guard it by now.
      if (this.#topology.document === document || round >= ROUNDS) return lists;
    }
  }

  // What is noted is noted at each that answers. When one has told, the others
  // are not waited for: one of them may hang, and this node is wanted.
  async #gatherLists(id: string, guardians: CacheNode[], epoch: number): Promise<List[]> {
    const lists: List[] = [];
    const enough = new AbortController();
    const told = Promise.withResolvers<void>();
    const asked = guardians.map(async (guardian) => {
      try {
        const answer = await guardian.guard.notesFor(id, epoch);
        if (answer.kind === 'newer') this.#host.learn(parseDocument(answer.document));
        if (answer.kind !== 'notes') return;
        lists.push({ guardian, notes: answer.notes });
        told.resolve();
      } catch (error) {
        if (!(error instanceof NodeUnavailableError)) throw error;
      }
    });
    const soon = told.promise.then(() => pause(this.#host.clock, OTHERS_MS, enough.signal));
    await Promise.race([Promise.all(asked), soon]);
    enough.abort();
    // A list that comes later is not done, and must not be taken off.
    return [...lists];
  }

  /** A node has confirmed what it had not before: what this process noted is done, and taken off. */
  confirmed(id: string): void {
    if (!this.#noted.has(id) || this.#settling.has(id)) return;
    this.#settling.add(id);
    // Once for all that are confirmed together.
    queueMicrotask(() => {
      this.#settling.delete(id);
      this.#noted.delete(id);
      // What stays on the list is done with the next confirmation, or admission.
      this.#settle(id).catch(() => this.#noted.add(id));
    });
  }

  /**
   * Does what is noted for nodes that this process can reach. It need not
   * connect to them anew: only the one that noted it may have been cut off.
   */
  lookAfter(ids: Iterable<string>): void {
    for (const id of ids) {
      // What stays on the list is done the next time.
      this.#settle(id).catch(noop);
      const node = this.#host.node(id);
      // So that no server takes what was deleted by tag for something that nobody needs.
      if (node?.state().state === 'up') node.tags.refresh();
    }
  }

  /**
   * A guardian has told that what it keeps for a node is another. One that
   * waits for others to do it could not reach the node just now.
   */
  notedFor(id: string): void {
    if (this.#soon.has(id) || this.#ended || this.relays.awaits(id)) return;
    const idle = this.#idle.get(id) ?? 0;
    const upToMs = PAUSE_MS.least * 2 ** Math.max(0, idle - OWN_ECHOES);
    const look = (): void => {
      this.#soon.delete(id);
      this.#settle(id).then((found) => this.#idle.set(id, found ? 0 : idle + 1), noop);
    };
    const pauseMs = Math.random() * Math.min(upToMs, PAUSE_MS.most);
    this.#soon.set(id, this.#host.clock.after(pauseMs, look));
  }

  end(): void {
    this.#ended = true;
    for (const timer of this.#soon.values()) timer.cancel();
    this.#soon.clear();
  }

  /**
   * Resolves to whether there was anything to do.
   *
   * Taken off only when the node knows no newer topology than this process: it
   * does as soon as anything was copied from it under that.
   *
   *     C: knows the next ring … copies the old value from the node to its new owner
   *     B: does not … removes at the node alone
   */
  async #settle(id: string): Promise<boolean> {
    for (let round = 0; round < ROUNDS; round++) {
      const node = this.#host.node(id);
      if (node?.state().state !== 'up') return false;
      const { snapshot } = this.#topology;
      const lists = (await this.#ask(id)) ?? [];
      const missed = missedOf(lists);
      const { keys, invalidations } = missed;
      if (keys.length + invalidations.length === 0) return false;
      if (invalidations.length > 0) await node.tags.raiseAnyway(invalidations);
      if (keys.length > 0) await node.removeAll(keys);
      await this.#removedAt(id, missed, snapshot);
      const { fence } = await node.greet();
      if (fence === snapshot.fence) {
        await takeOff(id, lists, snapshot.fence);
        return true;
      }
      await this.#topology.refresh(snapshot);
    }
    return true;
  }

  // While the ring changes, a read may have copied the old value from this
  // node to the present owner before it was removed here.
  async #removedAt(
    id: string,
    { keys, invalidations }: MissedHere,
    snapshot: Snapshot,
  ): Promise<void> {
    if (snapshot.source === undefined) return;
    const byOwner = new Map<CacheNode, string[]>();
    for (const key of keys) {
      const hash = snapshot.ring.hash(key);
      if (snapshot.previousOwner(hash)?.id !== id) continue;
      const owner = snapshot.owner(hash);
      byOwner.set(owner, [...(byOwner.get(owner) ?? []), key]);
    }
    const removed = [...byOwner].map(([owner, moved]) => owner.removeAll(moved));
    const raised = snapshot.ring.ids.map((owner) => {
      if (invalidations.length === 0) return undefined;
      return snapshot.nodes.get(owner)?.tags.raiseAnyway(invalidations);
    });
    await Promise.all([...removed, ...raised]);
  }
}

/** Those of the present ring, and of every ring whose notes may be left: it may have been away since. */
function everyGuardianOf(id: string, { members, history }: TopologyDocument): Set<string> {
  const rings = [members, ...history.map((era) => era.members)];
  return new Set(rings.flatMap((ring) => guardiansOf(id, ring.map(idOf))));
}

function idOf({ id }: { readonly id: string }): string {
  return id;
}

type MissedHere = Pick<MissedKeys, 'keys' | 'invalidations'>;

function missedOf(lists: readonly List[]): MissedHere {
  return readNotes(new Set(lists.flatMap(({ notes }) => [...notes.keys()])));
}

async function takeOff(id: string, lists: readonly List[], removedUnder?: string): Promise<void> {
  const taken = lists.map(({ guardian, notes }) => guardian.guard.takeOff(id, notes, removedUnder));
  await Promise.all(taken);
}
