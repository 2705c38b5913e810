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
    about: 'the process that changes the ring stands still, and another one finishes or takes back',
    async inject(stage, round) {
      const [driver, other] = two(stage);
      const how = round % 2 === 0 ? 'resume' : 'abort';
      await whileChanging(
        stage,
        async () => {
          const concluding = sleep(300 * stage.random()).then(() => conclude(stage, other, how));
          await stop(stage, driver);
          await concluding;
        },
        { driver },
      );
    },
  },
  {
    name: 'change-taken-back',
    about: 'a change of the ring is taken back while it is made, by its driver or another process',
    async inject(stage) {
      const [driver, other] = two(stage);
      const by = stage.random() < 0.5 ? driver : other;
      await whileChanging(stage, () => conclude(stage, by, 'abort'), { driver });
    },
  },
  {
    name: 'driver-killed',
    about:
      'the process that changes the ring is killed, and others finish the change or take it back',
    async inject(stage) {
      const [driver] = two(stage);
      await whileChanging(
        stage,
        async () => {
          stage.note(`${stage.cast.labelOf(driver)}, the driver, is killed`);
          await stage.cast.replace(driver);
        },
        { driver },
      );
      await stage.rings.conclude();
    },
  },
];

/** Two different ones. */
function two({ rings, cast }: Stage): [Process, Process] {
  const first = rings.pick(cast.playing);
  return [first, rings.pick(cast.playing.filter((one) => one !== first))];
}

async function conclude(stage: Stage, one: Process, how: 'resume' | 'abort'): Promise<void> {
  stage.note(`${stage.cast.labelOf(one)}: ${how}`);
  await stage.rings.tryConclude(one, how);
}

async function stop(stage: Stage, one: Process): Promise<void> {
  const name = stage.cast.labelOf(one);
  stage.note(`${name} is stopped`);
  one.signal('SIGSTOP');
  await sleep(outageMs(stage));
  one.signal('SIGCONT');
  stage.note(`${name} goes on`);
}
