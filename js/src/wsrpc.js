/**
 * WSRPC: the client object of the wsrpc family, with or without `new`.
 *
 *     RPC = WSRPC("/ws/", 5000);
 *     RPC.connect();
 *     RPC.call("test").then(show);
 */

import { checked } from "./options.js";
import { Rpc } from "./rpc.js";
import { RULES } from "./settings.js";
import { WIRES } from "./wires.js";

/** @import { RpcOptions } from "./settings.js" */

/**
 * Return an `Rpc` that speaks as pages of that family do: today's wire unless `options.wire`
 * says "wsrpc.1" (the one of wsrpc-tornado) or "longwire.jsonrpc". Of the first two it offers
 * no subprotocol, because those servers know none.
 *
 * @param {string | URL} url
 * @param {number | null} [reconnectTimeout] milliseconds; 1000
 * @param {RpcOptions | null} [options]
 * @returns {Rpc}
 */
function make(url, reconnectTimeout, options) {
  const { wire = "wsrpc", protocols = WIRES[wire]?.extended ? [wire] : [], ...others } = checked(options, RULES);
  const given = { wire, protocols, reconnect: reconnectTimeout ?? 1000, ...others };
  return Reflect.construct(Rpc, [url, given], new.target ?? WSRPC);
}

/** @typedef {typeof Rpc & typeof make & (new (...args: Parameters<typeof make>) => Rpc)} WSRPCClass */

export const WSRPC = /* @__PURE__ */ (() => {
  Object.setPrototypeOf(make, Rpc);
  /** @type {any} */ (make).EVENTS = Rpc.EVENTS;
  make.prototype = Object.create(Rpc.prototype, { constructor: { value: make } });
  return /** @type {WSRPCClass} */ (/** @type {unknown} */ (make));
})();
