/**
 * longwire for browsers, Node, Deno and Bun: a WebSocket that comes back by itself, and RPC
 * in both directions over it.
 */

export { Client } from "./client.js";
export { Code, DisconnectedError, RemoteError, RpcError, TimeoutError } from "./errors.js";
export { Rpc } from "./rpc.js";
export { RpcStream } from "./stream.js";
export { WSRPC } from "./wsrpc.js";
