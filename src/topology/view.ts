/**
 * For how long a process may use what it knows of the topology without having
 * been told that it is still the newest.
 *
 * A change of the ring raises every node, and whoever does not know of it is
 * turned away. A node that could not be raised would go on serving a process
 * that can reach nobody else. So a process has to hear from half of the nodes of
 * each of its rings that they know nothing newer, and a change for which not all could be raised
 * goes on only when more than half are, and everybody's time has passed.
 */
import type { Clock } from '../clock.ts';

export const VIEW_MS = 10_000;
/** Nodes are asked so often that three answers may be lost. */
export const CONFIRM_MS = VIEW_MS / 4;
/** What a change waits beyond that: two clocks may drift apart meanwhile. */
export const VIEW_MARGIN_MS = 500;

/** Of so many nodes, those that confirm a view; a change that leaves out so many must not be made. */
export function halfOf(nodes: number): number {
  return Math.ceil(nodes / 2);
}

export class View {
  readonly #clock: Clock;
  readonly #rings: () => Iterable<readonly string[]>;
  readonly #heard = new Map<string, number>();
  #until = Number.NEGATIVE_INFINITY;

  /**
   * @param rings The ids of the nodes of each ring in force. Half of both together is not enough: it
   *   may be made up of nodes that the next change, which counts one ring, need not raise.
   */
  constructor(clock: Clock, rings: () => Iterable<readonly string[]>) {
    this.#clock = clock;
    this.#rings = rings;
  }

  /** A node was asked at `askedAt`, and knew nothing newer than this process does. */
  heard(node: string, askedAt: number): void {
    this.#heard.set(node, Math.max(askedAt, this.#heard.get(node) ?? askedAt));
  }

  /** Asked before every batch. */
  readonly trusted = (): boolean => {
    const now = this.#clock.now();
    if (now <= this.#until) return true;
    this.#until = this.#confirmedAt() + VIEW_MS;
    return now <= this.#until;
  };

  #confirmedAt(): number {
    return Math.min(...Array.from(this.#rings(), (ids) => this.#halfHeardAt(ids)));
  }

  /** When the last of the half was asked that has answered. */
  #halfHeardAt(ids: readonly string[]): number {
    const times = ids.map((id) => this.#heard.get(id) ?? Number.NEGATIVE_INFINITY);
    times.sort((a, b) => b - a);
    return times[halfOf(ids.length) - 1] ?? Number.NEGATIVE_INFINITY;
  }
}
