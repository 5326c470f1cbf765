/** Our client at servers that other people's JSON-RPC makes. */

import assert from "node:assert/strict";
import { once } from "node:events";
import { describe, test } from "node:test";

import { JSONRPCClient, JSONRPCErrorException, JSONRPCServer, JSONRPCServerAndClient } from "json-rpc-2.0";
import { Server } from "rpc-websockets";
import {
  AbstractMessageReader, AbstractMessageWriter, CancellationTokenSource, Disposable, ErrorCodes,
  ParameterStructures, ResponseError, createMessageConnection,
} from "vscode-jsonrpc/node";
import { WebSocketServer } from "ws";

import { failure, makeRpc, soon } from "./peer.js";

/** @import { TestContext } from "node:test" */
/** @import { WebSocket } from "ws" */

/** @type {Record<string, (params: any) => unknown>} */
const METHODS = {
  add: (params) => (Array.isArray(params) ? params[0] + params[1] : params.a + params.b),
  echo: (params) => params[0],
};

/**
 * What a server of a library is to a test.
 *
 * @typedef {object} Other
 * @property {(method: string, params: unknown[]) => Promise<any>} [call] a call of theirs
 * @property {(method: string) => Promise<any>} [cancel] one that they give up
 */

/** Lays vscode-jsonrpc over a socket. @param {WebSocket} socket @returns {Other} */
function vscode(socket) {
  class Reader extends AbstractMessageReader {
    /** @param {(message: any) => void} callback */
    listen(callback) {
      socket.on("message", (data) => callback(JSON.parse(String(data))));
      socket.on("close", () => this.fireClose());
      return Disposable.create(() => {});
    }
  }
  class Writer extends AbstractMessageWriter {
    /** @param {object} message */
    async write(message) {
      socket.send(JSON.stringify(message));
    }

    end() {}
  }
  const connection = createMessageConnection(new Reader(), new Writer());
  connection.onRequest((method, params) => {
    if (method === "fail") throw new ResponseError(7, "no", { why: "asked" });
    if (Object.hasOwn(METHODS, method)) return METHODS[method](params);
    throw new ResponseError(ErrorCodes.MethodNotFound, method);
  });
  connection.listen();
  return {
    call: (method, params) => connection.sendRequest(method, ParameterStructures.byPosition, ...params),
    cancel(method) {
      const source = new CancellationTokenSource();
      const outcome = connection.sendRequest(method, source.token);
      setTimeout(() => source.cancel(), 50);
      return outcome;
    },
  };
}

/** @param {WebSocket} socket @returns {Other} */
function jsonrpc2(socket) {
  const peer = new JSONRPCServerAndClient(
    new JSONRPCServer({ errorListener: () => {} }),
    new JSONRPCClient(async (request) => socket.send(JSON.stringify(request))),
  );
  for (const [name, run] of Object.entries(METHODS)) peer.addMethod(name, run);
  peer.addMethod("fail", () => { throw new JSONRPCErrorException("no", 7, { why: "asked" }); });
  socket.on("message", (data) => peer.receiveAndSend(JSON.parse(String(data))));
  return { call: async (method, params) => peer.request(method, params) };
}

/** @param {TestContext} t @param {(socket: WebSocket) => Other} attend */
async function serve(t, attend) {
  const server = new WebSocketServer({ host: "127.0.0.1", port: 0 });
  t.after(() => server.close());
  /** @type {Promise<Other>} */
  const other = once(server, "connection").then(([socket]) => attend(socket));
  await once(server, "listening");
  const { port } = /** @type {import("node:net").AddressInfo} */ (server.address());
  return { port, other };
}

/** @param {TestContext} t */
async function rpcWebsockets(t) {
  const server = new Server({ host: "127.0.0.1", port: 0 });
  t.after(() => server.close());
  for (const [name, run] of Object.entries(METHODS)) server.register(name, /** @type {any} */ (run));
  server.register("fail", () => { throw Object.assign(new Error("no"), { code: 7 }); });
  server.event("news");
  await once(server.wss, "listening");
  const { port } = /** @type {any} */ (server.wss.address());
  return { port, other: Promise.resolve(/** @type {Other} */ ({})) };
}

/** @type {Record<string, (t: TestContext) => Promise<{ port: number, other: Promise<Other> }>>} */
const LIBRARIES = {
  "vscode-jsonrpc": (t) => serve(t, vscode),
  "json-rpc-2.0": (t) => serve(t, jsonrpc2),
  "rpc-websockets": rpcWebsockets,
};

for (const [library, start] of Object.entries(LIBRARIES)) {
  describe(library, () => {
    for (const protocols of [[], ["longwire.jsonrpc"]]) {
      test(`is called, ${protocols.length ? "offered our subprotocol" : "and offered no subprotocol"}`, async (t) => {
        const { port, other } = await start(t);
        const rpc = makeRpc(t, `ws://127.0.0.1:${port}/`, { protocols }).connect();

        assert.equal(await rpc.call("add", [1, 2]), 3);
        assert.equal(await rpc.call("add", { a: 1, b: 2 }), 3);
        for (const value of [0, false, "", null, [], "x".repeat(100_000)]) {
          assert.deepEqual(await rpc.call("echo", [value]), value);
        }
        const error = await failure(rpc.call("fail"));
        assert.equal(error.name, "RemoteError");
        if (library !== "rpc-websockets") {
          assert.deepEqual([error.code, error.message, error.data], [7, "no", { why: "asked" }]);
        }
        assert.equal((await failure(rpc.call("none"))).code, -32601);
        await rpc.notify("add", [1, 2]);
        assert.equal(await rpc.call("add", [2, 2]), 4);
        await other;
      });
    }

    if (library === "rpc-websockets") return; // its servers do not call

    test("calls, and gives up calls", async (t) => {
      const { port, other } = await start(t);
      const rpc = makeRpc(t, `ws://127.0.0.1:${port}/`);
      rpc.addRoute("who", (greeting) => `${greeting}, I am longwire`);
      rpc.addRoute("fails", () => { throw new RangeError("too far"); });
      const aborted = rpc.defer();
      rpc.addRoute("wait", function () {
        this.signal.addEventListener("abort", () => aborted.resolve());
        return new Promise(() => {});
      });
      rpc.connect();
      const { call, cancel } = await other;
      assert.ok(call);

      assert.equal(await call("who", ["hi"]), "hi, I am longwire");
      assert.match((await failure(call("fails", []))).message, /too far/);
      if (cancel) {
        assert.equal((await failure(cancel("wait"))).code, -32800);
        await soon(aborted.promise, "the route's signal");
      }
      assert.equal(await call("who", ["again"]), "again, I am longwire");
    });
  });
}
