/** One key that memory does not have: from its node, or loaded. */
import { InvalidOptionError } from '../errors.ts';
import { checkKey } from '../keys.ts';
import type { Loader } from '../load/runner.ts';
import { type EntryOptions, entrySettings } from '../load/settings.ts';
import type { Rooms } from './rooms.ts';

/** As `getOrSet`, but throws at once for bad input. */
export function loadOne(
  rooms: Rooms,
  key: string,
  { loader, options }: { loader: Loader<unknown>; options: EntryOptions | undefined },
): Promise<unknown> {
  checkKey(key);
  checkLoader(loader);
  const settings = entrySettings(rooms.options.entry, options);
  const signal = options?.signal;
  signal?.throwIfAborted();
  const { loads, runner, share } = rooms;
  const flight = loads.get(key, {
    settings,
    work: ({ stale, signal: ended, urgent }) =>
      runner.run({
        key,
        // If the load fails, it is served to those who wait.
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

/** @throws InvalidOptionError */
export function checkLoader(loader: unknown): void {
  if (typeof loader !== 'function') throw new InvalidOptionError('loader', 'a function', loader);
}
