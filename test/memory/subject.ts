/** A memory for tests, and what is put into it, with a time that stands still until it is moved. */
import type { Clock } from '../../src/clock.ts';
import { Memory, type OwnWrite } from '../../src/memory/memory.ts';
import type { MemoryTuning } from '../../src/memory/settings.ts';

export const TUNING: MemoryTuning = {
  maxEntries: 100,
  maxBytes: 10_000,
  ttlMs: 1_000,
  maxStaleMs: 5_000,
};

/** How many hashes share one ticket. */
export const STRIPE = 65_536;

class TurnClock implements Clock {
  ms = 1_000;
  /** What is to run when this turn of the event loop ends. */
  readonly afterTurn: (() => void)[] = [];

  now(): number {
    return this.ms;
  }

  wall(): number {
    return this.ms;
  }

  after(): { cancel(): void } {
    return { cancel: () => undefined };
  }

  soon(run: () => void): void {
    this.afterTurn.push(run);
  }

  endTurn(): void {
    for (const run of this.afterTurn.splice(0)) run();
  }
}

export const clock = new TurnClock();

/** Time passes between two turns of the event loop. */
export function advance(ms: number): void {
  clock.endTurn();
  clock.ms += ms;
}

export function memoryOf(tuning: Partial<MemoryTuning> = {}): Memory {
  return new Memory({ ...TUNING, ...tuning }, clock);
}

export interface Given {
  readonly node?: string;
  readonly hash?: number;
  readonly ticket?: number | OwnWrite;
  readonly forMs?: number;
  readonly agedMs?: number;
  readonly bytes?: number;
  readonly notAtNode?: boolean;
}

export function put(memory: Memory, key: string, value: unknown, given: Given = {}): boolean {
  const hash = given.hash ?? 7;
  return memory.put(key, value, {
    node: given.node ?? 'a',
    hash,
    ticket: given.ticket ?? memory.ticket(hash),
    forMs: given.forMs ?? 60_000,
    agedMs: given.agedMs ?? 0,
    bytes: given.bytes ?? 10,
    notAtNode: given.notAtNode ?? false,
  });
}
