/** Incoming: a call of the other side that is under way. */

import { Code, RpcError } from "./errors.js";

/** @import { Route } from "./routes.js" */

/** A call of the other side that is under way. */
export class Incoming {
  #controller = new AbortController();
  #credit;
  #cancelled;
  #granted = () => {};

  /**
   * @param {number} credit items that may be sent
   * @param {() => void} cancelled answers
   */
  constructor(credit, cancelled) {
    this.#credit = credit;
    this.#cancelled = cancelled;
  }

  /**
   * @param {Route} route
   * @param {string} name
   * @param {unknown[]} args
   * @returns {Promise<any>}
   */
  async call({ run, isAsync }, name, args) {
    const { promise, resolve, reject } = deferred();
    const context = { name, signal: this.#controller.signal, resolve, reject };
    const value = run.apply(context, args);
    return isAsync ? promise : value;
  }

  /**
   * Send the items of a stream as they are granted.
   *
   * @param {any} items
   * @param {(item: unknown) => void} send
   */
  async pump(items, send) {
    const { signal } = this.#controller;
    const iterator = (items[Symbol.asyncIterator] ?? items[Symbol.iterator]).call(items);
    // A generator that waits for something sees this when that has come.
    const stop = async () => {
      try {
        await iterator.return?.();
      } catch {
        // The stream has ended: there is nobody to be told.
      }
    };
    signal.addEventListener("abort", stop);
    try {
      for (;;) {
        while (this.#credit < 1 && !signal.aborted) {
          await new Promise((resolve) => (this.#granted = () => resolve(undefined)));
        }
        if (signal.aborted) return;
        const { done, value } = await iterator.next();
        if (done || signal.aborted) return;
        this.#credit--;
        send(value);
      }
    } catch (error) {
      stop();
      throw error;
    }
  }

  /** @param {number} count */
  grant(count) {
    this.#credit += count;
    this.#granted();
  }

  /** The other side does not want it any more. */
  cancel() {
    this.#cancelled();
    this.abort("the call was cancelled", Code.CANCELLED);
  }

  /**
   * @param {string} reason
   * @param {number} code
   */
  abort(reason, code) {
    this.#controller.abort(new RpcError(reason, { code }));
    this.#granted();
  }
}

/** A promise, and what settles it. */
export function deferred() {
  /** @type {(value?: any) => void} */
  let resolve = () => {};
  /** @type {(error: unknown) => void} */
  let reject = () => {};
  const promise = new Promise((...settle) => ([resolve, reject] = settle));
  return { promise, resolve, reject };
}

/** @param {any} value */
export const isStream = (value) => Boolean(
  value?.[Symbol.asyncIterator] || (value?.[Symbol.iterator] && typeof value.next === "function"),
);
