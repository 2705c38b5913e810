/** Keeps a lease for as long as its load runs, gives it back if nothing is to be stored, and says whether it counts. */
import type { Clock, Timer } from '../clock.ts';
import type { CacheNode, Stored } from '../node/node.ts';
import type { Snapshot } from '../topology/snapshot.ts';
import type { Flight } from './flight.ts';

export class LeaseKeeper {
  readonly #flight: Flight;
  readonly #token: string;
  readonly #options: { readonly clock: Clock; readonly leaseMs: number };
  #timer: Timer | undefined;

  constructor(flight: Flight, token: string, options: { clock: Clock; leaseMs: number }) {
    this.#flight = flight;
    this.#token = token;
    this.#options = options;
    this.#later();
  }

  stop(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  /** Nobody has to wait for the lease to run out. */
  giveBack(): void {
    this.stop();
    const { owner, key } = this.#flight;
    owner.dropLease(key, this.#token).catch(() => {});
  }

  #later(): void {
    const { clock, leaseMs } = this.#options;
    this.#timer = clock.after(leaseMs / 3, () => {
      const { owner, key } = this.#flight;
      owner.extendLease(key, { token: this.#token, leaseMs }).then(
        // Once lost, it stays lost: what is loaded is handed out, and the fill refused.
        (ours) => (ours && this.#timer !== undefined ? this.#later() : undefined),
        () => (this.#timer !== undefined ? this.#later() : undefined),
      );
    });
  }
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
