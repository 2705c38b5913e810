/**
 * The open loop of one process: a request is due every 1/rate seconds, whether
 * the ones before have been answered or not, and is timed from when it was
 * due. A closed loop would ask less while it waits, and hide most of what a
 * cold cache costs.
 *
 * Timers tick once a millisecond, so up to one is in every latency, before a
 * change as well as after it.
 */

import { setTimeout as sleep } from 'node:timers/promises';
import { seededRandom, seededZipf } from './random.ts';
import { monotonicMs } from './rebalance-database.ts';

export interface Traffic {
  readonly keys: number;
  readonly perSecond: number;
  /** Parts of the requests; the rest are reads. */
  readonly sets: number;
  readonly deletes: number;
  readonly zipf: number;
  readonly seed: number;
}

export interface TrafficPlan extends Traffic {
  /** By the clock that all processes share. */
  readonly startAt: number;
  readonly forMs: number;
  /** Which of how many: each key is written by one process only, one write after the other. */
  readonly process: number;
  readonly processes: number;
}

export interface Target {
  read(id: number, dueAt: number): Promise<void>;
  set(id: number): Promise<void>;
  delete(id: number): Promise<void>;
}

/** Resolves when everything that was asked has been answered. */
export async function driveTraffic(plan: TrafficPlan, target: Target): Promise<void> {
  const draw = seededZipf(plan.keys, plan.zipf, plan.seed * 100 + plan.process);
  const random = seededRandom(plan.seed * 100 + plan.process + 50);
  const total = Math.floor((plan.forMs / 1_000) * plan.perSecond);
  const pending = new Set<Promise<void>>();
  const writes = new WriteQueues();
  const failures: unknown[] = [];
  const request = (dueAt: number): Promise<void> => {
    const kind = random();
    const id = draw();
    if (kind >= plan.sets + plan.deletes) return target.read(id, dueAt);
    const own = writtenBy(id, plan);
    return writes.after(own, () => (kind < plan.sets ? target.set(own) : target.delete(own)));
  };
  for (let sent = 0; sent < total; ) {
    const dueAt = plan.startAt + (sent * 1_000) / plan.perSecond;
    const aheadMs = dueAt - monotonicMs();
    if (aheadMs > 0) {
      await sleep(aheadMs);
      continue;
    }
    sent++;
    const done = request(dueAt)
      .catch((error: unknown) => void failures.push(error))
      .finally(() => pending.delete(done));
    pending.add(done);
  }
  await Promise.all(pending);
  for (const failure of failures) throw failure;
}

/** The key nearest to `id` that this process writes. */
function writtenBy(id: number, { keys, process, processes }: TrafficPlan): number {
  const own = id - (id % processes) + process;
  return own < keys ? own : own - processes;
}

/** Since when a key is being asked for in this process: whoever reads it meanwhile joins, and is answered alike. */
export class Asking {
  readonly #since = new Map<number, number>();

  /** When what answers this read was asked for: now, or earlier. */
  begin(id: number, now: number): number {
    const since = this.#since.get(id) ?? now;
    this.#since.set(id, since);
    return since;
  }

  end(id: number, since: number): void {
    if (this.#since.get(id) === since) this.#since.delete(id);
  }

  /** It is written here: who reads it from now on joins nothing that began before. */
  forget(id: number): void {
    this.#since.delete(id);
  }
}

class WriteQueues {
  readonly #last = new Map<number, Promise<void>>();

  after(id: number, write: () => Promise<void>): Promise<void> {
    const done = (this.#last.get(id) ?? Promise.resolve()).then(write);
    const settled = done
      .catch(() => {}) // whoever asked for it hears of it
      .finally(() => {
        if (this.#last.get(id) === settled) this.#last.delete(id);
      });
    this.#last.set(id, settled);
    return done;
  }
}
