// Other people's JSON-RPC over WebSocket on Node: vscode-jsonrpc, json-rpc-2.0, rpc-websockets.
//
// Its one argument is JSON: library, role ("client" or "server"), and for a client uri and
// subprotocols. It prints JSON lines: {"listening": port}, {"open": true}, {"notified": [method,
// params]}, {"cancelled": true}, and the outcome of each command. A command is a line of JSON on
// stdin: {"n", "verb": "call" | "notify" | "cancel" | "batch" | "end", "method", "params"}; its
// outcome is {"n", "result"} or {"n", "error": {code, message, data}}. Both sides may call what
// METHODS has.
"use strict";

const { createInterface } = require("readline");
const { WebSocket, WebSocketServer } = require("ws");

const options = JSON.parse(process.argv[2]);
const say = (what) => process.stdout.write(JSON.stringify(what) + "\n");

class Oops extends Error {
  code = 7;
  data = { why: "asked" };
}

// Each gets the arguments as they came, and what makes the library's own error.
const METHODS = {
  add: (params) => (Array.isArray(params) ? params[0] + params[1] : params.a + params.b),
  echo: (params) => (Array.isArray(params) ? params[0] : params.value),
  fail: (_, makeError) => { throw makeError(new Oops("no")); },
  whoAreYou: () => options.library,
};

// --- vscode-jsonrpc, whose streams we lay over a WebSocket ---------------------------

function vscode(socket) {
  const rpc = require("vscode-jsonrpc/node");

  class Reader extends rpc.AbstractMessageReader {
    listen(callback) {
      socket.on("message", (data) => callback(JSON.parse(String(data))));
      socket.on("close", () => this.fireClose());
      return rpc.Disposable.create(() => {});
    }
  }

  class Writer extends rpc.AbstractMessageWriter {
    async write(message) {
      socket.send(JSON.stringify(message));
    }
    end() {}
  }

  const connection = rpc.createMessageConnection(new Reader(), new Writer(), console);
  const makeError = ({ code, message, data }) => new rpc.ResponseError(code, message, data);
  connection.onRequest((method, params, token) => {
    if (method === "wait") {
      return new Promise((resolve) => token.onCancellationRequested(() => {
        say({ cancelled: true });
        resolve("cancelled");
      }));
    }
    if (METHODS[method]) return METHODS[method](params, makeError);
    throw new rpc.ResponseError(rpc.ErrorCodes.MethodNotFound, `no such method: ${method}`);
  });
  connection.onNotification((method, params) => say({ notified: [method, params] }));
  connection.onError(([error]) => say({ trouble: String(error) }));
  connection.listen();
  // An array is arguments by position; an object is one by name.
  const { byName, byPosition } = rpc.ParameterStructures;
  const ask = (verb, method, params, ...more) => {
    if (params === undefined) return connection[verb](method, ...more);
    if (Array.isArray(params)) return connection[verb](method, byPosition, ...params, ...more);
    return connection[verb](method, byName, params, ...more);
  };
  return {
    call: (method, params) => ask("sendRequest", method, params),
    notify: (method, params) => ask("sendNotification", method, params),
    cancel(method, params) {
      const source = new rpc.CancellationTokenSource();
      const outcome = ask("sendRequest", method, params, source.token);
      setTimeout(() => source.cancel(), 200);
      return outcome;
    },
  };
}

// --- json-rpc-2.0 ----------------------------------------------------------------------

function jsonrpc2(socket) {
  const rpc = require("json-rpc-2.0");
  const peer = new rpc.JSONRPCServerAndClient(
    new rpc.JSONRPCServer({ errorListener: () => {} }),
    new rpc.JSONRPCClient(async (request) => socket.send(JSON.stringify(request))),
    { errorListener: (message) => say({ trouble: message }) },
  );
  const makeError = ({ code, message, data }) => new rpc.JSONRPCErrorException(message, code, data);
  for (const [name, run] of Object.entries(METHODS)) {
    peer.addMethod(name, (params) => run(params, makeError));
  }
  peer.addMethod("note", (params) => say({ notified: ["note", params] }));
  socket.on("message", (data) => peer.receiveAndSend(JSON.parse(String(data))));
  socket.on("close", () => peer.rejectAllPendingRequests("closed"));
  return {
    call: (method, params) => peer.request(method, params),
    notify: (method, params) => peer.notify(method, params),
    batch: (requests) => peer.client.requestAdvanced(
      requests.map(([method, params], at) => ({ jsonrpc: "2.0", id: `batch-${at}`, method, params })),
    ),
  };
}

// --- rpc-websockets: its clients call, its servers are called ---------------------------

function rpcWebsocketsClient() {
  const { Client } = require("rpc-websockets");
  const client = new Client(options.uri, { reconnect: false, protocol: options.subprotocols });
  return new Promise((resolve) => client.on("open", () => resolve({
    call: (method, params) => client.call(method, params),
    notify: (method, params) => client.notify(method, params),
    end: () => client.close(),
  })));
}

function rpcWebsocketsServer() {
  const { Server } = require("rpc-websockets");
  const server = new Server({ host: "127.0.0.1", port: 0 });
  const makeError = ({ code, message, data }) => ({ code, message, data });
  for (const [name, run] of Object.entries(METHODS)) {
    server.register(name, (params) => run(params, makeError));
  }
  server.register("note", (params) => say({ notified: ["note", params] }));
  server.event("news");
  server.on("listening", () => say({ listening: server.wss.address().port }));
  return { call: async (method, params) => server.emit(method, ...params) };
}

// --- what all of them do -----------------------------------------------------------------

const LIBRARIES = { "vscode-jsonrpc": vscode, "json-rpc-2.0": jsonrpc2 };

/** @returns a promise of what the commands are given to */
function meet() {
  if (options.library === "rpc-websockets") {
    return options.role === "server" ? rpcWebsocketsServer() : rpcWebsocketsClient();
  }
  const attend = LIBRARIES[options.library];
  if (options.role === "client") {
    const socket = new WebSocket(options.uri, options.subprotocols);
    return new Promise((resolve) => socket.on("open", () => (
      resolve({ ...attend(socket), end: () => socket.close() })
    )));
  }
  const server = new WebSocketServer({ host: "127.0.0.1", port: 0 });
  server.on("listening", () => say({ listening: server.address().port }));
  return new Promise((resolve) => server.on("connection", (socket) => resolve(attend(socket))));
}

const ready = Promise.resolve(meet()).then((peer) => {
  say({ open: true });
  return peer;
});

async function obey({ n, verb, method, params }) {
  const peer = await ready;
  try {
    const result = await (verb === "batch" ? peer.batch(params) : peer[verb](method, params));
    say({ n, result: result ?? null });
  } catch (error) {
    say({ n, error: { code: error.code, message: error.message, data: error.data } });
  }
}

createInterface({ input: process.stdin }).on("line", (line) => obey(JSON.parse(line)));
process.stdin.on("end", () => process.exit());
