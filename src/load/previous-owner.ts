/** While the ring changes: what the node before is asked for, besides the copy under a lease. */
import { NodeUnavailableError } from '../errors.ts';
import type { Budget, CacheNode, Stored } from '../node/node.ts';
import { copyKey } from '../topology/mover.ts';
import type { Snapshot } from '../topology/snapshot.ts';
import type { Topology } from '../topology/topology.ts';
import type { Flight } from './flight.ts';

/** Who waits for another process's load does not wait for the node. */
export function budgetOf({ decidedToWait, budget }: Flight): Budget | undefined {
  return decidedToWait ? undefined : budget;
}

/** While another process copies or loads: the previous owner's value, uncopied. */
export async function oldValueOf(flight: Flight): Promise<Stored | undefined> {
  const previous = flight.snapshot.previousOwner(flight.hash);
  if (previous === undefined || flight.decidedToWait) return undefined;
  try {
    const found = await previous.copy(flight.key, flight.snapshot.fence, flight.budget);
    if (found.kind !== 'value' || found.stored.freshForMs <= 0) return undefined;
    return flight.snapshot.believesPrevious(found.stored, flight.hash) ? found.stored : undefined;
  } catch (error) {
    if (!(error instanceof NodeUnavailableError)) throw error;
    return undefined;
  }
}

/** From the previous owner, where it was stored, to the present one: the mover may have passed by. */
export function passOn(key: string, topology: Topology): void {
  const { snapshot } = topology;
  const connected = topology.connecting(snapshot.owner(snapshot.ring.hash(key)));
  Promise.resolve(connected)
    .then(() => copyKey(key, snapshot))
    .catch(() => {});
}

/**
 * Whether a lease at this node counts still: the node owns the key, or is the one that is asked
 * besides the owner, from where it will be copied.
 */
export function leaseCounts(
  now: Snapshot,
  node: CacheNode,
  { leasedIn, hash }: { leasedIn: Pick<Stored, 'stamp'>; hash: number },
): boolean {
  if (now.owner(hash) === node) return now.believes(leasedIn, hash);
  return now.previousOwner(hash) === node && now.believesPrevious(leasedIn, hash);
}
