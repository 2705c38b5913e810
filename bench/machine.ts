/** Where and on what something was measured: a figure without it says nothing. */

import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { cpus, totalmem } from 'node:os';
import { join } from 'node:path';

export const ROOT: string = new URL('..', import.meta.url).pathname;

export interface Machine {
  readonly cpu: string;
  readonly cores: number;
  readonly memoryGiB: number;
  readonly platform: string;
  readonly node: string;
  readonly commit: string;
  readonly date: string;
  readonly versions: Readonly<Record<string, string>>;
}

/** @param packages Names of installed packages whose versions matter. */
export function describeMachine(packages: readonly string[]): Machine {
  const processors = cpus();
  return {
    cpu: processors[0]?.model.trim() ?? 'unknown',
    cores: processors.length,
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    platform: `${process.platform} ${process.arch}`,
    node: process.version,
    commit: commit(),
    date: new Date().toISOString(),
    versions: Object.fromEntries(packages.map((name) => [name, versionOf(name)])),
  };
}

/** One line of it. */
export function machineLine(machine: Machine): string {
  const versions = Object.entries(machine.versions).map(([name, version]) => `${name} ${version}`);
  return [
    `${machine.cores} × ${machine.cpu}`,
    `${machine.memoryGiB} GiB`,
    machine.platform,
    `Node ${machine.node}`,
    ...versions,
    `commit ${machine.commit}`,
    machine.date,
  ].join(', ');
}

function commit(): string {
  const git = (...args: string[]): string =>
    execFileSync('git', args, { cwd: ROOT, encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] });
  try {
    const changed = git('status', '--porcelain', '--untracked-files=no', 'src', 'bench') !== '';
    return git('rev-parse', '--short', 'HEAD').trim() + (changed ? ' with changes' : '');
  } catch {
    return 'unknown'; // not a checkout
  }
}

function versionOf(name: string): string {
  // Peers of the benchmarks alone are installed in bench/.
  for (const folder of ['bench/node_modules', 'node_modules']) {
    try {
      const file = join(ROOT, folder, name, 'package.json');
      const manifest = JSON.parse(readFileSync(file, 'utf8')) as { version: string };
      return manifest.version;
    } catch {
      // looked for in the next folder
    }
  }
  return 'unknown';
}
