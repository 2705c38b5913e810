/** Until when a request that was sent may act, in the clock of its node: what says so acts in time or not at all. */
import type { NodeUnavailableError } from '../errors.ts';
import type { NodeClock } from './node-clock.ts';

/** What we may be wrong about the clock of a node. */
const CLOCK_MARGIN_MS = 25;

export class Deadlines {
  readonly #nodeClock: NodeClock;
  readonly #actMs: number;
  readonly #failure: () => NodeUnavailableError;

  /** @param failure What whoever was late is told. */
  constructor(nodeClock: NodeClock, timeoutMs: number, failure: () => NodeUnavailableError) {
    this.#nodeClock = nodeClock;
    this.#actMs = timeoutMs + CLOCK_MARGIN_MS;
    this.#failure = failure;
  }

  /** For a request that is sent now. */
  next(): number {
    return Math.ceil(this.#nodeClock.now() + this.#actMs);
  }

  /** It answered in time that the request was late, so its clock is another one than we know. */
  missed(): never {
    this.#nodeClock.mistrust();
    throw this.#failure();
  }
}
