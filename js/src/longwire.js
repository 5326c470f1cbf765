/**
 * longwire for browsers, Node, Deno and Bun: a WebSocket that comes back by itself, RPC in
 * both directions over it, and topics of a hub.
 */

export { Client } from "./client.js";
export { Code, DisconnectedError, RemoteError, RpcError, TimeoutError } from "./errors.js";
export { Hub, HubCode } from "./hub.js";
export { Rpc } from "./rpc.js";
export { RpcStream } from "./stream.js";
export { GapError, Subscription } from "./subscription.js";
export { WSRPC } from "./wsrpc.js";
