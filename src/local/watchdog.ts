/**
 * Ends the servers of a process that is gone, however it went.
 *
 * A handler for `exit` is not enough: it does not run on SIGKILL. So a small
 * shell waits at the end of a pipe. When this process ends, for whatever
 * reason, the kernel closes the pipe; the shell reads its end, kills every
 * server it was told of (SIGKILL: it reaches paused ones too), removes their
 * folder and ends as well.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import type { Writable } from 'node:stream';

// Lines: `+ pid` when a server was started, `- pid` when it has exited. The
// latter matters: the system may give the number to somebody else's process.
const SCRIPT = `
pids=
while read -r sign pid; do
  case $sign in
    +) pids="$pids $pid" ;;
    -) left=
       for one in $pids; do [ "$one" = "$pid" ] || left="$left $one"; done
       pids=$left ;;
  esac
done
[ -z "$pids" ] || kill -9 $pids
rm -rf "$1"
`;

export class Watchdog {
  readonly #shell: ChildProcess;
  readonly #pipe: Writable;
  #closed: boolean = false;

  private constructor(shell: ChildProcess, pipe: Writable) {
    this.#shell = shell;
    this.#pipe = pipe;
  }

  /** @param folder Removed at the end, with everything in it. */
  static async start(folder: string): Promise<Watchdog> {
    const shell = spawn('/bin/sh', ['-c', SCRIPT, 'ringcache-watchdog', folder], {
      // Its own session: a Ctrl-C in the terminal must not end it before its work is done.
      detached: true,
      cwd: '/',
      stdio: ['pipe', 'ignore', 'ignore'],
    });
    await once(shell, 'spawn');
    const pipe = shell.stdin;
    // If somebody killed the shell, writing to it fails; the servers run on.
    pipe.on('error', () => {});
    // Only the shell has to be let go: a pipe that nobody reads from keeps nothing alive.
    shell.unref();
    return new Watchdog(shell, pipe);
  }

  /** Nothing may be started any more: nobody would end it. */
  get closed(): boolean {
    return this.#closed;
  }

  watch(pid: number): void {
    this.#pipe.write(`+ ${pid}\n`);
  }

  forget(pid: number): void {
    if (!this.#closed) this.#pipe.write(`- ${pid}\n`);
  }

  /** Ends what is still watched. Resolves when that, the folder and the shell are gone. */
  async close(): Promise<void> {
    this.#closed = true;
    if (this.#shell.exitCode !== null || this.#shell.signalCode !== null) return;
    const gone = once(this.#shell, 'exit');
    this.#shell.ref();
    this.#pipe.end();
    await gone;
  }
}
