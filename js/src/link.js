/**
 * Link: the calls of one connection, ours and those of the other side.
 *
 * It ends with its connection: what is under way then is given back, and what comes later
 * from a route that is still running goes nowhere, least of all to the next connection.
 */

import { Code, RpcError } from "./errors.js";
import { Incoming, deferred, isStream } from "./incoming.js";
import { attempt, exceeds, failureOf, json, messageOf, shortened, wellFormed } from "./values.js";
import { invalidRequest, positional } from "./wires.js";

/** @import { Route } from "./routes.js" */
/** @import { RpcStream } from "./stream.js" */
/** @import { Failure, Id, Read, Wire } from "./wires.js" */

/**
 * A call of ours.
 *
 * @typedef {object} Call
 * @property {string} method
 * @property {string | undefined} params as JSON
 * @property {boolean} [silent] a notification
 * @property {RpcStream} [stream]
 * @property {boolean | (() => void)} [resubscribe] a stream that goes on after a reconnect
 * @property {boolean} [lost] it was under way on a connection that has ended
 * @property {number} [id] on the connection it is under way on
 * @property {(value?: any) => void} succeed
 * @property {(error: unknown) => void} fail
 */

/** @typedef {{ id: Id, text: string }} Reply an answer, as text */

/**
 * @typedef {object} Owner what a link asks of the `Rpc` it belongs to
 * @property {(text: string) => void} send
 * @property {(name: string) => Route | undefined} route
 * @property {(value: unknown) => void} event a message for listeners to server events
 * @property {(error: unknown) => void} error what no call can be told
 * @property {(reason: string) => void} fault the other side must not be listened to
 * @property {(failure: Failure) => Error} raise the error for what was answered
 * @property {() => void} ready any call may be sent from now on
 * @property {number} maxCalls calls of the other side at a time
 * @property {number} [maxMessage] bytes that the other side takes in one message; undefined if
 *   it may announce them
 * @property {boolean} tracebacks whether the other side is told the stacks of errors
 */

const MAX_STRAYS = 1000;
const MAX_IN_BATCH = 1000;
/** A message that is longer waits until it is known how much the other side takes. */
const SMALL = 1 << 14;

/** Where the id stands in what is not JSON as a whole: at its beginning, or its end. */
const ID_FIRST = /^\s*\{\s*(?:"jsonrpc"\s*:\s*"2\.0"\s*,\s*)?"(?:id|serial)"\s*:\s*(0|[1-9]\d*|"[^"\\\x00-\x1f]{0,256}")\s*,/;
const ID_LAST = /,\s*"(?:id|serial)"\s*:\s*(0|[1-9]\d*|"[^"\\\x00-\x1f]{0,256}")\s*\}\s*$/;
const MAX_TAIL = 400;

const PING = "$/ping";

/** @param {string} message @returns {Failure} */
const internalError = (message) => ({ code: Code.INTERNAL_ERROR, message, type: "InternalError" });

export class Link {
  /** @type {Wire} */ #wire;
  /** @type {Owner} */ #owner;
  /** @type {Map<Id, Call>} */ #pending = new Map();
  /** @type {Map<Id, Incoming>} */ #incoming = new Map();
  /** @type {number} */ #last;
  #strays = 0;
  #alive = true;
  /** Bytes that the other side takes in one message; undefined while that is not known. @type {number | undefined} */
  #limit;

  /**
   * @param {Wire} wire
   * @param {Owner} owner
   */
  constructor(wire, owner) {
    this.#wire = wire;
    this.#owner = owner;
    this.#last = wire.first;
    this.#limit = owner.maxMessage;
  }

  /** How many calls of ours wait for an answer. */
  get size() {
    return this.#pending.size;
  }

  /**
   * Send something that the other side will answer.
   *
   * @param {() => void} [done] called when it has
   */
  ping(done = () => {}) {
    this.start({ method: this.#wire.ping, params: undefined, succeed: done, fail: done });
  }

  // --- our calls ---------------------------------------------------------------

  /**
   * Whether a call may be sent yet. If not, we ask how much the other side takes, and say
   * when it is known.
   *
   * @param {Call} call
   */
  takes({ method, params }) {
    if (this.#limit !== undefined || `${method}${params}`.length < SMALL) return true;
    // An announcement comes before the answer.
    this.ping(() => this.#limited(this.#limit ?? Infinity));
    return false;
  }

  /** @param {number} limit */
  #limited(limit) {
    this.#limit = this.#owner.maxMessage ?? limit;
    this.#owner.ready();
  }

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
      this.#owner.send(this.checked(this.#wire.call(id, method, params, stream?.begin())));
    } catch (error) {
      call.fail(error); // too large, or too much is unsent
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
      return this.#unreadable(data, `not JSON: ${messageOf(error)}`);
    }
    if (Array.isArray(message) && this.#wire.extended) return this.#takeBatch(message);
    this.#take(message)?.then(({ text }) => this.#post(text));
  }

  /**
   * Whatever it was, who waits for it is told, where the message shows who that is: some
   * servers write NaN, which is not JSON.
   *
   * @param {string} data
   * @param {string} message
   */
  #unreadable(data, message) {
    const found = ID_FIRST.exec(data) ?? ID_LAST.exec(data.slice(-MAX_TAIL));
    const id = found ? JSON.parse(found[1]) : null;
    // The first of these is the message's own, unless its members are in an odd order.
    const isCall = /"(method|call|result|callback|error)"/.exec(data)?.[1].match(/method|call$/);
    const failure = { code: Code.PARSE_ERROR, message, type: "ParseError" };
    const call = isCall ? undefined : this.#taken(id);
    if (call) call.fail(this.#owner.raise(failure));
    else this.#post(this.#error(isCall ? id : null, failure));
  }

  /** @param {unknown[]} batch */
  #takeBatch(batch) {
    if (!batch.length || batch.length > MAX_IN_BATCH) {
      const found = `a batch must have 1 to ${MAX_IN_BATCH} messages, not ${batch.length}`;
      return this.#post(this.#error(null, invalidRequest(found)));
    }
    /** @type {Promise<Reply>[]} */
    const answers = [];
    for (const message of batch) {
      const answer = this.#take(message, true);
      if (answer) answers.push(answer);
    }
    Promise.all(answers).then((found) => {
      if (!found.length) return;
      const text = `[${found.map((answer) => answer.text)}]`;
      const failure = internalError("the answers to this batch are too large");
      this.#post(this.#fits(text) ? text : `[${found.map(({ id }) => this.#error(id, failure))}]`);
    });
  }

  /**
   * Do what a message says; returns what to answer, if anything.
   *
   * @param {any} message
   * @param {boolean} [inBatch]
   * @returns {Promise<Reply> | undefined}
   */
  #take(message, inBatch = false) {
    const read = this.#wire.read(message);
    const { kind, id, failure } = read;
    switch (kind) {
      case "call":
        return this.#called(read, message, inBatch);
      case "invalid": {
        const why = /** @type {Failure} */ (failure);
        const isCall = message?.method !== undefined;
        // Neither a call nor an answer: if it was to be the answer of a call, that fails.
        if (!isCall) this.#taken(id)?.fail(this.#owner.raise(why));
        // The other side has calls of its own under such numbers.
        const named = isCall || !this.#wire.extended ? id : null;
        return Promise.resolve({ id: named, text: this.#error(named, why) });
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
      case "limits":
        this.#limited(/** @type {number} */ (read.count));
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
    if (!call && !asked && ++this.#strays > MAX_STRAYS) {
      this.#owner.fault(`more than ${MAX_STRAYS} answers to calls that were not made`);
    }
    return call;
  }

  // --- calls of the other side -------------------------------------------------

  /**
   * @param {Read} read
   * @param {unknown} frame
   * @param {boolean} inBatch
   * @returns {Promise<Reply> | undefined}
   */
  #called(read, frame, inBatch) {
    const { id, window } = read;
    const method = /** @type {string} */ (read.method);
    if (method === PING && id !== undefined) return Promise.resolve({ id, text: this.#result(id, null) });
    const route = this.#owner.route(method);
    if (id === undefined && !route) return void this.#owner.event(frame);
    const refusal = this.#refusal(id, inBatch && window)
      ?? (route ? undefined : { code: Code.METHOD_NOT_FOUND, type: "MethodNotFound", message: "Route not found" });
    if (!refusal) return this.#run(/** @type {Route} */ (route), read);
    // Nobody is told what becomes of a notification.
    if (id !== undefined) return Promise.resolve({ id, text: this.#error(id, refusal) });
  }

  /**
   * Why a call cannot begin, whatever its route.
   *
   * @param {any} id
   * @param {unknown} streamInBatch
   * @returns {Failure | undefined}
   */
  #refusal(id, streamInBatch) {
    if (streamInBatch) return invalidRequest("a stream cannot be part of a batch");
    if (this.#incoming.has(id)) return invalidRequest(`the id ${JSON.stringify(id)} is in use`);
    if (this.#incoming.size >= this.#owner.maxCalls) {
      return { code: Code.TOO_BUSY, type: "TooBusy", message: `${this.#incoming.size} calls are under way already` };
    }
  }

  /**
   * Call a route; the promise has the answer, and stays open if there is none: for a
   * notification, or if the connection ends first.
   *
   * @param {Route} route
   * @param {Read} read
   * @returns {Promise<Reply> | undefined}
   */
  #run(route, { id, method = "", params, window }) {
    // A notification is not answered, but counts among the calls under way.
    const key = id ?? Symbol(method);
    const { promise, resolve } = deferred();
    const incoming = new Incoming(window ?? 0, () => {
      answer(() => this.#error(id, { code: Code.CANCELLED, message: "cancelled", type: "Cancelled" }));
    });
    /** @param {() => string} text */
    const answer = (text) => {
      if (this.#incoming.get(key) !== incoming) return; // too late
      this.#incoming.delete(key);
      if (id !== undefined) resolve({ id, text: text() });
    };
    this.#incoming.set(key, incoming);
    incoming
      .call(route, method, positional(params))
      .then((value) => {
        if (isStream(value) !== (window !== undefined)) {
          if (!window) Promise.resolve(value.return?.()).catch(() => {});
          throw new RpcError(
            `${method} is ${window ? "not a stream" : "a stream: ask for it as one"}`,
            { code: Code.STREAM_MISMATCH, type: "StreamMismatch" },
          );
        }
        return window ? incoming.pump(value, (item) => this.#item(id, item)) : value;
      })
      .then(
        (value) => answer(() => this.#result(id, value)),
        (error) => {
          if (id === undefined) this.#owner.error(error);
          answer(() => this.#error(id, failureOf(error, this.#owner.tracebacks)));
        },
      );
    return id === undefined ? undefined : promise;
  }

  // --- what goes out -----------------------------------------------------------

  /** @param {string} text */
  #fits(text) {
    return !exceeds(text, this.#limit ?? Infinity);
  }

  /**
   * Return the text of a message if the other side can read it; throws otherwise.
   *
   * @param {string} text
   */
  checked(text) {
    if (this.#fits(text)) return wellFormed(text);
    throw new RpcError(
      `the message is larger than the ${this.#limit} bytes that the other side takes`, { code: Code.TOO_LARGE },
    );
  }

  /**
   * The text of an answer.
   *
   * @param {Id} id
   * @param {unknown} value
   */
  #result(id, value) {
    try {
      return this.checked(this.#wire.result(id, json(value)));
    } catch (error) {
      return this.#error(id, internalError(`the result cannot be sent: ${messageOf(error)}`));
    }
  }

  /**
   * The text of an answer that nothing can keep from being one.
   *
   * @param {Id} id
   * @param {Failure} failure
   * @returns {string}
   */
  #error(id, failure) {
    return attempt(() => this.checked(this.#wire.error(id, failure)))
      ?? this.#wire.error(id, shortened(failure)); // its data is not JSON, or it is too large
  }

  /**
   * Send an item of a stream; throws where it cannot be one.
   *
   * @param {Id} id
   * @param {unknown} value
   */
  #item(id, value) {
    try {
      const params = `{"id":${JSON.stringify(id)},"value":${json(value)}}`;
      this.#post(this.checked(this.#wire.call(undefined, "$/item", params)));
    } catch (error) {
      const failure = internalError(`an item cannot be sent: ${messageOf(error)}`);
      throw new RpcError(failure.message, failure);
    }
  }

  /**
   * @param {string} method
   * @param {object} params
   */
  #tell(method, params) {
    if (this.#alive && this.#wire.extended) {
      this.#post(this.#wire.call(undefined, method, JSON.stringify(params)));
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
      this.#owner.fault(messageOf(error));
    }
  }
}
