/** Every benchmark there is, in the order in which all of them are run. */

import type { Bench } from './bench.ts';
import { rebalance } from './rebalance.ts';
import { ringLookup } from './ring-lookup.ts';

export const benches: readonly Bench[] = [ringLookup, rebalance];
