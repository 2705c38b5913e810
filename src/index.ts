/** The public names of ringcache, one by one. */

export { createCache } from './cache/create.ts';
export { discover, type Fleet, type FleetNode } from './cache/discover.ts';
export type { Explanation, KeyedCache, NamespacedCache, ValueInfo } from './cache/namespaced.ts';
export { recoverTopology } from './cache/recover.ts';
export type { NodeReport, NodeStatus, Stats, TopologyStatus } from './cache/status.ts';
export type { RingCache } from './cache.ts';
export { type ConfigSource, loadConfig } from './config.ts';
export type { Duration } from './duration.ts';
export {
  ClosedError,
  InvalidKeyError,
  InvalidOptionError,
  InvalidValueError,
  LoadTimeoutError,
  LockError,
  type LockLoss,
  LockLostError,
  LockTimeoutError,
  LockUnavailableError,
  NodeUnavailableError,
  QuorumError,
  RingCacheError,
  TopologyBusyError,
  TopologyConflictError,
  type Unavailability,
  type Vote,
} from './errors.ts';
export type { CacheEvents } from './events.ts';
export type { BulkLoader } from './load/bulk.ts';
export type { LoadContext, Loader } from './load/runner.ts';
export type { EntryOptions, LoadOptions, TouchOptions } from './load/settings.ts';
export type { Lock } from './lock/lock.ts';
export { type LockedOptions, locked, type WithLockOptions, withLock } from './lock/locked.ts';
export type { LockEvents, LockStatus, Locks } from './lock/locks.ts';
export { type EvalClient, SET_IF_FENCE, setIfFence } from './lock/set-if-fence.ts';
export type { LockOptions, LocksOptions } from './lock/settings.ts';
export { createLocks, type OwnLocks } from './locks.ts';
export type { MemoryOptions } from './memory/settings.ts';
export type { LatencySummary, LockStats } from './metrics/metrics.ts';
export type { Codec } from './node/codec.ts';
export type { NodeStats } from './node/node.ts';
export type { ServerReport } from './node/report.ts';
export type {
  BreakerOptions,
  CacheOptions,
  CreateLocksOptions,
  NodeOptions,
  NodeTuningOptions,
  RingChangeOptions,
} from './options.ts';
export { type Move, type Plan, planChange } from './ring/plan.ts';
export { HashRing } from './ring/ring.ts';
export type {
  ChangeOptions,
  TopologyChange,
  TopologyChangeResult,
} from './topology/change.ts';
export type { Recovery } from './topology/recovery.ts';
