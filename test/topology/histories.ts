/**
 * How many histories of each model are played: the same ones in every run, so
 * that nothing fails by chance. For a night:
 *
 *   RINGCACHE_HISTORIES=1000000 npm test -- test/topology/ring-model.test.ts
 */
const given = process.env['RINGCACHE_HISTORIES'];

/** @param usual Without `RINGCACHE_HISTORIES`: as many as take about a second. */
export function historiesOf(usual: number): number {
  const histories = Number(given ?? usual);
  if (!(histories >= 1)) throw new Error('RINGCACHE_HISTORIES is a number of histories, from 1 on');
  return histories;
}

/** A mutation shows itself within so many at the latest. */
export const MUTANT_HISTORIES = 10_000;

export function limitOf(histories: number): { timeout: number } {
  return { timeout: 120_000 + 10 * histories };
}
