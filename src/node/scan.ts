/** One step through the keys of one kind that stand on a node. */
import type { Client } from './connection.ts';
import type { ScanStep } from './node.ts';

/** @param prefix Before every key of that kind. */
export function scanOf(prefix: string, cursor: string, { count }: ScanStep) {
  const pattern = `${prefix.replace(/[\\*?[\]]/g, '\\$&')}*`;
  return {
    ask: (client: Client) => client.scan(cursor, 'MATCH', pattern, 'COUNT', count),
    read(reply: unknown): { cursor: string; keys: string[] } {
      const [next, keys] = reply as [string, string[]];
      return { cursor: next, keys: keys.map((key) => key.slice(prefix.length)) };
    },
  };
}
