// Goal: the SQL that docs/locks.md tells people to write does what it says there.
// Method: take it from the page, and run it.
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';

/** Node before 22.13 has no SQLite without a flag. */
const sqlite = await import('node:sqlite').catch(() => undefined);
const page = readFileSync(new URL('../../docs/locks.md', import.meta.url), 'utf8');
const statement = /```sql\n([\s\S]*?)```/.exec(page)?.[1] ?? '';

test.skipIf(sqlite === undefined)('a write with a smaller number changes nothing', () => {
  const database = new sqlite!.DatabaseSync(':memory:');
  database.exec(
    'CREATE TABLE stock (sku TEXT PRIMARY KEY, units INTEGER, fence INTEGER DEFAULT 0)',
  );
  database.exec("INSERT INTO stock (sku, units) VALUES ('42', 3)");
  const take = database.prepare(statement);
  const taken = (fence: number): number => Number(take.run({ sku: '42', fence }).changes);
  const left = (): unknown => database.prepare('SELECT units FROM stock').get()?.['units'];
  const now = 1_795_534_777_503_425;
  expect(taken(now)).toBe(1);
  // The holder after that one.
  expect(taken(now + 1)).toBe(1);
  // The first one again, who stood still meanwhile.
  expect(taken(now)).toBe(0);
  expect(left()).toBe(1);
  // The same holder may write twice.
  expect(taken(now + 1)).toBe(1);
  // Sold out.
  expect(taken(now + 2)).toBe(0);
  expect(left()).toBe(0);
  database.close();
});
