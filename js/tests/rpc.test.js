/** Calls in both directions, and what becomes of them when something goes wrong. */

import assert from "node:assert/strict";
import { getEventListeners } from "node:events";
import { describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";

import {
  Code, DisconnectedError, RemoteError, Rpc, RpcError, TimeoutError,
} from "../src/longwire.js";
import { QUICK, failure, makeRpc, pair, soon, startPeer } from "./peer.js";
import { startMute } from "./rawpeer.js";

/** @param {any} id @param {unknown} result */
const result = (id, result) => ({ jsonrpc: "2.0", id, result });

/** @param {any} id @param {string} method @param {unknown} [params] */
const call = (id, method, params) => ({ jsonrpc: "2.0", id, method, params });

/** @param {Promise<unknown>[]} promises */
const failures = (promises) => Promise.all(promises.map(failure));

describe("calls before there is a connection", () => {
  test("they are sent in order, and before onconnect is told", async (t) => {
    const peer = await startPeer(t);
    const rpc = makeRpc(t, peer.url);
    /** @type {string[]} */
    const order = [];
    rpc.on("connect", () => rpc.notify("connected"));
    const results = ["a", "b", "c"].map((name) => rpc.call(name));
    rpc.notify("d");
    assert.equal(rpc.state(), "CLOSED");

    rpc.connect();
    const connection = await peer.accept();
    for (let i = 0; i < 5; i++) {
      const { id, method } = await connection.next();
      order.push(method);
      if (id) connection.send(result(id, method.toUpperCase()));
    }

    assert.deepEqual(order, ["a", "b", "c", "d", "connected"]);
    assert.deepEqual(await Promise.all(results), ["A", "B", "C"]);
  });

  test("they are answered in any order", async (t) => {
    const { rpc, connection } = await pair(t);
    const results = [rpc.call("a"), rpc.call("b")];

    const [first, second] = [await connection.next(), await connection.next()];
    connection.send(result(second.id, "second"));
    assert.equal(await results[1], "second");
    connection.send(result(first.id, "first"));

    assert.equal(await results[0], "first");
  });

  test("a failed attempt fails them all, and says why", async (t) => {
    const peer = await startPeer(t);
    await peer.stop();
    const rpc = makeRpc(t, peer.url);
    const calls = [rpc.call("a"), rpc.notify("b"), rpc.call("c")];

    rpc.connect();

    for (const error of await failures(calls)) {
      assert.ok(error instanceof DisconnectedError);
      assert.equal(error.message, `WebSocket error occurred: ${peer.url}: connect ECONNREFUSED 127.0.0.1:${peer.port}`);
      assert.equal(error.code, Code.DISCONNECTED);
      assert.equal(error.report?.cause, "refused");
    }
  });

  test("they outlive failed attempts where they are to be kept", async (t) => {
    const peer = await startPeer(t);
    await peer.stop();
    const rpc = makeRpc(t, peer.url, { offline: "keep" });
    const kept = rpc.call("a");
    rpc.connect();
    for (let i = 0; i < 2; i++) await soon(rpc.onEvent("onclose"), "onclose");

    const connection = await (await startPeer(t, { port: peer.port })).accept();
    connection.send(result((await connection.next()).id, 1));

    assert.equal(await kept, 1);
  });

  test("they fail at once where nothing is to wait", async (t) => {
    const rpc = makeRpc(t, "ws://127.0.0.1:1/", { offline: "reject" });

    assert.equal((await failure(rpc.call("a"))).message, "Socket is: CLOSED");
  });

  test("one that must not wait fails at once", async (t) => {
    const rpc = makeRpc(t, await startMute(t, { answer: false }));

    assert.equal((await failure(rpc.call("a", [], { noWait: true }))).message, "Socket is: CLOSED");
    rpc.connect();
    assert.equal((await failure(rpc.call("a", [], { noWait: true }))).message, "Socket is: CONNECTING");
    const stream = rpc.stream("a", [], { noWait: true });
    assert.equal((await failure(stream.next())).message, "Socket is: CONNECTING");
  });

  test("one that is given up says that there is no connection", async (t) => {
    const rpc = makeRpc(t, await startMute(t, { answer: false }));
    const late = () => failure(rpc.call("a", [], { timeout: 20 }));

    assert.equal((await late()).message, "no answer to a within 20 ms: call connect()");
    rpc.connect();
    assert.equal((await late()).message, "no answer to a within 20 ms: Socket is: CONNECTING");
    rpc.destroy();
    assert.equal((await late()).message, "Socket is: CLOSED; connect() opens it again");
  });

  test("pages of the wsrpc family get the text that they know", async (t) => {
    for (const wire of /** @type {const} */ (["wsrpc", "wsrpc.1"])) {
      const rpc = makeRpc(t, "ws://127.0.0.1:1/", { wire });
      const calling = failure(rpc.call("a"));
      rpc.connect();
      assert.equal((await calling).message, "WebSocket error occurred");
    }
  });

  test("no more of them wait than the limit", async (t) => {
    const rpc = makeRpc(t, "ws://127.0.0.1:1/", { maxQueue: 2 });
    const waiting = [rpc.call("a"), rpc.call("b")];

    const error = await failure(rpc.call("c"));

    assert.equal(error.code, Code.TOO_BUSY);
    rpc.destroy();
    await failures(waiting);
  });
});

describe("the end of a connection", () => {
  test("fails a thousand pending calls at once, each with the report", async (t) => {
    const { rpc, connection } = await pair(t, { reconnect: false });
    const calls = Array.from({ length: 1000 }, (_, i) => rpc.call("slow", [i]));
    for (let i = 0; i < 1000; i++) await connection.next();

    connection.cut();
    const errors = await failures(calls);

    for (const error of errors) {
      assert.ok(error instanceof DisconnectedError);
      assert.equal(error.report, rpc.report);
    }
    assert.equal(rpc.report?.cause, "network");
  });

  test("closed by the other side reads differently from an error", async (t) => {
    const { rpc, connection } = await pair(t, { reconnect: false });
    const calling = rpc.call("slow");
    /** @type {unknown[]} */
    const errors = [];
    rpc.on("error", (error) => errors.push(error));

    connection.socket.close(1001, "restarting");
    const error = await failure(calling);

    assert.equal(error.message, "Connection closed");
    assert.equal(error.report.reason, "restarting");
    assert.deepEqual(errors, []);
  });

  test("is told by onerror, onclose and onchange, in this order", async (t) => {
    const { rpc, connection } = await pair(t, { reconnect: false });
    /** @type {unknown[]} */
    const told = [];
    rpc.addEventListener("onchange", (state) => told.push(state));
    rpc.addEventListener("onclose", (report) => told.push(report.cause));
    rpc.addEventListener("onerror", (error) => told.push(error.name));

    connection.cut();
    await soon(rpc.onEvent("onchange"), "onchange");

    assert.deepEqual(told, ["DisconnectedError", "network", "CLOSED"]);
  });

  test("is followed by another one with numbers of its own", async (t) => {
    const { peer, rpc, connection } = await pair(t);
    failure(rpc.call("a"));
    assert.equal((await connection.next()).id, 1);
    connection.cut();

    const again = await peer.accept();
    await soon(rpc.onEvent("onconnect"), "onconnect");
    const calling = rpc.call("b");
    const { id, method } = await again.next();
    assert.deepEqual([id, method], [1, "b"]);
    again.send(result(1, "fresh"));

    assert.equal(await calling, "fresh");
  });

  test("keeps what its routes still do from the next one", async (t) => {
    const { peer, rpc, connection } = await pair(t);
    const work = rpc.defer();
    /** @type {AbortSignal | undefined} */
    let signal;
    rpc.addRoute("work", function () {
      signal = this.signal;
      return work.promise;
    });
    connection.send(call(1, "work"));
    await connection.silence();
    connection.cut();
    const again = await peer.accept();

    work.resolve("stale");

    await again.silence();
    assert.equal(signal?.aborted, true);
    assert.equal(signal?.reason.code, Code.DISCONNECTED);
  });

  test("destroy() fails what waits and what is under way, and closes", async (t) => {
    const { rpc, connection } = await pair(t);
    const calls = [rpc.call("a"), rpc.stream("b").next()];
    await connection.next();

    rpc.destroy(4000, "leaving");

    assert.equal(rpc.state(), "CLOSING");
    const found = await failures(calls);
    assert.deepEqual(found.map((error) => error.message), Array(2).fill("Connection closed"));
    assert.deepEqual(await connection.end(), [4000, "leaving"]);
  });

  test("a destroyed one can connect again", async (t) => {
    const { peer, rpc } = await pair(t);
    rpc.destroy();
    const calling = rpc.call("a");
    rpc.connect();

    const connection = await peer.accept();
    connection.send(result((await connection.next()).id, "again"));

    assert.equal(await calling, "again");
  });
});

describe("calling", () => {
  test("a call that takes too long is given up on both sides", async (t) => {
    const { rpc, connection } = await pair(t);

    const error = await failure(rpc.call("slow", [], { timeout: 20 }));

    assert.ok(error instanceof TimeoutError);
    assert.equal(error.message, "no answer to slow within 20 ms");
    assert.equal(error.code, Code.DEADLINE);
    assert.equal((await connection.next()).method, "slow");
    assert.deepEqual(await connection.next(), { jsonrpc: "2.0", method: "$/cancel", params: { id: 1 } });
  });

  test("the limit of time counts while there is no connection, too", async (t) => {
    const rpc = makeRpc(t, "ws://127.0.0.1:1/", { timeout: 20 });

    assert.ok(await failure(rpc.call("a")) instanceof TimeoutError);
  });

  test("Infinity is no limit of time, whatever the usual one is", async (t) => {
    const { rpc, connection } = await pair(t, { timeout: 10 });
    const calling = rpc.call("slow", [], { timeout: Infinity });
    const { id } = await connection.next();

    await sleep(30);
    connection.send(result(id, "at last"));

    assert.equal(await calling, "at last");
  });

  test("a call is given up with the reason of its signal", async (t) => {
    const { rpc, connection } = await pair(t);
    const controller = new AbortController();
    const calling = rpc.call("slow", [], { signal: controller.signal });
    await connection.next();

    controller.abort(new Error("no longer"));

    assert.equal((await failure(calling)).message, "no longer");
    assert.equal((await connection.next()).method, "$/cancel");
  });

  test("a call with an aborted signal is not sent", async (t) => {
    const { rpc, connection } = await pair(t);

    const error = await failure(rpc.call("a", [], { signal: AbortSignal.abort() }));

    assert.equal(error.name, "AbortError");
    await connection.silence();
  });

  test("a call that is given up while it waits is never sent", async (t) => {
    const peer = await startPeer(t);
    const rpc = makeRpc(t, peer.url);
    const controller = new AbortController();
    const calling = rpc.call("a", [], { signal: controller.signal });

    controller.abort();
    rpc.connect();

    assert.equal((await failure(calling)).name, "AbortError");
    await (await peer.accept()).silence();
  });

  test("an ended call leaves nothing at its signal", async (t) => {
    const { rpc, connection } = await pair(t);
    const { signal } = new AbortController();
    const calling = rpc.call("a", [], { signal });
    assert.equal(getEventListeners(signal, "abort").length, 1);

    connection.send(result((await connection.next()).id, 1));
    await calling;

    assert.equal(getEventListeners(signal, "abort").length, 0);
  });

  test("arguments that are not JSON are the caller's error, and nothing is sent", async (t) => {
    const { rpc, connection } = await pair(t);
    /** @type {any} */
    const circle = {};
    circle.self = circle;

    assert.ok(await failure(rpc.call("a", [1n])) instanceof TypeError);
    assert.ok(await failure(rpc.call("a", circle)) instanceof TypeError);

    await connection.silence();
    failure(rpc.call("b"));
    assert.equal((await connection.next()).method, "b");
  });

  for (const name of [undefined, null, "", 7, {}]) {
    test(`${JSON.stringify(name)} is no name of a route`, async (t) => {
      const rpc = makeRpc(t, "ws://127.0.0.1:1/");

      assert.ok(await failure(rpc.call(/** @type {any} */ (name))) instanceof TypeError);
    });
  }

  test("more than the connection takes is refused", async (t) => {
    const url = await startMute(t, { reads: false });
    const rpc = makeRpc(t, url, { maxBuffered: 1 << 20 }).connect();
    await soon(rpc.onEvent("onconnect"), "onconnect");
    const text = "x".repeat(1 << 20);

    const calls = Array.from({ length: 40 }, () => rpc.call("echo", [text]).catch((error) => error));

    assert.equal((await soon(Promise.race(calls), "a refusal")).code, Code.TOO_BUSY);
  });

  test("no more calls wait for an answer than the limit", async (t) => {
    const { rpc, connection } = await pair(t, { maxPending: 2, reconnect: false });
    const waiting = [rpc.call("a"), rpc.call("b")];

    assert.equal((await failure(rpc.call("c"))).code, Code.TOO_BUSY);
    await connection.next();
    connection.send(result((await connection.next()).id, "free"));
    assert.equal(await waiting[1], "free");
    failure(rpc.call("d"));
    assert.equal((await connection.next()).method, "d");
    failure(waiting[0]);
  });

  test("a notification tells when it is sent, and has no id", async (t) => {
    const { rpc, connection } = await pair(t);

    assert.equal(await rpc.notify("log", ["hi"]), undefined);

    assert.deepEqual(await connection.next(), { jsonrpc: "2.0", method: "log", params: ["hi"] });
  });
});

describe("the proxy", () => {
  test("has calls as methods", async (t) => {
    const { rpc, connection } = await pair(t);
    const calling = rpc.proxy.a.b({ size: 1 });

    const { id, method, params } = await connection.next();
    connection.send(result(id, 0));

    assert.deepEqual([method, params], ["a.b", { size: 1 }]);
    assert.equal(await calling, 0);
  });

  test("takes the options of a call", async (t) => {
    const { rpc } = await pair(t);

    assert.ok(await failure(rpc.proxy.slow([], { timeout: 10 })) instanceof TimeoutError);
  });

  test("can be handed over by promises, which ask it for then()", async (t) => {
    const { rpc, connection } = await pair(t);

    const part = await soon(Promise.resolve(rpc.proxy.a), "a part of the proxy");

    assert.equal(typeof part, "function");
    await connection.silence();
  });
});

describe("errors of the other side", () => {
  /** @param {unknown} error @param {import("../src/settings.js").RpcOptions} [options] */
  const answered = (error, options) => async (/** @type {import("node:test").TestContext} */ t) => {
    const { rpc, connection } = await pair(t, options);
    const calling = rpc.call("a");
    connection.send({ jsonrpc: "2.0", id: (await connection.next()).id, error });
    return failure(calling);
  };

  test("arrive with all they have", async (t) => {
    const error = await answered({
      code: -32603,
      message: "internal error",
      data: { type: "InternalError", id: "7f3a", traceback: "line 1", data: [1] },
    })(t);

    assert.ok(error instanceof RemoteError && error instanceof RpcError && error instanceof Error);
    assert.deepEqual(
      [error.name, error.code, error.type, error.message, error.id, error.traceback, error.data],
      ["RemoteError", -32603, "InternalError", "internal error", "7f3a", "line 1", [1]],
    );
  });

  class OutOfStock extends RemoteError {}

  test("arrive as the class that is named for their type", async (t) => {
    const sent = { code: -32000, message: "sold out", data: { type: "OutOfStock", data: { left: 0 } } };

    const error = await answered(sent, { errors: { OutOfStock } })(t);

    assert.ok(error instanceof OutOfStock);
    assert.deepEqual([error.message, error.data, error.type], ["sold out", { left: 0 }, "OutOfStock"]);
  });

  test("arrive as what they are where their class takes something else", async (t) => {
    class Picky extends Error {
      /** @param {{ text: string }} options */
      constructor({ text }) {
        super(text.trim());
      }
    }
    const sent = { code: -32000, message: "sold out", data: { type: "Picky" } };

    const error = await answered(sent, { errors: { Picky: /** @type {any} */ (Picky) } })(t);

    assert.ok(error instanceof RemoteError);
    assert.equal(error.message, "sold out");
  });

  for (const type of ["constructor", "__proto__", "toString", 7, null]) {
    test(`of the type ${type} are not taken for what every object has`, async (t) => {
      const error = await answered({ code: 1, message: "x", data: { type } }, { errors: { OutOfStock } })(t);

      assert.ok(error instanceof RemoteError);
    });
  }

  /** @type {[any, unknown][]} */
  const RESULTS = [
    [{ result: 5, error: null }, 5],
    [{ result: null, error: null }, null],
    [{ error: null, result: 0 }, 0],
    [{ result: false }, false],
  ];
  for (const [answer, expected] of RESULTS) {
    test(`are none in ${JSON.stringify(answer)}`, async (t) => {
      const { rpc, connection } = await pair(t);
      const calling = rpc.call("a");
      connection.send({ jsonrpc: "2.0", id: (await connection.next()).id, ...answer });

      assert.equal(await calling, expected);
    });
  }

  test("count for more than a result beside them", async (t) => {
    const { rpc, connection } = await pair(t);
    const calling = rpc.call("a");
    connection.send({ jsonrpc: "2.0", id: (await connection.next()).id, result: 1, error: { code: 7, message: "no" } });

    assert.equal((await failure(calling)).code, 7);
  });

  for (const odd of [
    "text", 7, [], {}, null, { message: { a: 1 }, code: "x" }, { message: { toString: 1, valueOf: 2 } },
    { message: "x", data: { toString: 1 } }, { type: { toString: 1 }, message: null }, { code: 1.5 },
  ]) {
    test(`may be as odd as ${JSON.stringify(odd)}`, async (t) => {
      const error = await answered(odd)(t);

      assert.ok(error instanceof RemoteError);
      assert.equal(typeof error.message, "string");
      assert.equal(error.code, Code.APPLICATION);
    });
  }

  /** @type {[string, any, Record<string, unknown>][]} */
  const DATA = [
    ["an object", { why: "asked" }, { data: { why: "asked" }, type: undefined }],
    ["an array", [1], { data: [1], type: undefined }],
    ["a text", "why", { data: "why", type: undefined }],
    ["zero", 0, { data: 0 }],
    ["null", null, { data: null }],
    ["nothing", undefined, { data: undefined, type: undefined }],
    ["an empty object", {}, { data: {}, type: undefined }],
    ["an object with more than ours have", { type: "T", field: "a" }, { data: { type: "T", field: "a" }, type: "T" }],
    ["an object with a type that is no text", { type: 7 }, { data: { type: 7 }, type: undefined }],
    ["one of ours", { type: "T", data: { a: 1 } }, { data: { a: 1 }, type: "T" }],
    ["one of ours without data", { type: "T", id: "7f", traceback: "line 1" }, {
      data: undefined, type: "T", id: "7f", traceback: "line 1",
    }],
    ["one of ours with odd members", { type: "T", id: 7, traceback: {} }, { id: undefined, traceback: undefined }],
  ];
  for (const [name, data, expected] of DATA) {
    test(`keep their data: ${name}`, async (t) => {
      /** @type {any} */
      const error = await answered({ code: 7, message: "no", data })(t);

      for (const [key, value] of Object.entries(expected)) assert.deepEqual(error[key], value, key);
      assert.deepEqual([error.code, error.message], [7, "no"]);
    });
  }

  test("that belong to no call go to onerror", async (t) => {
    const { rpc, connection } = await pair(t);
    const told = rpc.onEvent("onerror");

    connection.send({ jsonrpc: "2.0", id: null, error: { code: -32700, message: "what?" } });

    assert.equal((await soon(told, "onerror")).message, "what?");
  });
});

describe("looking inside", () => {
  test("DEBUG shows what happens, without arguments; TRACE shows messages", async (t) => {
    const shown = t.mock.method(console, "debug", () => {});
    t.after(() => { Rpc.DEBUG = Rpc.TRACE = false; });
    Rpc.DEBUG = true;
    const { rpc, connection } = await pair(t);
    failure(rpc.call("login", ["secret"]));
    await connection.next();
    const said = () => JSON.stringify(shown.mock.calls.map(({ arguments: words }) => words));
    assert.match(said(), /login/);
    assert.doesNotMatch(said(), /secret/);

    Rpc.TRACE = true;
    failure(rpc.call("login", ["secret"]));
    await connection.next();
    assert.match(said(), /secret/);
  });

  test("onFrame sees every message, both ways", async (t) => {
    /** @type {unknown[]} */
    const seen = [];
    const onFrame = (/** @type {unknown} */ text, /** @type {string} */ direction) => {
      seen.push([direction, JSON.parse(String(text)).method]);
    };
    const { rpc, connection } = await pair(t, { onFrame });

    rpc.notify("out");
    await connection.next();
    connection.send(call(undefined, "in"));
    await connection.silence();

    assert.deepEqual(seen, [["out", "out"], ["in", "in"]]);
  });

  test("the state is a word and a number", async (t) => {
    const peer = await startPeer(t);
    const rpc = makeRpc(t, peer.url);
    /** @type {unknown[]} */
    const states = [[rpc.state(), rpc.stateCode()]];
    rpc.on("change", () => states.push([rpc.state(), rpc.stateCode()]));

    rpc.connect();
    await soon(rpc.onEvent("onconnect"), "onconnect");
    rpc.destroy();
    await soon(rpc.onEvent("onclose"), "onclose");

    assert.deepEqual(states, [["CLOSED", 3], ["CONNECTING", 0], ["OPEN", 1], ["CLOSING", 2], ["CLOSED", 3]]);
  });

  test("sendRaw sends text as it is, anything else as JSON", async (t) => {
    const { rpc, connection } = await pair(t);

    rpc.sendRaw('{"as": "is"}');
    rpc.sendRaw({ as: "JSON" });

    assert.deepEqual(await connection.next(), { as: "is" });
    assert.deepEqual(await connection.next(), { as: "JSON" });
  });

  test("a wire nobody knows is refused", () => {
    for (const wire of ["wsrpc.2", "toString"]) {
      assert.throws(
        () => new Rpc("ws://127.0.0.1:1/", { ...QUICK, wire: /** @type {any} */ (wire) }),
        /wire must be one of longwire.jsonrpc, wsrpc, wsrpc.1, not/,
      );
    }
  });
});

describe("heartbeats", () => {
  test("a silent server is asked something, and any answer will do", async (t) => {
    const { rpc, connection } = await pair(t, { heartbeat: { interval: 20, timeout: 2000 } });

    for (let i = 0; i < 3; i++) {
      const { id, method } = await connection.next();
      assert.equal(method, "$/ping");
      connection.send({ jsonrpc: "2.0", id, error: { code: -32601, message: "no" } });
    }

    assert.equal(rpc.state(), "OPEN");
  });

  test("a dead server fails every pending call", async (t) => {
    const url = await startMute(t);
    const rpc = makeRpc(t, url, { heartbeat: { interval: 20, timeout: 20 } }).connect();

    const error = await failure(rpc.call("a"));

    assert.equal(error.report.cause, "silence");
  });
});
