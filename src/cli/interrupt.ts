/** Ctrl-C: the first asks the work to end well, the second ends the process. */
import { FailedError } from './usage.ts';

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/**
 * Runs `work` with a signal that aborts on the first Ctrl-C (or SIGTERM, or
 * when the terminal goes away). A second one exits at once, with code 1.
 *
 * @param leaving Called before that: to put the terminal in order.
 */
export async function interruptible<T>(
  work: (signal: AbortSignal) => Promise<T>,
  leaving: () => void = () => undefined,
): Promise<T> {
  const control = new AbortController();
  const interrupt = (): void => {
    if (control.signal.aborted) {
      leaving();
      process.exit(1);
    }
    control.abort(
      new FailedError('RINGCACHE_INTERRUPTED', 'interrupted before anything was changed'),
    );
  };
  for (const name of SIGNALS) process.on(name, interrupt);
  try {
    return await work(control.signal);
  } finally {
    for (const name of SIGNALS) process.off(name, interrupt);
  }
}

/** Resolves in `ms`, or at once when the signal aborts. */
export function sleep(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) return resolve();
    const done = (): void => {
      clearTimeout(timer);
      signal.removeEventListener('abort', done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal.addEventListener('abort', done);
  });
}
