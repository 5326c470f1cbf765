/**
 * RpcStream: the items of a remote async generator, as an async iterator.
 *
 * Holds what has come and was not taken yet, which is never more than `window` items: the
 * other side may send only as many as it was granted, and is granted more when half of
 * them were taken.
 */

import { Code, RpcError } from "./errors.js";

/**
 * @typedef {object} Control what a stream asks of its connection
 * @property {(count: number) => void} more grant so many items more
 * @property {() => void} cancel nobody wants more items
 */

/**
 * @template [T=any]
 * @implements {AsyncIterableIterator<T>}
 */
export class RpcStream {
  /** @type {T[]} */ #items = [];
  /** @type {{ resolve: (result: IteratorResult<T>) => void, reject: (error: unknown) => void }[]} */
  #waiting = [];
  /** @type {Control} */ #control;
  /** @type {{ error: unknown } | null} */ #failed = null;
  #window;
  #granted = 0; // items that may still come
  #taken = 0; // items that were taken since more were granted
  #ended = false;

  /**
   * @param {number} window
   * @internal
   * @param {Control} control
   */
  constructor(window, control) {
    this.#window = window;
    this.#control = control;
  }

  [Symbol.asyncIterator]() {
    return this;
  }

  /** @returns {Promise<IteratorResult<T>>} */
  next() {
    if (this.#items.length) {
      const value = /** @type {T} */ (this.#items.shift());
      this.#took();
      return Promise.resolve({ value, done: false });
    }
    if (this.#failed) {
      const { error } = this.#failed;
      this.#failed = null; // once, as a generator's
      return Promise.reject(error);
    }
    if (this.#ended) return Promise.resolve({ value: undefined, done: true });
    return new Promise((resolve, reject) => void this.#waiting.push({ resolve, reject }));
  }

  /**
   * Stop the other side; what has come and was not taken is dropped.
   *
   * @param {any} [value]
   * @returns {Promise<IteratorResult<T>>}
   */
  return(value) {
    this.#items = [];
    this.#failed = null;
    if (!this.#ended) {
      this.end();
      this.#control.cancel();
    }
    return Promise.resolve({ value, done: true });
  }

  /** Whether there is no room for another item. @internal */
  get isFull() {
    return this.#items.length >= this.#window;
  }

  /**
   * Begin, or begin again: returns how many items may come.
   *
   * @internal
   * @returns {number}
   */
  begin() {
    this.#taken = 0;
    return (this.#granted = this.#window - this.#items.length);
  }

  /**
   * Take an item from the wire; false where more came than were granted.
   *
   * @internal
   * @param {T} value
   */
  push(value) {
    if (this.#ended) return true; // it crossed our cancel
    if (this.#granted-- <= 0) {
      this.end(new RpcError("the other side sent more items than it was granted", {
        code: Code.STREAM_MISMATCH,
      }));
      return false;
    }
    const waiting = this.#waiting.shift();
    if (waiting) {
      waiting.resolve({ value, done: false });
      this.#took();
    } else {
      this.#items.push(value);
    }
    return true;
  }

  /**
   * No more will come; an error is thrown after the items that came.
   *
   * @internal
   * @param {unknown} [error]
   */
  end(error) {
    if (this.#ended) return;
    this.#ended = true;
    if (error !== undefined) this.#failed = { error };
    for (const { resolve, reject } of this.#waiting.splice(0)) {
      this.next().then(resolve, reject);
    }
  }

  /**
   * End at once with an error; what has come and was not taken is dropped.
   *
   * @internal
   * @param {unknown} error
   */
  abort(error) {
    this.#items = [];
    this.end(error);
  }

  #took() {
    if (this.#ended) return;
    if (++this.#taken < this.#window / 2) return;
    const count = this.#taken;
    this.#taken = 0;
    this.#granted += count;
    this.#control.more(count);
  }
}
