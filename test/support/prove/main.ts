/**
 * The proofs at night: `npm run prove -- locks …` and `npm run prove -- ring …`.
 *
 * Exit codes: 0 every promise was kept, 1 one was broken, 2 usage.
 */
import { proveRing } from '../../cache/prove/main.ts';
import { proveLocks } from '../../lock/prove/main.ts';

const PROOFS: Readonly<Record<string, (args: readonly string[]) => Promise<number>>> = {
  locks: proveLocks,
  ring: proveRing,
};

const USAGE = `usage: npm run prove -- locks|ring […]

  locks  one holder at a time, and fences that grow, while something is broken again and again
  ring   nothing that was replaced or deleted is read again, while the ring changes and something is broken

npm run prove -- locks --help, npm run prove -- ring --help: what each can be told
`;

const [name = '', ...rest] = process.argv.slice(2);
const proof = PROOFS[name];
if (proof === undefined) process.stderr.write(USAGE);
process.exitCode = (await proof?.(rest)) ?? 2;
