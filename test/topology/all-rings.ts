/** The rings of every choice of some nodes, and the nodes themselves. */
import { beforeAll } from 'vitest';
import { HashRing } from '../../src/ring/ring.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { SimulatedNode } from '../support/simulated-node.ts';
import { SimulatedServer } from '../support/simulated-server.ts';

export function useAllRings(ids: readonly string[]): {
  readonly nodes: Map<string, SimulatedNode>;
  /** By the ids of its members, in order, with commas. */
  ringOf(members: string): HashRing;
} {
  const clock = new FakeClock();
  const host = {
    admit: () => ({ kind: 'install', fence: '', document: '' }) as const,
    trusted: () => true,
  };
  const nodes = new Map(
    ids.map((id) => [id, new SimulatedNode(new SimulatedServer(id, clock), { host })]),
  );
  const rings = new Map<string, HashRing>();
  beforeAll(async () => {
    for (let bits = 1; bits < 2 ** ids.length; bits++) {
      const chosen = ids.filter((_, i) => bits & (1 << i));
      const members = chosen.map((id) => ({ id }));
      rings.set(chosen.join(), await HashRing.create(members, { points: 16 }));
    }
  });
  return {
    nodes,
    ringOf: (members) => {
      const ring = rings.get(members);
      if (ring === undefined) throw new Error(`no ring of ${members}`);
      return ring;
    },
  };
}
