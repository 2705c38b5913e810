/** What is done to nodes while the ring changes. */
import { setTimeout as sleep } from 'node:timers/promises';
import { command } from '../../support/command.ts';
import { type Fault, outageMs, type Stage, whileChanging } from './stage.ts';

export const NODE_FAULTS: readonly Fault[] = [
  {
    name: 'node-killed',
    about: 'a node is killed, and started again, empty, at once or after a while',
    async inject(stage) {
      const node = stage.rings.pick(stage.nodes);
      await whileChanging(stage, async () => {
        stage.note(`${node.id} is killed`);
        await node.kill();
        await sleep(outageMs(stage));
        await stage.snapshots.restartEmpty(node);
        stage.note(`${node.id} runs again, empty`);
      });
    },
  },
  {
    name: 'node-stopped',
    about: 'a node is stopped, and goes on after a while',
    inject: (stage) => whileChanging(stage, () => stop(stage)),
  },
  {
    name: 'node-emptied',
    about: 'a node loses all its data',
    inject: (stage) => whileChanging(stage, () => forget(stage, 'FLUSHALL')),
  },
  {
    name: 'node-forgets',
    about: 'a node loses its number and its document, and keeps the values',
    inject: (stage) => whileChanging(stage, () => forget(stage, 'DEL', 'prove:e', 'prove:t')),
  },
  {
    name: 'node-from-snapshot',
    about: 'a node is killed, and started again with what it held some time before',
    async inject(stage) {
      const node = stage.rings.pick(stage.nodes);
      if (stage.random() < 0.7) await stage.snapshots.save(node);
      await whileChanging(stage, async () => {
        // Deletes that the snapshot does not know of, while the node runs and while it does not.
        await sleep(600 * stage.random());
        stage.note(`${node.id} is killed`);
        await node.kill();
        await sleep(outageMs(stage));
        await stage.snapshots.restart(node);
        stage.note(`${node.id} runs again, from its snapshot`);
      });
    },
  },
  {
    name: 'lost-node-removed',
    about: 'a member that does not answer is removed, and comes back with what it held',
    async inject(stage) {
      await stage.rings.growTo(3);
      const { members } = await stage.rings.newest();
      const node = stage.rings.pick(stage.nodes.filter(({ id }) => members[id] !== undefined));
      await stage.snapshots.save(node);
      const isStopped = stage.random() < 0.5;
      stage.note(`${node.id} is ${isStopped ? 'stopped' : 'killed'}`);
      if (isStopped) await node.pause();
      else await node.kill();
      await sleep(outageMs(stage));
      const change = await stage.rings.begin({ node: node.id });
      await change?.done;
      await sleep(outageMs(stage));
      if (isStopped) await node.resume();
      else await stage.snapshots.restart(node);
      stage.note(`${node.id} is back with what it held`);
    },
  },
  {
    name: 'control-lost',
    about:
      'the node that decides is killed, another one decides, and it comes back with what it held',
    inject: loseControl,
  },
  {
    name: 'node-replaced',
    about: 'a node is killed, another server takes its id, and it comes back as another node later',
    isAlone: true,
    async inject(stage) {
      await stage.rings.growTo(4);
      const { members } = await stage.rings.newest();
      const at = stage.nodes.indexOf(
        stage.rings.pick(stage.nodes.filter((_, i) => members[seatOf(i)] !== undefined)),
      );
      const [node, { spare }] = [stage.nodes[at]!, stage];
      await stage.snapshots.save(node);
      await node.kill();
      stage.note(`${seatOf(at)} is killed`);
      await sleep(outageMs(stage));
      if (await stage.rings.move(seatOf(at), spare.url)) {
        stage.nodes[at] = spare;
        stage.spare = node;
        stage.note(`${seatOf(at)} is another server`);
      }
      await sleep(outageMs(stage));
      await stage.snapshots.restart(node);
    },
  },
];

function seatOf(at: number): string {
  return `node-${at + 1}`;
}

async function loseControl(stage: Stage): Promise<void> {
  // While half of the nodes are silent, nobody may change anything.
  await stage.rings.growTo(4);
  const { control } = await stage.rings.newest();
  const node = stage.nodes.find(({ id }) => id === control) ?? stage.nodes[0]!;
  await stage.snapshots.save(node);
  stage.note(`${node.id}, the control, is killed`);
  await node.kill();
  await sleep(outageMs(stage));
  await stage.rings.begin();
  stage.note('another node is to decide');
  await stage.rings.recover();
  await (await stage.rings.begin())?.done;
  await sleep(outageMs(stage));
  await stage.snapshots.restart(node);
  stage.note(`${node.id} runs again, from its snapshot`);
}

async function stop(stage: Stage): Promise<void> {
  const node = stage.rings.pick(stage.nodes);
  // Another fault may have killed it.
  const isStopped = await node.pause().then(
    () => true,
    () => false,
  );
  stage.note(`${node.id} is stopped`);
  await sleep(outageMs(stage));
  if (isStopped) await node.resume().catch(() => {});
  stage.note(`${node.id} goes on`);
}

async function forget(stage: Stage, ...words: string[]): Promise<void> {
  const node = stage.rings.pick(stage.nodes);
  stage.note(`${node.id}: ${words.join(' ')}`);
  // Another fault may have killed it.
  await command(node, ...words).catch(() => '');
}
