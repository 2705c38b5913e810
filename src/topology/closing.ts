/**
 * The end of a joint phase: it may come only when nobody can use the ring
 * before any more, because every node was raised, or because those that could
 * not be are too few to be trusted and everybody's time has passed.
 */
import { type Clock, pause } from '../clock.ts';
import { NodeUnavailableError, TopologyBusyError } from '../errors.ts';
import { propose, raiseAll } from './announce.ts';
import type { TopologyDocument } from './document.ts';
import { closed, presentOf } from './successors.ts';
import type { Topology } from './topology.ts';
import { halfOf, VIEW_MARGIN_MS, VIEW_MS } from './view.ts';

const RETRY_MS = 1_000;

export class Closing {
  readonly #topology: Topology;
  readonly #clock: Clock;
  /** Which change is meant. */
  readonly #since: number;
  /** Who can have heard of nothing else than the ring before. */
  readonly #before: ReadonlySet<string>;
  /** Nodes that run no more. */
  readonly lost: ReadonlySet<string>;
  /** Nodes that leave: who removes them knows that nobody trusts them alone. */
  readonly #leaving: ReadonlySet<string>;
  /** Once raised, a node turns away whoever does not know. */
  readonly #raised = new Set<string>();
  /** When so many were raised that nobody trusts the rest for longer than his time. */
  #mostRaisedAt: number | undefined;

  /** @param document The first of the change. */
  constructor(topology: Topology, clock: Clock, document: TopologyDocument) {
    this.#topology = topology;
    this.#clock = clock;
    this.#since = presentOf(document).since;
    const [, before] = document.history;
    this.#before = new Set((before ?? presentOf(document)).members.map(({ id }) => id));
    const { leaving } = document.locks;
    this.#leaving = new Set(leaving.map(({ id }) => id));
    this.lost = new Set(leaving.filter(({ lost }) => lost).map(({ id }) => id));
  }

  /** Resolves when nobody uses the ring before any more; rejects when `signal` aborts earlier. */
  async sealed(signal: AbortSignal, document = this.#topology.document): Promise<void> {
    for (;;) {
      const missing = await this.raise(document);
      const waitMs = missing.length === 0 ? 0 : this.#waitMs(missing);
      if (waitMs <= 0) return;
      await pause(this.#clock, Math.min(waitMs, RETRY_MS), signal);
      signal.throwIfAborted();
    }
  }

  /**
   * Ends the joint phase; resolves to the document that is in force then.
   *
   * @throws TopologyBusyError when the change was taken back meanwhile.
   */
  async close(signal: AbortSignal): Promise<TopologyDocument> {
    const topology = this.#topology;
    for (;;) {
      const joint = topology.document;
      if (presentOf(joint).since !== this.#since) throw new TopologyBusyError(joint.epoch);
      // Another process has ended it.
      if (joint.source === null) return joint;
      await this.sealed(signal, joint);
      if (topology.document !== joint) continue;
      const next = closed(joint);
      try {
        await propose(topology, next);
        await topology.takeUp(next);
        await raiseAll(topology, next);
        return next;
      } catch (error) {
        if (error instanceof TopologyBusyError) continue;
        if (!(error instanceof NodeUnavailableError)) throw error;
        signal.throwIfAborted();
        // Until the control answers again the previous owners go on being asked.
        await pause(this.#clock, RETRY_MS, signal);
        signal.throwIfAborted();
      }
    }
  }

  /** Raises all nodes; resolves to those that never were, and may be used. */
  async raise(document: TopologyDocument): Promise<string[]> {
    const missing = await raiseAll(this.#topology, document);
    for (const node of this.#topology.snapshot.lockNodes()) {
      if (!missing.has(node.id)) this.#raised.add(node.id);
    }
    const left = [...missing].filter((id) => !this.#raised.has(id) && !this.lost.has(id));
    const mayTrust = left.filter((id) => this.#before.has(id) && !this.#leaving.has(id)).length;
    if (mayTrust < halfOf(this.#before.size)) this.#mostRaisedAt ??= this.#clock.now();
    return left;
  }

  /** 0 when it may go on without the missing. */
  #waitMs(missing: readonly string[]): number {
    if (this.#mostRaisedAt === undefined) return RETRY_MS;
    // Whoever is new has served nobody.
    if (!missing.some((id) => this.#before.has(id))) return 0;
    return this.#mostRaisedAt + VIEW_MS + VIEW_MARGIN_MS - this.#clock.now();
  }
}
