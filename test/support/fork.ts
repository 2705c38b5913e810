/**
 * Real processes for tests: a worker file that runs on its own, is asked
 * questions, and can be killed.
 *
 * The worker is a .ts file beside this one that ends in `serve({ … })` (see
 * serve.ts) and exports the type of what it serves.
 */
import { afterEach } from 'vitest';
import { App, type ForkOptions } from './app.ts';
import type { Handlers } from './serve.ts';

export type { App } from './app.ts';

export type Fork = <H extends Handlers>(worker: string, options?: ForkOptions) => Promise<App<H>>;

/**
 * A function that starts worker files by their name in test/support; what it
 * has started is killed after each test.
 *
 * ```ts
 * const fork = useFork();
 * const app = await fork<EchoApp>('echo-app.ts');
 * expect(await app.call('echo', 1)).toBe(1);
 * ```
 */
export function useFork(): Fork {
  const apps = new Set<App<Handlers>>();
  afterEach(async () => {
    await Promise.all([...apps].map((app) => app.kill()));
    apps.clear();
  });
  return async <H extends Handlers>(worker: string, options: ForkOptions = {}) => {
    const app = new App<H>(worker, options);
    apps.add(app);
    await app.ready;
    return app;
  };
}
