/**
 * One change of the ring, from the decision to the end: the joint phase, in
 * which the previous owners are still asked, then the new ring alone.
 *
 * The order is what makes it safe. The document is accepted by one node first,
 * so of two changes begun at once one is turned away; then this process takes
 * it up, then every node is raised to it, so that a process which has not
 * heard is turned away wherever it asks; only then are keys moved, and only
 * when all that is done is the previous ring dropped. Ending early costs
 * misses, never a stale read.
 */
import { type Clock, pause } from '../clock.ts';
import {
  ClosedError,
  InvalidOptionError,
  NodeUnavailableError,
  TopologyBusyError,
} from '../errors.ts';
import { planChange } from '../ring/plan.ts';
import type { HashRing } from '../ring/ring.ts';
import { propose, raiseAll } from './announce.ts';
import { HISTORY_LENGTH, type Member, type TopologyDocument } from './document.ts';
import type { Gates } from './gates.ts';
import { type MoveProgress, moveKeys } from './mover.ts';
import { memberOf, type Seat, type Topology, withEra } from './topology.ts';

export interface ChangeOptions {
  /** Copy what changes hands, so that nothing has to be loaded again. @default true */
  warm?: boolean;
  /** Most keys that the background copy moves a second. Number, 1 or more. @default 10000 */
  keysPerSecond?: number;
  /**
   * Aborted before the new ring serves: the change is not made. Aborted later:
   * the background copy ends, and the change is completed without it.
   */
  signal?: AbortSignal;
  /** Called after each step of the background copy. What it throws ends the copy. */
  onProgress?(progress: Readonly<MoveProgress>): void;
}

export const CHANGE_DEFAULTS = { warm: true, keysPerSecond: 10_000 } as const;

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

export interface RingChange {
  readonly add: readonly Seat[];
  readonly remove: readonly string[];
}

/** For what a change has left to do when its process ends: three rounds to all nodes. */
const END_MS = 400;

const noop = (): void => undefined;

export class TopologyChanger {
  readonly #topology: Topology;
  readonly #gates: Gates;
  readonly #clock: Clock;
  readonly #ending = new AbortController();
  /** Settles when the change under way is complete. */
  #underWay: Promise<void> = Promise.resolve();
  #busy = false;

  constructor(topology: Topology, gates: Gates, clock: Clock) {
    this.#topology = topology;
    this.#gates = gates;
    this.#clock = clock;
  }

  /**
   * Makes a change; resolves when the new ring serves.
   *
   * @throws TopologyBusyError, TopologyConflictError, NodeUnavailableError (a joining node
   *   does not answer), InvalidOptionError (unknown or known id, last node): nothing was changed.
   */
  async change(change: RingChange, options: ChangeOptions = {}): Promise<TopologyChange> {
    const from = this.#topology.document;
    if (this.#busy || from.source !== null) throw new TopologyBusyError(from.epoch);
    checkChange(change, from);
    // A ring that counts for locks must not be forgotten.
    const forgotten = from.history.at(HISTORY_LENGTH - 2)?.since ?? 0;
    if (forgotten > from.locks.since) throw new TopologyBusyError(from.epoch);
    options.signal?.throwIfAborted();
    this.#busy = true;
    const ends = this.#ending.signal;
    const signal = options.signal === undefined ? ends : AbortSignal.any([ends, options.signal]);
    const begun = this.#begin(from, change, { ...options, signal });
    this.#underWay = begun.then(({ done }) => done).then(noop, noop);
    try {
      return await begun;
    } catch (error) {
      this.#busy = false;
      throw error;
    }
  }

  /**
   * Completes the change under way without copying the rest: nobody else goes
   * on with it, and no other can be made before it is complete. Bounded.
   */
  async end(): Promise<void> {
    this.#ending.abort(new ClosedError());
    const enough = new AbortController();
    await Promise.race([this.#underWay, pause(this.#clock, END_MS, enough.signal)]);
    enough.abort();
  }

  async #begin(
    from: TopologyDocument,
    change: RingChange,
    options: ChangeOptions,
  ): Promise<TopologyChange> {
    const startedAt = this.#clock.now();
    const { ring: before } = this.#topology.snapshot;
    try {
      for (const seat of change.add) await this.#invite(seat);
      const members = [
        ...from.members.filter(({ id }) => !change.remove.includes(id)),
        ...change.add.map(memberOf),
      ];
      const after = apply(before, change);
      const joint = this.#jointDocument(from, members, { change, after, options });
      // From here on it cannot be taken back.
      options.signal?.throwIfAborted();
      await propose(this.#topology, joint);
      // With no source to go to first, what is set at the new owner has to be
      // out of date nowhere from the first moment on.
      if (joint.source === null) await raiseAll(this.#topology, joint);
      await this.#topology.takeUp(joint);
      await raiseAll(this.#topology, joint);
      const { movedShare } = planChange(before, after);
      const done = this.#finish(joint, { startedAt, options });
      // Whoever does not wait for it need not handle it either.
      done.catch(() => {});
      return { epoch: joint.epoch, movedShare, done };
    } catch (error) {
      for (const { id } of change.add) await this.#topology.dismiss(id);
      throw error;
    }
  }

  async #invite(seat: Seat): Promise<void> {
    const { leaving } = this.#topology.document.locks;
    const node = await this.#topology.invite(seat);
    if (node.state().state === 'up') {
      // One that has just left may have granted locks that count still.
      if (!leaving.some(({ id }) => id === seat.id)) await this.#gates.welcome(node);
      return;
    }
    throw (
      this.#topology.refusalOf(seat.id) ??
      new NodeUnavailableError(seat.id, 'connection', 'it cannot join the ring')
    );
  }

  #jointDocument(
    from: TopologyDocument,
    members: readonly Member[],
    to: { change: RingChange; after: HashRing; options: ChangeOptions },
  ): TopologyDocument {
    const { nodes } = this.#topology.snapshot;
    // A node that is gone cannot be asked for what it had: its keys are
    // loaded and stored at once, instead of being loaded unstored until the end.
    const leavesAlive = to.change.remove.every((id) => nodes.get(id)?.state().state === 'up');
    const warm = (to.options.warm ?? CHANGE_DEFAULTS.warm) && leavesAlive;
    const epoch = from.epoch + 1;
    return {
      ...from,
      epoch,
      fingerprint: to.after.fingerprint,
      members,
      source: warm ? from.members : null,
      locks: { ...from.locks, leaving: leavingWith(from, members), sealed: false },
      history: withEra(from, epoch, members),
    };
  }

  async #finish(
    joint: TopologyDocument,
    from: { startedAt: number; options: ChangeOptions },
  ): Promise<TopologyChangeResult> {
    const { startedAt, options } = from;
    let moved = { scanned: 0, copied: 0, failed: 0 };
    let last = joint;
    try {
      if (joint.source !== null) {
        moved = await moveKeys(this.#topology.snapshot, {
          clock: this.#clock,
          keysPerSecond: options.keysPerSecond ?? CHANGE_DEFAULTS.keysPerSecond,
          signal: options.signal,
          onProgress: options.onProgress?.bind(options) ?? (() => {}),
        });
      }
    } finally {
      if (joint.source !== null) {
        // Every node is known to be raised before the previous ring is dropped.
        const sealed = await raiseAll(this.#topology, joint);
        const locks = { ...joint.locks, sealed };
        const stable = { ...joint, epoch: joint.epoch + 1, source: null, locks };
        last = stable;
        await this.#topology.takeUp(stable);
        await raiseAll(this.#topology, stable);
      }
      this.#busy = false;
    }
    const { scanned, copied, failed } = moved;
    return {
      epoch: last.epoch,
      scanned,
      copied,
      failed,
      durationMs: this.#clock.now() - startedAt,
    };
  }
}

/** Nodes that locks may be on though they are no members: those that leave, and those that left shortly before. */
function leavingWith(from: TopologyDocument, members: readonly Member[]): Member[] {
  const staying = new Set(members.map(({ id }) => id));
  return [...from.locks.leaving, ...from.members].filter(({ id }) => !staying.has(id));
}

/** @throws InvalidOptionError */
export function checkChange(change: RingChange, from: Pick<TopologyDocument, 'members'>): void {
  const known = new Set(from.members.map(({ id }) => id));
  for (const { id } of change.add) {
    if (known.has(id)) throw new InvalidOptionError('id', 'one that is not in the ring yet', id);
    known.add(id);
  }
  for (const id of change.remove) {
    if (!known.delete(id)) {
      const members = from.members.map((member) => member.id).join(', ');
      throw new InvalidOptionError('id', `one of the ring's nodes (${members})`, id);
    }
  }
  if (known.size === 0) {
    throw new InvalidOptionError('id', 'not the last node of the ring', change.remove[0]);
  }
}

/** The ring after a change. */
export function apply(ring: HashRing, change: Pick<RingChange, 'add' | 'remove'>): HashRing {
  let next = ring;
  for (const { id, weight } of change.add) next = next.with({ id, weight });
  for (const id of change.remove) next = next.without(id);
  return next;
}
