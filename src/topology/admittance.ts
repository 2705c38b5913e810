/**
 * Whether, and under which document, a node that has just been connected is
 * used. A node of another fleet is not, nor one that serves another list of
 * members; one that came back with what it had before a restart, or missed
 * deletes that nobody knows, is used when a floor has been raised for it.
 */
import { NodeUnavailableError, TopologyBusyError, TopologyConflictError } from '../errors.ts';
import { epochOf } from '../node/fence.ts';
import type { Admission, Greeting } from '../node/node.ts';
import {
  encodeDocument,
  fenceOfDocument,
  parseDocument,
  type TopologyDocument,
} from './document.ts';
import type { Missed } from './missed.ts';
import type { Place } from './seats.ts';
import { withFloor } from './successors.ts';

export interface AdmittanceHost {
  readonly document: TopologyDocument;
  /** Takes up a document if it is newer and fits. */
  learn(document: TopologyDocument | undefined): void;
  /** The same with what the other nodes have; resolves to whether half of them, or the control, have answered. */
  learnFromOthers(id: string): Promise<boolean>;
  /** Has the control accept a document, and takes it up. @throws TopologyBusyError, NodeUnavailableError */
  enact(next: TopologyDocument): Promise<void>;
  /** What the node missed while it was away. */
  missed(id: string): Promise<Missed>;
  /** The node answered, and knows nothing newer. */
  heard(id: string, greeting: Greeting): void;
}

/** Why a node is not used. */
export interface Refusal {
  readonly error: TopologyConflictError;
  /** Where it stands. */
  readonly epoch: number;
  /** Whether it has the document of another fleet. */
  readonly foreign: boolean;
}

interface Applicant {
  readonly place: Place;
  readonly id: string;
  readonly greeting: Greeting;
}

const RECOVER = 'if it does not heal, `ringcache topology recover` starts a new epoch';
const RESTARTED = 'it came back with entries from before a restart';
const MISSED = 'it missed more deletes than could be kept for it';
/** Another process may raise the same floor at the same time. */
const FLOOR_ROUNDS = 3;

export class Admittance {
  readonly #host: AdmittanceHost;
  /** Places of nodes that are to join: admitted only if no other fleet uses them. */
  readonly #candidates = new Set<Place>();
  readonly #refusals = new Map<Place, Refusal>();

  constructor(host: AdmittanceHost) {
    this.#host = host;
  }

  /** Until it is a member, or `forget` is called. */
  await(place: Place): void {
    this.#candidates.add(place);
  }

  forget(place: Place): void {
    this.#candidates.delete(place);
    this.#refusals.delete(place);
  }

  /** Those that joined are members now. */
  joined(): void {
    this.#candidates.clear();
  }

  /** Why a node was not admitted; undefined when it was, or could not be asked. */
  refusalOf(place: Place): TopologyConflictError | undefined {
    return this.#refusals.get(place)?.error;
  }

  get refusals(): Iterable<Refusal> {
    return this.#refusals.values();
  }

  async decide(applicant: Applicant): Promise<Admission> {
    const { place, id, greeting } = applicant;
    const candidate = this.#candidates.has(place);
    const refusal = candidate
      ? this.#refuseCandidate(applicant)
      : await this.#refuseMember(applicant);
    if (refusal !== undefined) {
      const epoch = greeting.fence === undefined ? 0 : epochOf(greeting.fence);
      this.#refusals.set(place, { error: refusal, epoch, foreign: this.#isForeign(greeting) });
      return { kind: 'reject', reason: refusal };
    }
    this.#refusals.delete(place);
    this.#host.heard(id, greeting);
    if (candidate) return this.#install();
    // It was emptied, and with it went what it knew: somebody may know of a newer ring.
    // And one that came back with an old snapshot may not have what it accepted since.
    const isOld = greeting.fence === undefined || this.#isBelow(greeting, id);
    const known = !isOld || (await this.#host.learnFromOthers(id));
    const decides = this.#host.document.control.id === id;
    if (!known && decides && this.#isBelow(greeting, id)) {
      return { kind: 'reject', reason: new NodeUnavailableError(id, 'fenced', UNTOLD) };
    }
    const missed = await this.#host.missed(id);
    const unsure = missed.more !== 'no' || this.#isBelow(greeting, id);
    return unsure ? this.#installWithFloor(applicant, missed) : this.#install(missed);
  }

  #isForeign({ document }: Greeting): boolean {
    const found = parseDocument(document);
    return found !== undefined && found.origin !== this.#host.document.origin;
  }

  #install(missed?: Missed): Admission {
    const { document } = this.#host;
    const told = { fence: fenceOfDocument(document), document: encodeDocument(document) };
    return { kind: 'install', ...told, missed };
  }

  /** It has entries from another run, and nobody knows what was deleted since. */
  #isBelow({ fence, servedRun, runId }: Greeting, id: string): boolean {
    if (fence === undefined || servedRun === runId) return false;
    return this.#host.document.runs[id] !== runId;
  }

  async #installWithFloor({ id, greeting }: Applicant, missed: Missed): Promise<Admission> {
    const { runId } = greeting;
    const floor = this.#floorOf(id);
    for (let round = 1; ; round++) {
      const { document } = this.#host;
      let next = withFloor(document, id, runId);
      if (document.control.id === id) {
        // What it accepted last, and had not told anybody, may have been lost: its number is left out.
        if (this.#isBelow(greeting, id))
          next = withFloor({ ...document, epoch: next.epoch }, id, runId);
        // It takes the document as it is admitted, or one that another process has for it.
        const told = { fence: fenceOfDocument(next), document: encodeDocument(next) };
        return { kind: 'install', ...told, missed, accepted: () => this.#host.learn(next) };
      }
      try {
        await this.#host.enact(next);
      } catch (error) {
        if (error instanceof NodeUnavailableError) {
          const below = this.#isBelow(greeting, id);
          // Nothing is known against it either.
          if (!below && missed.more === 'possible') return this.#install(missed);
          return this.#rejectUnsure(id, below ? RESTARTED : MISSED);
        }
        if (!(error instanceof TopologyBusyError) || round === FLOOR_ROUNDS) throw error;
      }
      const raised = this.#floorOf(id) > floor;
      if (raised && !this.#isBelow(greeting, id)) return this.#install(missed);
    }
  }

  #floorOf(id: string): number {
    return this.#host.document.floors[id] ?? 0;
  }

  #rejectUnsure(id: string, why: string): Admission {
    const { control } = this.#host.document;
    const reason = `${why}, and the node that decides (${control.id}) does not answer; ${RECOVER}`;
    return { kind: 'reject', reason: new NodeUnavailableError(id, 'fenced', reason) };
  }

  #refuseCandidate({ id, greeting }: Applicant): TopologyConflictError | undefined {
    const { document } = this.#host;
    const stands = greeting.fence === undefined ? 0 : epochOf(greeting.fence);
    if (this.#isForeign(greeting)) {
      return new TopologyConflictError(id, 'belongs to another fleet; it was not changed');
    }
    // One that has left stands where the fleet stood then.
    if (stands >= document.epoch && greeting.fence !== fenceOfDocument(document)) {
      return new TopologyConflictError(
        id,
        `serves epoch ${stands} already, while this fleet is at ${document.epoch}; it was not changed`,
      );
    }
    return undefined;
  }

  async #refuseMember({ id, greeting }: Applicant): Promise<TopologyConflictError | undefined> {
    const host = this.#host;
    if (greeting.fence === undefined) return undefined;
    const stands = epochOf(greeting.fence);
    if (stands > host.document.epoch) host.learn(parseDocument(greeting.document));
    // The node was raised by an operation before its copy of the document came.
    if (stands > host.document.epoch) await host.learnFromOthers(id);
    if (stands < host.document.epoch) return undefined;
    if (stands === host.document.epoch) {
      if (greeting.fence === fenceOfDocument(host.document)) return undefined;
      return new TopologyConflictError(id, stands === 1 ? OTHER_LIST : otherDocument(stands));
    }
    return new TopologyConflictError(
      id,
      `serves epoch ${stands}, and no node has a topology document as new as that which fits the ring options ` +
        `of this process: all must be started with the same points and placement; ${RECOVER}`,
    );
  }
}

const UNTOLD =
  'it decides about changes of the ring, and came back with what it had before a restart: what it accepted ' +
  `since is asked of the others, and less than half of them answer; ${RECOVER}`;

const OTHER_LIST =
  'serves another list of members under the same epoch 1: all processes must be started with the same ' +
  'nodes, weights, ring options and control; change the ring with addNode and removeNode, or use another namespace';

function otherDocument(epoch: number): string {
  return (
    `serves another document under the same epoch ${epoch}: the node that decides was lost while the ring ` +
    `was changed; ${RECOVER}`
  );
}
