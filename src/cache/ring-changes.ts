/** How a cache lets its ring be changed: its nodes, while it serves. */
import {
  checkChangeOptions,
  type NodeOptions,
  type RingChangeOptions,
  resolveChange,
  resolveNode,
} from '../options.ts';
import { type Plan, planChange } from '../ring/plan.ts';
import type { ChangeOptions, TopologyChange } from '../topology/change.ts';
import { type Recovery, recover } from '../topology/recovery.ts';
import { apply, checkChange } from '../topology/ring-change.ts';
import type { Rooms } from './rooms.ts';

export abstract class RingChanges {
  readonly #rooms: Pick<Rooms, 'changer' | 'topology'>;
  readonly #check: () => void;

  /** @param check Throws when the cache is closed. */
  constructor(rooms: Pick<Rooms, 'changer' | 'topology'>, check: () => void) {
    this.#rooms = rooms;
    this.#check = check;
  }

  /**
   * Adds a node while the cache serves. Resolves when the new ring serves;
   * `done` resolves when what changes hands has been copied.
   *
   * @throws TopologyBusyError, TopologyConflictError, NodeUnavailableError,
   *   InvalidOptionError: nothing was changed.
   */
  async addNode(node: NodeOptions | string, options?: ChangeOptions): Promise<TopologyChange> {
    this.#check();
    checkChangeOptions(options);
    return this.#rooms.changer.change({ add: [resolveNode(node)], remove: [] }, options);
  }

  /** Removes a node while the cache serves; what it has is copied if it answers. Like `addNode`. */
  async removeNode(id: string, options?: ChangeOptions): Promise<TopologyChange> {
    return this.changeRing({ remove: [id] }, options);
  }

  /** Adds, removes and re-weighs several nodes at once, or gives some another address. Like `addNode`. */
  async changeRing(change: RingChangeOptions, options?: ChangeOptions): Promise<TopologyChange> {
    this.#check();
    checkChangeOptions(options);
    return this.#rooms.changer.change(resolveChange(change), options);
  }

  /**
   * Finishes a change whose process is gone. Undefined when none is under way.
   *
   * @throws TopologyBusyError when this process is making it.
   */
  async resumeChange(options?: ChangeOptions): Promise<TopologyChange | undefined> {
    this.#check();
    checkChangeOptions(options);
    return this.#rooms.changer.resume(options);
  }

  /**
   * Takes back the change that is under way, here or elsewhere: the ring before
   * serves again, with all that was stored since. Undefined when none is. For
   * whoever made it, `done` rejects with TopologyBusyError.
   */
  async abortChange(options?: ChangeOptions): Promise<TopologyChange | undefined> {
    this.#check();
    checkChangeOptions(options);
    return this.#rooms.changer.abort(options);
  }

  /**
   * Lets another node decide about changes of the ring, when the one that did
   * is lost for good (`topology.control`).
   *
   * @param options.control The id of that node; by default the first that answers.
   * @throws NodeUnavailableError, TopologyConflictError, InvalidOptionError: nothing was changed.
   */
  async recoverTopology(options: { control?: string } = {}): Promise<Recovery> {
    this.#check();
    return recover(this.#rooms.topology, options.control);
  }

  /** What a change would move, and the shares before and after. Changes nothing. @throws InvalidOptionError */
  plan(change: Omit<RingChangeOptions, 'urls'>): Plan {
    const wanted = resolveChange(change);
    const { document, snapshot } = this.#rooms.topology;
    checkChange(wanted, document);
    return planChange(snapshot.ring, apply(snapshot.ring, wanted));
  }
}
