/** What is done to nodes, processes, and the connections between them. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { LocalNode } from '../../../src/local.ts';
import { command } from '../../support/command.ts';
import type { Fault as ProxyFault, Role } from '../../support/proxy.ts';
import { type Fault, outageMs, pick, type Stage, type Victims } from './stage.ts';
import { userAt } from './users.ts';

const NODE_FAULTS: readonly Fault[] = [
  {
    name: 'node-killed',
    about: 'a node is killed, and started again, empty',
    weight: 0.4,
    async inject(stage, { node }) {
      stage.note(`${node.id} is killed`);
      await node.kill();
      await sleep(outageMs(stage));
      await stage.snapshots.restartEmpty(node);
      stage.note(`${node.id} runs again, empty`);
    },
  },
  {
    name: 'node-from-snapshot',
    about: 'a node is killed, and started again with what it held some time before',
    weight: 0.4,
    async inject(stage, { node }) {
      const saved = await stage.snapshots.save(node);
      stage.note(`${node.id} is saved: ${saved}`);
      await sleep(300 * stage.random());
      stage.note(`${node.id} is killed`);
      await node.kill();
      await sleep(outageMs(stage));
      await stage.snapshots.restart(node);
      stage.note(`${node.id} runs again, from its snapshot`);
    },
  },
  {
    name: 'node-stopped',
    about: 'a node is stopped, and goes on after a while',
    weight: 0.4,
    async inject(stage, { node }) {
      await node.pause();
      stage.note(`${node.id} is stopped`);
      await sleep(outageMs(stage));
      await node.resume();
      stage.note(`${node.id} goes on`);
    },
  },
  {
    name: 'node-emptied',
    about: 'FLUSHALL',
    weight: 0.4,
    inject: (stage, { node }) => noted(stage, { node, words: ['FLUSHALL'] }),
  },
  {
    name: 'scripts-flushed',
    about: 'SCRIPT FLUSH',
    weight: 0.4,
    inject: (stage, { node }) => noted(stage, { node, words: ['SCRIPT', 'FLUSH'] }),
  },
];

const PROCESS_FAULTS: readonly Fault[] = [
  {
    name: 'process-stopped',
    about: 'a process is stopped, and goes on after a while',
    async inject(stage, { process }) {
      const name = stage.cast.labelOf(process);
      process.signal('SIGSTOP');
      stage.note(`${name} is stopped`);
      await sleep(outageMs(stage));
      stage.note(`${name} goes on`);
      process.signal('SIGCONT');
    },
  },
];

const CHANNEL_FAULTS: readonly Fault[] = [
  {
    name: 'push-killed',
    about: 'CLIENT KILL of push connections, once or several times',
    async inject(stage, victims) {
      for (let left = 1 + Math.floor(3 * stage.random()); left > 0; left--) {
        await killPushes(stage, victims);
        await sleep(60 * stage.random());
      }
    },
  },
  {
    name: 'push-refused',
    about: 'a process may not use CLIENT TRACKING any more, for a while',
    async inject(stage, victims) {
      const { node, process } = victims;
      const own = { ...victims, whom: { name: stage.cast.labelOf(process) } };
      const user = userAt(stage.cast.placeOf(process));
      await noted(stage, { node, words: ['ACL', 'SETUSER', user, '-client|tracking'] });
      await killPushes(stage, own);
      await sleep(outageMs(stage));
      await noted(stage, { node, words: ['ACL', 'SETUSER', user, '+client|tracking'] });
      await killPushes(stage, own);
    },
  },
  ...networkFaults('pushes'),
  ...networkFaults('requests'),
  {
    name: 'cut-off',
    about: 'nothing passes between a node and a process, or all of them',
    inject: (stage, victims) => upset(stage, victims, { kind: 'blackhole' }),
  },
];

function networkFaults(role: Role): Fault[] {
  const only = (victims: Victims): Victims => ({ ...victims, whom: { ...victims.whom, role } });
  return [
    {
      name: `${role}-cut`,
      about: `connections for ${role} are reset`,
      async inject(stage, victims) {
        const { whom } = only(victims);
        stage.note(`${victims.label}: ${role} are reset`);
        victims.proxy.reset(whom);
      },
    },
    {
      name: `${role}-lost`,
      about: `nothing passes on connections for ${role}, and nothing is closed`,
      inject: (stage, victims) => upset(stage, only(victims), { kind: 'blackhole' }),
    },
    {
      name: `${role}-held`,
      about: `what the node sends on connections for ${role} comes when it is over`,
      inject: (stage, victims) => upset(stage, only(victims), { kind: 'hold' }),
    },
    {
      name: `${role}-slow`,
      about: `what the node sends on connections for ${role} comes later`,
      inject(stage, victims) {
        // Not later than anybody waits for it.
        const ms = 1 + 80 * stage.random();
        return upset(stage, only(victims), { kind: 'latency', ms });
      },
    },
  ];
}

export const FAULTS: readonly Fault[] = [...NODE_FAULTS, ...PROCESS_FAULTS, ...CHANNEL_FAULTS];

async function upset(stage: Stage, victims: Victims, fault: ProxyFault): Promise<void> {
  const { proxy, whom, label } = victims;
  const what = `${label}: ${fault.kind} of ${whom.role ?? 'all'} to ${whom.name ?? 'all'}`;
  stage.note(what);
  proxy.set(fault, whom);
  await sleep(outageMs(stage));
  // A stream that goes on after a gap is nothing that TCP does.
  if (fault.kind === 'blackhole') proxy.reset(whom);
  proxy.set({ kind: 'none' }, whom);
  stage.note(`over: ${what}`);
}

async function noted(
  { note }: Stage,
  { node, words }: { node: LocalNode; words: readonly string[] },
): Promise<void> {
  note(`${node.id}: ${words.join(' ')}`);
  // Another fault may have stopped it, or killed it.
  const answer = await Promise.race([command(node, ...words).catch(() => ''), sleep(300, '')]);
  if (answer.startsWith('-')) throw new Error(`${words.join(' ')}: ${answer}`);
}

async function killPushes(stage: Stage, { node, whom }: Victims): Promise<void> {
  const list = await Promise.race([
    command(node, 'CLIENT', 'LIST').catch(() => ''),
    sleep(300, ''),
  ]);
  // Also those that were refused: they alone speak the old protocol.
  const pushes = list
    .split('\n')
    .filter((line) => / resp=2\b/.test(line))
    .filter((line) => line.includes(` name=${whom.name ?? 'p'}`));
  const ids = pushes.map((line) => /id=(\d+)/.exec(line)?.[1] ?? '');
  for (const id of ids) await noted(stage, { node, words: ['CLIENT', 'KILL', 'ID', id] });
}

/** What is struck next, if there is anything that nothing strikes now. */
export function drawVictims(stage: Stage, struck: readonly Victims[]): Victims | undefined {
  const nodes = stage.nodes.filter((node) => !struck.some((one) => one.node === node));
  const processes = stage.cast.playing.filter((one) => !struck.some((it) => it.process === one));
  if (nodes.length === 0 || processes.length === 0) return undefined;
  const node = pick(stage, nodes);
  const process = pick(stage, processes);
  const name = stage.cast.labelOf(process);
  const isForOne = stage.random() < 0.7;
  return {
    ...{ node, process, label: node.id },
    proxy: stage.proxies[stage.nodes.indexOf(node)]!,
    whom: isForOne ? { name } : {},
  };
}
