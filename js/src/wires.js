/**
 * Wires: what calls and answers look like as JSON, in and out.
 *
 * A wire is an object of pure functions. Those that write return what `JSON.stringify`
 * takes; `read` says what a message is and never throws. docs/rpc/wire.md
 * describes all three.
 */

import { Code } from "./errors.js";

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
 * - `event`: `value`, for the listeners to server events
 * - `invalid`: `failure`, to be answered with `id`
 * - `nothing`: to be ignored
 *
 * @typedef {object} Read
 * @property {"call" | "result" | "error" | "item" | "more" | "cancel" | "event" | "invalid" | "nothing"} kind
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
 * @property {(id: Id, method: string, params: unknown, window?: number) => object} call
 * @property {(id: Id, value: unknown) => object} result
 * @property {(id: Id, failure: Failure) => object} error
 * @property {(message: any) => Read} read
 */

/** @param {unknown} value @returns {value is Record<string, any>} */
const isObject = (value) => typeof value === "object" && value !== null && !Array.isArray(value);

/** @param {unknown} id */
const isId = (id) => typeof id === "number" || typeof id === "string";

/** @param {unknown} value */
const isCount = (value) => Number.isInteger(value) && /** @type {number} */ (value) > 0;

/** The most items that a stream may be granted at once. */
export const MAX_WINDOW = 1024;

/**
 * @param {Id} id
 * @param {string} message
 * @param {number} [code]
 * @returns {Read}
 */
const invalid = (id, message, code = Code.INVALID_REQUEST) => ({
  kind: "invalid",
  id,
  failure: { code, message, type: "InvalidRequest" },
});

/**
 * The failure that an error's JSON tells of, whatever shape it has.
 *
 * @param {any} error
 * @returns {Failure}
 */
function told(error) {
  if (!isObject(error)) return { message: String(error) };
  const more = isObject(error.data) ? error.data : {};
  return {
    message: String(error.message ?? ""),
    code: Number.isInteger(error.code) ? error.code : undefined,
    type: error.type ?? more.type,
    data: isObject(error.data) ? more.data : error.data,
    id: more.id,
    traceback: more.traceback,
  };
}

/** The notifications that begin with "$/". */
/** @type {Record<string, (params: any) => Read | false>} */
const PROTOCOL = {
  "$/item": ({ id, value }) => ({ kind: "item", id, value }),
  "$/more": ({ id, count }) => isCount(count) && { kind: "more", id, count },
  "$/cancel": ({ id }) => ({ kind: "cancel", id }),
};

/** @type {Wire} */
export const jsonrpc = {
  name: "longwire.jsonrpc",
  extended: true,
  first: 0,
  step: 1,
  ping: "$/ping",

  call(id, method, params, window) {
    const structured = params === undefined || typeof params === "object";
    return {
      jsonrpc: "2.0",
      id,
      method,
      params: structured ? params ?? undefined : [params],
      stream: window,
    };
  },
  result: (id, value) => ({ jsonrpc: "2.0", id, result: value }),
  error: (id, { code = Code.APPLICATION, message, type, data }) => ({
    jsonrpc: "2.0", id, error: { code, message, data: { type, data } },
  }),

  read(message) {
    if (!isObject(message)) return invalid(null, "a message must be an object");
    const { id, method, params, stream } = message;
    const answerTo = isId(id) ? id : null;
    if (message.jsonrpc !== "2.0") return invalid(answerTo, 'jsonrpc must be "2.0"');
    if (method === undefined) {
      if ("error" in message) return { kind: "error", id, failure: told(message.error) };
      if ("result" in message) return { kind: "result", id, value: message.result };
      return invalid(answerTo, "there is neither method nor result nor error");
    }
    if (typeof method !== "string") return invalid(answerTo, "method must be a string");
    if (id !== undefined && !isId(id)) return invalid(null, "id must be a string or a number");
    if (params !== undefined && typeof params !== "object") {
      return invalid(answerTo, "params must be an array or an object");
    }
    if (stream !== undefined && !(isCount(stream) && stream <= MAX_WINDOW)) {
      return invalid(answerTo, `stream must be an integer from 1 to ${MAX_WINDOW}`);
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

  call: (id, method, params) => ({ id, method, params: params ?? null }),
  result: (id, value) => ({ id, result: value }),
  error: (id, { type = "Error", message }) => ({ id, error: { type, message } }),

  read(message) {
    if (!isObject(message)) return invalid(null, "a message must be an object");
    const { id, method, params } = message;
    if (id === undefined) return { kind: "event", value: message };
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

  call: (id, method, params) => ({ serial: id, type: "call", call: method, arguments: params ?? null }),
  result: (id, value) => ({ serial: id, type: "callback", data: value }),
  error: (id, { message }) => ({ serial: id, type: "error", data: message }),

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
export const WIRES = Object.freeze(
  Object.fromEntries([jsonrpc, wsrpc, wsrpc1].map((wire) => [wire.name, wire])),
);

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
