/** A fleet of simulated nodes, and processes of it. */
import { afterEach } from 'vitest';
import { fenceOfDocument, type TopologyDocument } from '../../src/topology/document.ts';
import type { Seat } from '../../src/topology/topology.ts';
import { FakeClock } from '../support/fake-clock.ts';
import type { SimulatedNode } from '../support/simulated-node.ts';
import {
  SimulatedProcess,
  type SimulatedProcessOptions,
  SimulatedServers,
  seat,
} from '../support/simulated-process.ts';
import type { SimulatedServer } from '../support/simulated-server.ts';

type Options = Partial<Omit<SimulatedProcessOptions, 'clock' | 'servers' | 'seats'>>;

export class Fleet {
  readonly clock = new FakeClock(1_000);
  readonly servers = new SimulatedServers(this.clock);
  readonly #processes: SimulatedProcess[] = [];

  server(id: string): SimulatedServer {
    return this.servers.get(id);
  }

  /** A process configured with nodes, not connected. */
  async create(
    seats: readonly (string | Seat)[],
    options: Options = {},
  ): Promise<SimulatedProcess> {
    const { clock, servers } = this;
    const process = await SimulatedProcess.create({
      ...options,
      clock,
      servers,
      seats: seats.map((one) => (typeof one === 'string' ? seat(one) : one)),
    });
    this.#processes.push(process);
    return process;
  }

  async start(seats: readonly (string | Seat)[], options: Options = {}): Promise<SimulatedProcess> {
    const process = await this.create(seats, options);
    await process.topology.open();
    return process;
  }

  async close(): Promise<void> {
    await Promise.all(this.#processes.map((process) => process.close()));
  }
}

/** A fleet for each test, closed after it. */
export function useFleet(): () => Fleet {
  const fleets: Fleet[] = [];
  afterEach(async () => {
    await Promise.all(fleets.splice(0).map((fleet) => fleet.close()));
  });
  return () => {
    const fleet = new Fleet();
    fleets.push(fleet);
    return fleet;
  };
}

/** Seats the nodes of a process with a fault from the start. */
export function down(...ids: string[]): { seated: (node: SimulatedNode) => void } {
  return {
    seated: (node) => {
      if (ids.includes(node.id)) node.fault = 'down';
    },
  };
}

/** The same with nodes that take every request and do not answer. */
export function silent(...ids: string[]): { seated: (node: SimulatedNode) => void } {
  return {
    seated: (node) => {
      if (ids.includes(node.id)) node.fault = 'request-lost';
    },
  };
}

/** The node's fence and document are those of this document. */
export function put(server: SimulatedServer, document: TopologyDocument): void {
  server.fence = fenceOfDocument(document);
  server.document = JSON.stringify(document);
  server.servedRun = server.runId;
}

/** The first of many keys of which this holds. */
export function keyThat(is: (key: string) => boolean): string {
  for (let i = 0; i < 10_000; i++) if (is(`key:${i}`)) return `key:${i}`;
  throw new Error('there is no such key');
}

/** A key that `from` owns now, and `to` when it has joined. */
export function movingKey(process: SimulatedProcess, from: string, to: string): string {
  const { ring } = process.topology.snapshot;
  const next = ring.with({ id: to });
  return keyThat((key) => ring.owner(key) === from && next.owner(key) === to);
}
