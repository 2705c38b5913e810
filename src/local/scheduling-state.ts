/** What the kernel is doing with a process. */
import { readFileSync } from 'node:fs';
import { run } from './run.ts';

/** One letter as in ps(1): R, S, D, T (stopped), Z (ended, not collected); empty when there is none. */
export async function schedulingState(pid: number): Promise<string> {
  try {
    if (process.platform !== 'linux') {
      return (await run('ps', ['-o', 'state=', '-p', String(pid)])).trim().charAt(0);
    }
    // Small containers have no ps.
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    // The second field is the name in parentheses, which may hold spaces and parentheses.
    return stat.charAt(stat.lastIndexOf(')') + 2);
  } catch {
    return '';
  }
}
