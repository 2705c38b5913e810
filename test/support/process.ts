/** What the system says of a process. */
import { schedulingState } from '../../src/local/scheduling-state.ts';

/**
 * Whether the process exists and has not ended. One that has ended but was not
 * collected by its parent (a zombie) does not run: in a container without an
 * init, orphans stay that way.
 */
export async function isRunning(pid: number): Promise<boolean> {
  const state = await schedulingState(pid);
  return state !== '' && state !== 'Z';
}
