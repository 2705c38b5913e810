/** Where the versions come from, as from a database: a Redis that nothing is done to. */
import { Redis } from 'ioredis';

export class Source {
  readonly #redis: Redis;

  constructor(url: string) {
    this.#redis = new Redis(url, { maxRetriesPerRequest: null, enableAutoPipelining: true });
    this.#redis.on('error', () => {}); // at the end of a run it goes first
  }

  /** Of a key that was never raised: 0. */
  async version(key: string): Promise<number> {
    return Number((await this.#redis.get(key)) ?? 0);
  }

  /** Resolves to the new version. */
  raise(key: string): Promise<number> {
    return this.#redis.incr(key);
  }

  close(): void {
    this.#redis.disconnect();
  }
}
