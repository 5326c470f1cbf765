/**
 * Values: what crosses the wire, as JSON text, and what of it cannot.
 *
 * JSON.stringify decides what a value is, with three exceptions: what it leaves out without
 * a word is refused (a `Map` would arrive as an empty object), and so is text that no
 * other parser takes; a result or an item that is not there at all is null.
 */

import { Code, RpcError } from "./errors.js";

/** @import { Failure } from "./wires.js" */

// Characters of what is told of an error.
const MAX_TYPE = 100;
const MAX_TRACEBACK = 8192;
const MAX_EXCERPT = 500;

// JSON.stringify writes half of a surrogate pair as \udxxx. RFC 8259 section 8.2: what
// parsers do with it is unpredictable; msgspec, for one, refuses the whole message.
const LONE_SURROGATE = /(^|[^\\])(\\\\)*\\ud[89a-f]/;

/** @param {unknown} value */
const kindOf = (value) => Object.prototype.toString.call(value).slice(8, -1);

/**
 * Return a value as JSON, for a result or an item; throws what cannot be said.
 *
 * @param {unknown} value
 * @returns {string}
 */
export function json(value) {
  try {
    const text = JSON.stringify(value) ?? "null";
    if (text.includes("{}")) JSON.stringify(value, refuseEmptied);
    return wellFormed(text);
  } catch (error) {
    // What getters and toJSON() throw may be anything.
    throw new TypeError(`not JSON: ${messageOf(error)}`, { cause: error });
  }
}

/**
 * Refuse what JSON.stringify makes nothing of, at any depth.
 *
 * @param {string} _
 * @param {any} value
 */
function refuseEmptied(_, value) {
  const kind = kindOf(value);
  if (typeof value === "object" && !/^(Object|Array|Null)$/.test(kind) && JSON.stringify(value) === "{}") {
    throw new TypeError(`${kind} would arrive as an empty object`);
  }
  return value;
}

/** @param {string} text of JSON */
export function wellFormed(text) {
  if (text.includes("\\ud") && LONE_SURROGATE.test(text)) {
    throw new TypeError("a string has half of a surrogate pair, as of an emoji cut in two");
  }
  return text;
}

/**
 * Return arguments as JSON: an array has them by position, an object by name, undefined and
 * null are none, and any other value is one. What counts is what JSON makes of it: a `Date`
 * is a string.
 *
 * @param {unknown} params
 * @returns {string | undefined}
 */
export function jsonOfArguments(params) {
  if (params === undefined || params === null) return undefined;
  if (typeof params === "function" || typeof params === "symbol") {
    throw new TypeError(`not JSON: a ${typeof params}`);
  }
  const text = json(params);
  return /^[[{]/.test(text) ? text : `[${text}]`;
}

/**
 * Whether a text takes more bytes than `limit`, in UTF-8.
 *
 * @param {string} text
 * @param {number} limit
 */
export function exceeds(text, limit) {
  // A character of JavaScript takes one to three bytes.
  return text.length > limit
    || (text.length * 3 > limit && new TextEncoder().encode(text).length > limit);
}

/**
 * What a function returns, or undefined if it throws.
 *
 * @template T
 * @param {() => T} read
 * @returns {T | undefined}
 */
export function attempt(read) {
  try {
    return read();
  } catch {
    return undefined;
  }
}

/** @param {unknown} value */
export const integer = (value) => (Number.isInteger(value) ? /** @type {number} */ (value) : undefined);

/**
 * The text of a value, as any parser takes it.
 *
 * @param {unknown} value
 * @param {number} [size] in characters
 */
const said = (value, size) => String(value).slice(0, size).replace(/\p{Surrogate}/gu, "\ufffd");

/**
 * The text of something that was thrown. It may be anything, and each look at it may throw.
 *
 * @param {any} error
 * @returns {string}
 */
export const messageOf = (error) => attempt(() => said(error?.message ?? error)) ?? "an error that cannot be shown";

/**
 * What the other side is told of something that a route threw. Never throws.
 *
 * @param {any} error
 * @param {boolean} [tracebacks] whether the stack is told, too
 * @returns {Failure}
 */
export function failureOf(error, tracebacks) {
  return {
    // Other errors have codes, too, which mean something else.
    code: attempt(() => error instanceof RpcError && integer(error.code)) || Code.APPLICATION,
    message: messageOf(error),
    type: attempt(() => said(error?.type ?? error?.name ?? "Error", MAX_TYPE)) ?? "Error",
    data: attempt(() => error?.data),
    traceback: attempt(() => (tracebacks && error.stack ? said(error.stack, MAX_TRACEBACK) : undefined)),
  };
}

/**
 * What is left of a failure that cannot be told as it is.
 *
 * @param {Failure} failure
 * @returns {Failure}
 */
export const shortened = ({ code, message, type }) => ({ code, message: said(message, MAX_EXCERPT), type });
