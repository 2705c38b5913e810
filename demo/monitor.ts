/** Turns the growing counters of the cache into what a person wants to see: rates and shares of the last second. */
import type { NodeStatus, RingCache, Stats } from '../src/index.ts';
import type { Database } from './database.ts';
import type { Tone } from './scene.ts';
import type { Tally } from './tally.ts';

export const SAMPLE_MS = 100;
/** Samples in the window that rates are taken over. */
const WINDOW = 10;
/** Samples in one point of the curves. */
const SAMPLES_PER_POINT = 5;
const POINTS = 240;

export interface Point {
  /** Share of reads answered without the database. */
  readonly hitShare: number;
  readonly p99Ms: number;
  readonly tone: Tone;
}

export interface NodeView extends NodeStatus {
  readonly perSecond: number;
}

export interface View {
  readonly requestsPerSecond: number;
  readonly loadsPerSecond: number;
  readonly errors: number;
  readonly staleReads: number;
  /** Shares of the reads that were answered by each. */
  readonly memory: number;
  readonly atNodes: number;
  readonly database: number;
  readonly queriesAtOnce: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly worstMs: number;
  readonly epoch: number;
  readonly joint: boolean;
  readonly nodes: readonly NodeView[];
  readonly points: readonly Point[];
}

interface Sample {
  readonly at: number;
  readonly stats: Stats;
  readonly requests: number;
}

export interface MonitorParts {
  readonly cache: RingCache;
  readonly database: Database;
  readonly tally: Tally;
}

export class Monitor {
  readonly #parts: MonitorParts;
  readonly #samples: Sample[] = [];
  readonly #points: Point[] = [];
  #taken = 0;
  /** Of all phases: a broken promise stays in sight. */
  errors = 0;
  staleReads = 0;

  constructor(parts: MonitorParts) {
    this.#parts = parts;
  }

  /** To be called every `SAMPLE_MS`. */
  sample(tone: Tone): View {
    const { cache, database, tally } = this.#parts;
    const last = { at: performance.now(), stats: cache.stats(), requests: tally.total };
    this.#samples.push(last);
    if (this.#samples.length > WINDOW + 1) this.#samples.shift();
    const first = this.#samples[0]!;
    const seconds = Math.max(SAMPLE_MS, last.at - first.at) / 1_000;
    const grown = growth(first.stats, last.stats);
    const reads = Math.max(1, grown.memory + grown.atNodes + grown.loads);
    const latency = tally.recent();
    const atNodes = grown.atNodes / reads;
    const memory = grown.memory / reads;
    this.#taken += 1;
    if (this.#taken % SAMPLES_PER_POINT === 0) {
      this.#points.push({ hitShare: memory + atNodes, p99Ms: latency.p99Ms, tone });
      if (this.#points.length > POINTS) this.#points.shift();
    }
    const { topology } = cache;
    return {
      requestsPerSecond: (last.requests - first.requests) / seconds,
      loadsPerSecond: grown.loads / seconds,
      errors: this.errors + tally.errors,
      staleReads: this.staleReads + tally.staleReads,
      memory,
      atNodes,
      database: grown.loads / reads,
      queriesAtOnce: database.atOnce,
      ...latency,
      epoch: topology.epoch,
      joint: topology.state === 'joint',
      nodes: topology.nodes.map((node) => ({
        ...node,
        perSecond: callsBetween(first.stats, last.stats, node.id) / seconds,
      })),
      points: this.#points,
    };
  }
}

function growth(first: Stats, last: Stats): { memory: number; atNodes: number; loads: number } {
  return {
    memory: last.memoryHits - first.memoryHits,
    // Copied from the previous owner while the ring changes: a node had it.
    atNodes: last.nodeHits + last.copied - first.nodeHits - first.copied,
    loads: last.misses - first.misses,
  };
}

function callsBetween(first: Stats, last: Stats, id: string): number {
  const calls = (stats: Stats): number => {
    const node = stats.nodes[id];
    return node === undefined ? 0 : node.reads + node.scripts;
  };
  return Math.max(0, calls(last) - calls(first));
}
