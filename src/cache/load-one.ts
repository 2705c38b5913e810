/** One key that memory does not have: from its node, or loaded. */
import type { Loader } from '../load/runner.ts';
import type { EntrySettings } from '../load/settings.ts';
import type { Rooms } from './rooms.ts';

/** As `getOrSet`, of a key and options that have been checked. */
export function loadOne(
  rooms: Rooms,
  key: string,
  by: { loader: Loader<unknown>; settings: EntrySettings; signal: AbortSignal | undefined },
): Promise<unknown> {
  const { loads, runner, share } = rooms;
  const { loader, settings, signal } = by;
  const flight = loads.get(key, {
    settings,
    work: ({ stale, signal: ended, urgent }) =>
      runner.run({
        key,
        // Whoever was served with it meanwhile has it still.
        stale: share === undefined ? stale?.value : share(stale?.value),
        signal: ended,
        urgent,
        invoke: loader,
      }),
  });
  runner.hasten(flight);
  const joined = flight.join(signal);
  // Not the flight's own value, to nobody: he may change it before the next one is copied.
  return share === undefined ? joined : joined.then(share);
}
