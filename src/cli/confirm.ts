/** Asks before something is changed. */
import { createInterface } from 'node:readline/promises';
import type { Output } from './screen.ts';
import { type Args, type Options, UsageError } from './usage.ts';

export const CONFIRM_OPTIONS: Options = {
  yes: { type: 'boolean', about: 'do it without asking' },
  'dry-run': { type: 'boolean', about: 'say what would be done, and do nothing' },
};

/** Before anything is looked at: whether there will be somebody to ask. @throws UsageError */
export function checkConfirmable({ err }: Output, args: Args): void {
  if (args.flag('yes') || args.flag('dry-run')) return;
  if (process.stdin.isTTY && err.isTerminal) return;
  throw new UsageError(
    'this changes the fleet, and there is no terminal to ask at: say --yes to do it, or --dry-run to see what it would do',
  );
}

/** Whether it is to be done. */
export async function confirmed(question: string, { err }: Output, args: Args): Promise<boolean> {
  if (args.flag('yes')) return true;
  const asked = createInterface({ input: process.stdin, output: process.stderr });
  // Ctrl-C at a question, or the end of the input, is a no.
  const left = new AbortController();
  asked.on('SIGINT', () => left.abort());
  asked.on('close', () => left.abort());
  try {
    const answer = await asked.question(`${question} [y/N] `, { signal: left.signal });
    return /^y(?:es)?$/i.test(answer.trim());
  } catch {
    err.print('');
    return false;
  } finally {
    asked.close();
  }
}
