/** Listeners by event; "onclose" and "close" are the same event. */

import { known } from "./options.js";

/** @param {string} event */
const plain = (event) => event.replace(/^on/, "");

/** @typedef {(...details: any[]) => unknown} Listener */

export class Emitter {
  /** @type {Map<number, [string, Listener]>} */
  #listeners = new Map();
  #next = 1;

  /**
   * Call `listener` at every `event`; returns a function that ends it.
   *
   * @param {string} event
   * @param {Listener} listener
   * @returns {() => void}
   */
  on(event, listener) {
    const id = this.addEventListener(event, listener);
    return () => void this.#listeners.delete(id);
  }

  /**
   * Stop calling `listener` at `event`.
   *
   * @param {string} event
   * @param {Listener} listener
   */
  off(event, listener) {
    this.removeEventListener(event, listener);
  }

  /**
   * Call `listener` at every `event`; returns a number for `removeEventListener`.
   *
   * @param {string} event
   * @param {Listener} listener
   * @returns {number}
   */
  addEventListener(event, listener) {
    if (typeof listener !== "function") {
      throw new TypeError(`a listener must be a function, not ${typeof listener}`);
    }
    // A subclass may emit events of its own, and need not say which.
    const Class = /** @type {any} */ (this.constructor);
    if (Object.hasOwn(Class, "EVENTS")) known("events", plain(event), Class.EVENTS);
    this.#listeners.set(this.#next, [plain(event), listener]);
    return this.#next++;
  }

  /**
   * Stop calling a listener, named by its number or by itself.
   *
   * @param {string} event
   * @param {number | Listener} which
   * @returns {boolean} whether there was one
   */
  removeEventListener(event, which) {
    for (const [id, [name, listener]] of this.#listeners) {
      if (name === plain(event) && (id === which || listener === which)) {
        return this.#listeners.delete(id);
      }
    }
    return false;
  }

  /**
   * Return a promise of the next `event`: what listeners get first.
   *
   * @param {string} event
   * @returns {Promise<any>}
   */
  onEvent(event) {
    return new Promise((resolve) => {
      const end = this.on(event, (detail) => {
        end();
        resolve(detail);
      });
    });
  }

  /**
   * Whether anybody listens to `event`.
   *
   * @protected
   * @param {string} event
   */
  listens(event) {
    return [...this.#listeners.values()].some(([name]) => name === event);
  }

  /**
   * @protected
   * @param {string} event
   * @param {...unknown} details
   */
  emit(event, ...details) {
    for (const [name, listener] of [...this.#listeners.values()]) {
      if (name === event) shielded(listener, ...details);
    }
  }
}

/**
 * Call what a user gave us; its fault is shown and stops nothing of ours.
 *
 * @param {Listener} listener
 * @param {...unknown} details
 */
export function shielded(listener, ...details) {
  try {
    listener(...details);
  } catch (error) {
    try {
      // Browsers show it as an uncaught error; where there is no such way, the console.
      (globalThis.reportError ?? console.error)(error);
    } catch {
      // What was thrown throws when it is looked at. No more can be done about it.
    }
  }
}
