/**
 * How patient one node is treated: the numbers, what they mean, and what they
 * are when nothing is said. Validated by the options of the cache, not here.
 */

/** The budgets of one node. */
export interface NodeTuning {
  /**
   * How long a request may take before its caller goes on without the node.
   * Milliseconds, integer, 1 to 60,000.
   *
   * @default 100
   */
  readonly timeoutMs: number;
  /**
   * How long a connection (TCP and TLS) may take to stand, and how long a node
   * that has just been connected may take for each step of its admission.
   * Milliseconds, integer, 10 to 60,000.
   *
   * @default 300
   */
  readonly connectTimeoutMs: number;
  /**
   * Commands sent to the node and not answered yet, those included that were
   * given up on; what exceeds it is rejected at once as `overloaded`. A batch
   * of up to 64 reads is one command. Integer, 1 to 1,000,000.
   *
   * @default 10_000
   */
  readonly maxInFlight: number;
}

export const NODE_DEFAULTS: NodeTuning = {
  timeoutMs: 100,
  connectTimeoutMs: 300,
  maxInFlight: 10_000,
};

/** When a node that fails is left alone, and for how long. */
export interface BreakerTuning {
  /**
   * The breaker opens when more than this share of the groups of requests in
   * the window failed. (All that is sent to a node in one turn of the event
   * loop is one group.) Percent, 1 to 99. The loss of the connection opens it
   * without any counting.
   *
   * @default 50
   */
  readonly errorThresholdPercentage: number;
  /**
   * And when the window has at least this many groups. Integer, 1 to 10,000.
   *
   * @default 5
   */
  readonly volumeThreshold: number;
  /**
   * The length of the window. It starts empty whenever the breaker closes.
   * Short on purpose: a node that turns slow after seconds of good answers
   * must not need as many seconds of bad ones. Milliseconds, integer, 100 to
   * 600,000.
   *
   * @default 2_000
   */
  readonly rollingCountTimeoutMs: number;
  /**
   * How long it stays open before the node is tried again. Milliseconds,
   * integer, 10 to 600,000. A connection that comes back is tried at once.
   *
   * @default 1_000
   */
  readonly resetTimeoutMs: number;
}

export const BREAKER_DEFAULTS: BreakerTuning = {
  errorThresholdPercentage: 50,
  volumeThreshold: 5,
  rollingCountTimeoutMs: 2_000,
  resetTimeoutMs: 1_000,
};
