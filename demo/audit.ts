/** Looks at all keys with a client of its own, which has no memory: what is really at the nodes. */
import { setTimeout as rest } from 'node:timers/promises';
import type { RingCache } from '../src/index.ts';
import { keyOf, type Product } from './database.ts';
import type { Ledger } from './ledger.ts';

const KEYS_AT_ONCE = 250;
/** Leaves room for the traffic that is being measured. */
const PAUSE_MS = 4;

export interface Census {
  /** 1: found at its node. */
  readonly present: Uint8Array;
  /** Values older than a delete that was confirmed before they were asked for. */
  readonly stale: number;
}

export async function takeCensus(auditor: RingCache, ledger: Ledger): Promise<Census> {
  const present = new Uint8Array(ledger.size);
  let stale = 0;
  const look = async (numbers: readonly number[]): Promise<void> => {
    const floors = numbers.map((number) => ledger.floor(number));
    const products = await auditor.getMany<Product>(numbers.map(keyOf));
    for (const [i, number] of numbers.entries()) {
      const product = products[i];
      if (product === undefined) continue;
      present[number] = 1;
      if (product.version < floors[i]!) stale += 1;
    }
  };
  const all = Array.from(present, (_, number) => number);
  await inSteps(all, look);
  // A request that came too late says nothing about its keys: once more.
  await inSteps(
    all.filter((number) => present[number] === 0 && ledger.held[number] === 1),
    look,
  );
  return { present, stale };
}

async function inSteps(
  numbers: readonly number[],
  look: (part: readonly number[]) => Promise<void>,
): Promise<void> {
  for (let at = 0; at < numbers.length; at += KEYS_AT_ONCE) {
    await look(numbers.slice(at, at + KEYS_AT_ONCE));
    await rest(PAUSE_MS);
  }
}
