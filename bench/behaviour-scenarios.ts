/**
 * What a cache may get wrong while a value is loaded: who wins, how often the
 * loader is called, and who hears of its failure. `first` and `second` are
 * processes; a load that was begun waits until it is told what to return.
 */

import { type Actor, demand, demandValue, type Scenario, type Stage } from './behaviour-stage.ts';

const FENCES = 'test/cache/fences.test.ts';
const CALLERS = 20;

/** A write while `first` loads: the old value must not be what is read afterwards. */
async function writeDuringLoad(
  { first, second }: Stage,
  key: string,
  write: (actor: { first: Actor; second: Actor }) => Promise<void>,
): Promise<void> {
  const reading = await first.beginLoad(key);
  await write({ first, second });
  demandValue('the caller who waited', await reading.finish('old'), 'old');
  await first.loaderReturns(key, 'new');
  await second.loaderReturns(key, 'new');
  await first.readsThat(key, 'new');
  await second.readsThat(key, 'new');
}

export const loadScenarios: readonly Scenario[] = [
  {
    id: 'delete-during-load',
    claim: 'A delete during a load wins: the value from before is not there afterwards',
    test: {
      file: FENCES,
      name: 'a delete wins: those who wait get the value, and nothing is stored',
    },
    play: (stage) =>
      writeDuringLoad(stage, 'delete-during-load', ({ first }) =>
        first.delete('delete-during-load'),
      ),
  },
  {
    id: 'delete-elsewhere',
    claim: 'So does a delete by another process',
    test: {
      file: FENCES,
      name: 'a delete wins: those who wait get the value, and nothing is stored',
    },
    play: (stage) =>
      writeDuringLoad(stage, 'delete-elsewhere', ({ second }) => second.delete('delete-elsewhere')),
  },
  {
    id: 'set-during-load',
    claim: 'A set during a load wins: the older loaded value does not replace it',
    needs: ['set'],
    test: {
      file: FENCES,
      name: 'a set wins: those who wait get the loaded value, and what was set stays',
    },
    play: (stage) =>
      writeDuringLoad(stage, 'set-during-load', ({ first }) => first.set('set-during-load', 'new')),
  },
  {
    id: 'set-elsewhere',
    claim: 'So does a set by another process',
    needs: ['set'],
    test: {
      file: FENCES,
      name: 'a set wins: those who wait get the loaded value, and what was set stays',
    },
    play: (stage) =>
      writeDuringLoad(stage, 'set-elsewhere', ({ second }) => second.set('set-elsewhere', 'new')),
  },
  {
    id: 'asked-after-delete',
    claim: 'Who asks after a delete is not given what was loaded before it',
    test: {
      file: FENCES,
      name: 'who asks after a delete does not join the load that began before it',
    },
    async play({ first }) {
      const key = 'asked-after-delete';
      const before = await first.beginLoad(key);
      await first.delete(key);
      const after = await first.begin(key);
      const anew = await first.loadsAgain(key, 1);
      demandValue('who asked before', await before.finish('old'), 'old');
      if (anew) await first.finishLoad(key, { value: 'new' });
      demandValue('who asked after the delete', await after.outcome(), 'new');
    },
  },
  {
    id: 'waiting-callers',
    claim: 'Those who wait for a load get its value, also when the key is deleted meanwhile',
    test: {
      file: FENCES,
      name: 'a delete wins: those who wait get the value, and nothing is stored',
    },
    async play({ first }) {
      const key = 'waiting-callers';
      const readings = [await first.beginLoad(key), await first.begin(key), await first.begin(key)];
      await first.delete(key);
      // Who is not served by that load loads himself: that is an answer, too.
      await first.loaderReturns(key, 'loaded');
      await first.finishLoad(key, { value: 'loaded' });
      for (const reading of readings) {
        demandValue('a caller who waited', await reading.outcome(), 'loaded');
      }
    },
  },
  {
    id: 'one-load',
    claim: 'Many callers of one process who miss the same key cost one load',
    test: {
      file: 'test/cache/stampede.test.ts',
      name: '1,000 callers in four processes cost one load, and nobody waits much longer than it takes',
    },
    async play({ first }) {
      const key = 'one-load';
      const readings = [await first.beginLoad(key)];
      for (let i = 1; i < CALLERS; i++) readings.push(await first.begin(key));
      await first.loadsAgain(key, 1); // until all have asked Redis
      await first.loaderReturns(key, 'value');
      await first.finishLoad(key, { value: 'value' });
      for (const reading of readings) demandValue('a caller', await reading.outcome(), 'value');
      const calls = await first.calls(key);
      demand(calls === 1, `${CALLERS} callers cost ${calls} loads`);
    },
  },
  {
    id: 'one-load-for-all',
    claim: 'Callers of two processes who miss the same key cost one load',
    test: {
      file: 'test/cache/stampede.test.ts',
      name: '1,000 callers in four processes cost one load, and nobody waits much longer than it takes',
    },
    async play({ first, second }) {
      const key = 'one-load-for-all';
      const reading = await first.beginLoad(key);
      await second.loaderReturns(key, 'value');
      const other = await second.begin(key);
      await second.loadsAgain(key, 0);
      demandValue('the first process', await reading.finish('value'), 'value');
      demandValue('the second process', await other.outcome(), 'value');
      demand((await second.calls(key)) === 0, 'each process loaded for itself');
    },
  },
  {
    id: 'failing-load-once',
    claim: 'A load that fails was tried once, and all who waited for it get its error',
    test: {
      file: 'test/cache/stampede.test.ts',
      name: 'in one process a failing loader runs once, and all who wait get its very error',
    },
    async play({ first }) {
      const key = 'failing-load-once';
      const readings = [await first.beginLoad(key)];
      for (let i = 1; i < 5; i++) readings.push(await first.begin(key));
      await first.loadsAgain(key, 1); // until all have asked Redis
      await first.loaderThrows(key, 'no such table');
      await first.finishLoad(key, { error: 'no such table' });
      const outcomes = [];
      for (const reading of readings) outcomes.push(await reading.outcome());
      const calls = await first.calls(key);
      demand(calls === 1, `5 callers called the failing loader ${calls} times`);
      const told = outcomes.filter(({ text }) => text.includes('no such table')).length;
      demand(told === 5, `${told} of 5 callers were told; the others got ${outcomes[0]!.text}`);
    },
  },
  {
    id: 'never-two-loads',
    claim: 'After a failed load there are never two at once for one key, whoever waits or comes',
    test: {
      file: FENCES,
      name: 'a load that ends after one that began later does not remove it from those under way',
    },
    async play({ first }) {
      const key = 'never-two-loads';
      await first.beginLoad(key);
      await first.begin(key);
      await first.loadsAgain(key, 1); // until both have asked Redis
      await first.finishLoad(key, { error: 'no such table' });
      await first.begin(key);
      await first.loadsAgain(key, 1);
      await first.begin(key);
      await first.loadsAgain(key, 2);
      const most = await first.mostAtOnce(key);
      demand(most === 1, `${most} loads of one key ran at once`);
    },
  },
  {
    id: 'loader-error',
    claim: "A loader's error reaches the caller, itself or as a cause",
    test: {
      file: 'test/cache/loaders.test.ts',
      name: 'that throws at once rejects, as one that rejects does',
    },
    async play({ first }) {
      await first.loaderThrows('loader-error', 'no such table');
      const { kind, text } = await first.read('loader-error');
      demand(kind === 'error', `the caller got ${text} and no error`);
      demand(text.includes('no such table'), `the caller got another error: ${text}`);
    },
  },
];
