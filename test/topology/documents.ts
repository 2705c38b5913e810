/** Topology documents for tests. */
import type { TopologyDocument } from '../../src/topology/document.ts';
import { memberOf } from '../../src/topology/ring-change.ts';
import { eraOf } from '../../src/topology/successors.ts';
import { RING, seat } from '../support/simulated-process.ts';

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
  const [first = ''] = ids.toSorted();
  return {
    version: 1,
    epoch,
    fingerprint,
    origin,
    control: { id: first },
    ring: RING,
    members,
    source: source === undefined ? null : before,
    floors: {},
    runs: {},
    locks: { since: epoch, leaving: [], sealed: true, floor: 0 },
    history: [eraOf(epoch, members), ...(source === undefined ? [] : [eraOf(1, before)])],
  };
}
