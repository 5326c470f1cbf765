/**
 * Errors, told apart by class and by `code`, the code of JSON-RPC.
 *
 *     RpcError              every error of this library
 *     ├── RemoteError       the other side answered with an error
 *     ├── TimeoutError      no answer within the call's `timeout`
 *     └── DisconnectedError there is no connection, or it ended before the answer
 *
 * A call that its `signal` ended rejects with the signal's reason, as `fetch` does.
 */

/** @import { CloseReport } from "./client.js" */

/** Codes of errors. What JSON-RPC 2.0 names, and ours from -32000 on. */
export const Code = /* @__PURE__ */ Object.freeze({
  PARSE_ERROR: -32700,
  INVALID_REQUEST: -32600,
  METHOD_NOT_FOUND: -32601,
  INVALID_PARAMS: -32602,
  INTERNAL_ERROR: -32603,
  APPLICATION: -32000,
  NOT_AUTHORISED: -32001,
  TOO_BUSY: -32002,
  DEADLINE: -32003,
  STREAM_MISMATCH: -32004,
  DISCONNECTED: -32005,
  TOO_LARGE: -32006,
  CANCELLED: -32800,
});

/**
 * @typedef {object} Details
 * @property {number} [code] one of `Code`, or the application's own
 * @property {string} [type] the name of the exception's class
 * @property {unknown} [data] what the exception carries beside its message
 * @property {string} [id] under which the server's log has an internal error
 * @property {string} [traceback] where the server allows it
 */

/** An error of a call. Thrown by a route, it crosses the wire with all it has. */
export class RpcError extends Error {
  /**
   * @param {string} message
   * @param {Details} [details]
   */
  constructor(message, details = {}) {
    super(message);
    this.name = "RpcError";
    /** One of `Code`, or the application's own. */
    this.code = details.code ?? Code.APPLICATION;
    /** The name of the exception's class on the side that raised it. */
    this.type = details.type;
    /** What the exception carries beside its message. */
    this.data = details.data;
  }
}

/** The other side answered with an error. */
export class RemoteError extends RpcError {
  /**
   * @param {string} message
   * @param {Details} [details]
   */
  constructor(message, details = {}) {
    super(message, details);
    this.name = "RemoteError";
    /** Under which the server's log has an internal error. */
    this.id = details.id;
    /** Where it was raised, if the server tells. */
    this.traceback = details.traceback;
  }
}

/** No answer came in time; the other side was told to stop. */
export class TimeoutError extends RpcError {
  /** @param {string} message */
  constructor(message) {
    super(message, { code: Code.DEADLINE, type: "TimeoutError" });
    this.name = "TimeoutError";
  }
}

/** There is no connection, or it ended before the answer. */
export class DisconnectedError extends RpcError {
  /**
   * @param {string} message
   * @param {CloseReport} [report]
   */
  constructor(message, report) {
    super(message, { code: Code.DISCONNECTED, type: "DisconnectedError" });
    this.name = "DisconnectedError";
    /** Why the connection ended, if there was one. */
    this.report = report;
  }
}
