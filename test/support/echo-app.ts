/** The smallest worker: what fork.ts itself is tested with. */
import { serve } from './serve.ts';

const handlers = {
  echo: (value: unknown): unknown => value,
  never: (): Promise<never> => new Promise(() => {}),
  fail(message: string): never {
    throw Object.assign(new RangeError(message), { code: 'E_ECHO' });
  },
  arguments: (): string[] => process.argv.slice(2),
};
export type EchoApp = typeof handlers;

serve(handlers);
