/**
 * What the locks of a run protect: for each name a register that its fence
 * guards, and one that nothing guards, on a Redis that no fault is done to.
 * Both are written to in one step, and the server counts these steps: the order
 * of the writes is known exactly, whatever the processes saw of it.
 */
import { Redis } from 'ioredis';
import { type EvalClient, setIfFence } from '../../../src/lock/set-if-fence.ts';

export interface Written {
  readonly place: number;
  readonly accepted: boolean;
}

export class Registers {
  readonly #redis: Redis;

  constructor(url: string) {
    this.#redis = new Redis(url, { maxRetriesPerRequest: null });
    this.#redis.on('error', () => {}); // at the end of a run it goes first
  }

  async write(name: string, write: { value: string; fence: number }): Promise<Written> {
    let place = 0;
    // One transaction around the script that is to be tested.
    const client: EvalClient = {
      eval: async (script, keys, ...operands) => {
        const transaction = this.#redis.multi();
        transaction.eval(script, keys, ...operands);
        transaction.set(`plain:${name}`, write.value);
        transaction.incr(`writes:${name}`);
        const replies = (await transaction.exec()) ?? [];
        for (const [error] of replies) if (error !== null) throw error;
        place = Number(replies[2]?.[1]);
        return replies[0]?.[1];
      },
    };
    const accepted = await setIfFence(client, `guarded:${name}`, write);
    return { place, accepted };
  }

  close(): void {
    this.#redis.disconnect();
  }
}
