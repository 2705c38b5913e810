/** The real clock, counting the timers that are set. */
import { type Clock, systemClock, type Timer } from '../../src/clock.ts';

export class CountingClock implements Clock {
  timers = 0;

  now(): number {
    return systemClock.now();
  }

  wall(): number {
    return systemClock.wall();
  }

  after(delayMs: number, run: () => void): Timer {
    this.timers += 1;
    return systemClock.after(delayMs, run);
  }

  soon(run: () => void): void {
    systemClock.soon(run);
  }
}
