/**
 * Gets the Redis server once, before the test files run side by side: fetching
 * it takes seconds, which belong to no test's time limit.
 */
import { provideServer } from '../src/local/provide.ts';

export async function setup(): Promise<void> {
  const server = await provideServer({ log: (line) => process.stderr.write(`redis: ${line}\n`) });
  process.stderr.write(`redis: ${server.path} (${server.origin})\n`);
}
