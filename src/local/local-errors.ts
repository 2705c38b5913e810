/**
 * What can go wrong with Redis servers on this machine: there is none and none
 * could be fetched, or one does not do what it was told.
 */
import { readFileSync } from 'node:fs';
import { RingCacheError } from '../errors.ts';

/**
 * No redis-server or valkey-server was found, and none could be fetched.
 * The message says what to do on this system. Nothing was started.
 */
export class NoRedisError extends RingCacheError {
  readonly code = 'RINGCACHE_NO_REDIS';

  constructor(why: string, options?: ErrorOptions) {
    super(`${why}. ${advice(process.platform, distribution())}`, options);
  }
}

/** A local node could not be started, or is not running and so cannot be paused or resumed. */
export class LocalNodeError extends RingCacheError {
  readonly code = 'RINGCACHE_LOCAL_NODE';

  constructor(node: string, why: string) {
    super(`local node ${node} ${why}`);
  }
}

// The package's name per family of systems, and the words of os-release that
// name the family. Fedora, Alpine, Arch and SUSE have replaced Redis by Valkey.
const INSTALLERS: ReadonlyArray<readonly [family: RegExp, command: string]> = [
  [/\b(debian|ubuntu)\b/, 'sudo apt-get install redis-server'],
  [/\b(fedora|rhel|centos)\b/, 'sudo dnf install valkey'],
  [/\balpine\b/, 'apk add valkey'],
  [/\barch\b/, 'sudo pacman -S valkey'],
  [/\bsuse\b/, 'sudo zypper install valkey'],
];

/**
 * What a person should do to have a server.
 *
 * @param platform As in `process.platform`.
 * @param family The `ID` and `ID_LIKE` of os-release, in one string; empty if unknown.
 */
export function advice(platform: NodeJS.Platform, family: string): string {
  if (platform === 'win32') {
    return 'Redis does not run on Windows: run this inside WSL, or start `docker compose up -d --wait` and pass the urls of its nodes';
  }
  const command =
    platform === 'darwin'
      ? 'brew install valkey'
      : INSTALLERS.find(([words]) => words.test(family))?.[1];
  const install =
    command === undefined ? 'Install redis-server or valkey-server' : `Install one (${command})`;
  return `${install}, or set RINGCACHE_REDIS_SERVER to the path of a server binary`;
}

function distribution(): string {
  try {
    const lines = readFileSync('/etc/os-release', 'utf8').split('\n');
    return lines.filter((line) => /^ID(_LIKE)?=/.test(line)).join(' ');
  } catch {
    return ''; // not Linux, or a very small container
  }
}
