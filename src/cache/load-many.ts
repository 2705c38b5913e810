/** Many keys at once: from memory what is there, and all the rest in one load. */
import { BulkLoad, type BulkLoader } from '../load/bulk.ts';
import type { EntrySettings } from '../load/settings.ts';
import type { Rooms } from './rooms.ts';

/** As `getOrSetMany`, of keys and options that have been checked. */
export async function loadMany(
  rooms: Rooms,
  keys: readonly string[],
  by: { loader: BulkLoader<unknown>; settings: EntrySettings; signal: AbortSignal | undefined },
): Promise<unknown[]> {
  const { loads, runner, memory, counters, share } = rooms;
  const { loader, settings, signal } = by;
  const bulk = new BulkLoad(runner, loader);
  const values = new Map<string, unknown>();
  for (const key of new Set(keys)) {
    const held = settings.memory ? memory.get(key) : undefined;
    if (held !== undefined) counters.memoryHits++;
    else if (loads.running(key) === undefined) bulk.expect(key);
    values.set(key, held);
  }
  for (const [key, held] of values) {
    if (held !== undefined) continue;
    const flight = loads.get(key, { work: bulk.work, settings, decided: bulk.decided });
    runner.hasten(flight);
    const joined = flight.join(signal);
    values.set(key, share === undefined ? joined : joined.then(share));
  }
  return Promise.all(keys.map((key) => values.get(key)));
}
