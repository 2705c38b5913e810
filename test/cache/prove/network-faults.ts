/** What is done to the network between processes and nodes while the ring changes. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { FaultProxy } from '../../support/proxy.ts';
import { type Fault, outageMs, whileChanging } from './stage.ts';

export const NETWORK_FAULTS: readonly Fault[] = [
  {
    name: 'cut-off-one',
    about: 'one process does not reach a node, or any, while the others do',
    behindProxies: true,
    async inject(stage, round) {
      const { rings, cast, proxies } = stage;
      const name = cast.labelOf(rings.pick(cast.playing));
      const cut = round % 3 === 2 ? proxies : [rings.pick(proxies)];
      await whileChanging(stage, () => blackhole(cut, { ms: outageMs(stage), name }));
    },
  },
  {
    name: 'cut-off-all',
    about: 'nobody reaches a node, which runs on',
    behindProxies: true,
    async inject(stage) {
      const { rings, proxies } = stage;
      await whileChanging(stage, () => blackhole([rings.pick(proxies)], { ms: outageMs(stage) }));
    },
  },
  {
    name: 'replies-dropped',
    about: 'a node carries out what it is asked, and its answers are lost',
    behindProxies: true,
    async inject(stage) {
      const proxy = stage.rings.pick(stage.proxies);
      await whileChanging(stage, async () => {
        proxy.set({ kind: 'drop' });
        await sleep(outageMs(stage));
        heal(proxy);
      });
    },
  },
  {
    name: 'replies-slow',
    about: 'what a node answers comes about as late as anybody waits for it, or later',
    behindProxies: true,
    async inject(stage) {
      const proxy = stage.rings.pick(stage.proxies);
      await whileChanging(stage, async () => {
        proxy.set({ kind: 'latency', ms: 40 + 200 * stage.random() });
        await sleep(outageMs(stage));
        proxy.set({ kind: 'none' });
      });
    },
  },
  {
    name: 'requests-stray',
    about: 'what was sent over a connection arrives after its client has made another one',
    behindProxies: true,
    async inject(stage) {
      const proxy = stage.rings.pick(stage.proxies);
      await whileChanging(stage, async () => {
        proxy.stray();
        await sleep(600 + outageMs(stage));
        proxy.arrive();
      });
    },
  },
];

async function blackhole(
  cut: readonly FaultProxy[],
  { ms, name }: { ms: number; name?: string },
): Promise<void> {
  for (const proxy of cut) proxy.set({ kind: 'blackhole' }, name);
  await sleep(ms);
  for (const proxy of cut) heal(proxy, name);
}

/** A stream that goes on after a gap is nothing that TCP does. */
function heal(proxy: FaultProxy, name?: string): void {
  proxy.reset(name);
  proxy.set({ kind: 'none' }, name);
}
