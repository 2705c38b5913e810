/**
 * The demo: `npm run demo`.
 *
 * Starts real Redis servers, drives traffic at a cache over them, breaks and
 * changes the ring while it serves, and says of each promise whether it was
 * kept.
 *
 * Exit codes: 0 all promises kept, 1 one was broken or no server could be
 * started, 2 usage, 130 interrupted.
 */
import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { NoRedisError, startLocalNodes } from '../src/local.ts';
import { phases } from './phases.ts';
import { run } from './run.ts';
import { Screen } from './screen.ts';
import { Snapshots } from './snapshots.ts';
import { exitCodeOf } from './verdict.ts';

const USAGE = `usage: npm run demo -- [--quick] [--seed NUMBER] [--svg FILE]

  --quick  a third of the length, with less traffic
  --seed   which products are asked for, in which order (default 1)
  --svg    also writes an image of it to this file
`;

const FULL = { keys: 20_000, readsPerSecond: 3_000, writesPerSecond: 20, pace: 1 } as const;
const QUICK = { keys: 5_000, readsPerSecond: 1_000, writesPerSecond: 40, pace: 0.36 } as const;
const NODES = 3;
const INTERRUPTED = 130;

interface Flags {
  readonly quick: boolean;
  readonly seed: number;
  readonly svg: string | undefined;
}

async function main(): Promise<number> {
  const flags = readFlags();
  if (flags === undefined) return 2;
  const interrupt = new AbortController();
  const stop = (): void => interrupt.abort();
  process.once('SIGINT', stop);
  process.once('SIGTERM', stop);
  const screen = new Screen(process.stdout);
  try {
    await using nodes = await startLocalNodes(NODES, {
      log: (line) => screen.print([line]),
    });
    interrupt.signal.throwIfAborted();
    const size = flags.quick ? QUICK : FULL;
    const { seed } = flags;
    const { signal } = interrupt;
    const snapshots = new Snapshots();
    const results = await run({ ...size, seed, nodes, screen, signal, phases, snapshots });
    if (flags.svg !== undefined) writeFileSync(flags.svg, snapshots.svg(phases, results) ?? '');
    return exitCodeOf(results);
  } catch (error) {
    if (interrupt.signal.aborted) {
      screen.print(['Interrupted: the Redis servers are gone again.']);
      return INTERRUPTED;
    }
    if (!(error instanceof NoRedisError)) throw error;
    process.stderr.write(`${error.message}\n`);
    return 1;
  } finally {
    process.off('SIGINT', stop);
    process.off('SIGTERM', stop);
  }
}

function readFlags(): Flags | undefined {
  try {
    const { values } = parseArgs({
      options: {
        quick: { type: 'boolean', default: false },
        seed: { type: 'string', default: '1' },
        svg: { type: 'string' },
        help: { type: 'boolean', default: false, short: 'h' },
      },
    });
    const seed = Number(values.seed);
    if (Number.isInteger(seed) && !values.help) return { ...values, seed, svg: values.svg };
  } catch {
    // An unknown flag: told below.
  }
  process.stderr.write(USAGE);
  return undefined;
}

process.exitCode = await main();
