/** Sees a change of the ring through to its end: progress, Ctrl-C, and what came of it. */
import {
  type ChangeOptions,
  type RingCache,
  TopologyBusyError,
  type TopologyChange,
  type TopologyChangeResult,
} from '../index.ts';
import { interruptible } from './interrupt.ts';
import { ProgressBar } from './progress.ts';
import { type Output, printJson } from './screen.ts';
import { count, escaped, many, time } from './text.ts';
import { type Args, FailedError, type Options } from './usage.ts';

export const SPEED_OPTIONS: Options = {
  cold: { type: 'boolean', about: 'copy nothing: what moves is loaded again' },
  'keys-per-second': {
    type: 'string',
    value: 'N',
    about: 'most keys copied a second (default: 10000)',
  },
  'bytes-per-second': { type: 'string', value: 'N', about: 'most bytes copied a second' },
};

export type Speed = Pick<ChangeOptions, 'warm' | 'keysPerSecond' | 'bytesPerSecond'>;

/** @throws UsageError */
export function speedOf(args: Args): Speed {
  const most = 1_000_000_000;
  const keysPerSecond = args.number('keys-per-second', { least: 1, most });
  const bytesPerSecond = args.number('bytes-per-second', { least: 1_000, most: 1_000 * most });
  return {
    warm: !args.flag('cold'),
    ...(keysPerSecond === undefined ? {} : { keysPerSecond }),
    ...(bytesPerSecond === undefined ? {} : { bytesPerSecond }),
  };
}

export interface Drive {
  readonly speed: Speed;
  /** Begins it; resolves to undefined when there is nothing to do. */
  readonly begin: (options: ChangeOptions) => Promise<TopologyChange | undefined>;
}

/** Resolves to the exit code. Rejects when nothing was changed. */
export async function drive(
  cache: RingCache,
  output: Output,
  { speed, begin }: Drive,
): Promise<number> {
  const { err } = output;
  const bar = new ProgressBar(err);
  let interrupted = false;
  const work = async (signal: AbortSignal): Promise<Done | undefined> => {
    const change = await begin({
      ...speed,
      signal,
      onProgress: (progress) => bar.update(progress),
    });
    if (change === undefined) return undefined;
    signal.addEventListener('abort', () => {
      interrupted = true;
      bar.note(
        'Stopping: the copying ends here, and the change is completed. Ctrl-C again leaves it half way.',
      );
    });
    const waiting = sayWhatIsWaitedFor(cache, bar);
    try {
      return { change, result: await change.done };
    } catch (error) {
      if (!(error instanceof TopologyBusyError)) throw error;
      throw new FailedError(error.code, 'the change was taken back by another process');
    } finally {
      clearInterval(waiting);
    }
  };
  try {
    const done = await interruptible(work, () => bar.end());
    bar.end();
    report(output, done, interrupted);
    return interrupted ? 1 : 0;
  } finally {
    bar.end();
  }
}

const QUIET_MS = 2_000;

/** A change is completed when nobody can use the ring before: that takes its time when a node is silent. */
function sayWhatIsWaitedFor(cache: RingCache, bar: ProgressBar): NodeJS.Timeout {
  const told = new Set<string>();
  return setInterval(() => {
    if (bar.quietMs < QUIET_MS) return;
    for (const { id, state } of cache.topology.nodes) {
      if (state === 'up' || told.has(id)) continue;
      told.add(id);
      bar.note(
        `Waiting for ${escaped(id)}, which does not answer: the change is completed without it ` +
          'as soon as no process can use the ring before any more, which takes some 10 s.',
      );
    }
  }, QUIET_MS / 4);
}

interface Done {
  readonly change: TopologyChange;
  readonly result: TopologyChangeResult;
}

function report(output: Output, done: Done | undefined, interrupted: boolean): void {
  const { out, err, json } = output;
  if (done === undefined) {
    if (json) printJson(output, { change: null });
    else out.print('No change is under way.');
    return;
  }
  const { epoch, copied, failed, durationMs } = done.result;
  if (json) {
    printJson(output, { ...done.result, movedShare: done.change.movedShare, interrupted });
    return;
  }
  out.print(
    `${out.paint('green', 'Done:')} the ring is stable at epoch ${epoch}; ` +
      `${many(copied, 'key')} copied in ${time(durationMs)}.`,
  );
  if (failed > 0) {
    const why = `${count(failed)} could not be copied: they are loaded when they are asked for.`;
    err.print(err.paint('yellow', why));
  }
  if (interrupted)
    err.print('The copying was interrupted: the rest is loaded when it is asked for.');
}
