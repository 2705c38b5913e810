/** Copies of what a node held at some time, and a node that is started again from one. */
import { copyFileSync, existsSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { LocalNode } from '../../../src/local.ts';
import { command } from '../../support/command.ts';

export class Snapshots {
  /** What all servers of the run have as their `--dir`: the file of whoever saves or starts is there meanwhile. */
  readonly #folder: string;
  #last: Promise<unknown> = Promise.resolve();

  constructor(folder: string) {
    this.#folder = folder;
  }

  /** Resolves to whether the node has been saved at all: it may be down. */
  save(node: LocalNode): Promise<boolean> {
    return this.#next(async () => {
      const answer = await command(node, 'SAVE').catch(() => '');
      if (!answer.startsWith('+OK')) return false;
      renameSync(this.#dump, this.#of(node));
      return true;
    });
  }

  /** Kills the node and starts it with what it held when it was saved last; empty if it never was. */
  restart(node: LocalNode): Promise<void> {
    return this.#next(async () => {
      await node.kill();
      if (existsSync(this.#of(node))) copyFileSync(this.#of(node), this.#dump);
      try {
        await node.restart();
      } finally {
        rmSync(this.#dump, { force: true });
      }
    });
  }

  /** Starts it, or kills it and starts it, empty. */
  restartEmpty(node: LocalNode): Promise<void> {
    return this.#next(() => node.restart());
  }

  get #dump(): string {
    return join(this.#folder, 'dump.rdb');
  }

  #of({ id }: LocalNode): string {
    return join(this.#folder, `${id}.rdb`);
  }

  // One after the other: they share a file.
  #next<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#last.then(work);
    this.#last = done.catch(() => {});
    return done;
  }
}
