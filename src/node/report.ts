/**
 * What a server says of itself (INFO), as numbers. Says nothing of the ring,
 * and nothing of one cache: the counters are the whole server's, whoever uses
 * it.
 */
import type { Clock } from '../clock.ts';
import type { Client } from './connection.ts';

/** Of the server process, since it was started. */
export interface ServerReport {
  /** `redis 7.0.15`, `valkey 8.1.1`. */
  readonly version: string;
  readonly uptimeMs: number;
  /** The round trip of one small command. */
  readonly pingMs: number;
  readonly memoryUsedBytes: number;
  /** `maxmemory`; 0: no limit. */
  readonly memoryMaxBytes: number;
  /** `maxmemory-policy`. */
  readonly policy: string;
  /** Resident by used memory: far above 1, memory lies idle in holes. */
  readonly fragmentation: number;
  /** Commands a second, as the server averages it over the last seconds. */
  readonly opsPerSecond: number;
  /** Commands, all in all; the difference of two reports is exact. */
  readonly commands: number;
  /**
   * Look-ups of a key that was there, by every command: also the check of the
   * epoch that travels with each request. The hit rate of a cache itself is in
   * `stats()`.
   */
  readonly hits: number;
  readonly misses: number;
  /** Keys removed because memory was full. */
  readonly evictions: number;
  /** Keys in the node's database, of every namespace. */
  readonly keys: number;
  readonly clients: number;
}

/** Asks for all of it in one go. The first answer gives the round trip. */
export async function askReport(client: Client, clock: Clock): Promise<[string, number, number]> {
  const sentAt = clock.now();
  const [pingMs, info, keys] = await Promise.all([
    client.time().then(() => clock.now() - sentAt),
    client.info(),
    client.dbsize(),
  ]);
  return [info, keys, pingMs];
}

/** A field that a server does not tell is 0, or ''. */
export function readReport([info, keys, pingMs]: [string, number, number]): ServerReport {
  const told = new Map<string, string>();
  for (const [, name = '', value = ''] of info.matchAll(/^(\w+):(.*?)\r?$/gm)) {
    told.set(name, value);
  }
  const text = (name: string): string => told.get(name) ?? '';
  const number = (name: string): number => {
    const value = Number(text(name));
    return Number.isFinite(value) ? value : 0;
  };
  const valkey = text('valkey_version');
  return {
    version: valkey === '' ? `redis ${text('redis_version')}` : `valkey ${valkey}`,
    uptimeMs: number('uptime_in_seconds') * 1_000,
    pingMs,
    memoryUsedBytes: number('used_memory'),
    memoryMaxBytes: number('maxmemory'),
    policy: text('maxmemory_policy'),
    fragmentation: number('mem_fragmentation_ratio'),
    opsPerSecond: number('instantaneous_ops_per_sec'),
    commands: number('total_commands_processed'),
    hits: number('keyspace_hits'),
    misses: number('keyspace_misses'),
    evictions: number('evicted_keys'),
    keys,
    clients: number('connected_clients'),
  };
}
