/** What is to be removed at a node as soon as it can be used: deletes, and what may be held there by nobody. */
import type { Clock } from '../clock.ts';
import { dropOrphans, removeKeys } from './admission.ts';
import type { Client } from './connection.ts';
import type { NodeListener } from './node.ts';
import type { NodeKeys } from './node-keys.ts';
import { Removals } from './removals.ts';

export interface BacklogHost {
  readonly id: string;
  readonly clock: Clock;
  readonly keys: NodeKeys;
  readonly listener: NodeListener;
  /** Whether the node is in use. */
  usable(): boolean;
  ask(send: (client: Client) => Promise<unknown>): Promise<boolean>;
  tell(error: Error): void;
}

const noop = (): void => undefined;

export function removalsOf({ id, clock, keys, listener, ...host }: BacklogHost): Removals {
  return new Removals({
    clock,
    usable: host.usable,
    remove: (which) => host.ask((client) => removeKeys(client, keys, which)),
    confirmed: (key) => listener.confirmed(id, key),
    overflowed: (limit) => {
      const what = `more than ${limit} deletes wait for node ${id}; the oldest were given up`;
      host.tell(new Error(what));
    },
  });
}

// A lease is granted though its asker has gone: the node stood still with the
// request in its socket, and acts on it when it goes on. Nobody loads under
// it, and all who ask are told to wait until it runs out.
export function orphansOf({ clock, keys, ...host }: BacklogHost): Removals {
  return new Removals({
    clock,
    usable: host.usable,
    remove: (orphans) => host.ask((client) => dropOrphans(client, keys, orphans)),
    confirmed: noop,
    overflowed: noop,
  });
}
