/** Typed events. Nothing depends on anybody listening. */
import { EventEmitter } from 'node:events';

/** @typeParam E Each event's name and the arguments that its listeners get. */
export class Emitter<E extends { [Name in keyof E]: unknown[] }> {
  readonly #emitter = new EventEmitter();

  on<Name extends keyof E & string>(event: Name, listener: (...args: E[Name]) => void): void {
    this.#emitter.on(event, listener as (...args: unknown[]) => void);
  }

  once<Name extends keyof E & string>(event: Name, listener: (...args: E[Name]) => void): void {
    this.#emitter.once(event, listener as (...args: unknown[]) => void);
  }

  off<Name extends keyof E & string>(event: Name, listener: (...args: E[Name]) => void): void {
    this.#emitter.off(event, listener as (...args: unknown[]) => void);
  }

  /**
   * A listener that throws is its owner's bug: it surfaces as an uncaught
   * exception, and harms nothing here.
   *
   * @returns Whether anybody listens.
   */
  emit<Name extends keyof E & string>(event: Name, ...args: E[Name]): boolean {
    try {
      return this.#emitter.emit(event, ...args);
    } catch (error) {
      queueMicrotask(() => {
        throw error;
      });
      return true;
    }
  }
}
