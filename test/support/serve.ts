/** The worker's side of fork.ts: answers questions that come over IPC. */

// biome-ignore lint/suspicious/noExplicitAny: each function has its own parameters; callers see those
export type Handlers = Record<string, (...args: any[]) => unknown>;

export interface Request {
  readonly id: number;
  readonly name: string;
  readonly args: readonly unknown[];
}

export type Answer =
  | { readonly kind: 'ready' }
  | { readonly kind: 'value'; readonly id: number; readonly value: unknown }
  | {
      readonly kind: 'error';
      readonly id: number;
      readonly message: string;
      /** `name` and `code` of the error. */
      readonly fields: Readonly<Record<string, unknown>>;
    };

/** Serves until the process that forked this one is gone. Requests run side by side. */
export function serve(handlers: Handlers): void {
  const send = (answer: Answer): void => {
    process.send?.(answer);
  };
  process.on('message', (request: Request) => {
    void answerTo(handlers, request).then(send);
  });
  // The test was killed: nobody is left to kill this one.
  process.on('disconnect', () => process.exit(0));
  send({ kind: 'ready' });
}

/** For a worker's own `leave`: it ends as soon as nothing but this channel keeps it alive. */
export function leave(): void {
  setImmediate(() => process.channel?.unref());
}

async function answerTo(handlers: Handlers, { id, name, args }: Request): Promise<Answer> {
  try {
    const handler = handlers[name];
    if (handler === undefined) throw new TypeError(`the worker does not serve ${name}`);
    return { kind: 'value', id, value: await handler(...args) };
  } catch (error) {
    if (!(error instanceof Error)) return { kind: 'error', id, message: String(error), fields: {} };
    const code = 'code' in error ? { code: error.code } : {};
    return { kind: 'error', id, message: error.message, fields: { name: error.name, ...code } };
  }
}
