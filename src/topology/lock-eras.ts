/**
 * Ends the time in which a lock is held at its old home as well: when every
 * node of the old rings is known to turn away who does not know the new one,
 * and then the longest ttl has passed, so that nothing is held at an old home
 * alone.
 *
 * Every process sees to it, one of them does it. A node that could not be
 * raised may still serve those who do not know better: the time goes on, and
 * what had its home there cannot be had, until it can be reached.
 */
import type { Clock, Timer } from '../clock.ts';
import { NodeUnavailableError, TopologyBusyError } from '../errors.ts';
import { propose, raiseAll } from './announce.ts';
import type { TopologyDocument } from './document.ts';
import { presentOf, settled } from './successors.ts';
import type { Topology } from './topology.ts';

/** Beyond the longest ttl: what two clocks may drift apart in it. */
const MARGIN_MS = 1_000;
/** So that not all processes do it at once. */
const SPREAD_MS = 2_000;
const RETRY_MS = 5_000;

export class LockEras {
  readonly #topology: Topology;
  readonly #clock: Clock;
  readonly #waitMs: number;
  #timer: Timer | undefined;
  #ended = false;

  /** @param longestMs The longest ttl of any lock. */
  constructor(topology: Topology, clock: Clock, longestMs: number) {
    this.#topology = topology;
    this.#clock = clock;
    this.#waitMs = longestMs + MARGIN_MS + Math.random() * SPREAD_MS;
  }

  /** Another document is in force. */
  follow(): void {
    const { document } = this.#topology;
    this.#timer?.cancel();
    if (this.#ended || document.source !== null || isSettled(document)) return;
    if (document.locks.sealed) this.#after(this.#waitMs, () => this.#settle(document));
    else this.#after(0, () => this.#seal(document));
  }

  end(): void {
    this.#ended = true;
    this.#timer?.cancel();
  }

  async #seal(document: TopologyDocument): Promise<void> {
    const missing = await raiseAll(this.#topology, document);
    if (document !== this.#topology.document) return;
    if (missing.size === 0) this.#after(this.#waitMs, () => this.#settle(document));
    else this.#after(RETRY_MS, () => this.#seal(document));
  }

  async #settle(document: TopologyDocument): Promise<void> {
    // Nothing is granted at the old homes any more. What was, was at most the microsecond of their
    // clocks: this one is ahead of that unless it is behind by all the time that was waited.
    const floor = Math.max(document.locks.floor, Math.round(this.#clock.wall() * 1_000));
    const next = settled(document, floor);
    try {
      await propose(this.#topology, next);
      // Those that leave now, too: one that comes back is a new home, at which nobody is to be met
      // who still takes it for an old one.
      await raiseAll(this.#topology, next);
      await this.#topology.takeUp(next);
    } catch (error) {
      if (!(error instanceof NodeUnavailableError || error instanceof TopologyBusyError))
        throw error;
      // Turned away by a newer document: that one is followed already.
      if (document === this.#topology.document) this.#after(RETRY_MS, () => this.#settle(document));
    }
  }

  #after(delayMs: number, run: () => Promise<void>): void {
    if (this.#ended) return;
    this.#timer?.cancel();
    this.#timer = this.#clock.after(delayMs, () => void run());
  }
}

function isSettled(document: TopologyDocument): boolean {
  return document.locks.since === presentOf(document).since;
}
