/** A change of the ring as the command line says it, and what it would move. */
import { type Fleet, type Plan, planChange } from '../index.ts';
import { membersOf, ringOf } from './fleet.ts';
import { parseNode, parsePair } from './nodes.ts';
import { type Output, printJson } from './screen.ts';
import { type Cell, type Column, table } from './table.ts';
import { bar, percent, wrap } from './text.ts';
import { type Args, type Options, quoted, UsageError } from './usage.ts';

export interface Change {
  /** Without an address where only the plan is wanted. */
  readonly add: readonly { readonly id: string; readonly url: string; readonly weight: number }[];
  readonly remove: readonly string[];
  /** Of nodes that are members already. */
  readonly weights: ReadonlyMap<string, number>;
  readonly urls: ReadonlyMap<string, string>;
}

export const CHANGE_OPTIONS: Options = {
  add: {
    type: 'string',
    multiple: true,
    value: 'ID=URL',
    about: 'a node that joins. May be repeated',
  },
  remove: {
    type: 'string',
    multiple: true,
    value: 'ID',
    about: 'a node that leaves. May be repeated',
  },
  weight: {
    type: 'string',
    multiple: true,
    value: 'ID=N',
    about: 'the weight of a node, 0.1 to 100, new or not. May be repeated',
  },
};

/** What positionals of a short form stand for. */
export type Kind = 'add' | 'remove' | 'weight' | 'url';

/**
 * @param kind What the positionals are; undefined: there are none.
 * @throws UsageError
 */
export function parseChange(args: Args, kind?: Kind): Change {
  const all = (name: Kind): string[] =>
    name === kind ? [...args.positionals, ...args.all(name)] : args.all(name);
  if (kind === undefined) args.none();
  const weights = new Map<string, number>();
  for (const text of all('weight')) {
    const [id, value] = parsePair(text, '--weight', 'id=number');
    const weight = /^[0-9.]+$/.test(value) ? Number(value) : Number.NaN;
    if (!(weight >= 0.1 && weight <= 100)) {
      throw new UsageError(
        `--weight must be id=number with a number of 0.1 to 100, but is ${quoted(text)}`,
      );
    }
    weights.set(id, weight);
  }
  const add = all('add').map((text) => {
    const named = /^[^:/=]+$/.test(text) ? { id: text, url: '' } : parseNode(text, '--add');
    const weight = weights.get(named.id) ?? 1;
    weights.delete(named.id);
    return { ...named, weight };
  });
  const urls = new Map(
    all('url').map((text) => {
      const { id, url } = parseNode(text, '--url');
      return [id, url];
    }),
  );
  return { add, remove: all('remove'), weights, urls };
}

/** @throws UsageError for what is no change of this ring. */
export function checkChange(change: Change, fleet: Fleet): void {
  const ids = new Set(fleet.options.nodes.map(({ id }) => id));
  const members = [...ids].join(', ');
  const { add, remove, weights, urls } = change;
  if (add.length + remove.length + weights.size + urls.size === 0) {
    throw new UsageError('nothing to change: say --add ID=URL, --remove ID or --weight ID=N');
  }
  for (const { id } of add) {
    if (ids.has(id)) throw new UsageError(`${quoted(id)} is in the ring already (${members})`);
    ids.add(id);
  }
  for (const id of [...remove, ...weights.keys(), ...urls.keys()]) {
    if (!ids.has(id)) throw new UsageError(`${quoted(id)} is not in the ring (${members})`);
  }
  for (const id of remove) {
    if (!ids.delete(id)) throw new UsageError(`${quoted(id)} is removed twice`);
    if (weights.has(id) || urls.has(id))
      throw new UsageError(`${quoted(id)} is removed and changed`);
  }
  if (ids.size === 0) throw new UsageError('the last node of a ring cannot be removed');
}

/** The part of a plan that a person reads, and a script. */
export async function planOf(change: Change, fleet: Fleet): Promise<Plan> {
  const before = membersOf(fleet);
  const after = [
    ...before
      .filter(({ id }) => !change.remove.includes(id))
      .map(({ id, weight }) => ({ id, weight: change.weights.get(id) ?? weight })),
    ...change.add,
  ];
  return planChange(await ringOf(fleet, before), await ringOf(fleet, after));
}

/** The change in plain fields: without Maps, and without addresses, which may be long. */
export function changeFields({ add, remove, weights, urls }: Change): Record<string, unknown> {
  return {
    add: add.map(({ id, weight }) => ({ id, weight })),
    remove,
    weights: Object.fromEntries(weights),
    urls: Object.fromEntries(urls),
  };
}

const NODES: readonly Column[] = [
  { title: 'node' },
  { title: 'weight', spare: 2 },
  { title: 'before', right: true },
  { title: '', spare: 1 },
  { title: 'after', right: true },
  { title: '', spare: 1 },
  { title: 'change', right: true },
];
const MOVES: readonly Column[] = [
  { title: 'from' },
  { title: 'to' },
  { title: 'share of all keys', right: true },
  { title: '', spare: 1 },
];
const BAR_WIDTH = 20;

export function printPlan(
  output: Output,
  { change, plan, fleet }: { change: Change; plan: Plan; fleet: Fleet },
): void {
  if (output.json) {
    printJson(output, { change: changeFields(change), ...plan });
    return;
  }
  const { out } = output;
  const { before, after, moves } = plan;
  const weights = new Map(membersOf(fleet).map(({ id, weight }) => [id, weight]));
  const ids = [...new Set([...Object.keys(before), ...Object.keys(after)])];
  const largest = Math.max(...Object.values(before), ...Object.values(after));
  const nodes = ids.map((id): Cell[] => {
    const [was, is] = [before[id], after[id]];
    return [
      id,
      weightOf(id, { change, was: weights.get(id) }),
      was === undefined ? '-' : percent(was),
      { text: bar((was ?? 0) / largest, BAR_WIDTH), format: 'dim' },
      is === undefined ? '-' : percent(is),
      { text: bar((is ?? 0) / largest, BAR_WIDTH), format: 'cyan' },
      difference((is ?? 0) - (was ?? 0)),
    ];
  });
  out.print(...table(out, NODES, nodes), '');
  if (moves.length === 0) {
    out.print('No key moves.');
    return;
  }
  const most = Math.max(...moves.map(({ share }) => share));
  const rows = moves.map(({ from, to, share }): Cell[] => [
    from,
    to,
    percent(share),
    { text: bar(share / most, BAR_WIDTH), format: 'cyan' },
  ]);
  out.print(...table(out, MOVES, rows), '');
  const moved = out.paint('bold', percent(plan.movedShare));
  const rest = `the others keep their node; the weights alone ask for ${percent(plan.idealShare)}.`;
  out.print(...wrap(`${moved} of all keys move; ${rest}`, out.width));
}

function weightOf(id: string, of: { change: Change; was: number | undefined }): string {
  const { change, was } = of;
  if (was === undefined) return `new: ${change.add.find((node) => node.id === id)?.weight ?? 1}`;
  if (change.remove.includes(id)) return 'leaves';
  const is = change.weights.get(id);
  return is === undefined || is === was ? String(was) : `${was} → ${is}`;
}

function difference(share: number): Cell {
  const text = `${share > 0 ? '+' : ''}${percent(share)}`;
  if (Math.abs(share) < 0.0005) return '';
  return share > 0 ? { text, format: 'green' } : { text, format: 'yellow' };
}
