/**
 * When a node is left alone. Wraps opossum, which counts and keeps the time of
 * the open state; who may pass is decided here.
 *
 * Method. Callers are told to look at `closed` first and begin nothing while it
 * is not: opossum counts rejected calls as calls, and after 1,000 of them 997
 * failures were needed to open it again. The half-open probe is never a
 * caller's request but the node's admission, and it alone closes the breaker.
 * Each closing starts a new circuit with an empty window, so that nothing that
 * was begun before it can be counted after it; and all that is under way when
 * a circuit opens is settled for opossum there and then, so that a late success
 * cannot close it, nor a late failure open it again.
 *
 *     request A sent … circuit opens … half-open: probe sent … A succeeds late
 *     → opossum alone would close here, before the probe has said anything.
 */
import Circuit from 'opossum';
import type { BreakerTuning } from './tuning.ts';

const noop = (): void => undefined;

/** One group of requests, as the circuit sees it. Both are idempotent. */
export interface Outcome {
  succeed(): void;
  fail(): void;
}

export type BreakerState = 'closed' | 'open' | 'halfOpen';

export interface BreakerListener {
  /** It was closed and has opened. */
  opened(): void;
  /** It is time to try the node. Settles in bounded time; true when it may be used again. */
  probe(): Promise<boolean>;
}

// Given to opossum for what it must not wait for; reaches nobody.
const FAILED = new Error('failed');

class Attempt implements Outcome {
  readonly done: Promise<void>;
  readonly #resolve: () => void;
  readonly #reject: (reason: Error) => void;
  readonly #underWay: Set<Attempt>;

  constructor(underWay: Set<Attempt>) {
    this.#underWay = underWay;
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.done = promise;
    this.#resolve = resolve;
    this.#reject = reject;
    underWay.add(this);
  }

  succeed(): void {
    this.#underWay.delete(this);
    this.#resolve();
  }

  fail(): void {
    this.#underWay.delete(this);
    this.#reject(FAILED);
  }
}

type AttemptCircuit = Circuit<[Attempt], void>;

export class Breaker {
  readonly #tuning: BreakerTuning;
  readonly #listener: BreakerListener;
  readonly #underWay = new Set<Attempt>();
  #circuit: AttemptCircuit;
  #ended = false;

  /** Starts open: a node is used when it has been admitted, not before. */
  constructor(tuning: BreakerTuning, listener: BreakerListener) {
    this.#tuning = tuning;
    this.#listener = listener;
    this.#circuit = this.#newCircuit(false);
  }

  get closed(): boolean {
    return this.#circuit.closed;
  }

  get state(): BreakerState {
    if (this.#circuit.closed) return 'closed';
    return this.#circuit.halfOpen ? 'halfOpen' : 'open';
  }

  /** Begins what is to be counted. Only when it is closed. */
  begin(): Outcome {
    const attempt = new Attempt(this.#underWay);
    // Rejects with FAILED, which the requests themselves have told their callers better.
    this.#circuit.fire(attempt).catch(noop);
    return attempt;
  }

  /** The node is known to be unusable: a fact, not a statistic. */
  open(): void {
    if (!this.#ended) this.#circuit.open();
  }

  /** The node has been admitted. */
  close(): void {
    if (this.#ended || this.#circuit.closed) return;
    this.#circuit.shutdown();
    this.#circuit = this.#newCircuit(true);
  }

  shutdown(): void {
    this.#ended = true;
    this.#circuit.shutdown();
    for (const attempt of this.#underWay) attempt.succeed();
  }

  #newCircuit(closed: boolean): AttemptCircuit {
    // `state` is missing in the types of opossum 8, and documented in 10.
    const options: Circuit.Options<[Attempt]> & { state: { closed: boolean } } = {
      errorThresholdPercentage: this.#tuning.errorThresholdPercentage,
      volumeThreshold: this.#tuning.volumeThreshold,
      rollingCountTimeout: this.#tuning.rollingCountTimeoutMs,
      resetTimeout: this.#tuning.resetTimeoutMs,
      // The budget is kept by the requests, the probe's by the admission.
      timeout: false,
      // With 100,000 calls in the window percentiles cost 14 ms a failure.
      rollingPercentilesEnabled: false,
      enableSnapshots: false,
      state: { closed },
    };
    const circuit: AttemptCircuit = new Circuit((attempt: Attempt) => attempt.done, options);
    let wasClosed = closed;
    circuit.on('open', () => {
      for (const attempt of this.#underWay) attempt.fail();
      if (wasClosed) this.#listener.opened();
      wasClosed = false;
    });
    circuit.on('halfOpen', () => this.#probe());
    return circuit;
  }

  // Fired, so that opossum knows that the one call of its half-open state is out:
  // a failure re-opens it and starts its timer again. A success is followed by
  // `close()`, which the admission has called by then.
  #probe(): void {
    const attempt = this.begin();
    this.#listener.probe().then(
      (admitted) => (admitted ? attempt.succeed() : attempt.fail()),
      () => attempt.fail(),
    );
  }
}
