/** Which fleet a command is about, and its ring. */
import {
  type CacheOptions,
  createCache,
  discover,
  type Fleet,
  HashRing,
  loadConfig,
  type NodeOptions,
  type RingCache,
} from '../index.ts';
import { idOfUrl, type NamedNode, parseNode } from './nodes.ts';
import { type Args, FailedError, UsageError } from './usage.ts';

/** What the command line, a file and the environment say. Nothing is connected. @throws UsageError, InvalidOptionError */
export function givenOptions(args: Args, env: NodeJS.ProcessEnv = process.env): CacheOptions {
  const nodes = args.all('node').map((text) => {
    const { id, url } = parseNode(text, '--node');
    return text === url ? url : `${id}=${url}`;
  });
  const file = args.text('config');
  const namespace = args.text('namespace');
  if (
    nodes.length === 0 &&
    file === undefined &&
    !env['RINGCACHE_NODES'] &&
    !env['RINGCACHE_CONFIG']
  ) {
    throw new UsageError(
      'which nodes? Say --node redis://host:port or --config FILE, or set RINGCACHE_NODES or RINGCACHE_CONFIG',
    );
  }
  return loadConfig({
    ...(file === undefined ? {} : { file }),
    env: {
      ...env,
      ...(nodes.length === 0 ? {} : { RINGCACHE_NODES: nodes.join(' ') }),
      ...(namespace === undefined ? {} : { RINGCACHE_NAMESPACE: namespace }),
    },
  });
}

/** The fleet as its nodes tell it; with `--offline`, as it was given. */
export async function findFleet(args: Args): Promise<Fleet> {
  const options = givenOptions(args);
  if (!args.flag('offline')) return discover(options);
  const nodes = options.nodes.map((node) =>
    typeof node === 'string' ? { id: idOfUrl(node), url: node } : node,
  );
  // Checks ids and weights.
  await HashRing.create(nodes, options.ring);
  return {
    options: { ...options, nodes },
    epoch: undefined,
    state: 'stable',
    control: undefined,
    change: undefined,
    nodes: nodes.map(({ id, url, weight = 1 }) => {
      return { id, url: publicUrl(url), weight, epoch: undefined, problem: undefined };
    }),
  };
}

function publicUrl(url: string): string {
  return url.replace(/:\/\/[^/]*@/, '://');
}

/**
 * The fleet, which caches must have used before. Nothing is begun where nothing
 * is: who names one node of three would begin a ring of one, and the
 * application would be refused.
 *
 * @throws FailedError
 */
export async function runningFleet(args: Args): Promise<Fleet> {
  const fleet = await findFleet(args);
  if (fleet.epoch !== undefined) return fleet;
  throw new FailedError(
    'RINGCACHE_NO_FLEET',
    `no cache has used ${fleet.nodes.map(({ id }) => id).join(', ')} with the namespace ` +
      `'${namespaceOf(fleet)}' yet: start the application first, or say another --namespace`,
  );
}

/** A cache of this process on the whole fleet, with nothing kept in memory. */
export function openCache(fleet: Fleet): Promise<RingCache> {
  return createCache({ ...fleet.options, memory: false });
}

export function namespaceOf({ options }: Pick<Fleet, 'options'>): string {
  return options.namespace ?? 'ringcache';
}

/** The members as the ring has them. */
export function membersOf({ options }: Pick<Fleet, 'options'>): { id: string; weight: number }[] {
  return options.nodes.map(({ id, weight = 1 }) => ({ id, weight }));
}

export function ringOf(
  fleet: Pick<Fleet, 'options'>,
  members: readonly { id: string; weight: number }[] = membersOf(fleet),
): Promise<HashRing> {
  return HashRing.create([...members], fleet.options.ring);
}

/** A node that is to join, with the login and the client options of the others. */
export function joining(named: NamedNode, fleet: Fleet): NodeOptions {
  const { url: known = '', redis } = fleet.options.nodes[0] ?? {};
  const login = /^[a-z]+:\/\/([^/]*@)/.exec(known)?.[1] ?? '';
  const url = named.url.replace('://', () => `://${login}`);
  return { id: named.id, url, ...(redis === undefined ? {} : { redis }) };
}
