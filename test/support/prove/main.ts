/**
 * The proofs at night: `npm run prove -- locks …`, `npm run prove -- ring …`,
 * `npm run prove -- memory …`.
 *
 * Exit codes: 0 every promise was kept, 1 one was broken, 2 usage.
 */
import { proveRing } from '../../cache/prove/main.ts';
import { proveLocks } from '../../lock/prove/main.ts';
import { proveMemory } from '../../memory/prove/main.ts';

const PROOFS: Readonly<Record<string, (args: readonly string[]) => Promise<number>>> = {
  locks: proveLocks,
  ring: proveRing,
  memory: proveMemory,
};

const USAGE = `usage: npm run prove -- locks|ring|memory […]

  locks   one holder at a time, and fences that grow, while something is broken again and again
  ring    nothing that was replaced or deleted is read again, while the ring changes and something is broken
  memory  what memory shows is not behind for longer than it may, while something is broken again and again

npm run prove -- locks --help, and so on: what each can be told
`;

const [name = '', ...rest] = process.argv.slice(2);
const proof = PROOFS[name];
if (proof === undefined) process.stderr.write(USAGE);
process.exitCode = (await proof?.(rest)) ?? 2;
