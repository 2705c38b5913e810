/**
 * The whole fleet, from any of its nodes: what a program needs that was told
 * one address and wants to talk to all.
 *
 * Looks and changes nothing: the nodes are asked as in an admission, and then
 * not used. A process that was started with one node of three as its whole
 * list would instead make a ring of one of a node that is new.
 */
import { systemClock } from '../clock.ts';
import { NodeUnavailableError, TopologyConflictError } from '../errors.ts';
import { PayloadCodec } from '../node/codec.ts';
import { epochOf } from '../node/fence.ts';
import type { Greeting } from '../node/node.ts';
import { RedisNode } from '../node/redis-node.ts';
import {
  type CacheOptions,
  type NodeOptions,
  type ResolvedOptions,
  resolveOptions,
} from '../options.ts';
import {
  type Member,
  parseDocument,
  publicAddress,
  type TopologyDocument,
  withCredentials,
} from '../topology/document.ts';
import type { Seat } from '../topology/topology.ts';

/** A node of the ring, as it answered when it was looked at. */
export interface FleetNode {
  readonly id: string;
  /** Without user and password. */
  readonly url: string;
  /** 0: it is leaving. */
  readonly weight: number;
  /** The epoch that it stands at; undefined when it has none, or did not answer. */
  readonly epoch: number | undefined;
  /** Why it did not answer. */
  readonly problem: string | undefined;
}

export interface Fleet {
  /** For `createCache`: what was given, with all members of the ring in place of the nodes. Holds their passwords. */
  readonly options: Omit<CacheOptions, 'nodes'> & { readonly nodes: readonly NodeOptions[] };
  /** Undefined when no node that answered has a topology: no cache has used them under this namespace. */
  readonly epoch: number | undefined;
  /** `joint` while a change is under way. */
  readonly state: 'stable' | 'joint';
  /** Where changes of the ring are agreed upon: a member's id, or `@control`. */
  readonly control: string | undefined;
  /** What the change under way changes: ids. */
  readonly change: { add: string[]; remove: string[]; weights: string[] } | undefined;
  /** Members, then those that are leaving. Without a topology: the nodes that were given. */
  readonly nodes: readonly FleetNode[];
}

/** A member may name others, which may know of a newer ring. */
const MAX_ROUNDS = 5;

/**
 * Finds the fleet to which the given nodes belong: one that answers is enough.
 * Members that were not given are reached with the login and the client options of the
 * first that was.
 *
 * @throws InvalidOptionError; NodeUnavailableError when none of the given nodes answers;
 *   TopologyConflictError when they belong to two fleets.
 */
export async function discover(options: CacheOptions): Promise<Fleet> {
  const resolved = resolveOptions(options);
  const search = new Search(resolved);
  await search.run();
  const { newest } = search;
  const seats =
    newest === undefined ? resolved.seats : newest.members.map((member) => search.seatOf(member));
  const members: readonly Member[] = newest?.members ?? resolved.seats;
  const leaving = (newest?.source ?? []).filter(({ id }) => !members.some((m) => m.id === id));
  return {
    options: { ...options, ...search.ringOptions(), nodes: seats.map(nodeOptionsOf) },
    epoch: newest?.epoch,
    state: newest === undefined || newest.source === null ? 'stable' : 'joint',
    control: newest?.control.id,
    change: newest === undefined ? undefined : changeOf(newest),
    nodes: [...members, ...leaving.map((member) => ({ ...member, weight: 0 }))].map((member) => ({
      id: member.id,
      url: publicAddress(search.seatOf(member).url),
      weight: member.weight,
      ...search.answerOf(member.id),
    })),
  };
}

interface Look {
  readonly greeting: Greeting | undefined;
  readonly problem: NodeUnavailableError | undefined;
}

class Search {
  newest: TopologyDocument | undefined;
  readonly #options: ResolvedOptions;
  readonly #looks = new Map<string, Look>();

  constructor(options: ResolvedOptions) {
    this.#options = options;
  }

  async run(): Promise<void> {
    let seats: readonly Seat[] = this.#options.seats;
    for (let round = 0; round < MAX_ROUNDS && seats.length > 0; round++) {
      const looks = await Promise.all(seats.map((seat) => lookAt(seat, this.#options)));
      for (const [i, look] of looks.entries()) this.#take(seats[i]!.id, look);
      if (round === 0) this.#checkAnswered(looks);
      const { members = [], source } = this.newest ?? {};
      const named = [...members, ...(source ?? [])].filter(({ id }) => !this.#looks.has(id));
      seats = named.map((member) => this.seatOf(member));
    }
  }

  /**
   * As it was given, if it was: its address may be another one from here. But
   * one that got another address in a change of the ring is there for everybody.
   */
  seatOf(member: Member): Seat {
    const { seats } = this.#options;
    const { id, weight, readdressed } = member;
    const given = seats.find((seat) => seat.id === id);
    const like = given ?? seats[0];
    const isGiven = given !== undefined && readdressed === undefined;
    const url = isGiven ? given.url : withCredentials(member.url, like?.url ?? '');
    return { id, weight, url, redis: like?.redis };
  }

  answerOf(id: string): Pick<FleetNode, 'epoch' | 'problem'> {
    const { greeting, problem } = this.#looks.get(id) ?? {};
    const epoch = greeting?.fence === undefined ? undefined : epochOf(greeting.fence);
    return { epoch, problem: problem && (problem.detail || problem.reason) };
  }

  /** What all processes of a fleet must have alike, as the fleet has it. */
  ringOptions(): Pick<CacheOptions, 'ring' | 'control'> {
    if (this.newest === undefined) return {};
    const { ring, control } = this.newest;
    if (control.url === undefined) return { ring };
    // The login of the control may be another than that of the nodes: as given, if it was.
    const known = this.#options.control ?? this.#options.seats[0]?.url ?? '';
    return { ring, control: withCredentials(control.url, known) };
  }

  #take(id: string, look: Look): void {
    this.#looks.set(id, look);
    const document = parseDocument(look.greeting?.document);
    if (document === undefined) return;
    if (this.newest !== undefined && this.newest.origin !== document.origin) {
      // A member that was emptied may have joined elsewhere since; only what was given must agree.
      if (!this.#options.seats.some((seat) => seat.id === id)) return;
      throw new TopologyConflictError(id, 'belongs to another fleet than the other given nodes');
    }
    if (document.epoch > (this.newest?.epoch ?? 0)) this.newest = document;
  }

  #checkAnswered(looks: readonly Look[]): void {
    const problems = looks.flatMap(({ problem }) => problem ?? []);
    const [first, ...others] = problems;
    if (first === undefined || problems.length < looks.length) return;
    if (others.length === 0) throw first;
    const told = problems.map(({ node, detail, reason }) => `${node}: ${detail || reason}`);
    throw new NodeUnavailableError('all', first.reason, told.join('; '));
  }
}

async function lookAt(seat: Seat, options: ResolvedOptions): Promise<Look> {
  const { namespace, node: tuning, breaker } = options;
  const looked = new Error('only looked at');
  let greeting: Greeting | undefined;
  let trouble: Error | undefined;
  const node = new RedisNode(seat, {
    clock: systemClock,
    namespace,
    tuning,
    breaker,
    codec: new PayloadCodec('json'),
    host: {
      trusted: () => true,
      // Nothing is installed at a node that is turned away.
      admit(_, found) {
        greeting = found;
        return { kind: 'reject', reason: looked };
      },
    },
    listener: {
      state: () => undefined,
      confirmed: () => undefined,
      raised: () => undefined,
      trouble(_, error) {
        if (error !== looked) trouble ??= error;
      },
    },
  });
  try {
    await node.open();
    if (greeting !== undefined) return { greeting, problem: undefined };
    // It says why it cannot be used.
    const refusal: unknown = trouble ?? (await node.greet().catch((error: unknown) => error));
    return { greeting, problem: plainly(seat.id, refusal) };
  } finally {
    await node.close();
  }
}

/** That the breaker is open is of no interest to who looks once: the reason is the connection. */
function plainly(id: string, refusal: unknown): NodeUnavailableError {
  if (!(refusal instanceof NodeUnavailableError)) {
    return new NodeUnavailableError(id, 'configuration', String(refusal));
  }
  if (refusal.reason !== 'breaker-open') return refusal;
  return new NodeUnavailableError(id, 'connection', refusal.detail || 'it does not answer');
}

function nodeOptionsOf({ id, url, weight, redis }: Seat): NodeOptions {
  return redis === undefined ? { id, url, weight } : { id, url, weight, redis };
}

function changeOf({ members, source }: TopologyDocument): Fleet['change'] {
  if (source === null) return undefined;
  const before = new Map(source.map(({ id, weight }) => [id, weight]));
  const after = new Map(members.map(({ id, weight }) => [id, weight]));
  return {
    add: [...after.keys()].filter((id) => !before.has(id)),
    remove: [...before.keys()].filter((id) => !after.has(id)),
    weights: [...after.keys()].filter((id) => before.has(id) && before.get(id) !== after.get(id)),
  };
}
