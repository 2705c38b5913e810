/** Every benchmark there is, in the order in which all of them are run. */

import { behaviour } from './behaviour.ts';
import type { Bench } from './bench.ts';
import { coherence } from './coherence.ts';
import { locks } from './locks.ts';
import { memoryHit } from './memory-hit.ts';
import { reads } from './reads.ts';
import { rebalance } from './rebalance.ts';
import { ringLookup } from './ring-lookup.ts';
import { stampede } from './stampede.ts';

export const benches: readonly Bench[] = [
  ringLookup,
  memoryHit,
  reads,
  stampede,
  locks,
  rebalance,
  coherence,
  behaviour,
];
