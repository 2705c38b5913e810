/** Methods and functions that run under a lock. */
import { InvalidOptionError, LockTimeoutError } from '../errors.ts';
import type { Lock } from './lock.ts';
import type { Locks } from './locks.ts';
import type { LockOptions } from './settings.ts';

/** What to do when another has the lock. */
export type OnBusy = 'wait' | 'skip' | 'throw';

export interface WithLockOptions<Args extends unknown[], Busy extends OnBusy = OnBusy>
  extends LockOptions {
  readonly locks: Locks;
  /** The name of the lock, or what makes it of the arguments. */
  readonly name: string | ((...args: Args) => string);
  /**
   * When another has the lock. `wait`: for at most `waitTimeout`. `skip`: the work
   * is not done, and undefined is returned. `throw`: a LockTimeoutError at once.
   *
   * @default 'wait'
   */
  readonly onBusy?: Busy;
}

export interface LockedOptions extends Omit<WithLockOptions<never>, 'locks' | 'name'> {
  // biome-ignore lint/suspicious/noExplicitAny: the decorated class is not known here
  readonly locks: Locks | ((self: any) => Locks);
  // biome-ignore lint/suspicious/noExplicitAny: the decorated method's own parameters
  readonly name: string | ((...args: any[]) => string);
}

/** Must be asynchronous: it returns before its work is done. */
type Method<This, Args extends unknown[], T> = (this: This, ...args: Args) => Promise<T>;

/**
 * A method that runs under a lock: a decorator of TC39 (stage 3), for code that
 * is compiled; `withLock` does the same for functions, anywhere.
 *
 * ```ts
 * class Reports {
 *   @locked({ locks, name: 'report:daily', onBusy: 'skip', ttl: '60s' })
 *   async daily() { … }
 * }
 * ```
 *
 * The method rejects as `locks.using` does. With `onBusy: 'skip'` it resolves to
 * undefined when another has the lock.
 *
 * @throws InvalidOptionError when the class is defined, for `locks`, `name` or `onBusy` that are none; the
 *   options of the lock are checked at each call.
 */
export function locked(options: LockedOptions) {
  const { locks, ...rest } = checked(options);
  return <This, Args extends unknown[], T>(
    method: Method<This, Args, T>,
    _context: ClassMethodDecoratorContext<This, Method<This, Args, T>>,
  ): Method<This, Args, T> => {
    function lockedMethod(this: This, ...args: Args): Promise<T> {
      const own = typeof locks === 'function' ? locks(this) : locks;
      const work = (): Promise<T> => method.apply(this, args);
      // What `skip` resolves to is not in the type of the method: its caller has chosen it.
      return run({ ...rest, locks: own }, args, work) as Promise<T>;
    }
    return Object.defineProperty(lockedMethod, 'name', { value: method.name });
  };
}

/**
 * `work`, under a lock each time it is called. As `locked`, without a class;
 * `work` gets the lock before its arguments.
 *
 * @returns What resolves to what `work` does; to undefined when another has the lock and `onBusy` is `skip`.
 */
export function withLock<
  Named extends unknown[],
  Args extends unknown[],
  T,
  Busy extends OnBusy = 'wait',
>(
  options: WithLockOptions<Named, Busy>,
  work: (lock: Lock, ...args: Args) => Promise<T>,
): (...args: Longer<Named, Args>) => Promise<Busy extends 'skip' ? T | undefined : T>;
export function withLock<Args extends unknown[], T>(
  options: WithLockOptions<Args>,
  work: (lock: Lock, ...args: Args) => Promise<T>,
): (...args: Args) => Promise<T | undefined> {
  if (typeof work !== 'function') throw new InvalidOptionError('work', 'a function', work);
  checked(options);
  return (...args) => run(options, args, (lock) => work(lock, ...args));
}

/** The name may need more of the arguments than the work does, or fewer. */
type Longer<A extends unknown[], B extends unknown[]> = B extends [...A, ...unknown[]] ? B : A;

async function run<Args extends unknown[], T>(
  options: WithLockOptions<Args>,
  args: Args,
  work: (lock: Lock) => Promise<T>,
): Promise<T | undefined> {
  const { locks, name: naming, onBusy = 'wait', ...lockOptions } = options;
  const name = typeof naming === 'function' ? naming(...args) : naming;
  if (onBusy === 'wait') return locks.using(name, lockOptions, work);
  const outcome = await locks.tryUsing(name, lockOptions, work);
  if (outcome.ran) return outcome.value;
  if (onBusy === 'skip') return undefined;
  throw new LockTimeoutError(name, 0, outcome.retryAfter);
}

/** @throws InvalidOptionError */
function checked<
  T extends { readonly onBusy?: unknown; readonly name: unknown; readonly locks: unknown },
>(options: T): T {
  const { onBusy = 'wait', name, locks } = options;
  if (onBusy !== 'wait' && onBusy !== 'skip' && onBusy !== 'throw') {
    throw new InvalidOptionError('onBusy', "'wait', 'skip' or 'throw'", onBusy);
  }
  if (typeof name !== 'string' && typeof name !== 'function') {
    throw new InvalidOptionError('name', 'a string or a function that makes one', name);
  }
  if (typeof locks !== 'function' && (typeof locks !== 'object' || locks === null)) {
    throw new InvalidOptionError('locks', 'what createLocks or cache.locks gave', locks);
  }
  return options;
}
