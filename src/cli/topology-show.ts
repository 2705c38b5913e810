/** `ringcache topology show`: the ring as its nodes have it, and whether all of them do. */
import type { Fleet } from '../index.ts';
import { ringOf, runningFleet } from './fleet.ts';
import { headline, headOf, problemLines, stateOf } from './ring.ts';
import { printJson } from './screen.ts';
import { type Cell, type Column, table } from './table.ts';
import { escaped, inOrder, percent } from './text.ts';
import type { Call, Command } from './usage.ts';

export const show: Command = {
  name: 'topology show',
  summary: 'the ring as its nodes have it: epoch, control, change under way',
  usage: ['topology show'],
  about: [
    'Looks and changes nothing. A node whose epoch is behind is raised by the first process that uses it.',
  ],
  options: {},
  run,
};

async function run({ args, output }: Call): Promise<number> {
  args.none();
  const fleet = await runningFleet(args);
  const shares = (await ringOf(fleet)).shares();
  const nodes = inOrder(fleet.nodes).map((node) => ({ ...node, share: shares[node.id] ?? 0 }));
  if (output.json) {
    const { control, change = null } = fleet;
    printJson(output, { ...headOf(fleet), control, change, nodes });
    return 0;
  }
  const { out } = output;
  const { points, placement } = headOf(fleet)['ring'] as { points: number; placement: string };
  out.print(
    headline(output, fleet),
    `control ${escaped(fleet.control ?? 'unknown')}; ${points} points for a weight of 1, placed by ${placement}`,
    ...(fleet.change === undefined ? [] : [out.paint('yellow', underWay(fleet))]),
    '',
    ...table(
      out,
      COLUMNS,
      nodes.map((node): Cell[] => [
        node.id,
        node.id === fleet.control ? 'control' : '',
        node.weight === 0 ? 'leaving' : String(node.weight),
        percent(node.share),
        epochOf(node, fleet),
        stateOf(node),
        node.url,
      ]),
    ),
    ...problemLines(out, nodes),
  );
  return 0;
}

const COLUMNS: readonly Column[] = [
  { title: 'node' },
  { title: 'role', spare: 3 },
  { title: 'weight', right: true, spare: 1 },
  { title: 'share', right: true },
  { title: 'epoch', right: true },
  { title: 'state' },
  { title: 'address', spare: 2 },
];

function epochOf(node: Fleet['nodes'][number], fleet: Fleet): Cell {
  if (node.problem !== undefined) return '-';
  if (node.epoch === undefined) return { text: 'none', format: 'yellow' };
  const text = String(node.epoch);
  return node.epoch === fleet.epoch ? text : { text: `${text} (behind)`, format: 'yellow' };
}

/** The change under way as a sentence. */
export function underWay({ change }: Fleet): string {
  if (change === undefined) return 'No change is under way.';
  const parts = [
    ['joining', change.add],
    ['leaving', change.remove],
    ['with another weight', change.weights],
  ] as const;
  const told = parts.flatMap(([what, ids]) =>
    ids.length === 0 ? [] : [`${ids.join(', ')} ${what}`],
  );
  return escaped(`A change is under way${told.length === 0 ? '' : `: ${told.join('; ')}`}.`);
}
