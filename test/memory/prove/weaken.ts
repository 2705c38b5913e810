/**
 * The same memory without one of the parts that keep it from showing the past:
 * whoever judges a run has to notice that it is missing. Each takes the part
 * away from the classes of this process, before the first cache is made.
 */
import { type Arrival, Memory } from '../../../src/memory/memory.ts';

/** What is done without. */
export const WEAKNESSES = {
  ticket: 'memory takes what was read before the key was forgotten',
  drop: 'memory keeps what it has when it cannot have heard everything',
} as const;
export type Weakness = keyof typeof WEAKNESSES;

const WEAKEN: Readonly<Record<Weakness, () => void>> = {
  ticket() {
    const { put } = Memory.prototype;
    Memory.prototype.put = function (key: string, value: unknown, from: Arrival) {
      return put.call(this, key, value, { ...from, ticket: this.ticket(from.hash) });
    };
  },
  drop() {
    Memory.prototype.drop = () => undefined;
  },
};

export function weaken(weakness: Weakness): void {
  WEAKEN[weakness]();
}
