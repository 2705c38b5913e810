/**
 * What a cache may get wrong between its memory, Redis, another process and the
 * caller: values that are old, lost, hidden or changed, and a Redis that is away.
 */

import { setTimeout as sleep } from 'node:timers/promises';
import { MEMORY_ENTRIES } from './behaviour-libraries.ts';
import { demand, demandValue, type Scenario, type Stage } from './behaviour-stage.ts';

/** A bound of the DESIGN for memory when no message arrives is 1 s; the rest is for a slow machine. */
const COHERENT_MS = 2_000;
const POLL_MS = 10;
/** Until a cache has to have noticed that Redis does not answer. */
const GIVE_UP_MS = 1_000;

/** Has a value in the memory of both processes. */
async function inBothMemories({ first, second }: Stage, key: string): Promise<void> {
  for (const actor of [first, second]) {
    await actor.loaderReturns(key, 'old');
    await actor.readsThat(key, 'old');
    await actor.readsThat(key, 'old');
    await actor.loaderReturns(key, 'new');
  }
}

/** How long the second process goes on reading what was. */
async function untilNew({ second }: Stage, key: string): Promise<void> {
  const start = performance.now();
  for (;;) {
    const { text } = await second.read(key);
    if (text === '"new"') return;
    const sinceMs = performance.now() - start;
    demand(
      sinceMs < COHERENT_MS,
      `the other process still read ${text} after ${COHERENT_MS / 1000} s`,
    );
    await sleep(POLL_MS);
  }
}

export const coherenceScenarios: readonly Scenario[] = [
  {
    id: 'deleted-elsewhere',
    claim: 'What another process deletes is not read from memory any longer',
    test: {
      file: 'test/cache/ring-fleet.test.ts',
      name: 'what one process has in memory is not older than maxStale when another has replaced it',
    },
    async play(stage) {
      await inBothMemories(stage, 'deleted-elsewhere');
      await stage.first.delete('deleted-elsewhere');
      await untilNew(stage, 'deleted-elsewhere');
    },
  },
  {
    id: 'replaced-elsewhere',
    claim: 'Nor is what another process replaces',
    needs: ['set'],
    test: {
      file: 'test/cache/ring-fleet.test.ts',
      name: 'what one process has in memory is not older than maxStale when another has replaced it',
    },
    async play(stage) {
      await inBothMemories(stage, 'replaced-elsewhere');
      await stage.first.set('replaced-elsewhere', 'new');
      await untilNew(stage, 'replaced-elsewhere');
    },
  },
  {
    id: 'lost-message',
    cuts: true,
    claim: 'Nor when the message about it was lost, because the connection was just then',
    test: {
      file: 'test/cache/behaviours.test.ts',
      name: 'what was deleted while the connection that tells of it was lost is not read from memory',
    },
    async play(stage) {
      await inBothMemories(stage, 'lost-message');
      // Stopped, it cannot connect anew before the message was sent to nobody.
      process.kill(stage.second.child.pid, 'SIGSTOP');
      try {
        await stage.redis.call('CLIENT', 'KILL', 'TYPE', 'pubsub');
        await stage.first.delete('lost-message');
      } finally {
        process.kill(stage.second.child.pid, 'SIGCONT');
      }
      await untilNew(stage, 'lost-message');
    },
  },
  {
    id: 'memory-bound',
    claim: 'The bound of the memory holds, one entry for each key',
    needs: ['memory'],
    test: {
      file: 'test/memory/memory.test.ts',
      name: 'one entry more than maxEntries pushes out the least recently used',
    },
    async play(stage) {
      const { first } = stage;
      const keys = Array.from({ length: MEMORY_ENTRIES * 4 }, (_, i) => `memory-bound:${i}`);
      for (const key of keys) {
        await first.loaderReturns(key, 'value');
        await first.read(key);
        await first.read(key);
      }
      let held = 0;
      // The latest first, so that no read pushes out what has still to be looked at.
      for (const key of keys.toReversed()) {
        if ((await stage.lookUps(() => first.read(key))) === 0) held++;
      }
      demand(held <= MEMORY_ENTRIES, `${held} entries were held where ${MEMORY_ENTRIES} may be`);
      demand(held > 0, 'nothing was held in memory');
    },
  },
  {
    id: 'lazy-default',
    claim: 'On a hit no loader runs, and no function that was given for a default',
    test: {
      file: 'test/cache/loaders.test.ts',
      name: 'is not called on a hit, nor by who joins a load',
    },
    async play({ first, second }) {
      const key = 'lazy-default';
      await first.loaderReturns(key, 'value');
      await first.readsThat(key, 'value');
      const hits = [await first.child.ask('callsDefault', { key })];
      hits.push(await second.child.ask('callsDefault', { key }));
      demand(!hits.includes(true), 'the function ran though the value was there');
    },
  },
  {
    id: 'null',
    claim: 'A loaded null is a value: another process gets null, and nobody loads again',
    test: {
      file: 'test/cache/loaders.test.ts',
      name: 'that returns %j is answered from the cache next time',
    },
    async play({ first, second }) {
      await first.loaderReturns('null', null);
      await second.loaderReturns('null', 'loaded again');
      await first.readsThat('null', null);
      await second.readsThat('null', null);
      await first.readsThat('null', null);
      const calls = await first.calls('null');
      demand(calls === 1, `the loader was called ${calls} times`);
    },
  },
  {
    id: 'falsy',
    claim: '0, false and the empty text come back as they are, in another process too',
    test: {
      file: 'test/cache/loaders.test.ts',
      name: 'that returns %j is answered from the cache next time',
    },
    async play({ first, second }) {
      for (const value of [0, false, '']) {
        const key = `falsy:${JSON.stringify(value)}`;
        await first.loaderReturns(key, value);
        await second.loaderReturns(key, 'loaded again');
        await first.readsThat(key, value);
        await second.readsThat(key, value);
        await second.readsThat(key, value);
      }
    },
  },
  {
    id: 'undefined',
    claim: 'An undefined that was loaded is not stored: whoever asks next loads again',
    test: {
      file: 'test/cache/loaders.test.ts',
      name: 'that returns undefined is believed for this time, and nothing is stored',
    },
    async play({ first }) {
      await first.loaderReturns('undefined', undefined);
      await first.read('undefined');
      await first.loaderReturns('undefined', 'value');
      await first.readsThat('undefined', 'value');
    },
  },
  {
    id: 'mistake',
    claim: 'A mistake of the caller (a key or value that is none) is an error, not silence',
    test: {
      file: 'test/cache/behaviours.test.ts',
      name: 'a key or value that is none is refused, not passed over',
    },
    async play({ first }) {
      const key = await first.child.ask('mistake', 'key');
      demand(
        key.kind !== 'value' || key.text !== 'undefined',
        'a key whose serialisation throws gave undefined',
      );
      const value = await first.child.ask('mistake', 'value');
      demand(
        value.kind === 'error' || ['undefined', 'false'].includes(value.text),
        `set of a circular value gave ${value.text}`,
      );
    },
  },
  {
    id: 'jitter',
    claim: 'Values that were set together do not all end together',
    needs: ['jitter', 'set'],
    test: {
      file: 'test/cache/staleness.test.ts',
      name: 'is only ever shortened by jitter, by up to its share',
    },
    async play({ first, redis }) {
      for (let i = 0; i < 20; i++) await first.set(`jitter:${i}`, 'value');
      const lives = await Promise.all(
        (await redis.keys('*jitter:*')).map((key) => redis.pttl(key)),
      );
      const spread = (Math.max(...lives) - Math.min(...lives)) / Math.max(...lives);
      demand(spread > 0.02, `all end within ${(spread * 100).toFixed(1)} % of their life`);
    },
  },
  {
    id: 'hanging',
    cuts: true,
    claim: 'While Redis hangs, a read whose loader is quick is answered within a second',
    test: {
      file: 'test/cache/outages.test.ts',
      name: 'a node that hangs during a load costs at most its budget, and its loader one call',
    },
    async play({ first, node }) {
      await first.loaderReturns('hanging', 'value');
      await node.pause();
      try {
        demandValue('a read', await first.read('hanging', GIVE_UP_MS), 'value');
      } finally {
        await node.resume();
      }
    },
  },
  {
    id: 'deleted-while-down',
    cuts: true,
    claim: 'A delete while Redis is down is not reported as done, or counts when it is back',
    test: {
      file: 'test/cache/missed.test.ts',
      name: 'does not serve what was deleted meanwhile, whoever deleted it',
    },
    async play({ first, second, node, redis }) {
      const key = 'deleted-while-down';
      await first.loaderReturns(key, 'old');
      await first.readsThat(key, 'old');
      await redis.call('SAVE');
      await node.kill();
      const { kind, text } = await first.tryDelete(key);
      await node.restart();
      await writesAgain({ first, redis });
      await first.loaderReturns(key, 'new');
      await second.loaderReturns(key, 'new');
      if (kind !== 'value' || text === 'false') return; // it was said that it is not done
      const got = [await first.read(key), await second.read(key)];
      const old = got.some((outcome) => outcome.text === '"old"');
      demand(!old, `delete gave ${text}, and the old value was read afterwards`);
    },
  },
];

/** Waits until what the first process loads is in Redis. */
async function writesAgain({ first, redis }: Pick<Stage, 'first' | 'redis'>): Promise<void> {
  const until = performance.now() + 10_000;
  for (let i = 0; performance.now() < until; i++) {
    const key = `probe:${i}`;
    await first.loaderReturns(key, 'value');
    await first.read(key, 500);
    if ((await redis.keys(`*${key}`)).length > 0) return;
    await sleep(POLL_MS * 5);
  }
}
