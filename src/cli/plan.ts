/** `ringcache plan`: what a change of the ring would move, from whom to whom. Changes nothing. */
import { CHANGE_OPTIONS, checkChange, parseChange, planOf, printPlan } from './change.ts';
import { findFleet } from './fleet.ts';
import { headline, OFFLINE } from './ring.ts';
import type { Call, Command } from './usage.ts';

export const plan: Command = {
  name: 'plan',
  summary: 'what a change of the ring would move; changes nothing',
  usage: ['plan [--add ID=URL]… [--remove ID]… [--weight ID=N]…'],
  about: [
    'Shows the share of every node before and after, and how much of all keys moves from whom to whom. ' +
      'Shares are exact for the ring; those of your keys are near them. A new node needs no address here: --add cache-4.',
  ],
  options: { ...CHANGE_OPTIONS, ...OFFLINE },
  run,
};

async function run({ args, output }: Call): Promise<number> {
  const change = parseChange(args);
  const fleet = await findFleet(args);
  checkChange(change, fleet);
  const planned = await planOf(change, fleet);
  if (!output.json) output.out.print(headline(output, fleet, args.flag('offline')), '');
  printPlan(output, { change, plan: planned, fleet });
  return 0;
}
