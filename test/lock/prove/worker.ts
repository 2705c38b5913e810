/** A process of a run: see player.ts for what it does, and cast.ts for who asks it what. */
import { createLocks, type Locks } from '../../../src/index.ts';
import { randomOf } from '../../cache/random.ts';
import type { Part } from '../../support/prove/cast.ts';
import { Diary } from '../../support/prove/diary.ts';
import { StallWatch } from '../../support/prove/stall-watch.ts';
import { leave, serve } from '../../support/serve.ts';
import { type Ambush, Player, type Tally } from './player.ts';
import { Registers } from './registers.ts';

/** What is the same for all. */
export interface WorkerPlan {
  readonly nodes: readonly { readonly id: string; readonly url: string }[];
  readonly registers: string;
  readonly quorum: boolean;
  readonly ttlMs: number;
  readonly maxTtlMs: number;
  readonly nodeTimeoutMs: number;
  readonly names: readonly string[];
  /** Callers at the same time. */
  readonly callers: number;
}

export interface Account extends Tally {
  readonly longestStallMs: number;
}

/** A holder is where it is still when the loop comes to be blocked. */
const BLOCK_STAY_MS = 5;

const plan = JSON.parse(process.argv[2] ?? '') as WorkerPlan & Part;
const stalls = new StallWatch();
const registers = new Registers(plan.registers);
let locks: (Locks & AsyncDisposable) | undefined;
let player: Player | undefined;
let playing: Promise<unknown> | undefined;
let jumpedMs = 0;

const realNow = Date.now.bind(Date);
Date.now = () => realNow() + jumpedMs;

const handlers = {
  /** Connects, and begins. */
  async begin(): Promise<void> {
    const { nodes, quorum, ttlMs, maxTtlMs, nodeTimeoutMs } = plan;
    locks = await createLocks({
      nodes: [...nodes],
      quorum,
      ttl: ttlMs,
      maxTtl: maxTtlMs,
      retryDelay: 50,
      node: { timeout: nodeTimeoutMs },
      // Short, so that many faults fit into a run.
      breaker: { resetTimeout: 100 },
    });
    const { label, names, callers, diary, seed } = plan;
    const parts = { locks, registers, stalls, label, names, ttlMs, nodeTimeoutMs };
    player = new Player({ ...parts, diary: new Diary(diary), random: randomOf(seed) });
    const begun = player;
    playing = Promise.all(Array.from({ length: callers }, () => begun.play()));
    // Nothing but an error of the locks is refused: whatever else it is ends the run.
    playing.catch((error: unknown) => {
      process.stderr.write(`${String(error instanceof Error ? error.stack : error)}\n`);
      process.exit(1);
    });
  },

  account: (): Account => ({
    acquired: 0,
    overMs: 0,
    lateMs: 0,
    ...player?.tally,
    longestStallMs: stalls.longestMs,
  }),

  /** Resolves when a caller is where it is wanted; a holder stays there for so long. */
  catchOne: (where: Ambush['where'], stayMs: number): Promise<void> =>
    new Promise((resolve) => player?.lay({ where, stayMs, spring: resolve })),

  /** Blocks the event loop when a caller is where it is wanted; resolves after. */
  block: (where: Ambush['where'], ms: number): Promise<void> =>
    new Promise((resolve) => {
      const blockLoop = (): void => {
        Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
        resolve();
      };
      // Not between the microtasks that hand a lock to another caller: nobody could look in between.
      const spring = (): void => {
        if (where === 'asking') blockLoop();
        else setImmediate(blockLoop);
      };
      player?.lay({ where, stayMs: BLOCK_STAY_MS, spring });
    }),

  /** Sets the wall clock of this process to another time. */
  jump(ms: number): void {
    jumpedMs += ms;
  },

  async end(): Promise<Account> {
    player?.end();
    await playing;
    await locks?.[Symbol.asyncDispose]();
    registers.close();
    return handlers.account();
  },

  leave,
};
export type Worker = typeof handlers;

serve(handlers);
