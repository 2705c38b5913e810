/** `ringcache explain`: where one key is and what is there. */
import type { Explanation, Fleet } from '../index.ts';
import { openCache, runningFleet } from './fleet.ts';
import { type Output, printJson, type Screen } from './screen.ts';
import { escaped, padEnd, time } from './text.ts';
import { type Call, type Command, UsageError } from './usage.ts';

export const explain: Command = {
  name: 'explain',
  summary: 'where a key is, and what is there',
  usage: ['explain KEY'],
  about: [
    'Asks the node that owns the key: whether a value is there and for how long, and whether a process is loading it. ' +
      'Values are not shown. What the memory tiers of your processes hold is theirs to know.',
  ],
  options: {},
  run,
};

async function run({ args, output }: Call): Promise<number> {
  const [key, ...others] = args.positionals;
  if (key === undefined || others.length > 0) throw new UsageError('explain takes one key');
  const fleet = await runningFleet(args);
  const cache = await openCache(fleet);
  try {
    const { inMemory: _, ...told } = await cache.explain(key);
    if (output.json) printJson(output, { ...told, readable: isReadable(told) });
    else printExplanation(output, told, fleet);
    return told.atNode === 'unavailable' ? 1 : 0;
  } finally {
    await cache.close();
  }
}

type Told = Omit<Explanation, 'inMemory'>;

/** Something is there, and it is not in the codec that the options name. */
function isReadable({ atNode, leftMs }: Told): boolean {
  return atNode !== 'absent' || leftMs === 0;
}

function printExplanation({ out }: Output, told: Told, fleet: Fleet): void {
  const url = fleet.nodes.find(({ id }) => id === told.owner)?.url ?? '';
  const lines: [string, string][] = [
    ['key', escaped(told.key)],
    ['owner', `${out.paint('bold', escaped(told.owner))}  ${out.paint('dim', escaped(url))}`],
  ];
  if (told.previousOwner !== undefined) {
    lines.push([
      'asked too',
      `${escaped(told.previousOwner)}, which had it until the ring changed`,
    ]);
  }
  lines.push(
    ['value', valueLine(told, out)],
    ['loading', loadingOf(told)],
    ['epoch', String(told.epoch)],
  );
  out.print(...lines.map(([name, text]) => `${out.paint('dim', padEnd(name, 9))}  ${text}`));
}

function valueLine(told: Told, { paint }: Screen): string {
  const forgotten = `the node forgets it in ${time(told.leftMs)}`;
  if (!isReadable(told))
    return paint('yellow', `there, but not in the codec of these options; ${forgotten}`);
  switch (told.atNode) {
    case 'fresh':
      return `${paint('green', 'fresh')} for ${time(told.ttlLeftMs)}; ${forgotten}`;
    case 'stale':
      return `${paint('yellow', 'stale')}: served while it is loaded again; ${forgotten}`;
    case 'outdated':
      return `${paint('yellow', 'outdated')}: from before the node owned the key, never served`;
    case 'absent':
      return 'none';
    case 'unavailable':
      return paint('red', `unknown: the node cannot be asked (breaker ${told.breaker})`);
  }
}

function loadingOf({ atNode, leased, leaseLeftMs }: Told): string {
  if (atNode === 'unavailable') return 'unknown';
  return leased ? `yes, by one process; its lease runs out in ${time(leaseLeftMs)}` : 'no';
}
