/** Runs the phases, one after the other, and has each of them measured, shown and judged. */
import { setTimeout as rest } from 'node:timers/promises';
import { seededRandom } from '../bench/random.ts';
import { createCache, type RingCache, type Stats } from '../src/index.ts';
import type { LocalNodes } from '../src/local.ts';
import { Database, numberOf } from './database.ts';
import type { Progress } from './frame.ts';
import { Ledger } from './ledger.ts';
import { Monitor, SAMPLE_MS } from './monitor.ts';
import { checkLines, introduction, opening, type Setting, summary } from './report.ts';
import type { Phase, Scene } from './scene.ts';
import type { Screen } from './screen.ts';
import type { Snapshots } from './snapshots.ts';
import { Tally } from './tally.ts';
import { Traffic } from './traffic.ts';
import { type Basics, judge, type PhaseResult } from './verdict.ts';

export interface RunOptions {
  readonly nodes: LocalNodes;
  readonly screen: Screen;
  readonly signal: AbortSignal;
  readonly seed: number;
  readonly keys: number;
  readonly readsPerSecond: number;
  readonly writesPerSecond: number;
  /** Times the length of each phase. */
  readonly pace: number;
  readonly phases: readonly Phase[];
  /** Keeps what is shown, for an image. */
  readonly snapshots: Snapshots;
}

/** Long enough that nothing expires by itself while it is being counted. */
const TTL = '1h';
const DRAIN_MS = 2_000;

export async function run(options: RunOptions): Promise<PhaseResult[]> {
  const { nodes } = options;
  const startedAt = performance.now();
  const cache = await createCache({ nodes, ttl: TTL, jitter: 0 });
  const auditor = await createCache({ nodes, ttl: TTL, jitter: 0, memory: false });
  const show = new Show(options, { cache, auditor });
  try {
    return await show.run(startedAt);
  } finally {
    await show.end();
    await Promise.all([cache.close(), auditor.close()]);
  }
}

class Show {
  readonly #options: RunOptions;
  readonly #scene: Scene;
  readonly #monitor: Monitor;
  #failedCopies = 0;
  #progress: { phase: Phase; number: number; startedAt: number } | undefined;
  #timer: NodeJS.Timeout | undefined;

  constructor(options: RunOptions, clients: { cache: RingCache; auditor: RingCache }) {
    const { keys, seed, nodes, signal } = options;
    const database = new Database(keys, seededRandom(seed));
    const ledger = new Ledger(keys);
    const tally = new Tally();
    const traffic = new Traffic({ ...clients, database, ledger, tally }, options);
    this.#options = options;
    this.#scene = {
      ...clients,
      nodes,
      database,
      ledger,
      tally,
      traffic,
      rest: (ms) => rest(ms, undefined, { signal }),
    };
    this.#monitor = new Monitor({ cache: clients.cache, database, tally });
    clients.cache.on('invalidation:unconfirmed', ({ key }) => {
      ledger.unconfirmed(numberOf(key), database.version(numberOf(key)));
    });
    clients.cache.on('topology:changed', () => ledger.ringChanged());
    clients.cache.on('invalidation:confirmed', ({ key }) => ledger.confirmed(numberOf(key)));
  }

  async run(startedAt: number): Promise<PhaseResult[]> {
    const { screen, phases, nodes, snapshots } = this.#options;
    const setting: Setting = { ...this.#options, ports: nodes.map(({ port }) => port) };
    screen.print(introduction(setting, screen.look));
    snapshots.setting = setting;
    this.#scene.traffic.start();
    this.#timer = setInterval(() => this.#draw(), SAMPLE_MS);
    const results: PhaseResult[] = [];
    for (const [i, phase] of phases.entries()) {
      const result = await this.#runPhase(phase, i + 1);
      results.push(result);
      screen.print(checkLines(result.checks, screen.look));
    }
    this.#progress = undefined;
    const seconds = (performance.now() - startedAt) / 1_000;
    screen.print(summary(results, seconds, screen.look));
    snapshots.seconds = seconds;
    return results;
  }

  async end(): Promise<void> {
    clearInterval(this.#timer);
    this.#scene.traffic.stop();
    const endAt = performance.now() + DRAIN_MS;
    while (!this.#scene.traffic.idle && performance.now() < endAt) await rest(10);
  }

  async #runPhase(phase: Phase, number: number): Promise<PhaseResult> {
    const { screen, pace } = this.#options;
    const { ledger, tally, cache } = this.#scene;
    screen.print(opening(number, phase, screen.look));
    this.#progress = { phase, number, startedAt: performance.now() };
    this.#monitor.errors += tally.errors;
    this.#monitor.staleReads += tally.staleReads;
    tally.beginPhase();
    ledger.beginPhase();
    const before = cache.stats();
    const startedAt = performance.now();
    const facts = await phase.run(this.#scene, phase.seconds * pace);
    this.#failedCopies += facts.failedCopies ?? 0;
    const seconds = (performance.now() - startedAt) / 1_000;
    const basics = this.#basics(before);
    return { title: phase.title, seconds, basics, checks: judge(basics, facts) };
  }

  #basics(before: Stats): Basics {
    const { ledger, tally, cache } = this.#scene;
    const unprotected = cache.stats().unprotectedLoads - before.unprotectedLoads;
    return {
      requests: tally.requests,
      errors: tally.errors,
      firstError: tally.firstError,
      staleReads: tally.staleReads,
      lookedAfter: tally.lookedAfter,
      loads: ledger.loads,
      extraLoads: ledger.extraLoads,
      loadsOfAway: ledger.loadsOfAway,
      excusedLoads: Math.max(0, unprotected - ledger.loadsOfAway) + this.#failedCopies,
      worstMs: tally.worstMs,
      worstWaitMs: tally.worstWaitMs,
      stallMs: tally.stallMs,
      worstStallMs: tally.worstStallMs,
    };
  }

  #draw(): void {
    if (this.#progress === undefined) return;
    const { phase, number, startedAt } = this.#progress;
    const { screen, pace, phases, snapshots } = this.#options;
    const view = this.#monitor.sample(phase.tone);
    const progress: Progress = {
      number,
      of: phases.length,
      title: phase.title,
      tone: phase.tone,
      elapsedSeconds: (performance.now() - startedAt) / 1_000,
      seconds: phase.seconds * pace,
    };
    screen.show(view, progress);
    snapshots.keep(view, progress);
  }
}
