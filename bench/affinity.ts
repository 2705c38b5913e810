/**
 * Keeps servers and client on different processors. Left alone, the kernel
 * sometimes puts both on one, and the figures come out in two groups.
 */

import { execFileSync } from 'node:child_process';

/** Which processors are for whom; undefined where that cannot be arranged. */
export interface Pinning {
  readonly servers: readonly number[];
  readonly client: number;
}

/** Needs taskset (util-linux) and two processors. The client gets the last one. */
export function planPinning(): Pinning | undefined {
  const allowed = allowedProcessors();
  const client = allowed.at(-1);
  if (client === undefined || allowed.length < 2) return undefined;
  return { servers: allowed.slice(0, -1), client };
}

/** With all its threads. What it starts later inherits it. */
export function pin(pid: number | undefined, processor: number): void {
  taskset('-a', '-p', '-c', String(processor), String(pid ?? 0));
}

export function describePinning(pinning: Pinning | undefined): string {
  if (pinning === undefined) return 'none: taskset or a second processor is missing';
  return `servers on ${pinning.servers.join(' ')}; client on ${pinning.client}`;
}

function allowedProcessors(): number[] {
  try {
    const list = taskset('-p', '-c', String(process.pid)).split(':').at(-1) ?? '';
    return list.trim().split(',').flatMap(range);
  } catch {
    return []; // not Linux, or not allowed
  }
}

/** `0-3` and `5`. */
function range(text: string): number[] {
  const [first, last = first] = text.split('-').map(Number);
  if (first === undefined || last === undefined || Number.isNaN(first + last)) return [];
  return Array.from({ length: last - first + 1 }, (_, i) => first + i);
}

function taskset(...args: string[]): string {
  return execFileSync('taskset', args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] });
}
