/** What a history is made of: a protocol, what is wrong with it, and what goes wrong around it. */
/**
 * - `naive`: the lock is taken where the newest ring is thought to have it.
 * - `window`: as naive, but on the former home too, for the longest ttl from when this process was told.
 * - `epoch`: nodes refuse views older than theirs; between two stable views there is a joint one, of the
 *   old and the new home, for the longest ttl; and no view is used for longer than its lease.
 */
export type Protocol = 'naive' | 'window' | 'epoch';

/** A part of the epoch protocol that is left out, or wrong. */
export type Mutation =
  // The change.
  /** The new home counts at once, alone. */
  | 'no-joint-phase'
  /** At the second change of two in a row, the owner of before the first no longer counts. */
  | 'two-eras-only'
  /** The joint view is replaced as soon as it is sealed. */
  | 'no-wait-for-longest-ttl'
  /** The same, but only if a node is cut off. */
  | 'no-wait-when-cut-off'
  /** If a node is cut off, the longest ttl is waited for, but not that old views are used before it begins. */
  | 'no-wait-for-view-lease'
  /** The longest ttl is counted from when the first node was sealed. The last granted to old views until later. */
  | 'wait-from-the-first-seal'
  // The view.
  /** A view is used however long ago it was confirmed. */
  | 'no-view-lease'
  /** The same, but only for renewals. */
  | 'no-view-lease-for-renewals'
  /** One node's answer confirms a view, without a majority. */
  | 'one-node-confirms'
  /** Nodes grant to every view. */
  | 'nodes-ignore-the-epoch'
  /** Nodes refuse old views a new lock, but not a longer one. */
  | 'renewals-ignore-the-epoch'
  /** A node hears of a view from the driver alone, not from the clients that use it. */
  | 'clients-teach-no-node'
  // The lock.
  /** The homes are taken in the wrong order. */
  | 'new-home-first'
  /** A holder leaves the old home, then takes the new one. */
  | 'old-home-released-first'
  /** A holder renews where it has the lock, and takes no new home. */
  | 'holder-stays-on-old-home'
  /** Validity is counted from when the answer came, not from when the question was sent. */
  | 'validity-from-the-answer';

export interface Scenario {
  /** Until a process is told of a new view, on average. */
  readonly toldAfterMs: number;
  /** Processes that are told nothing: they hear of a new view from nodes. */
  readonly neverToldShare: number;
  /** Of messages. */
  readonly lostShare: number;
  /** Messages that are under way for 60 ms on average, not for 1 ms. */
  readonly slowShare: number;
  /** Renewals before which the process stands still, for 150 ms on average. */
  readonly pausedShare: number;
  /**
   * - `driver`: the driver of the change does not reach the old home, which all clients do reach.
   * - `driver-at-first`: it reaches it late.
   * - `split`: from just before the change on, the old home and some clients are apart from the rest.
   */
  readonly cut: 'nothing' | 'driver' | 'driver-at-first' | 'split';
  /** Where a second change moves the lock, within the longest ttl of the first. `A` takes the first back. */
  readonly thenTo: 'A' | 'B' | undefined;
}

const QUIET: Scenario = {
  toldAfterMs: 20,
  neverToldShare: 0,
  lostShare: 0,
  slowShare: 0,
  pausedShare: 0,
  cut: 'nothing',
  thenTo: undefined,
};
const ROUGH: Scenario = {
  ...QUIET,
  toldAfterMs: 100,
  neverToldShare: 0.3,
  lostShare: 0.02,
  slowShare: 0.03,
  pausedShare: 0.05,
};

export const SCENARIOS = {
  'all are told quickly': QUIET,
  'told slowly, over a bad network': { ...ROUGH, toldAfterMs: 400, neverToldShare: 0 },
  'some are never told': ROUGH,
  'the driver is cut off from the old home': { ...ROUGH, cut: 'driver' },
  // What follows lets parts of the protocol matter that hide behind others above: clients that hear
  // by their lease alone, and holders that do not renew, so that no node can refuse it to them, while
  // others know of the new view at once.
  'the old home and some clients are cut off': {
    ...ROUGH,
    toldAfterMs: 1,
    neverToldShare: 0,
    cut: 'split',
  },
  'processes stand still, the old home is sealed late': {
    ...ROUGH,
    toldAfterMs: 1,
    pausedShare: 0.5,
    cut: 'driver-at-first',
  },
  'two changes in a row': { ...ROUGH, thenTo: 'B' },
  'two changes in a row, cut off from the old home': { ...ROUGH, cut: 'driver', thenTo: 'B' },
  'a change that is taken back at once': { ...ROUGH, thenTo: 'A' },
} as const satisfies Record<string, Scenario>;

export type ScenarioName = keyof typeof SCENARIOS;

export interface Setup {
  readonly protocol: Protocol;
  readonly mutation?: Mutation | undefined;
  readonly scenario: ScenarioName;
  readonly seed: number;
}

// Only proportions matter. The view lease is as long as the longest ttl here, longer than anybody
// would choose it, so that waiting for one of them does not pass for waiting for both.
export const TTL_MS = 100;
export const LONGEST_TTL_MS = TTL_MS;
export const VIEW_LEASE_MS = 100;
/** How far a clock may be off: it takes 1 ms for 0.99 to 1.01. */
export const CLOCK_ERROR = 0.01;
/** How long a holder relies on its lock, from when it asked. The 2 ms are for rounding and late timers. */
export const VALIDITY_MS = TTL_MS - Math.ceil(TTL_MS * CLOCK_ERROR) - 2;

export const CHANGE_AT_MS = 300;
/** By then all changes have ended, in every scenario, and the network is whole again. */
export const SETTLED_AT_MS = 900;
export const END_AT_MS = 1_500;
