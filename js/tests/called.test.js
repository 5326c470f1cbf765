/** What happens when the other side calls, and when a stranger sends. */

import assert from "node:assert/strict";
import { once } from "node:events";
import { describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";

import { Code, Rpc, RpcError } from "../src/longwire.js";
import { failure, makeRpc, pair, soon } from "./peer.js";

/** @param {any} id @param {unknown} result */
const result = (id, result) => ({ jsonrpc: "2.0", id, result });

/** @param {any} id @param {string} method @param {unknown} [params] */
const call = (id, method, params) => ({ jsonrpc: "2.0", id, method, params });

/** @param {Promise<unknown>[]} promises */
const failures = (promises) => Promise.all(promises.map(failure));

describe("being called", () => {
  /**
   * What a route is answered with.
   *
   * @param {import("node:test").TestContext} t
   * @param {(this: any, ...args: any[]) => unknown} run
   * @param {unknown} [params]
   * @param {boolean} [isAsync]
   */
  async function answerOf(t, run, params, isAsync) {
    const { rpc, connection } = await pair(t);
    rpc.addRoute("route", run, isAsync);
    connection.send(call("x", "route", params));
    const { jsonrpc, id, ...answer } = await connection.next();
    assert.deepEqual([jsonrpc, id], ["2.0", "x"]);
    return answer;
  }

  for (const value of [0, false, "", null, [], {}]) {
    test(`${JSON.stringify(value)} arrives as itself`, async (t) => {
      assert.deepEqual(await answerOf(t, () => value), { result: value });
      assert.deepEqual(await answerOf(t, (given) => given, [value]), { result: value });
    });
  }

  for (const value of [undefined, () => 1, Symbol("x")]) {
    test(`${typeof value} is answered with null`, async (t) => {
      assert.deepEqual(await answerOf(t, () => value), { result: null });
    });
  }

  test("a promise is waited for", async (t) => {
    assert.deepEqual(await answerOf(t, async () => { await sleep(5); return 7; }), { result: 7 });
  });

  test("an object is one argument, an array are many", async (t) => {
    const count = (/** @type {unknown[]} */ ...args) => args;
    assert.deepEqual(await answerOf(t, count, { a: 1 }), { result: [{ a: 1 }] });
    assert.deepEqual(await answerOf(t, count, [1, [2]]), { result: [1, [2]] });
    assert.deepEqual(await answerOf(t, count), { result: [] });
  });

  test("an asynchronous route answers by this.resolve", async (t) => {
    const answer = await answerOf(t, function (value) { setTimeout(() => this.resolve(value + 1), 5); }, [1], true);

    assert.deepEqual(answer, { result: 2 });
  });

  test("an asynchronous route fails by this.reject, or by throwing", async (t) => {
    const rejected = await answerOf(t, function () { this.reject(new RangeError("no")); }, [], true);
    assert.deepEqual([rejected.error.message, rejected.error.data.type], ["no", "RangeError"]);

    const thrown = await answerOf(t, () => { throw new RangeError("never"); }, [], true);
    assert.equal(thrown.error.message, "never");
  });

  test("an exception goes out with type, message and data, and without its stack", async (t) => {
    const { error } = await answerOf(t, () => {
      throw Object.assign(new RangeError("too far"), { data: { by: 3 }, code: 17 });
    });

    assert.deepEqual(error, {
      code: Code.APPLICATION, message: "too far", data: { type: "RangeError", data: { by: 3 } },
    });
  });

  test("an RpcError says its own code", async (t) => {
    const { error } = await answerOf(t, () => {
      throw new RpcError("not you", { code: Code.NOT_AUTHORISED, type: "Forbidden" });
    });

    assert.deepEqual([error.code, error.message, error.data.type], [-32001, "not you", "Forbidden"]);
  });

  for (const thrown of ["text", 7, null, undefined, { message: "an object" }]) {
    test(`even ${JSON.stringify(thrown)} can be thrown`, async (t) => {
      const { error } = await answerOf(t, () => { throw thrown; });

      assert.deepEqual([error.message, error.data.type], [
        typeof thrown === "object" && thrown ? thrown.message : String(thrown), "Error",
      ]);
    });
  }

  test("a result that is not JSON is an internal error", async (t) => {
    const { error } = await answerOf(t, () => 1n);

    assert.equal(error.code, Code.INTERNAL_ERROR);
    assert.match(error.message, /not JSON.*BigInt/);
  });

  for (const method of ["$/cancel", "$/cancelRequest"]) test(`${method}: the route sees it, and is answered once`, async (t) => {
    const { rpc, connection } = await pair(t);
    const seen = rpc.defer();
    rpc.addRoute("wait", function () {
      this.signal.addEventListener("abort", () => seen.resolve(this.signal.reason));
      return seen.promise;
    });
    connection.send(call(1, "wait"));
    connection.send(call(undefined, method, { id: 1 }));

    const { error } = await connection.next();

    assert.equal(error.code, Code.CANCELLED);
    assert.equal((await seen.promise).code, Code.CANCELLED);
    await connection.silence();
  });

  test("$/ping is answered, though nobody added it", async (t) => {
    const { connection } = await pair(t);

    connection.send(call("p", "$/ping"));

    assert.deepEqual(await connection.next(), result("p", null));
  });

  for (const name of ["constructor", "__proto__", "toString", "hasOwnProperty", "$/pong"]) {
    test(`${name} is not a route that was added`, async (t) => {
      const { connection } = await pair(t);

      connection.send(call(1, name));

      const { error } = await connection.next();
      assert.deepEqual(
        [error.code, error.data.type, error.message],
        [Code.METHOD_NOT_FOUND, "MethodNotFound", "Route not found"],
      );
    });
  }

  test("a route that was deleted is not found", async (t) => {
    const { rpc, connection } = await pair(t);
    rpc.addRoute("route", () => 1);
    assert.equal(rpc.deleteRoute("route"), true);
    assert.equal(rpc.deleteRoute("route"), false);

    connection.send(call(1, "route"));

    assert.equal((await connection.next()).error.code, Code.METHOD_NOT_FOUND);
  });

  test("a route must be a function with a name of its own", (t) => {
    const rpc = makeRpc(t, "ws://127.0.0.1:1/");

    assert.throws(() => rpc.addRoute("x", /** @type {any} */ ({})), /route x must be a function/);
    assert.throws(() => rpc.addRoute("$/x", () => 1), /the protocol's/);
  });

  test("no more calls are under way than the limit", async (t) => {
    const { rpc, connection } = await pair(t, { maxCalls: 2 });
    rpc.addRoute("wait", () => new Promise(() => {}));
    connection.send(call(undefined, "wait"));
    connection.send(call(1, "wait"));
    connection.send(call(2, "wait"));

    const { id, error } = await connection.next();

    assert.deepEqual([id, error.code], [2, Code.TOO_BUSY]);
  });

  test("a notification that fails is told to onerror, not to the other side", async (t) => {
    const { rpc, connection } = await pair(t);
    rpc.addRoute("fails", () => { throw new Error("quietly"); });
    const told = rpc.onEvent("onerror");

    connection.send(call(undefined, "fails"));

    assert.equal((await soon(told, "onerror")).message, "quietly");
    await connection.silence();
  });
});

describe("a stranger at the wire", () => {
  test("bytes end the connection", async (t) => {
    const { rpc, connection } = await pair(t);

    connection.socket.send(new Uint8Array([1]));

    assert.equal((await soon(rpc.onEvent("onclose"), "onclose")).cause, "protocol");
  });

  test("a flood of answers nobody asked for ends the connection", async (t) => {
    const { rpc, connection } = await pair(t);
    const closed = rpc.onEvent("onclose");

    for (let i = 0; i < 1000; i++) connection.send(result(1e6 + i, 1));
    await connection.silence();
    assert.equal(rpc.state(), "OPEN");
    connection.send(result(0, 1));

    const report = await soon(closed, "onclose");
    assert.deepEqual([report.cause, report.code], ["protocol", 4000]);
    assert.match(report.reason, /more than 1000 answers/);
  });

  test("answers that come too late are not a flood", async (t) => {
    const { rpc, connection } = await pair(t);
    const controller = new AbortController();
    const given = Array.from({ length: 1100 }, () => rpc.call("a", [], { signal: controller.signal }));
    controller.abort();
    await failures(given);

    for (let id = 1; id <= 1100; id++) connection.send(result(id, 1));
    connection.socket.ping();
    await soon(once(connection.socket, "pong"), "a pong");

    assert.equal(rpc.state(), "OPEN");
  });

  test("a batch of too many is refused", async (t) => {
    const { rpc, connection } = await pair(t);
    let calls = 0;
    rpc.addRoute("count", () => calls++);

    connection.send(Array(1001).fill(call(undefined, "count")));

    assert.equal((await connection.next()).error.code, Code.INVALID_REQUEST);
    assert.equal(calls, 0);
  });

  test("asking for more than it takes ends the connection", async (t) => {
    const { rpc, connection } = await pair(t, { maxBuffered: 1 << 20, reconnect: false });
    const text = "x".repeat(1 << 20);
    rpc.addRoute("big", () => text);
    const closed = rpc.onEvent("onclose");
    connection.socket.pause();

    for (let id = 1; id < 64; id++) connection.send(call(id, "big"));

    assert.equal((await soon(closed, "onclose")).cause, "protocol");
  });
});

describe("events of the server", () => {
  test("are notifications that no route takes", async (t) => {
    const { rpc, connection } = await pair(t);
    /** @type {unknown[]} */
    const events = [];
    const id = rpc.addServerEventListener((event) => events.push(event.params));
    const other = rpc.addServerEventListener((event) => events.push(event.method));
    assert.notEqual(other, id);
    rpc.addRoute("taken", () => 1);

    connection.send(call(undefined, "taken", [0]));
    connection.send(call(undefined, "tick", [1]));
    await connection.silence();
    assert.equal(rpc.removeServerEventListener(id), true);
    connection.send(call(undefined, "tick", [2]));
    await connection.silence();

    assert.deepEqual(events, [[1], "tick", "tick"]);
  });
});

describe("what is not JSON", () => {
  /** What the other side sends, and what the call with the id 1 (or 3) comes to. @type {[any, string][]} */
  const ANSWERS = [
    ["longwire.jsonrpc", '{"jsonrpc": "2.0", "id": 1, "result": NaN}'],
    ["longwire.jsonrpc", '{"jsonrpc":"2.0","result":[Infinity],"id":1}'],
    ["longwire.jsonrpc", ' { "id" : 1 , "jsonrpc" : "2.0" , "error" : {"code": NaN, "message": "method"} } '],
    ["wsrpc", '{"id": 3, "result": {"method": NaN}}'],
    ["wsrpc.1", '{"serial": 3, "type": "callback", "data": NaN}'],
  ];
  for (const [wire, text] of ANSWERS) {
    test(`fails the call that it was the answer of: ${text}`, async (t) => {
      const { rpc, connection } = await pair(t, { wire });
      const calling = rpc.call("a");
      await connection.next();

      connection.send(text);

      const error = await failure(calling);
      assert.equal(error.type, "ParseError");
      assert.match(error.message, /^not JSON: /);
      await connection.silence();
    });
  }

  /** @type {[any, string, unknown][]} */
  const CALLS = [
    ["longwire.jsonrpc", '{"jsonrpc": "2.0", "id": 1, "method": "a", "params": [NaN]}', 1],
    ["longwire.jsonrpc", '{"jsonrpc": "2.0", "id": "x-1", "method": "a", "params": [NaN]}', "x-1"],
    ["longwire.jsonrpc", '{"jsonrpc": "2.0", "method": "a", "params": [NaN], "id": 77}', 77],
    ["longwire.jsonrpc", '{"jsonrpc": "2.0", "method": "a", "params": [NaN]}', null],
    ["longwire.jsonrpc", '{"jsonrpc": "2.0", "id": 01, "method": "a"}', null],
    ["longwire.jsonrpc", '{"jsonrpc": "2.0", "id": "a\nb", "method": "a"}', null],
    ["longwire.jsonrpc", '{"jsonrpc": "2.0", "id": 7, "resul', null],
    ["longwire.jsonrpc", "", null],
    ["wsrpc", '{"id": 2, "method": "a", "params": NaN}', 2],
    ["wsrpc.1", '{"serial": 2, "type": "call", "call": "a", "arguments": NaN}', 2],
  ];
  for (const [wire, text, expected] of CALLS) {
    test(`is answered, with the id of the call where it shows: ${JSON.stringify(text)}`, async (t) => {
      const { rpc, connection } = await pair(t, { wire });
      const other = rpc.call("other");
      other.catch(() => {});
      await connection.next();

      connection.send(text);

      const { id, serial = id } = await connection.next();
      assert.equal(serial, expected);
      await connection.silence();
    });
  }

  test("is read in no time, however long it is", async (t) => {
    const { rpc, connection } = await pair(t);
    for (const text of [
      '"id":1,'.repeat(1e5), " ".repeat(1e6), `{"id"${" ".repeat(1e6)}`, `,${" ".repeat(1e6)}`, '{"id":'.repeat(1e5),
      `{"id":"${"x".repeat(1e6)}`, ',"id":1}'.repeat(1e5),
    ]) {
      connection.send(text);
      await connection.next(); // which waits for 20 seconds; a quadratic search takes many more
    }
    assert.equal(rpc.state(), "OPEN");
  });
});
