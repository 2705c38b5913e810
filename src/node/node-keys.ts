/** The names of all that stands on a node: docs/wire-format.md. */

export interface NodeKeys {
  readonly fence: string;
  readonly document: string;
  /** The document that is about to be proposed. Begins as the fence does, whose listeners are told of it. */
  readonly announced: string;
  /** The run id of the server under which its data was last admitted. */
  readonly run: string;
  /** Of what was deleted by tag or prefix; names and numbers stand under it with `:t` and `:p`. */
  readonly sequence: string;
  value(key: string): string;
  lease(key: string): string;
  /** The channel where those who wait for a load are told that it is over: the name of its lease. */
  readonly loads: string;
  /** What `node` missed, as this one keeps it for it. */
  missed(node: string): string;
  /** Whether this node grants locks. */
  readonly gate: string;
  lock(name: string): string;
  /** The last number granted with a lock. */
  counter(name: string): string;
  /** Those who wait for a lock. */
  queue(name: string): string;
  /** Before the waiter's id: where it is told of a lock reserved for it. */
  readonly channel: string;
}

/** @param namespace Before every key; no braces. */
export function keysOf(namespace: string): NodeKeys {
  const valuePrefix = `${namespace}:v:`;
  const leasePrefix = `${namespace}:l:`;
  const missedPrefix = `${namespace}:m:`;
  const locks = `${namespace}:k:`;
  return {
    fence: `${namespace}:e`,
    document: `${namespace}:t`,
    announced: `${namespace}:e:next`,
    run: `${namespace}:r`,
    sequence: `${namespace}:g`,
    value: (key) => valuePrefix + key,
    lease: (key) => leasePrefix + key,
    loads: `${namespace}:w`,
    missed: (node) => missedPrefix + node,
    gate: `${locks}g`,
    lock: (name) => `${locks}l:${name}`,
    counter: (name) => `${locks}n:${name}`,
    queue: (name) => `${locks}q:${name}`,
    channel: `${locks}w:`,
  };
}
