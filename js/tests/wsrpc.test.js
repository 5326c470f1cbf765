/** The client object of the wsrpc family, as a module and as a classic script. */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, test } from "node:test";
import { runInNewContext } from "node:vm";

import WebSocket from "ws";

import * as longwire from "../src/longwire.js";
import { failure, soon, startPeer } from "./peer.js";

const { Rpc, WSRPC } = longwire;

/**
 * What the classic script makes of a page that has nothing but what it needs.
 *
 * @returns {Record<string, any>}
 */
function page() {
  const script = readFileSync(new URL("../dist/longwire.classic.js", import.meta.url), "utf8");
  const globals = {
    WebSocket, URL, AbortController, AbortSignal, performance, setTimeout, clearTimeout, console,
  };
  const context = { ...globals };
  runInNewContext(script, context);
  return context;
}

/** @type {[string, any][]} */
const MAKERS = [["the module", WSRPC], ["the classic script", page().WSRPC]];

for (const [name, Maker] of MAKERS) {
  describe(name, () => {
    test("makes a connection with and without new", async (t) => {
      const peer = await startPeer(t);
      for (const RPC of [Maker(peer.url, 5000, { WebSocket }), new Maker(peer.url, 5000, { WebSocket })]) {
        t.after(() => RPC.destroy());
        assert.ok(RPC instanceof Maker);
        const calling = RPC.call("test.serverSideFunction", [1, 2, 3]);
        assert.equal(RPC.state(), "CLOSED");

        RPC.connect();
        const connection = await peer.accept();
        assert.equal(connection.socket.protocol, "");
        assert.deepEqual(await connection.next(), {
          id: 3, method: "test.serverSideFunction", params: [1, 2, 3],
        });
        connection.send({ id: 3, result: 6 });

        assert.equal(await calling, 6);
      }
    });

    test("waits as long as it is told between attempts", async (t) => {
      const peer = await startPeer(t);
      await peer.stop();
      const RPC = Maker(peer.url, 5000, { WebSocket });
      t.after(() => RPC.destroy());

      RPC.connect();

      assert.equal((await soon(RPC.onEvent("onclose"), "onclose")).retryAfter, 5000);
      const usual = Maker(peer.url, undefined, { WebSocket }).connect();
      t.after(() => usual.destroy());
      assert.equal((await soon(usual.onEvent("onclose"), "onclose")).retryAfter, 1000);
    });

    test("has routes of its own, for servers that ask whether it is there", async (t) => {
      const logged = t.mock.method(console, "log", () => {});
      const peer = await startPeer(t);
      const RPC = Maker(peer.url, 5000, { WebSocket, wire: "wsrpc.1" }).connect();
      t.after(() => RPC.destroy());
      const connection = await peer.accept();

      connection.send({ serial: 2, type: "call", call: "ping", arguments: { seq: 1 } });
      assert.deepEqual(await connection.next(), { serial: 2, type: "callback", data: { seq: 1 } });
      connection.send({ serial: 4, type: "call", call: "log", arguments: ["hi"] });
      assert.deepEqual(await connection.next(), { serial: 4, type: "callback", data: null });

      assert.equal(JSON.stringify(logged.mock.calls.map(({ arguments: words }) => words)), '[["hi"]]');
    });

    test("speaks JSON-RPC where it is told to", async (t) => {
      const peer = await startPeer(t);
      const RPC = Maker(peer.url, 5000, { WebSocket, wire: "longwire.jsonrpc" }).connect();
      t.after(() => RPC.destroy());

      assert.equal((await peer.accept()).socket.protocol, "longwire.jsonrpc");
    });

    test("hands events of the server to their listeners", async (t) => {
      const peer = await startPeer(t);
      const RPC = Maker(peer.url, 5000, { WebSocket }).connect();
      t.after(() => RPC.destroy());
      const connection = await peer.accept();
      const got = new Promise((resolve) => RPC.addServerEventListener(resolve));

      connection.send({ news: "yes" });

      assert.equal(JSON.stringify(await soon(got, "an event")), '{"news":"yes"}');
    });

    test("rejects what is under way with its error events and messages", async (t) => {
      const peer = await startPeer(t);
      const RPC = Maker(peer.url, 5000, { WebSocket }).connect();
      t.after(() => RPC.destroy());
      const connection = await peer.accept();
      const calling = RPC.call("slow");
      await connection.next();

      connection.socket.close();

      assert.equal((await failure(calling)).message, "Connection closed");
    });
  });
}

test("DEBUG and TRACE are its own", () => {
  WSRPC.DEBUG = true;

  assert.equal(Rpc.DEBUG, false);
  assert.equal(WSRPC.DEBUG, true);
  WSRPC.DEBUG = false;
});

test("the classic script defines three names and nothing else", () => {
  const before = new Set([
    "WebSocket", "URL", "AbortController", "AbortSignal", "performance", "setTimeout", "clearTimeout", "console",
  ]);
  const context = page();

  assert.deepEqual(Object.keys(context).filter((name) => !before.has(name)).sort(), ["RPC", "WSRPC", "longwire"]);
  assert.deepEqual(Object.keys(context.longwire).sort(), Object.keys(longwire).sort());
  const RPC = context.RPC("ws://127.0.0.1:1/");
  assert.ok(RPC instanceof context.longwire.Rpc);
});

test("a page may keep its connection under the name RPC, however it declares it", () => {
  for (const declared of ["var RPC", "let RPC", "const RPC", "RPC"]) {
    const context = page();

    const state = runInNewContext(`${declared} = WSRPC("ws://127.0.0.1:1/", 5000); RPC.state()`, context);

    assert.equal(state, "CLOSED");
  }
});
