/**
 * Wires: what calls and answers look like as JSON, in and out.
 *
 * A wire is an object of pure functions. Those that write return text and take values that
 * are JSON already; `read` says what a message is and never throws. docs/rpc/wire.md
 * describes all three.
 */

import { Code } from "./errors.js";
import { attempt, integer } from "./values.js";

/** @typedef {string | number | null | undefined} Id */

/**
 * @typedef {object} Failure an error on its way
 * @property {string} message
 * @property {number} [code]
 * @property {string} [type]
 * @property {unknown} [data]
 * @property {string} [id]
 * @property {string} [traceback]
 */

/**
 * What a message is:
 *
 * - `call`: `method`, `params`; `id` is undefined for a notification; `window` for streams
 * - `result`: `id`, `value`
 * - `error`: `id`, `failure`
 * - `item`: `id`, `value` of a stream; `more`: `id`, `count`; `cancel`: `id`
 * - `limits`: `count`, the bytes of the largest message that the other side takes
 * - `event`: `value`, for the listeners to server events
 * - `invalid`: `failure`, to be answered with `id`
 * - `nothing`: to be ignored
 *
 * @typedef {object} Read
 * @property {"call" | "result" | "error" | "item" | "more" | "cancel" | "limits" | "event" | "invalid" | "nothing"} kind
 * @property {any} [id]
 * @property {string} [method]
 * @property {unknown} [params]
 * @property {number} [window]
 * @property {any} [value]
 * @property {number} [count]
 * @property {Failure} [failure]
 */

/**
 * @typedef {object} Wire
 * @property {string} name the subprotocol
 * @property {boolean} extended whether it has streams, cancellation and notifications
 * @property {number} first the id before the first
 * @property {number} step from one id to the next
 * @property {string} ping a method that any peer answers, if only with an error
 * @property {(id: Id, method: string, params?: string, window?: number) => string} call
 * @property {(id: Id, value: string) => string} result
 * @property {(id: Id, failure: Failure) => string} error
 * @property {(message: any) => Read} read
 */

/** @param {unknown} value @returns {value is Record<string, any>} */
const isObject = (value) => typeof value === "object" && value !== null && !Array.isArray(value);

// An id comes back with the answer, so it must not be large.
const MAX_ID = 256;

/** @param {unknown} id */
const isId = (id) => typeof id === "number" || (typeof id === "string" && id.length <= MAX_ID);

/** @param {unknown} value */
const textOrNothing = (value) => (typeof value === "string" ? value : undefined);

/** @param {unknown} value */
const isCount = (value) => Number.isInteger(value) && /** @type {number} */ (value) > 0;

/** The most items that a stream may be granted at once. */
export const MAX_WINDOW = 1024;

/** @param {string} message @returns {Failure} */
export const invalidRequest = (message) => ({ code: Code.INVALID_REQUEST, message, type: "InvalidRequest" });

/**
 * @param {Id} id
 * @param {string} message
 * @returns {Read}
 */
const invalid = (id, message) => ({ kind: "invalid", id, failure: invalidRequest(message) });

/**
 * Return an object as JSON, with one more member that is JSON already.
 *
 * @param {object} head
 * @param {string} name
 * @param {string | undefined} value
 */
const joined = (head, name, value) => (
  value === undefined ? JSON.stringify(head) : `${JSON.stringify(head).slice(0, -1)},"${name}":${value}}`
);

/** What `data` of an error has where it is one of ours. */
const ENVELOPE = ["type", "data", "id", "traceback"];

/** @param {unknown} value of a message */
const said = (value) => (typeof value === "string" ? value : attempt(() => JSON.stringify(value)) ?? "");

/**
 * The failure that an error's JSON tells of, whatever shape it has.
 *
 * @param {any} error
 * @returns {Failure}
 */
export function told(error) {
  if (!isObject(error)) return { message: said(error) };
  const { message = "", data } = error;
  const isOurs = isObject(data) && typeof data.type === "string"
    && Object.keys(data).every((key) => ENVELOPE.includes(key));
  return {
    message: said(message),
    code: integer(error.code),
    type: textOrNothing(error.type) ?? textOrNothing(data?.type),
    data: isOurs ? data.data : data,
    id: isOurs ? textOrNothing(data.id) : undefined,
    traceback: textOrNothing((isOurs ? data : error).traceback),
  };
}

/** The notifications that begin with "$/". */
/** @type {Record<string, (params: any) => Read | false>} */
const PROTOCOL = {
  "$/item": ({ id, value }) => ({ kind: "item", id, value }),
  "$/more": ({ id, count }) => isCount(count) && { kind: "more", id, count },
  "$/cancel": ({ id }) => ({ kind: "cancel", id }),
  "$/cancelRequest": ({ id }) => ({ kind: "cancel", id }), // the Language Server Protocol's name
  "$/limits": ({ message }) => isCount(message) && { kind: "limits", count: message },
};

/** @type {Wire} */
export const jsonrpc = {
  name: "longwire.jsonrpc",
  extended: true,
  first: 0,
  step: 1,
  ping: "$/ping",

  call: (id, method, params, window) => (
    joined({ jsonrpc: "2.0", id, method, stream: window }, "params", params)
  ),
  result: (id, value) => joined({ jsonrpc: "2.0", id }, "result", value),
  error: (id, { code = Code.APPLICATION, message, ...data }) => (
    JSON.stringify({ jsonrpc: "2.0", id, error: { code, message, data } })
  ),

  read(message) {
    if (!isObject(message)) return invalid(null, "a message must be an object");
    const { id, method, params, stream, error } = message;
    const answerTo = isId(id) ? id : null;
    if (message.jsonrpc !== "2.0") return invalid(answerTo, 'jsonrpc must be "2.0"');
    if (method === undefined) {
      const isResult = "result" in message;
      if (isResult ? error ?? false : "error" in message) return { kind: "error", id, failure: told(error) };
      if (isResult) return { kind: "result", id, value: message.result };
      return invalid(answerTo, "there is neither method nor result nor error");
    }
    if (typeof method !== "string") return invalid(answerTo, "method must be a string");
    if (id !== undefined && !isId(id)) return invalid(null, "id must be a number or a short string");
    if (params !== undefined && typeof params !== "object") {
      return invalid(answerTo, "params must be an array or an object");
    }
    if (stream !== undefined && !(isCount(stream) && stream <= MAX_WINDOW && id !== undefined)) {
      return invalid(answerTo, `stream must be an integer from 1 to ${MAX_WINDOW}, of a call with an id`);
    }
    if (id === undefined && method.startsWith("$/")) {
      const known = Object.hasOwn(PROTOCOL, method) && isObject(params);
      return (known && PROTOCOL[method](params)) || { kind: "nothing" };
    }
    return { kind: "call", id, method, params, window: stream };
  },
};

/** What today's wsrpc speaks. @type {Wire} */
export const wsrpc = {
  name: "wsrpc",
  extended: false,
  first: 1,
  step: 2,
  ping: "ping",

  call: (id, method, params = "null") => joined({ id, method }, "params", params),
  result: (id, value) => joined({ id }, "result", value),
  error: (id, { type = "Error", message, traceback }) => (
    JSON.stringify({ id, error: { type, message, traceback } })
  ),

  read(message) {
    if (!isObject(message)) return invalid(null, "a message must be an object");
    const { id, method, params } = message;
    if (id === undefined) return { kind: "event", value: message };
    if (id !== null && !isId(id)) return invalid(null, "id must be a number or a short string");
    if (method !== undefined) {
      if (typeof method !== "string") return invalid(id, "method must be a string");
      return { kind: "call", id, method, params };
    }
    if (message.error !== undefined && message.error !== null) {
      return { kind: "error", id, failure: told(message.error) };
    }
    return { kind: "result", id, value: message.result ?? null };
  },
};

/** What wsrpc spoke when it was written about. @type {Wire} */
export const wsrpc1 = {
  name: "wsrpc.1",
  extended: false,
  first: 1,
  step: 2,
  ping: "ping",

  call: (id, method, params = "null") => (
    joined({ serial: id, type: "call", call: method }, "arguments", params)
  ),
  result: (id, value) => joined({ serial: id, type: "callback" }, "data", value),
  // A text, as servers of that time expect it; with a traceback it is worth an object.
  error: (id, { type, message, traceback }) => JSON.stringify({
    serial: id, type: "error", data: traceback ? { type, message, traceback } : message,
  }),

  read(message) {
    const { serial: id, type = "call" } = isObject(message) ? message : {};
    // Without a serial there is nothing that an answer could name.
    if (typeof id !== "number" || id < 0) return { kind: "nothing" };
    if (type === "callback") return { kind: "result", id, value: message.data ?? null };
    if (type === "error") return { kind: "error", id, failure: told(message.data) };
    if (type !== "call" || typeof message.call !== "string") {
      return invalid(id, "type must be call, callback or error, and call a string");
    }
    return { kind: "call", id, method: message.call, params: message.arguments };
  },
};

/** @type {Record<string, Wire>} */
export const WIRES = { "longwire.jsonrpc": jsonrpc, wsrpc, "wsrpc.1": wsrpc1 };

/**
 * The arguments that `params` stand for: an array has them by position, an object is one,
 * nothing is none.
 *
 * @param {unknown} params
 * @returns {unknown[]}
 */
export function positional(params) {
  if (Array.isArray(params)) return params;
  return params === undefined || params === null ? [] : [params];
}
