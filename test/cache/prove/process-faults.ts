/** What is done to processes while the ring changes. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Process } from './rings.ts';
import { type Fault, outageMs, type Stage, whileChanging } from './stage.ts';

export const PROCESS_FAULTS: readonly Fault[] = [
  {
    name: 'process-stopped',
    about: 'a process stands still while another one changes the ring, and is told nothing',
    async inject(stage) {
      const [driver, victim] = two(stage);
      await whileChanging(stage, () => stop(stage, victim), { driver });
    },
  },
  {
    name: 'process-killed',
    about: 'a process is killed while another one changes the ring, and a new one started',
    async inject(stage) {
      const [driver, victim] = two(stage);
      await whileChanging(stage, () => stage.cast.replace(victim), { driver });
    },
  },
  {
    name: 'driver-stopped',
    about: 'the process that changes the ring stands still for a while',
    async inject(stage) {
      const [driver] = two(stage);
      await whileChanging(stage, () => stop(stage, driver), { driver });
    },
  },
];

/** Two different ones. */
function two({ rings, cast }: Stage): [Process, Process] {
  const first = rings.pick(cast.playing);
  return [first, rings.pick(cast.playing.filter((one) => one !== first))];
}

async function stop(stage: Stage, one: Process): Promise<void> {
  const name = stage.cast.labelOf(one);
  stage.note(`${name} is stopped`);
  one.signal('SIGSTOP');
  await sleep(outageMs(stage));
  one.signal('SIGCONT');
  stage.note(`${name} goes on`);
}
