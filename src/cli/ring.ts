/** `ringcache ring`: who is on the ring, with which share, and where keys go. */
import type { Fleet, HashRing } from '../index.ts';
import { findFleet, namespaceOf, ringOf } from './fleet.ts';
import { type Output, printJson, type Screen } from './screen.ts';
import { type Cell, type Column, table } from './table.ts';
import { bar, escaped, inOrder, many, percent } from './text.ts';
import type { Call, Command } from './usage.ts';

export const OFFLINE = {
  offline: {
    type: 'boolean',
    about: 'ask no node: the ring is what --config, --node or the environment say',
  },
} as const;

const BAR_WIDTH = 30;

export const ring: Command = {
  name: 'ring',
  summary: 'members, their shares, and where keys go',
  usage: ['ring', 'ring KEY…'],
  about: [
    'Without keys: every member of the ring with its weight, its exact share of all keys, and whether it answers.',
    'With keys: the node that owns each of them. A key with a {tag} is placed by the tag.',
  ],
  options: OFFLINE,
  run,
};

async function run({ args, output }: Call): Promise<number> {
  const fleet = await findFleet(args);
  const placed = await ringOf(fleet);
  const keys = args.positionals.map((key) => ({ key, node: placed.owner(key) }));
  if (output.json) {
    printJson(output, {
      ...headOf(fleet),
      nodes: sharesOf(fleet, placed),
      ...(keys.length === 0 ? {} : { keys }),
    });
    return 0;
  }
  if (keys.length > 0) printKeys(output, fleet, keys);
  else printRing(output, fleet, { placed, offline: args.flag('offline') });
  return 0;
}

/** What every command says of the fleet as a whole. */
export function headOf(fleet: Fleet): Record<string, unknown> {
  const { points = 512, placement = 'xxh32' } = fleet.options.ring ?? {};
  const { epoch, state } = fleet;
  return { namespace: namespaceOf(fleet), epoch, state, ring: { points, placement } };
}

/** The same as a line. */
export function headline({ out }: Output, fleet: Fleet, offline = false): string {
  const name = `${out.paint('bold', escaped(namespaceOf(fleet)))}: ${many(fleet.options.nodes.length, 'node')}`;
  if (offline) return `${name}, as configured; nobody was asked`;
  if (fleet.epoch === undefined) {
    return `${name}, ${out.paint('yellow', 'not in use yet')}: the ring that they will form`;
  }
  const state = fleet.state === 'stable' ? 'stable' : out.paint('yellow', 'changing');
  return `${name}, epoch ${fleet.epoch}, ${state}`;
}

function sharesOf(fleet: Fleet, placed: HashRing): (Fleet['nodes'][number] & { share: number })[] {
  const shares = placed.shares();
  return inOrder(fleet.nodes).map((node) => ({ ...node, share: shares[node.id] ?? 0 }));
}

const COLUMNS: readonly Column[] = [
  { title: 'node' },
  { title: 'weight', right: true, spare: 1 },
  { title: 'share', right: true },
  { title: '', spare: 3 },
  { title: 'state' },
  { title: 'address', spare: 2 },
];

function printRing(
  output: Output,
  fleet: Fleet,
  { placed, offline }: { placed: HashRing; offline: boolean },
): void {
  const { out } = output;
  const nodes = sharesOf(fleet, placed);
  const largest = Math.max(...nodes.map(({ share }) => share));
  const rows = nodes.map((node): Cell[] => [
    node.id,
    node.weight === 0 ? 'leaving' : String(node.weight),
    percent(node.share),
    { text: bar(node.share / largest, BAR_WIDTH), format: 'cyan' },
    stateOf(node, offline),
    node.url,
  ]);
  out.print(
    headline(output, fleet, offline),
    '',
    ...table(out, COLUMNS, rows),
    ...problemLines(out, nodes),
  );
}

/** Whether a node answered. */
export function stateOf(node: Fleet['nodes'][number], offline = false): Cell {
  if (node.problem !== undefined) return { text: 'down', format: 'red' };
  return offline ? '' : { text: 'up', format: 'green' };
}

/** Why nodes did not answer: lines below a table, after an empty one. */
export function problemLines(
  screen: Screen,
  nodes: readonly { readonly id: string; readonly problem: string | undefined }[],
): string[] {
  const lines = nodes.flatMap(({ id, problem }) =>
    problem === undefined ? [] : [screen.paint('red', escaped(`${id}: ${problem}`))],
  );
  return lines.length === 0 ? [] : ['', ...lines];
}

function printKeys(
  output: Output,
  fleet: Fleet,
  keys: readonly { key: string; node: string }[],
): void {
  const urls = new Map(fleet.nodes.map(({ id, url }) => [id, url]));
  const columns = [{ title: 'key' }, { title: 'node' }, { title: 'address', spare: 1 }];
  const rows = keys.map(({ key, node }) => [key, node, urls.get(node) ?? '']);
  output.out.print(...table(output.out, columns, rows));
}
