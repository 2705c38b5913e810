/** Several locks as one: held while all are held. */
import type { Duration } from '../duration.ts';
import type { HeldLock, Lock } from './lock.ts';

export class LockGroup implements Lock {
  /** Each with its own fence, in the order of their names. */
  readonly locks: readonly Lock[];
  readonly #locks: readonly HeldLock[];
  #signal: AbortSignal | undefined;

  constructor(locks: readonly HeldLock[]) {
    this.#locks = locks;
    this.locks = locks;
  }

  get name(): string {
    return this.#locks.map(({ name }) => name).join(', ');
  }

  get token(): string {
    return this.#locks.map(({ token }) => token).join(' ');
  }

  get fence(): number {
    return Math.max(...this.#locks.map(({ fence }) => fence));
  }

  get signal(): AbortSignal {
    this.#signal ??= AbortSignal.any(this.#locks.map(({ signal }) => signal));
    return this.#signal;
  }

  get held(): boolean {
    return this.remaining() > 0;
  }

  remaining(): number {
    return Math.min(...this.#locks.map((lock) => lock.remaining()));
  }

  assertHeld(): void {
    for (const lock of this.#locks) lock.assertHeld();
  }

  async extend(ttl?: Duration): Promise<number> {
    const extended = await Promise.allSettled(this.#locks.map((lock) => lock.extend(ttl)));
    for (const outcome of extended) {
      if (outcome.status === 'rejected') throw outcome.reason;
    }
    return this.remaining();
  }

  /** @returns Whether all of them were still ours. */
  async release(): Promise<boolean> {
    const released = await Promise.all(this.#locks.map((lock) => lock.release()));
    return released.every(Boolean);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.release();
  }
}
