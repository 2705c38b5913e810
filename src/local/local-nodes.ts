/** Several local nodes that were started, and are ended, together. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ClosedError } from '../errors.ts';
import { LocalNode } from './local-node.ts';
import type { ServerBinary } from './provide.ts';
import { Watchdog } from './watchdog.ts';

interface Group {
  readonly server: ServerBinary;
  readonly args: readonly string[];
  readonly idPrefix: string;
  readonly folder: string;
  readonly watchdog: Watchdog;
}

/**
 * The nodes, in the order of their numbers; stopped ones too. An array, so that
 * it can be passed to `createCache` as `nodes`; what `map`, `filter` and their
 * like answer is a plain array.
 */
export class LocalNodes extends Array<LocalNode> implements AsyncDisposable {
  readonly #group: Group;
  /** All that were ever begun: what the user removes from the array is closed, too. */
  readonly #starts: Promise<LocalNode>[] = [];
  #closed: Promise<void> | undefined;

  static override get [Symbol.species](): ArrayConstructor {
    return Array;
  }

  private constructor(group: Group) {
    super();
    this.#group = group;
  }

  /** @internal */
  static async start(count: number, plan: Omit<Group, 'folder' | 'watchdog'>): Promise<LocalNodes> {
    const folder = mkdtempSync(join(tmpdir(), 'ringcache-'));
    const watchdog = await Watchdog.start(folder);
    const nodes = new LocalNodes({ ...plan, folder, watchdog });
    try {
      const starts = Array.from({ length: count }, () => nodes.#start());
      nodes.push(...(await Promise.all(starts)));
      return nodes;
    } catch (error) {
      await nodes.close();
      throw error;
    }
  }

  /**
   * Starts one more node and appends it.
   *
   * @throws ClosedError after `close`.
   */
  async add(): Promise<LocalNode> {
    this.#refuseIfClosed();
    try {
      const node = await this.#start();
      this.push(node);
      return node;
    } catch (error) {
      this.#refuseIfClosed(); // then that is why it failed
      throw error;
    }
  }

  /** Kills all nodes and removes their folders. Idempotent. */
  close(): Promise<void> {
    this.#closed ??= this.#end();
    return this.#closed;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #refuseIfClosed(): void {
    if (this.#closed !== undefined) throw new ClosedError('this group of local nodes');
  }

  #start(): Promise<LocalNode> {
    const { server, args, idPrefix, folder, watchdog } = this.#group;
    const id = `${idPrefix}${this.#starts.length + 1}`;
    const start = LocalNode.start(id, { server, args, watchdog, dir: join(folder, id) });
    this.#starts.push(start);
    return start;
  }

  async #end(): Promise<void> {
    // The watchdog ends those that are still starting, too, and lets nothing start after them.
    await this.#group.watchdog.close();
    const started = await Promise.allSettled(this.#starts);
    const nodes = started.flatMap((start) => (start.status === 'fulfilled' ? [start.value] : []));
    await Promise.all(nodes.map((node) => node.kill()));
    // If somebody has killed the watchdog, it has removed nothing.
    rmSync(this.#group.folder, { recursive: true, force: true });
  }
}
