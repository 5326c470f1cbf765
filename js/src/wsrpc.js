/**
 * WSRPC: the client object of the wsrpc family, with or without `new`.
 *
 *     RPC = WSRPC("/ws/", 5000);
 *     RPC.connect();
 *     RPC.call("test").then(show);
 */

import { Rpc } from "./rpc.js";
import { WIRES } from "./wires.js";

/** @import { RpcOptions } from "./rpc.js" */

/**
 * Return an `Rpc` that speaks as pages of that family do: today's wire unless `options.wire`
 * says "wsrpc.1" (the one of wsrpc-tornado) or "longwire.jsonrpc". Of the first two it offers
 * no subprotocol, because those servers know none.
 *
 * @param {string | URL} url
 * @param {number} [reconnectTimeout] milliseconds
 * @param {RpcOptions} [options]
 * @returns {Rpc}
 */
function make(url, reconnectTimeout = 1000, options = {}) {
  const { wire = "wsrpc" } = options;
  const protocols = WIRES[wire]?.extended ? [wire] : [];
  return Reflect.construct(
    Rpc, [url, { wire, protocols, reconnect: reconnectTimeout, ...options }], new.target ?? WSRPC,
  );
}

Object.setPrototypeOf(make, Rpc);
make.prototype = Object.create(Rpc.prototype, { constructor: { value: make } });

/** @typedef {typeof Rpc & typeof make & (new (...args: Parameters<typeof make>) => Rpc)} WSRPCClass */

export const WSRPC = /** @type {WSRPCClass} */ (/** @type {unknown} */ (make));
