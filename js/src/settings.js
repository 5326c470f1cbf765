/** Settings: the options of an `Rpc` and of its calls, and what each may be. */

import { RULES as CLIENT } from "./client.js";
import { COUNT, FUNCTION, OBJECT, TIME, oneOf } from "./options.js";
import { json } from "./values.js";
import { MAX_WINDOW, WIRES } from "./wires.js";

/** @import { ClientOptions } from "./client.js" */
/** @import { Details } from "./errors.js" */
/** @import { Rule } from "./options.js" */

/**
 * @typedef {object} RpcSettings
 * @property {"longwire.jsonrpc" | "wsrpc" | "wsrpc.1" | null | undefined} [wire] the first of them
 * @property {number | null | undefined} [timeout] of every call that has none of its own; none
 * @property {"queue" | "keep" | "reject" | null | undefined} [offline] what becomes of calls while there is no
 *   connection: they wait for the next attempt and fail with it ("queue", the default), or
 *   wait for as long as it takes ("keep"), or fail at once ("reject")
 * @property {number | null | undefined} [maxQueue] calls that may wait for a connection; 1000
 * @property {number | null | undefined} [maxPending] calls that may wait for an answer; 10 000
 * @property {number | null | undefined} [maxCalls] calls of the other side at a time; 1000
 * @property {number | null | undefined} [maxMessage] bytes that the other side takes in one message; our
 *   servers announce it
 * @property {boolean | null | undefined} [tracebacks] tell the other side the stacks of what routes throw
 * @property {Record<string, new (message: string, details: Details) => Error> | null | undefined} [errors]
 *   classes for errors of the other side, by the names of their types there
 * @property {((text: unknown, direction: "in" | "out") => void) | null | undefined} [onFrame] sees every message
 */

/** @typedef {ClientOptions & RpcSettings} RpcOptions */

/**
 * @typedef {object} CallOptions
 * @property {AbortSignal | null | undefined} [signal] gives the call up, and tells the other side
 * @property {number | null | undefined} [timeout] after which it is given up; null or Infinity for never
 * @property {boolean | null | undefined} [noWait] fail rather than wait for a connection
 */

/**
 * @typedef {object} StreamOptions
 * @property {AbortSignal | null | undefined} [signal] ends the stream with its reason
 * @property {number | null | undefined} [window] items that may be under way, 1 to 1024; 16
 * @property {boolean | (() => void) | null | undefined} [resubscribe] call again after a reconnect; a
 *   function is told when that happens: what was sent meanwhile is missing
 * @property {boolean | null | undefined} [noWait] fail rather than wait for a connection
 */

/** @internal @type {Record<string, Rule | null>} */
export const RULES = /* @__PURE__ */ Object.assign({}, CLIENT, {
  wire: /* @__PURE__ */ oneOf(WIRES),
  timeout: TIME,
  offline: /* @__PURE__ */ oneOf({ queue: 1, keep: 1, reject: 1 }),
  maxQueue: COUNT,
  maxPending: COUNT,
  maxCalls: COUNT,
  maxMessage: COUNT,
  tracebacks: null,
  errors: OBJECT,
  onFrame: FUNCTION,
});

/** @type {Rule} */
const SIGNAL = ["an AbortSignal", (value) => typeof value.addEventListener === "function", "object"];
/** @internal @type {Record<string, Rule | null>} */
export const CALL = { signal: SIGNAL, timeout: TIME, noWait: null };
/** @internal @type {Record<string, Rule | null>} */
export const STREAM = {
  signal: SIGNAL,
  window: [
    `an integer from 1 to ${MAX_WINDOW}`,
    (value) => Number.isInteger(value) && value >= 1 && value <= MAX_WINDOW,
    "number",
  ],
  resubscribe: null,
  noWait: null,
};
/** @internal @type {Rule} */
export const NAME = ["text that is not empty", (value) => value && json(value), "string"];
