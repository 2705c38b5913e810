/** Topology documents for tests. */
import type { TopologyDocument } from '../../src/topology/document.ts';
import { memberOf, withEra } from '../../src/topology/topology.ts';
import { seat } from '../support/simulated-process.ts';

export interface Wanted {
  readonly source?: readonly string[];
  readonly epoch?: number;
  readonly fingerprint?: string;
  readonly origin?: string;
}

/** A document of members of weight 1; its fingerprint is not that of their ring unless given. */
export function documentOf(ids: readonly string[], wanted: Wanted = {}): TopologyDocument {
  const { source, epoch = 1, fingerprint = 'deadbeef', origin = 'deadbeef' } = wanted;
  const members = ids.map((id) => memberOf(seat(id)));
  const before = (source ?? []).map((id) => memberOf(seat(id)));
  const first: TopologyDocument = {
    version: 1,
    epoch,
    fingerprint,
    origin,
    members,
    source: source === undefined ? null : before,
    floors: {},
    locks: { since: epoch, leaving: [], sealed: true, floor: 0 },
    history: source === undefined ? [] : withEra({ history: [] }, 1, before),
  };
  return { ...first, history: withEra(first, epoch, members) };
}
