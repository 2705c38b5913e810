/** A value, and what is known of it. */
import { ageOf } from '../node/node.ts';
import type { ValueInfo } from './namespaced.ts';
import type { Rooms } from './rooms.ts';

/** As `getWithInfo`, of a key that has been checked. */
export async function look(rooms: Rooms, key: string): Promise<ValueInfo<unknown> | undefined> {
  const { memory, reads, counters } = rooms;
  const held = memory.lookAt(key);
  if (held !== undefined) {
    counters.memoryHits++;
    const { value, ageMs: age, freshForMs: ttlLeft } = held;
    return { value, age, ttlLeft, tier: 'memory', stale: false };
  }
  const stored = await reads.look(key);
  if (stored === undefined) return undefined;
  const { value, freshForMs } = stored;
  const ttlLeft = Math.max(0, freshForMs);
  return { value, age: ageOf(stored), ttlLeft, tier: 'node', stale: freshForMs <= 0 };
}
