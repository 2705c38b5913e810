/** Durations as people write them, and the milliseconds that they mean. */
import { InvalidOptionError } from './errors.ts';

/** Milliseconds, or a number with one of the units ms, s, m, h, d: `1500`, `'1500ms'`, `'30s'`, `'1.5h'`. */
export type Duration = number | string;

const UNITS: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1_000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
};

/** Far beyond any sensible ttl, and exact as an integer: 100 years. */
export const MAX_DURATION_MS = 100 * 365 * UNITS['d']!;

const SHAPE = /^(\d+(?:\.\d+)?)(ms|s|m|h|d)$/;

/** The milliseconds of a duration, or undefined when it is not one: not a number of 0 or more, no unit, too long. */
export function durationMs(given: unknown): number | undefined {
  let ms = given;
  if (typeof given === 'string') {
    const parts = SHAPE.exec(given);
    if (parts === null) return undefined;
    ms = Number(parts[1]) * (UNITS[parts[2] ?? ''] ?? Number.NaN);
  }
  return typeof ms === 'number' && ms >= 0 && ms <= MAX_DURATION_MS ? ms : undefined;
}

/**
 * The same, for a duration that has to be one.
 *
 * @param path What the option is called, for the message.
 * @param leastMs The smallest that is allowed.
 * @throws InvalidOptionError
 */
export function requireDuration(given: unknown, path: string, leastMs = 0): number {
  const ms = durationMs(given);
  if (ms === undefined || ms < leastMs) {
    throw new InvalidOptionError(path, durationRule(leastMs), given);
  }
  return ms;
}

export function durationRule(leastMs: number): string {
  return `a duration in ms or with a unit ('30s', '5m', '2h', '1d') of at least ${leastMs} ms`;
}
