/** Many keys at once: from memory what is there, and all the rest in one load. */
import { checkKeys } from '../keys.ts';
import { BulkLoad, type BulkLoader } from '../load/bulk.ts';
import { type EntryOptions, entrySettings } from '../load/settings.ts';
import { checkLoader } from './load-one.ts';
import type { Rooms } from './rooms.ts';

/** As `getOrSetMany`. */
export async function loadMany(
  rooms: Rooms,
  keys: readonly string[],
  { loader, options }: { loader: BulkLoader<unknown>; options: EntryOptions | undefined },
): Promise<unknown[]> {
  checkKeys(keys);
  checkLoader(loader);
  const settings = entrySettings(rooms.options.entry, options);
  const signal = options?.signal;
  signal?.throwIfAborted();
  const { loads, runner, memory, counters, share } = rooms;
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
