/** What is done to the network between processes and nodes while the ring changes. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { FaultProxy } from '../../support/proxy.ts';
import { type Fault, outageMs, type Stage, whileChanging } from './stage.ts';

export const NETWORK_FAULTS: readonly Fault[] = [
  {
    name: 'cut-off-one',
    about: 'one process does not reach a node, or any, while the others do',
    behindProxies: true,
    async inject(stage, round) {
      const { rings, cast, proxies } = stage;
      const name = cast.labelOf(rings.pick(cast.playing));
      const cut = round % 3 === 2 ? proxies : [rings.pick(proxies)];
      await whileChanging(stage, () => blackhole(stage, cut, name));
    },
  },
  {
    name: 'cut-off-all',
    about: 'nobody reaches a node, which runs on',
    behindProxies: true,
    async inject(stage) {
      const proxy = stage.rings.pick(stage.proxies);
      await whileChanging(stage, () => blackhole(stage, [proxy]));
    },
  },
  {
    name: 'replies-dropped',
    about: 'a node carries out what it is asked, and its answers are lost',
    behindProxies: true,
    async inject(stage) {
      const proxy = stage.rings.pick(stage.proxies);
      await whileChanging(stage, () =>
        noted(stage, `answers are lost of ${placesOf(stage, [proxy])}`, async () => {
          proxy.set({ kind: 'drop' });
          await sleep(outageMs(stage));
          heal(proxy);
        }),
      );
    },
  },
  {
    name: 'replies-slow',
    about: 'what a node answers comes about as late as anybody waits for it, or later',
    behindProxies: true,
    async inject(stage) {
      const proxy = stage.rings.pick(stage.proxies);
      await whileChanging(stage, () =>
        noted(stage, `answers are late of ${placesOf(stage, [proxy])}`, async () => {
          proxy.set({ kind: 'latency', ms: 40 + 200 * stage.random() });
          await sleep(outageMs(stage));
          proxy.set({ kind: 'none' });
        }),
      );
    },
  },
  {
    name: 'requests-stray',
    about: 'what was sent over a connection arrives after its client has made another one',
    behindProxies: true,
    async inject(stage) {
      const proxy = stage.rings.pick(stage.proxies);
      await whileChanging(stage, () =>
        noted(stage, `requests stray on their way to ${placesOf(stage, [proxy])}`, async () => {
          proxy.stray();
          await sleep(600 + outageMs(stage));
          proxy.arrive();
        }),
      );
    },
  },
  {
    name: 'island',
    about:
      'a process reaches one node alone, which nobody else reaches, while the ring changes, for 13 s',
    behindProxies: true,
    isAlone: true,
    inject: maroon,
  },
];

/** Longer than a process trusts what it knows of the ring without hearing from half of the nodes. */
const ISLAND_MS = 13_000;

async function maroon(stage: Stage): Promise<void> {
  const { rings, cast, nodes, proxies } = stage;
  await rings.growTo(4);
  const { members } = await rings.newest();
  const [victim, ...others] = shuffled(stage, cast.playing);
  const island = rings.pick(nodes.filter(({ id }) => members[id] !== undefined));
  const name = cast.labelOf(victim!);
  const inner = proxies[nodes.indexOf(island)]!;
  const cuts = [
    ...proxies.filter((proxy) => proxy !== inner).map((proxy) => ({ proxy, from: name })),
    ...others.map((one) => ({ proxy: inner, from: cast.labelOf(one) })),
  ];
  await noted(stage, `${name} is alone with ${island.id}`, async () => {
    for (const { proxy, from } of cuts) proxy.set({ kind: 'blackhole' }, from);
    const changing = sleep(500 * stage.random()).then(async () => {
      // Not itself: to remove what does not answer is to say that nobody reaches it.
      const { id: node } = rings.pick(nodes.filter((one) => one !== island));
      const change = await rings.begin({ driver: others[0]!, node });
      await change?.done;
    });
    await sleep(ISLAND_MS);
    for (const { proxy, from } of cuts) heal(proxy, from);
    await changing;
  });
}

function shuffled<T>({ random }: Stage, all: readonly T[]): T[] {
  return all
    .map((one) => ({ one, at: random() }))
    .sort((a, b) => a.at - b.at)
    .map(({ one }) => one);
}

async function blackhole(stage: Stage, cut: readonly FaultProxy[], name?: string): Promise<void> {
  await noted(stage, `${placesOf(stage, cut)}: cut off from ${name ?? 'all'}`, async () => {
    for (const proxy of cut) proxy.set({ kind: 'blackhole' }, name);
    await sleep(outageMs(stage));
    for (const proxy of cut) heal(proxy, name);
  });
}

async function noted(stage: Stage, what: string, work: () => Promise<void>): Promise<void> {
  stage.note(what);
  await work();
  stage.note(`over: ${what}`);
}

function placesOf({ proxies, nodes }: Stage, some: readonly FaultProxy[]): string {
  return some.map((proxy) => nodes[proxies.indexOf(proxy)]?.id).join(', ');
}

/** A stream that goes on after a gap is nothing that TCP does. */
function heal(proxy: FaultProxy, name?: string): void {
  proxy.reset(name);
  proxy.set({ kind: 'none' }, name);
}
