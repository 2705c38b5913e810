/** One of the processes of the coherence benchmark: writes, or watches its memory for what others write. */

import { setTimeout as sleep } from 'node:timers/promises';
import { createCache, type RingCache } from '../src/index.ts';
import { obey } from './child.ts';
import { itemOf } from './keys.ts';

/** A process whose memory does not take up a value by then never will. */
const LEARN_MS = 5_000;
const WATCH_MS = 5_000;
const TICK_MS = 1;

let cache: RingCache;
let background: NodeJS.Timeout | undefined;
let sets = 0;

/** The same clock in all processes of a machine. */
function nowMs(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}

async function open(url: string): Promise<void> {
  // On a busy machine a server may get no processor for longer than the default of 100 ms.
  cache = await createCache({ nodes: [url], ttl: '1h', jitter: 0, node: { timeout: 5_000 } });
}

/** Resolves to when it was acknowledged. */
async function write(given: { key: string; version: number; how: 'set' | 'delete' }) {
  const { key, version, how } = given;
  const taken = await (how === 'set' ? cache.set(key, itemOf(version)) : cache.delete(key));
  if (!taken) throw new Error(`${how} ${key}: not taken`);
  return nowMs();
}

/** Reads until memory has this version. */
async function learn({ key, version }: { key: string; version: number }): Promise<void> {
  const end = nowMs() + LEARN_MS;
  while (held(key) !== version) {
    if (nowMs() > end) throw new Error(`memory does not take up ${key}`);
    await cache.get(key);
    if (held(key) !== version) await sleep(TICK_MS);
  }
}

/** Looks, again and again, until memory has this version no more; resolves to when. */
async function watch({ key, version }: { key: string; version: number }): Promise<number> {
  const end = nowMs() + WATCH_MS;
  while (held(key) === version) {
    if (nowMs() > end) throw new Error(`memory keeps ${key}`);
    await new Promise(setImmediate);
  }
  return nowMs();
}

/** Writes other keys all the time from now on, so many in a second; 0: no more. Resolves to how many it has written. */
function writeOthers(perSecond: number): number {
  clearInterval(background);
  if (perSecond === 0) return sets;
  const atOnce = Math.max(1, Math.round((perSecond * TICK_MS) / 1_000));
  background = setInterval(() => {
    for (let i = 0; i < atOnce; i++) void cache.set(`other:${sets++ % 1_000}`, itemOf(sets));
  }, TICK_MS);
  return sets;
}

function held(key: string): number | undefined {
  return cache.peek<{ id: number }>(key)?.id;
}

const handlers = { open, write, learn, watch, writeOthers };
export type CoherenceRow = typeof handlers;
obey(handlers);
