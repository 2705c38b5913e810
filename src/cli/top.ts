/** `ringcache top`: the nodes and what their servers do, redrawn until it is ended. */
import type { Fleet, RingCache } from '../index.ts';
import { openCache, runningFleet } from './fleet.ts';
import { FullScreen } from './full-screen.ts';
import { interruptible, sleep } from './interrupt.ts';
import { headOf } from './ring.ts';
import type { Output } from './screen.ts';
import { escapedJson, inOrder } from './text.ts';
import { frameOf, ratesOf, type Sample } from './top-frame.ts';
import type { Call, Command } from './usage.ts';

const DEFAULT_INTERVAL_S = 2;
export const top: Command = {
  name: 'top',
  summary: 'a live view of the nodes: share, memory, commands, hits, latency, breaker, keys',
  usage: ['top [--interval SECONDS]', 'top --once'],
  about: [
    'On a terminal it is redrawn in place until q or Ctrl-C; elsewhere every view is printed below the one before ' +
      '(with --json one line each).',
    'The numbers are what each server counts, whoever uses it. ops/s and hits are those of the interval; in the first view, ' +
      "and with --once, ops/s is the server's own average of the last seconds and hits are those since it was started. " +
      'hits: look-ups that found their key, the check of the epoch that travels with every request included; the hit rate of ' +
      'your cache itself is in cache.stats(). ping is the round trip of one small command from here; state and breaker are ' +
      'those of this process.',
  ],
  options: {
    once: { type: 'boolean', about: 'print one view and end' },
    interval: {
      type: 'string',
      value: 'SECONDS',
      about: 'between two views, 0.2 to 3600 (default: 2)',
    },
  },
  run,
};

async function run({ args, output }: Call): Promise<number> {
  args.none();
  const seconds = args.number('interval', { least: 0.2, most: 3_600 }) ?? DEFAULT_INTERVAL_S;
  const fleet = await runningFleet(args);
  const cache = await openCache(fleet);
  try {
    // The first round trip of a process takes several times as long as any later one.
    await cache.inspectNodes();
    const view = new View(cache, fleet, output);
    if (args.flag('once')) view.print(await view.take());
    else await watch(view, output, seconds * 1_000);
    return 0;
  } finally {
    await cache.close();
  }
}

async function watch(view: View, output: Output, intervalMs: number): Promise<void> {
  const { out, json } = output;
  const screen = out.isTerminal && !json ? new FullScreen(out) : undefined;
  const enough = new AbortController();
  await interruptible(
    async (interrupted) => {
      const signal = AbortSignal.any([interrupted, enough.signal]);
      screen?.enter(() => enough.abort());
      try {
        while (!signal.aborted) {
          const sample = await view.take();
          if (screen === undefined) view.print(sample);
          else screen.show((width) => view.lines(sample, { intervalMs, width }));
          await sleep(intervalMs, signal);
        }
      } finally {
        screen?.leave();
      }
    },
    () => screen?.leave(),
  );
}

class View {
  readonly #cache: RingCache;
  readonly #output: Output;
  readonly #fleet: Fleet;
  #before: Sample | undefined;
  #printed = false;

  constructor(cache: RingCache, fleet: Fleet, output: Output) {
    this.#cache = cache;
    this.#fleet = fleet;
    this.#output = output;
  }

  async take(): Promise<Sample> {
    const reports = await this.#cache.inspectNodes();
    const at = performance.now();
    const before = this.#before;
    const nodes = inOrder(reports).map((report) => ({
      ...report,
      ...ratesOf(report, { at, before }),
    }));
    const { epoch, state } = this.#cache.topology;
    this.#before = { at, epoch, state, nodes };
    return this.#before;
  }

  lines(sample: Sample, live?: { intervalMs: number; width: number }): string[] {
    return frameOf(this.#output.out, { sample, fleet: this.#fleet, live });
  }

  print(sample: Sample): void {
    const { out, json } = this.#output;
    if (!json) {
      out.print(...(this.#printed ? [''] : []), ...this.lines(sample));
      this.#printed = true;
      return;
    }
    const { epoch, state, nodes } = sample;
    out.print(
      escapedJson({ ...headOf(this.#fleet), at: new Date().toISOString(), epoch, state, nodes }),
    );
  }
}
