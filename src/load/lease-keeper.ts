/** Keeps a lease for as long as its load runs, and gives it back if nothing is to be stored. */
import type { Clock, Timer } from '../clock.ts';
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
