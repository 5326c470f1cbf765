/**
 * Link: the calls of one connection, ours and those of the other side.
 *
 * It ends with its connection: what is under way then is given back, and what comes later
 * from a route that is still running goes nowhere, least of all to the next connection.
 */

import { Code, RpcError } from "./errors.js";
import { positional } from "./wires.js";

/** @import { RpcStream } from "./stream.js" */
/** @import { Failure, Id, Read, Wire } from "./wires.js" */

/**
 * A call of ours.
 *
 * @typedef {object} Call
 * @property {string} method
 * @property {unknown} params
 * @property {boolean} [silent] a notification
 * @property {RpcStream} [stream]
 * @property {boolean | (() => void)} [resubscribe] a stream that goes on after a reconnect
 * @property {boolean} [lost] it was under way on a connection that has ended
 * @property {number} [id] on the connection it is under way on
 * @property {(value?: any) => void} succeed
 * @property {(error: unknown) => void} fail
 */

/**
 * What a route finds as `this`.
 *
 * @typedef {object} Context
 * @property {string} name of the route
 * @property {AbortSignal} signal aborted when the call is cancelled or the connection ends
 * @property {(value?: unknown) => void} resolve answers, for routes added as asynchronous
 * @property {(error: unknown) => void} reject
 */

/** @typedef {{ run: (this: Context, ...args: any[]) => unknown, isAsync: boolean }} Route */

/**
 * @typedef {object} Owner what a link asks of the `Rpc` it belongs to
 * @property {(text: string) => void} send
 * @property {(name: string) => Route | undefined} route
 * @property {(value: unknown) => void} event a message for listeners to server events
 * @property {(error: unknown) => void} error what no call can be told
 * @property {(reason: string) => void} fault the other side must not be listened to
 * @property {(failure: Failure) => Error} raise the error for what was answered
 * @property {number} maxCalls calls of the other side at a time
 */

const MOST_STRAYS = 1000;
const MOST_IN_BATCH = 1000;

export class Link {
  /** @type {Wire} */ #wire;
  /** @type {Owner} */ #owner;
  /** @type {Map<Id, Call>} */ #pending = new Map();
  /** @type {Map<Id, Incoming>} */ #incoming = new Map();
  /** @type {number} */ #last;
  #strays = 0;
  #alive = true;

  /**
   * @param {Wire} wire
   * @param {Owner} owner
   */
  constructor(wire, owner) {
    this.#wire = wire;
    this.#owner = owner;
    this.#last = wire.first;
  }

  /** How many calls of ours wait for an answer. */
  get size() {
    return this.#pending.size;
  }

  /** Send something that the other side will answer. */
  ping() {
    const ignore = () => {};
    this.start({ method: this.#wire.ping, params: undefined, succeed: ignore, fail: ignore });
  }

  // --- our calls ---------------------------------------------------------------

  /**
   * Send a call of ours.
   *
   * @param {Call} call
   */
  start(call) {
    const { method, params, stream } = call;
    const silent = call.silent && this.#wire.extended;
    const id = silent ? undefined : (this.#last += this.#wire.step);
    try {
      if (stream && !this.#wire.extended) {
        throw new RpcError(`${this.#wire.name} has no streams`, { code: Code.STREAM_MISMATCH });
      }
      this.#owner.send(JSON.stringify(this.#wire.call(id, method, params, stream?.begin())));
    } catch (error) {
      call.fail(error); // not JSON, or too much is unsent
      return;
    }
    if (silent) return call.succeed();
    call.id = id;
    this.#pending.set(id, call);
    if (call.silent) call.succeed();
  }

  /**
   * Nobody waits for the answer any more.
   *
   * @param {Call} call
   */
  cancel(call) {
    if (this.#pending.get(call.id) !== call) return;
    this.#pending.delete(call.id);
    this.#tell("$/cancel", { id: call.id });
  }

  /**
   * Let the other side send more items of a stream.
   *
   * @param {Call} call
   * @param {number} count
   */
  more(call, count) {
    if (this.#pending.get(call.id) === call) this.#tell("$/more", { id: call.id, count });
  }

  /** The connection has ended: returns our calls that were under way. */
  end() {
    this.#alive = false;
    const incoming = [...this.#incoming.values()];
    this.#incoming.clear();
    for (const call of incoming) call.abort("the connection has ended", Code.DISCONNECTED);
    const lost = [...this.#pending.values()];
    this.#pending.clear();
    return lost;
  }

  // --- what comes in -----------------------------------------------------------

  /** @param {unknown} data of a message */
  receive(data) {
    if (typeof data !== "string") return this.#owner.fault("messages must be text");
    let message;
    try {
      message = JSON.parse(data);
    } catch (error) {
      const why = `not JSON: ${/** @type {Error} */ (error).message}`;
      return this.#refuse(Code.PARSE_ERROR, why);
    }
    if (Array.isArray(message) && this.#wire.extended) return this.#takeBatch(message);
    this.#take(message)?.then((answer) => this.#post(answer));
  }

  /** @param {unknown[]} batch */
  #takeBatch(batch) {
    if (!batch.length || batch.length > MOST_IN_BATCH) {
      const found = `a batch must have 1 to ${MOST_IN_BATCH} messages, not ${batch.length}`;
      return this.#refuse(Code.INVALID_REQUEST, found);
    }
    const answers = batch.map((message) => this.#take(message, true)).filter(Boolean);
    Promise.all(answers).then((texts) => texts.length && this.#post(`[${texts}]`));
  }

  /**
   * Do what a message says; returns the text of what to answer, if anything.
   *
   * @param {any} message
   * @param {boolean} [inBatch]
   * @returns {Promise<string> | undefined}
   */
  #take(message, inBatch = false) {
    const read = this.#wire.read(message);
    const { kind, id, failure } = read;
    switch (kind) {
      case "call":
        return this.#called(read, message, inBatch);
      case "invalid": {
        const why = /** @type {Failure} */ (failure);
        // Neither a call nor an answer: if it was to be the answer of a call, that fails.
        if (!message?.method) this.#taken(id)?.fail(this.#owner.raise(why));
        return Promise.resolve(this.#text(this.#wire.error(id, why), id));
      }
      case "result":
        this.#answered(id)?.succeed(read.value);
        break;
      case "error": {
        const error = this.#owner.raise(/** @type {Failure} */ (failure));
        if (id === null || id === undefined) this.#owner.error(error);
        else this.#answered(id)?.fail(error);
        break;
      }
      case "item": {
        const call = this.#pending.get(id);
        if (call?.stream?.push(read.value) === false) this.cancel(call);
        break;
      }
      case "more": {
        const incoming = this.#incoming.get(id);
        if (incoming) incoming.grant(/** @type {number} */ (read.count));
        break;
      }
      case "cancel":
        this.#incoming.get(id)?.cancel();
        break;
      case "event":
        this.#owner.event(read.value);
    }
  }

  /** @param {Id} id */
  #taken(id) {
    const call = this.#pending.get(id);
    this.#pending.delete(id);
    return call;
  }

  /** @param {Id} id */
  #answered(id) {
    const call = this.#taken(id);
    // The answer to a call that was given up comes late; to one never made, from a stranger.
    const asked = typeof id === "number" && id > this.#wire.first && id <= this.#last;
    if (!call && !asked && ++this.#strays > MOST_STRAYS) {
      this.#owner.fault(`more than ${MOST_STRAYS} answers to calls that were not made`);
    }
    return call;
  }

  // --- calls of the other side -------------------------------------------------

  /**
   * @param {Read} read
   * @param {unknown} frame
   * @param {boolean} inBatch
   * @returns {Promise<string> | undefined}
   */
  #called(read, frame, inBatch) {
    const id = read.id;
    const method = /** @type {string} */ (read.method);
    const route = this.#owner.route(method);
    /** @type {[code: number, type: string, message: string] | undefined} */
    const refusal = inBatch && read.window
      ? [Code.INVALID_REQUEST, "InvalidRequest", "a stream cannot be part of a batch"]
      : this.#incoming.has(id)
        ? [Code.INVALID_REQUEST, "InvalidRequest", `the id ${JSON.stringify(id)} is in use`]
        : this.#incoming.size >= this.#owner.maxCalls
          ? [Code.TOO_BUSY, "TooBusy", `${this.#incoming.size} calls are under way already`]
          : route ? undefined : [Code.METHOD_NOT_FOUND, "MethodNotFound", "Route not found"];
    if (id === undefined) {
      if (!route) this.#owner.event(frame);
      // Nobody is told how it ended; but it counts among the calls under way.
      else if (!refusal) this.#run(route, read, Symbol(method));
      return;
    }
    if (refusal) {
      const [code, type, message] = refusal;
      return Promise.resolve(this.#text(this.#wire.error(id, { code, type, message }), id));
    }
    return this.#run(/** @type {Route} */ (route), read, id);
  }

  /**
   * Call a route; the promise has the text of the answer, and stays open if the
   * connection ends first.
   *
   * @param {Route} route
   * @param {Read} read
   * @param {any} key of the call among those under way
   * @returns {Promise<string>}
   */
  #run(route, { id, method, params, window }, key) {
    return new Promise((resolve) => {
      const incoming = new Incoming(window ?? 0, () => {
        answer(this.#wire.error(id, { code: Code.CANCELLED, message: "cancelled", type: "Cancelled" }));
      });
      /** @param {object} found */
      const answer = (found) => {
        if (this.#incoming.get(key) !== incoming) return; // too late
        this.#incoming.delete(key);
        resolve(this.#text(found, id));
      };
      this.#incoming.set(key, incoming);
      incoming
        .call(route, /** @type {string} */ (method), positional(params))
        .then((value) => {
          if (isStream(value) !== (window !== undefined)) {
            if (!window) value.return?.();
            throw new RpcError(
              `${method} is ${window ? "not a stream" : "a stream: ask for it as one"}`,
              { code: Code.STREAM_MISMATCH, type: "StreamMismatch" },
            );
          }
          if (!window) return value;
          return incoming.pump(value, (item) => this.#tell("$/item", { id, value: plain(item) }));
        })
        .then(
          (value) => answer(this.#wire.result(id, plain(value))),
          (error) => {
            if (id === undefined) this.#owner.error(error);
            answer(this.#wire.error(id, failureOf(error)));
          },
        );
    });
  }

  // --- what goes out -----------------------------------------------------------

  /**
   * @param {number} code
   * @param {string} message
   */
  #refuse(code, message) {
    this.#post(this.#text(this.#wire.error(null, { code, message, type: "InvalidRequest" }), null));
  }

  /**
   * @param {string} method
   * @param {object} params
   */
  #tell(method, params) {
    if (this.#alive && this.#wire.extended) {
      this.#post(JSON.stringify(this.#wire.call(undefined, method, params)));
    }
  }

  /**
   * The text of an answer, whatever a route has put into it.
   *
   * @param {object} answer
   * @param {Id} id
   */
  #text(answer, id) {
    try {
      return JSON.stringify(answer);
    } catch (error) {
      const message = `the answer is not JSON: ${/** @type {Error} */ (error).message}`;
      return JSON.stringify(this.#wire.error(id, { code: Code.INTERNAL_ERROR, message }));
    }
  }

  /**
   * Send what nobody waits for.
   *
   * @param {string} text
   */
  #post(text) {
    if (!this.#alive) return;
    try {
      this.#owner.send(text);
    } catch (error) {
      // The other side asks for more than it takes.
      this.#owner.fault(/** @type {Error} */ (error).message);
    }
  }
}

/** A call of the other side that is under way. */
class Incoming {
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
    const stop = () => void Promise.resolve(iterator.return?.()).catch(() => {});
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
const isStream = (value) => Boolean(
  value?.[Symbol.asyncIterator] || (value?.[Symbol.iterator] && typeof value.next === "function"),
);

/** What JSON has no word for is null. @param {unknown} value */
const plain = (value) => (
  ["undefined", "function", "symbol"].includes(typeof value) ? null : value
);

/**
 * What the other side is told of something that a route threw.
 *
 * @param {any} error
 * @returns {Failure}
 */
function failureOf(error) {
  if (!(error instanceof Error)) error = { message: String(error?.message ?? error), ...error };
  const { message, type, name = "Error", data } = error;
  // Other errors have codes, too, which mean something else.
  const code = error instanceof RpcError ? error.code : Code.APPLICATION;
  return { code, message: String(message), type: String(type ?? name), data };
}
