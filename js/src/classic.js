/**
 * The classic script: for pages without modules, defines `WSRPC`, `RPC` and `longwire`.
 *
 * `RPC(url, options)` is `new longwire.Rpc(url, options)`; a page may as well keep its
 * connection under this name: `RPC = WSRPC(url, 5000)`.
 */

import * as longwire from "./longwire.js";

/** @import { Address } from "./client.js" */
/** @import { RpcOptions } from "./settings.js" */

/**
 * @param {Address} url
 * @param {RpcOptions | null} [options]
 */
function RPC(url, options) {
  return new longwire.Rpc(url, options);
}

Object.assign(globalThis, { longwire: { ...longwire }, WSRPC: longwire.WSRPC, RPC });
