/**
 * What a process of a run writes down, so that it is there after the process
 * was killed: each event is with the operating system before the work goes on.
 */
import { openSync, readFileSync, writeSync } from 'node:fs';

/** Milliseconds with a fraction; the same clock in all processes of this machine, and never set. */
export function nowMs(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}

export class Diary<Event> {
  readonly #file: number;

  constructor(path: string) {
    this.#file = openSync(path, 'a');
  }

  write(event: Event): void {
    writeSync(this.#file, `${JSON.stringify(event)}\n`);
  }
}

/** Of one process; in the order of its writing. */
export function readDiary<Event>(path: string): Event[] {
  const lines = readFileSync(path, 'utf8').split('\n');
  // After the last line break: nothing, or what a process that was killed could not finish.
  lines.pop();
  return lines.map((line) => JSON.parse(line) as Event);
}
