/**
 * One change of the ring, from the decision to the end: the joint phase, in
 * which the previous owners are still asked, then the new ring alone.
 *
 * The order is what makes it safe. The control accepts the document, so of two
 * changes begun at once one is turned away; then every node is raised to it,
 * so that a process which has not heard is turned away wherever it asks; then
 * this process takes it up; only then are keys moved, and only when all
 * that is done is the previous ring dropped. Ending early costs misses, never
 * a stale read. What one process has begun another can finish or take back.
 */
import { type Clock, pause } from '../clock.ts';
import { ClosedError, NodeUnavailableError, TopologyBusyError } from '../errors.ts';
import type { CacheNode } from '../node/node.ts';
import { planChange } from '../ring/plan.ts';
import { propose, raiseAll } from './announce.ts';
import { Closing } from './closing.ts';
import {
  encodeDocument,
  fenceOfDocument,
  HISTORY_LENGTH,
  type TopologyDocument,
} from './document.ts';
import type { Gates } from './gates.ts';
import { type MoveProgress, moveKeys } from './mover.ts';
import { Parties } from './parties.ts';
import { apply, checkChange, membersAfter, type RingChange } from './ring-change.ts';
import { changed, takenBack } from './successors.ts';
import type { Topology } from './topology.ts';
import { halfOf } from './view.ts';

export interface ChangeOptions {
  /** Copy what changes hands, so that nothing has to be loaded again. @default true */
  warm?: boolean;
  /** Most keys that the background copy moves a second. Number, 1 or more. @default 10000 */
  keysPerSecond?: number;
  /** Most bytes of values that the background copy moves a second. Number, 1 or more. @default 50000000 */
  bytesPerSecond?: number;
  /**
   * Aborted before the new ring serves: the change is not made. Aborted later:
   * the background copy ends, and the change is completed without it.
   */
  signal?: AbortSignal;
  /** Called after each step of the background copy. What it throws ends the copy. */
  onProgress?(progress: Readonly<MoveProgress>): void;
}

export const CHANGE_DEFAULTS = {
  warm: true,
  keysPerSecond: 10_000,
  bytesPerSecond: 50_000_000,
} as const;

/** A change that serves already. */
export interface TopologyChange {
  /** The epoch of the joint phase. */
  readonly epoch: number;
  /** Share of all keys whose owner changes, 0 to 1. */
  readonly movedShare: number;
  /** Resolves when the ring is stable again. */
  readonly done: Promise<TopologyChangeResult>;
}

export interface TopologyChangeResult {
  readonly epoch: number;
  readonly scanned: number;
  readonly copied: number;
  readonly failed: number;
  readonly durationMs: number;
}

/** For what a change has left to do when its process ends: three rounds to all nodes. */
const END_MS = 400;
/** A floor may be raised between the plan and the proposal. */
const ROUNDS = 3;

/** In which who listens hears of a change before it is decided: a question and an answer, and a ring that is built. */
const ANNOUNCED_MS = 100;

const noop = (): void => undefined;

interface Wanted {
  readonly change: RingChange;
  readonly options: ChangeOptions;
  readonly epoch: number;
  readonly parties: Parties;
}

interface Begun {
  readonly closing: Closing;
  readonly epoch: number;
  readonly startedAt: number;
  readonly movedShare: number;
  readonly options: ChangeOptions;
}

export class TopologyChanger {
  readonly #topology: Topology;
  readonly #gates: Gates;
  readonly #clock: Clock;
  readonly #ending = new AbortController();
  /** Aborted when the change under way is taken back. */
  #overtaken = new AbortController();
  /** Settles when the change under way is complete. */
  #underWay: Promise<void> = Promise.resolve();
  #busy = false;
  /** A document that was proposed, and of which it is not known whether it was accepted. */
  #unsure: string | undefined;

  constructor(topology: Topology, gates: Gates, clock: Clock) {
    this.#topology = topology;
    this.#gates = gates;
    this.#clock = clock;
  }

  /**
   * Makes a change; resolves when the new ring serves.
   *
   * @throws TopologyBusyError, TopologyConflictError, NodeUnavailableError (a joining node
   *   does not answer), InvalidOptionError (unknown or known id, last node): nothing was changed;
   *   NodeUnavailableError of the control: it may have been, and is completed then.
   */
  async change(change: RingChange, options: ChangeOptions = {}): Promise<TopologyChange> {
    // Its end may not have been heard of yet.
    if (this.#topology.document.source !== null) {
      await this.#topology.refresh(this.#topology.snapshot);
    }
    const from = this.#topology.document;
    if (this.#busy) throw new TopologyBusyError(from.epoch);
    checkFree(change, from);
    return this.#run(options, (all) => this.#begin(change, all));
  }

  /** Finishes a change whose process is gone; undefined when none is under way. */
  async resume(options: ChangeOptions = {}): Promise<TopologyChange | undefined> {
    const { document, snapshot } = this.#topology;
    if (this.#busy) throw new TopologyBusyError(document.epoch);
    if (document.source === null || snapshot.source === undefined) return undefined;
    const { movedShare } = planChange(snapshot.source, snapshot.ring);
    const startedAt = this.#clock.now();
    return this.#run(options, (all) =>
      this.#goOn(document, { startedAt, movedShare, options: all }),
    );
  }

  /**
   * Another document is in force. A change that was given up here, because its control did not
   * answer, may have been accepted all the same: nobody else would finish it.
   */
  follow(): void {
    const { document } = this.#topology;
    if (this.#unsure === undefined || document.source === null) return;
    if (fenceOfDocument(document) !== this.#unsure) return;
    this.#unsure = undefined;
    this.resume().catch(noop);
  }

  /**
   * Takes back a change that is under way, here or elsewhere: what has moved
   * moves back. Undefined when none is.
   */
  async abort(options: ChangeOptions = {}): Promise<TopologyChange | undefined> {
    const startedAt = this.#clock.now();
    for (let round = 1; ; round++) {
      const { document, snapshot } = this.#topology;
      const { source } = snapshot;
      if (document.source === null || source === undefined) return undefined;
      const back = takenBack(document, source.fingerprint);
      try {
        await this.#propose(back, this.#topology.control);
      } catch (error) {
        if (!(error instanceof TopologyBusyError) || round === ROUNDS) throw error;
        continue;
      }
      // Also ends the change that this process was making: it finds itself overtaken.
      await this.#topology.takeUp(back);
      this.#overtaken.abort();
      await this.#underWay;
      const { movedShare } = planChange(snapshot.ring, source);
      return this.#run(options, (all) => this.#goOn(back, { startedAt, movedShare, options: all }));
    }
  }

  /**
   * Completes the change under way without copying the rest: nobody else goes
   * on with it by itself, and no other can be made before it is complete. Bounded.
   */
  async end(): Promise<void> {
    this.#ending.abort(new ClosedError());
    const enough = new AbortController();
    await Promise.race([this.#underWay, pause(this.#clock, END_MS, enough.signal)]);
    enough.abort();
  }

  async #run(
    options: ChangeOptions,
    begin: (options: ChangeOptions) => Promise<Begun>,
  ): Promise<TopologyChange> {
    options.signal?.throwIfAborted();
    this.#busy = true;
    this.#overtaken = new AbortController();
    const ends = [this.#ending.signal, this.#overtaken.signal];
    const signal = AbortSignal.any([...ends, ...(options.signal ? [options.signal] : [])]);
    const begun = begin({ ...options, signal });
    const done = begun.then((change) => this.#finish(change));
    const over = (): void => {
      this.#busy = false;
    };
    // Whoever does not wait for it need not handle it either.
    this.#underWay = done.then(over, over);
    const { epoch, movedShare } = await begun;
    return { epoch, movedShare, done };
  }

  async #begin(change: RingChange, options: ChangeOptions): Promise<Begun> {
    const startedAt = this.#clock.now();
    const epoch = this.#topology.document.epoch + 1;
    const parties = new Parties(change, epoch, { topology: this.#topology, clock: this.#clock });
    try {
      await parties.invite(this.#gates);
      await parties.see(options.signal);
      await this.#announce({ change, options, epoch, parties });
      const { document, movedShare } = await this.#decide({ change, options, epoch, parties });
      // Before it is used it stands at all that can be reached: its control may lose it.
      await raiseAll(this.#topology, document);
      await this.#topology.takeUp(document);
      return await this.#goOn(document, { startedAt, movedShare, options });
    } catch (error) {
      await parties.dismiss();
      throw error;
    }
  }

  /** With a document that is in force: every node is raised to it, those that joined too. */
  async #goOn(document: TopologyDocument, from: Omit<Begun, 'closing' | 'epoch'>): Promise<Begun> {
    const closing = new Closing(this.#topology, this.#clock, document);
    await closing.raise(document);
    return { closing, epoch: document.epoch, ...from };
  }

  /**
   * Tells all who listen what is about to be decided, so that they need not build the ring while
   * their requests wait for it. A hint: it comes into force when the control accepts it, or never.
   */
  async #announce(wanted: Wanted): Promise<void> {
    const node = [...this.#topology.snapshot.nodes.values()].find(({ announces }) => announces);
    if (node === undefined) return;
    const { next } = await this.#successor(wanted);
    try {
      await node.announce(encodeDocument(next));
    } catch (error) {
      if (!(error instanceof NodeUnavailableError)) throw error;
      return;
    }
    await pause(this.#clock, ANNOUNCED_MS, wanted.options.signal);
  }

  /** What the change makes of the document that is in force. */
  async #successor({ change, epoch, parties }: Wanted) {
    // The ring of the snapshot is that of the document, then. Not so later: a read that the
    // control turns away takes up what it has just accepted.
    await this.#topology.settled();
    const { document: from, control, snapshot } = this.#topology;
    checkFree(change, from);
    const { lost, replaced } = parties;
    const ring = apply(snapshot.ring, change);
    const members = membersAfter(change, from.members, epoch);
    const next = changed(from, { members, fingerprint: ring.fingerprint, lost, replaced });
    return { from, next, control, ring, before: snapshot.ring };
  }

  /** Has the control accept the change; made anew from whatever else was accepted meanwhile. */
  async #decide(wanted: Wanted): Promise<{ document: TopologyDocument; movedShare: number }> {
    const { change, options } = wanted;
    const { invited } = wanted.parties;
    for (let round = 1; ; round++) {
      const { from, next, control, ring, before } = await this.#successor(wanted);
      this.#checkReachable(from, next);
      // From here on it cannot be taken back.
      options.signal?.throwIfAborted();
      try {
        const isReplaced = change.remove.includes(from.control.id) || invited.has(from.control.id);
        const isLost = control?.state().state !== 'up';
        await this.#propose(next, isLost && isReplaced ? this.#heir(next, invited) : control);
        return { document: next, movedShare: planChange(before, ring).movedShare };
      } catch (error) {
        if (error instanceof NodeUnavailableError) this.#unsure = fenceOfDocument(next);
        if (!(error instanceof TopologyBusyError) || round === ROUNDS) throw error;
      }
    }
  }

  /** Has the control accept a document; what it knows better is in force here when it does not. */
  async #propose(next: TopologyDocument, at: CacheNode | undefined): Promise<void> {
    try {
      await propose(this.#topology, next, at);
    } catch (error) {
      await this.#topology.settled();
      throw error;
    }
  }

  /** Who decides from the next document on: it decides about that one already when the one before is lost. */
  #heir(next: TopologyDocument, invited: ReadonlyMap<string, CacheNode>): CacheNode | undefined {
    const { id } = next.control;
    return invited.get(id) ?? this.#topology.snapshot.nodes.get(id);
  }

  /** Whoever hears from half of the nodes trusts them: so many must not be left out. */
  #checkReachable(from: TopologyDocument, next: TopologyDocument): void {
    const { nodes } = this.#topology.snapshot;
    const staying = new Set(next.members.map(({ id, readdressed: at }) => `${id} ${at}`));
    const silent = from.members.filter(
      ({ id, readdressed: at }) =>
        staying.has(`${id} ${at}`) && nodes.get(id)?.state().state !== 'up',
    );
    if (silent.length < halfOf(from.members.length)) return;
    const [first] = silent;
    const ids = silent.map(({ id }) => id).join(', ');
    throw new NodeUnavailableError(
      first?.id ?? '',
      'connection',
      `the ring cannot be changed while half of its nodes do not answer (${ids}): a process that reaches ` +
        'only those would not hear of it; wait for them, or remove those that are lost in the same change',
    );
  }

  async #finish({ closing, startedAt, options, ...begun }: Begun): Promise<TopologyChangeResult> {
    let moved = { scanned: 0, copied: 0, failed: 0 };
    let { epoch } = begun;
    try {
      if (options.warm ?? CHANGE_DEFAULTS.warm) {
        moved = await moveKeys(this.#topology, {
          clock: this.#clock,
          keysPerSecond: options.keysPerSecond ?? CHANGE_DEFAULTS.keysPerSecond,
          bytesPerSecond: options.bytesPerSecond ?? CHANGE_DEFAULTS.bytesPerSecond,
          lost: closing.lost,
          signal: options.signal,
          onProgress: options.onProgress?.bind(options) ?? noop,
        });
      }
    } finally {
      ({ epoch } = await closing.close(this.#ending.signal));
    }
    return { epoch, ...moved, durationMs: this.#clock.now() - startedAt };
  }
}

/** @throws TopologyBusyError, InvalidOptionError */
function checkFree(change: RingChange, from: TopologyDocument): void {
  if (from.source !== null) throw new TopologyBusyError(from.epoch);
  checkChange(change, from);
  // A ring that counts for locks must not be forgotten.
  const forgotten = from.history.at(HISTORY_LENGTH - 2)?.since ?? 0;
  if (forgotten <= from.locks.since) return;
  throw new TopologyBusyError(
    from.epoch,
    `was changed ${HISTORY_LENGTH - 1} times within the longest time of a lock (lock.maxTtl), and locks may ` +
      'be held by the oldest of these rings; wait for that time after the last change',
  );
}
