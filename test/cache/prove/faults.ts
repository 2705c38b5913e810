/**
 * What is done to the ring, the nodes, the processes and the network of a run.
 * Each injection resolves when what it has broken is whole again.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { NETWORK_FAULTS } from './network-faults.ts';
import { NODE_FAULTS } from './node-faults.ts';
import { PROCESS_FAULTS } from './process-faults.ts';
import type { Fault } from './stage.ts';

const CALM_FAULTS: readonly Fault[] = [
  { name: 'none', about: 'nothing is done, and the ring stays', isCalm: true },
  {
    name: 'live-change',
    about: 'a live node is removed and added again, twenty times',
    isCalm: true,
    repetitions: 20,
    async inject(stage, round) {
      const node = stage.nodes[round % stage.nodes.length]!.id;
      for (let step = 0; step < 2; step++) {
        const change = await stage.rings.begin({ node, warm: true });
        await change?.done;
      }
    },
  },
  {
    name: 'live-change-memory',
    about: 'the same, and processes have memory, which may be a second behind the others',
    isCalm: true,
    memory: true,
    async inject({ rings }) {
      const change = await rings.begin({ warm: true });
      await change?.done;
    },
  },
  {
    name: 'ring-flaps',
    about: 'nodes leave and come back in quick succession, warm and cold',
    async inject({ rings, nodes, cast, random }) {
      const node = rings.pick(nodes).id;
      const driver = rings.pick(cast.playing);
      for (let step = 0; step < 4; step++) {
        const change = await rings.begin({ driver, node, warm: random() < 0.5 });
        await change?.done;
      }
    },
  },
  {
    name: 'two-changes',
    about: 'two processes change the ring at the same time',
    async inject({ rings, cast }) {
      const begun = await Promise.all(
        cast.playing.slice(0, 2).map((driver) => rings.begin({ driver })),
      );
      for (const change of begun) await change?.done;
    },
  },
];

const SINGLE = [...CALM_FAULTS, ...NODE_FAULTS, ...PROCESS_FAULTS, ...NETWORK_FAULTS];

const EVERYTHING: Fault = {
  name: 'everything',
  about: 'up to three of all these at the same time',
  behindProxies: true,
  async inject(stage, round) {
    const faults = SINGLE.filter(({ isCalm, isAlone }) => !isCalm && !isAlone);
    const count = 1 + Math.floor(stage.random() * 3);
    const together = Array.from({ length: count }, async () => {
      const fault = stage.rings.pick(faults);
      await sleep(500 * stage.random());
      await fault.inject?.(stage, round);
    });
    await Promise.all(together);
  },
};

export const FAULTS: readonly Fault[] = [...SINGLE, EVERYTHING];
