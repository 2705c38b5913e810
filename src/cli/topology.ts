/** `ringcache topology …`: the ring as its nodes have it, and changes of it. */
import { type Fleet, type RingCache, type RingChangeOptions, recoverTopology } from '../index.ts';
import {
  CHANGE_OPTIONS,
  type Change,
  checkChange,
  type Kind,
  parseChange,
  planOf,
  printPlan,
} from './change.ts';
import { CONFIRM_OPTIONS, checkConfirmable, confirmed } from './confirm.ts';
import { drive, SPEED_OPTIONS, speedOf } from './drive.ts';
import { joining, openCache, runningFleet } from './fleet.ts';
import { headline } from './ring.ts';
import { type Output, printJson } from './screen.ts';
import { escaped } from './text.ts';
import { show, underWay } from './topology-show.ts';
import { type Call, type Command, FailedError, type Options, quoted, UsageError } from './usage.ts';

const URL_OPTION: Options = {
  url: {
    type: 'string',
    multiple: true,
    value: 'ID=URL',
    about: 'another address for a node; its keys stay where they are. May be repeated',
  },
};
const ALL_CHANGES = { ...CHANGE_OPTIONS, ...URL_OPTION };

const CHANGING = [
  'Shows what would move, and asks before anything is changed. The cache serves meanwhile: what changes hands is copied under ' +
    'leases, no key has to be loaded again, and no old value is shown.',
  'Ctrl-C ends the copying and completes the change: what was not copied is loaded when it is asked for. A second Ctrl-C leaves ' +
    'the change half way, where the ring serves all the same: finish it with topology resume, or take it back with topology abort.',
];

function change(
  kind: Kind | undefined,
  texts: Pick<Command, 'name' | 'summary' | 'usage'>,
): Command {
  return {
    ...texts,
    about: CHANGING,
    options: { ...ALL_CHANGES, ...SPEED_OPTIONS, ...CONFIRM_OPTIONS },
    run: (call) => changeRing(call, kind),
  };
}

export const topologyCommands: readonly Command[] = [
  show,
  change('add', {
    name: 'topology add',
    summary: 'let nodes join the ring',
    usage: ['topology add ID=URL… [--weight ID=N]'],
  }),
  change('remove', {
    name: 'topology remove',
    summary: 'let nodes leave the ring',
    usage: ['topology remove ID…'],
  }),
  change('weight', {
    name: 'topology weight',
    summary: 'change the weights of nodes',
    usage: ['topology weight ID=N…'],
  }),
  change('url', {
    name: 'topology address',
    summary: 'give nodes other addresses; their keys stay theirs',
    usage: ['topology address ID=URL…'],
  }),
  change(undefined, {
    name: 'topology change',
    summary: 'several of these in one change',
    usage: ['topology change [--add ID=URL]… [--remove ID]… [--weight ID=N]… [--url ID=URL]…'],
  }),
  {
    name: 'topology resume',
    summary: 'finish a change whose process has gone',
    usage: ['topology resume'],
    about: [
      'Copies what is left, and completes the change. Nothing happens when none is under way.',
    ],
    options: { ...SPEED_OPTIONS, ...CONFIRM_OPTIONS },
    run: (call) => settle(call, 'resume'),
  },
  {
    name: 'topology abort',
    summary: 'take a change back that is not complete',
    usage: ['topology abort'],
    about: [
      'Goes back to the ring before, as a change of its own: no old value is shown, and what was stored meanwhile is copied ' +
        'back. Nothing happens when none is under way.',
    ],
    options: { ...SPEED_OPTIONS, ...CONFIRM_OPTIONS },
    run: (call) => settle(call, 'abort'),
  },
  {
    name: 'topology recover',
    summary: 'name another control node when it is lost',
    usage: ['topology recover [--control ID]'],
    about: [
      'Changes of the ring are agreed upon at one node, the control; serving does not need it. When it is lost for good, this makes ' +
        'another one of the newest topology that the others have. Do not use it while the control merely does not answer for a moment.',
    ],
    options: {
      control: {
        type: 'string',
        value: 'ID',
        about: 'the member that is to be it (default: the first by id that answers)',
      },
      ...CONFIRM_OPTIONS,
    },
    run: recover,
  },
];

async function changeRing({ args, output }: Call, kind: Kind | undefined): Promise<number> {
  const wanted = parseChange(args, kind);
  for (const { id, url } of wanted.add) {
    if (url === '') throw new UsageError(`'${id}' needs an address: ${id}=redis://host:port`);
  }
  const speed = speedOf(args);
  checkConfirmable(output, args);
  const fleet = await runningFleet(args);
  checkChange(wanted, fleet);
  const dryRun = args.flag('dry-run');
  if (!dryRun) refuseWhileChanging(fleet);
  const plan = await planOf(wanted, fleet);
  const { json, out } = output;
  if (dryRun || !json) {
    if (!json) out.print(headline(output, fleet), '');
    printPlan(output, { change: wanted, plan, fleet });
    if (!json) out.print('');
  }
  if (dryRun) return 0;
  if (!(await confirmed('Change the ring now?', output, args))) return declined(output);
  return withCache(fleet, (cache) =>
    drive(cache, output, {
      speed,
      begin: (options) => cache.changeRing(ringChangeOf(wanted, fleet), options),
    }),
  );
}

/** `resume` and `abort`: of a change that is under way already. */
async function settle({ args, output }: Call, what: 'resume' | 'abort'): Promise<number> {
  args.none();
  const speed = speedOf(args);
  checkConfirmable(output, args);
  const fleet = await runningFleet(args);
  if (fleet.change === undefined) return nothing(output, fleet);
  const does = what === 'resume' ? 'finish it' : 'take it back';
  const { out, json } = output;
  if (args.flag('dry-run')) {
    const { epoch, change: found } = fleet;
    if (json) printJson(output, { dryRun: true, epoch, change: found });
    else out.print(`${underWay(fleet)} This would ${does}.`);
    return 0;
  }
  if (!json) out.print(underWay(fleet), '');
  const question = what === 'resume' ? 'Finish it now?' : 'Take it back now?';
  if (!(await confirmed(question, output, args))) return declined(output);
  return withCache(fleet, (cache) =>
    drive(cache, output, {
      speed,
      begin: (options) =>
        what === 'resume' ? cache.resumeChange(options) : cache.abortChange(options),
    }),
  );
}

async function recover({ args, output }: Call): Promise<number> {
  args.none();
  const control = args.text('control');
  checkConfirmable(output, args);
  const fleet = await runningFleet(args);
  const ids = fleet.options.nodes.map(({ id }) => id);
  if (control !== undefined && !ids.includes(control)) {
    throw new UsageError(`${quoted(control)} is not in the ring (${ids.join(', ')})`);
  }
  const { out, json } = output;
  if (!json) {
    const now = fleet.control === undefined ? '' : `, whose control is ${escaped(fleet.control)}`;
    const next = control ?? 'the first member that answers';
    out.print(`${headline(output, fleet)}${now}. The new control: ${escaped(next)}.`, '');
  }
  if (args.flag('dry-run')) {
    if (json) printJson(output, { dryRun: true, epoch: fleet.epoch, control: fleet.control });
    return 0;
  }
  if (!(await confirmed('Make another control node now?', output, args))) return declined(output);
  // Not by a cache: one would be refused where the nodes contradict each other.
  const found = await recoverTopology(fleet.options, control === undefined ? {} : { control });
  if (json) printJson(output, found);
  else {
    out.print(`The control is ${escaped(found.control)} now, at epoch ${found.epoch}.`);
    if (!found.believed) {
      output.err.print(
        output.err.paint(
          'yellow',
          'The nodes contradicted each other: what was stored before is loaded again.',
        ),
      );
    }
  }
  return 0;
}

async function withCache(
  fleet: Fleet,
  work: (cache: RingCache) => Promise<number>,
): Promise<number> {
  const cache = await openCache(fleet);
  try {
    return await work(cache);
  } finally {
    await cache.close();
  }
}

function ringChangeOf(wanted: Change, fleet: Fleet): RingChangeOptions {
  const { add, remove, weights, urls } = wanted;
  return {
    add: add.map((node) => ({ ...joining(node, fleet), weight: node.weight })),
    remove: [...remove],
    weights: Object.fromEntries(weights),
    urls: Object.fromEntries([...urls].map(([id, url]) => [id, joining({ id, url }, fleet).url])),
  };
}

/** Found out again when the change is made; said here before anybody is asked. */
function refuseWhileChanging(fleet: Fleet): void {
  if (fleet.change === undefined) return;
  throw new FailedError(
    'RINGCACHE_TOPOLOGY_BUSY',
    `${underWay(fleet)} Wait for it; or if its process has gone: ringcache topology resume, or abort`,
  );
}

function nothing(output: Output, { epoch }: Fleet): number {
  if (output.json) printJson(output, { epoch, change: null });
  else output.out.print(`No change is under way; the ring is stable at epoch ${epoch}.`);
  return 0;
}

function declined(output: Output): number {
  output.err.print('Nothing was changed.');
  if (output.json) printJson(output, { change: null });
  return 1;
}
