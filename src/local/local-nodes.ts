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
  #started = 0;
  readonly #starting = new Set<Promise<LocalNode>>();
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
    if (this.#closed !== undefined) throw new ClosedError('this group of local nodes');
    const node = await this.#start();
    this.push(node);
    return node;
  }

  /** Kills all nodes and removes their folders. Idempotent. */
  close(): Promise<void> {
    this.#closed ??= this.#end();
    return this.#closed;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #start(): Promise<LocalNode> {
    this.#started += 1;
    const id = `${this.#group.idPrefix}${this.#started}`;
    const { server, args, folder, watchdog } = this.#group;
    const start = LocalNode.start(id, { server, args, watchdog, dir: join(folder, id) });
    this.#starting.add(start);
    return start.finally(() => this.#starting.delete(start));
  }

  async #end(): Promise<void> {
    // The watchdog ends those that are still starting, too, and lets nothing start after them.
    await this.#group.watchdog.close();
    await Promise.allSettled(this.#starting);
    await Promise.all(this.map((node) => node.kill()));
    rmSync(this.#group.folder, { recursive: true, force: true });
  }
}
