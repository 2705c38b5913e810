/**
 * `ringcache/local`: real Redis servers on this machine, for development and
 * tests. Nothing has to be installed or started before, and nothing is left
 * behind.
 */
import { InvalidOptionError } from './errors.ts';
import { LocalNodes } from './local/local-nodes.ts';
import { provideServer } from './local/provide.ts';

export { LocalNodeError, NoRedisError } from './local/local-errors.ts';
export type { LocalNode } from './local/local-node.ts';
export type { LocalNodes } from './local/local-nodes.ts';

export interface LocalNodesOptions {
  /**
   * More arguments for each server, after those of ringcache:
   * `['--maxmemory', '50mb', '--maxmemory-policy', 'allkeys-lru']`, or a
   * configuration file: `['--include', '/path/to/redis.conf']`.
   *
   * @default none: no persistence, no memory limit, loopback only
   */
  readonly args?: readonly string[];
  /** What stands before the number in a node's id. @default 'node-' */
  readonly idPrefix?: string;
  /** Where a server that had to be fetched is kept. @default `ringcache/redis` in XDG_CACHE_HOME or ~/.cache */
  readonly cacheDir?: string;
  /** Told, line by line, when a server has to be fetched, which takes seconds, once. @default nobody is told */
  readonly log?: (line: string) => void;
}

/** More than anybody needs on one machine; 100 servers take about 1 GB. */
const MAX_COUNT = 100;

/**
 * Starts `count` Redis servers on 127.0.0.1, each on its own free port and
 * with a temporary folder of its own, and resolves when all take connections.
 *
 * The server is the one that RINGCACHE_REDIS_SERVER names; else redis-server
 * or valkey-server of this system; else one that is fetched through apt into
 * the cache folder, without root.
 *
 * The nodes are gone when this process is, however it ends, and they do not
 * keep it alive: a script that forgets `close()` ends, and they with it.
 *
 * @param count 1 to 100.
 * @throws InvalidOptionError, NoRedisError, and LocalNodeError when a server
 *   does not start. Nothing runs on then.
 */
export async function startLocalNodes(
  count: number,
  options: LocalNodesOptions = {},
): Promise<LocalNodes> {
  if (!Number.isInteger(count) || count < 1 || count > MAX_COUNT) {
    throw new InvalidOptionError('count', `an integer from 1 to ${MAX_COUNT}`, count);
  }
  const server = await provideServer({ cacheDir: options.cacheDir, log: options.log });
  const { args = [], idPrefix = 'node-' } = options;
  return LocalNodes.start(count, { server, args, idPrefix });
}
