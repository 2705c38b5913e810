/**
 * The same memory without one of the parts that keep it from showing the past:
 * whoever judges a run has to notice that it is missing. Each takes the part
 * away from the classes of this process, before the first cache is made.
 */
import { Redis } from 'ioredis';
import type { Arrival } from '../../../src/memory/held.ts';
import { Memory } from '../../../src/memory/memory.ts';

/** What is done without. */
export const WEAKNESSES = {
  ticket: 'memory takes what was read before the key was forgotten',
  heartbeat: 'what a node has told is trusted for ever',
  drop: 'memory keeps what it has when it cannot have heard everything',
  push: 'nobody hears of the writes of others',
} as const;
export type Weakness = keyof typeof WEAKNESSES;

const WEAKEN: Readonly<Record<Weakness, () => void>> = {
  ticket() {
    const { put } = Memory.prototype;
    Memory.prototype.put = function (key: string, value: unknown, from: Arrival) {
      return put.call(this, key, value, { ...from, ticket: this.ticket(from.hash) });
    };
  },
  heartbeat() {
    const { heard } = Memory.prototype;
    Memory.prototype.heard = function (node: string) {
      heard.call(this, node, Number.POSITIVE_INFINITY);
    };
  },
  drop() {
    for (const way of ['drop', 'track', 'untrack'] as const) {
      Memory.prototype[way] = () => undefined;
    }
  },
  push() {
    const { emit } = Redis.prototype;
    Redis.prototype.emit = function (event: string | symbol, ...told: unknown[]) {
      const isChange = event === 'messageBuffer' && Array.isArray(told[1]);
      return isChange || emit.call(this, event, ...told);
    };
  },
};

export function weaken(weakness: Weakness): void {
  WEAKEN[weakness]();
}
