/**
 * A class with decorated methods, as an application has it. Decorators cannot
 * be stripped: locked.test.ts compiles this file and runs it with the address
 * of a node and a namespace; it prints what happened, as JSON.
 */
import { createLocks, type Locks, LockTimeoutError, locked } from '../../src/index.ts';

const [, , url = '', namespace = ''] = process.argv;
const shared = await createLocks({ nodes: [{ id: 'node-1', url }], namespace });

class Reports {
  readonly runs: string[] = [];
  readonly locks: Locks;
  /** Resolves the runs that wait for it. */
  readonly gate = Promise.withResolvers<void>();

  constructor(locks: Locks) {
    this.locks = locks;
  }

  @locked({
    locks: (self: Reports) => self.locks,
    name: (day: string) => `daily:${day}`,
    onBusy: 'skip',
  })
  async daily(day: string): Promise<string> {
    this.runs.push(day);
    await this.gate.promise;
    return `report of ${day}`;
  }

  @locked({ locks: shared, name: 'strict', onBusy: 'throw' })
  async strict(): Promise<string> {
    await this.gate.promise;
    return 'done';
  }

  @locked({ locks: shared, name: 'patient', waitTimeout: '10s' })
  async patient(step: number): Promise<number> {
    this.runs.push(`begin ${step}`);
    await new Promise((resolve) => {
      setTimeout(resolve, 20);
    });
    this.runs.push(`end ${step}`);
    return step;
  }

  @locked({ locks: shared, name: 'failing' })
  async failing(): Promise<never> {
    throw new RangeError('mine');
  }

  @locked({ locks: shared, name: 'impatient', waitTimeout: 30 })
  async impatient(): Promise<string> {
    return 'had it';
  }
}

const reports = new Reports(shared);
const skipped = await (async () => {
  const running = [reports.daily('monday'), reports.daily('tuesday')];
  while (reports.runs.length < 2) await new Promise(setImmediate);
  const busy = await reports.daily('monday');
  const strict = reports.strict();
  // Until it has its lock, which is then told to whoever comes later.
  while (!(await shared.inspect('strict')).held) await new Promise(setImmediate);
  const thrown = await reports.strict().catch((error: unknown) => error);
  reports.gate.resolve();
  return {
    values: await Promise.all([...running, strict]),
    busyIsUndefined: busy === undefined,
    thrown: thrown instanceof LockTimeoutError && thrown.code,
    runs: reports.runs.splice(0),
  };
})();
const patient = await Promise.all([1, 2, 3].map((step) => reports.patient(step)));
const failure = await reports.failing().catch((error: unknown) => String(error));
const holder = await shared.acquire('impatient');
const late = await reports.impatient().catch((error: unknown) => (error as LockTimeoutError).code);
await holder.release();
const told = {
  ...skipped,
  patient,
  order: reports.runs,
  failure,
  late,
  again: await reports.impatient(),
  name: reports.daily.name,
  held: shared.stats().held,
};
await shared.close();
process.stdout.write(JSON.stringify(told));
