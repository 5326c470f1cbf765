/** Streams both ways: backpressure, cancellation, going on after a reconnect. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";

import { Code, DisconnectedError, RpcError } from "../src/longwire.js";
import { failure, makeRpc, pair, soon, startPeer } from "./peer.js";

/** @import { Connection } from "./peer.js" */

/** @param {number} id @param {unknown} value */
const item = (id, value) => ({ jsonrpc: "2.0", method: "$/item", params: { id, value } });

/** @param {number} id @param {number} count */
const more = (id, count) => ({ jsonrpc: "2.0", method: "$/more", params: { id, count } });

/** @param {number} id */
const cancel = (id) => ({ jsonrpc: "2.0", method: "$/cancel", params: { id } });

/** @param {number} id */
const end = (id) => ({ jsonrpc: "2.0", id, result: null });

/** @param {AsyncIterable<unknown>} stream */
async function collect(stream) {
  const found = [];
  for await (const value of stream) found.push(value);
  return found;
}

/**
 * Play a server whose stream counts from 0, never sending more than it was granted.
 *
 * @param {Connection} connection
 * @param {number} count
 */
async function serveCount(connection, count) {
  const { id, stream } = await connection.next();
  let credit = stream;
  let most = 0;
  for (let value = 0; value < count; value++) {
    while (!credit) credit += (await connection.next()).params.count;
    connection.send(item(id, value));
    most = Math.max(most, credit--);
  }
  connection.send(end(id));
  return most;
}

describe("items of the other side", () => {
  test("all come, in order, and no more at once than the window", async (t) => {
    const { rpc, connection } = await pair(t);
    const serving = serveCount(connection, 100);

    const found = await soon(collect(rpc.stream("count", [100], { window: 4 })), "the items");

    assert.deepEqual(found, Array.from({ length: 100 }, (_, i) => i));
    assert.ok(await serving <= 4);
  });

  test("those who wait for several get them in order", async (t) => {
    const { rpc, connection } = await pair(t);
    const stream = rpc.stream("count");
    const waiting = [stream.next(), stream.next(), stream.next(), stream.next()];
    const { id } = await connection.next();

    for (const message of [item(id, 0), item(id, false), end(id)]) connection.send(message);

    assert.deepEqual(await soon(Promise.all(waiting), "all"), [
      { value: 0, done: false }, { value: false, done: false },
      { value: undefined, done: true }, { value: undefined, done: true },
    ]);
  });

  test("no more are asked for while nobody takes them", async (t) => {
    const { rpc, connection } = await pair(t);
    const stream = rpc.stream("count", [], { window: 2 });
    const { id } = await connection.next();

    connection.send(item(id, 0));
    connection.send(item(id, 1));

    await connection.silence();
    await stream.next();
    assert.deepEqual(await connection.next(), more(id, 1));
  });

  test("leaving the loop stops the other side", async (t) => {
    const { rpc, connection } = await pair(t);
    const taking = (async () => {
      for await (const value of rpc.stream("count")) if (value === 1) break;
    })();
    const { id } = await connection.next();
    for (const value of [0, 1, 2]) connection.send(item(id, value));

    await soon(taking, "the end of the loop");

    assert.deepEqual(await connection.next(), cancel(id));
    connection.send(item(id, 3));
    connection.send({ jsonrpc: "2.0", id, error: { code: -32800, message: "cancelled" } });
    await connection.silence();
  });

  test("a signal ends the stream with its reason, at once", async (t) => {
    const { rpc, connection } = await pair(t);
    const controller = new AbortController();
    const stream = rpc.stream("count", [], { signal: controller.signal });
    const { id } = await connection.next();
    connection.send(item(id, 0));
    connection.send(item(id, 1));
    assert.equal((await stream.next()).value, 0);

    controller.abort(new Error("enough"));

    assert.equal((await failure(stream.next())).message, "enough");
    assert.deepEqual(await stream.next(), { value: undefined, done: true });
    assert.deepEqual(await connection.next(), cancel(id));
  });

  test("a stream that is closed while it waits is never asked for", async (t) => {
    const peer = await startPeer(t);
    const rpc = makeRpc(t, peer.url);
    const stream = rpc.stream("count");

    await stream.return();
    rpc.connect();

    await (await peer.accept()).silence();
    assert.deepEqual(await stream.next(), { value: undefined, done: true });
  });

  test("the window must be one", (t) => {
    const rpc = makeRpc(t, "ws://127.0.0.1:1/");

    for (const window of [0, -1, 1025, 1.5, NaN]) {
      assert.throws(() => rpc.stream("x", [], { window }), /window must be an integer from 1 to 1024/);
    }
  });

  for (const wire of /** @type {const} */ (["wsrpc", "wsrpc.1"])) {
    test(`${wire} has none, and says so`, async (t) => {
      const { rpc, connection } = await pair(t, { wire });

      const error = await failure(rpc.stream("count").next());

      assert.deepEqual([error.code, error.message], [Code.STREAM_MISMATCH, `${wire} has no streams`]);
      await connection.silence();
    });
  }
});

describe("after a reconnect", () => {
  test("a stream goes on where it is asked to, and is told", async (t) => {
    const { peer, rpc, connection } = await pair(t);
    /** @type {unknown[]} */
    const told = [];
    rpc.on("onresubscribe", (name) => told.push(name));
    const stream = rpc.stream("prices", { of: "tea" }, { resubscribe: () => told.push("gap") });
    connection.send(item((await connection.next()).id, 1));
    assert.equal((await stream.next()).value, 1);
    const waiting = stream.next();
    connection.cut();

    const again = await peer.accept();
    const { id, method, params } = await again.next();
    assert.deepEqual([method, params], ["prices", { of: "tea" }]);
    again.send(item(id, 2));

    assert.equal((await soon(waiting, "an item")).value, 2);
    assert.deepEqual(told, ["prices", "gap"]);
  });

  test("it goes on after failed attempts, too", async (t) => {
    const { peer, rpc, connection } = await pair(t);
    const stream = rpc.stream("prices", [], { resubscribe: true });
    await connection.next();
    await peer.stop();
    for (let i = 0; i < 2; i++) await soon(rpc.onEvent("onclose"), "onclose");

    const again = await (await startPeer(t, { port: peer.port })).accept();
    const { id } = await again.next();
    again.send(item(id, "back"));

    assert.equal((await soon(stream.next(), "an item")).value, "back");
  });

  test("who is told may end it all", async (t) => {
    const { rpc, connection } = await pair(t);
    const destroyed = rpc.defer();
    const stream = rpc.stream("prices", [], {
      resubscribe: () => {
        rpc.destroy();
        destroyed.resolve();
      },
    });
    await connection.next();
    connection.cut();
    await soon(destroyed.promise, "destroy()");

    rpc.destroy();

    assert.ok(await failure(stream.next()) instanceof DisconnectedError);
  });

  test("what was not taken counts in the new window", async (t) => {
    const { peer, rpc, connection } = await pair(t);
    const stream = rpc.stream("prices", [], { window: 4, resubscribe: true });
    const first = await connection.next();
    for (const value of [1, 2, 3]) connection.send(item(first.id, value));
    await connection.silence();
    connection.cut();

    const again = await peer.accept();
    const { id, stream: window } = await again.next();

    assert.equal(window, 1);
    again.send(item(id, 4));
    const found = [];
    for (let i = 0; i < 4; i++) found.push((await stream.next()).value);
    assert.deepEqual(found, [1, 2, 3, 4]);
    assert.deepEqual(await again.next(), more(id, 2));
  });

  test("it is not asked for until there is room", async (t) => {
    const { peer, rpc, connection } = await pair(t);
    const stream = rpc.stream("prices", [], { window: 2, resubscribe: true });
    const first = await connection.next();
    for (const value of [1, 2]) connection.send(item(first.id, value));
    await connection.silence();
    connection.cut();
    const again = await peer.accept();
    await again.silence();

    assert.equal((await stream.next()).value, 1);

    assert.equal((await again.next()).stream, 1);
  });

  test("one that waits for room ends with destroy()", async (t) => {
    const { peer, rpc, connection } = await pair(t);
    const stream = rpc.stream("prices", [], { window: 1, resubscribe: true });
    connection.send(item((await connection.next()).id, 1));
    await connection.silence();
    connection.cut();
    await (await peer.accept()).silence();

    rpc.destroy();

    assert.equal((await stream.next()).value, 1);
    assert.ok(await failure(stream.next()) instanceof DisconnectedError);
  });

  test("a stream that does not ask for it ends with the report", async (t) => {
    const { rpc, connection } = await pair(t);
    const stream = rpc.stream("prices");
    connection.send(item((await connection.next()).id, 1));
    await connection.silence();
    connection.cut();

    assert.equal((await stream.next()).value, 1);
    const error = await failure(stream.next());
    assert.equal(error.report.cause, "network");
  });

  test("where there will be no other connection it ends", async (t) => {
    const { rpc, connection } = await pair(t, { reconnect: false });
    const stream = rpc.stream("prices", [], { resubscribe: true });
    await connection.next();

    connection.cut();

    assert.ok(await failure(stream.next()) instanceof DisconnectedError);
  });
});

describe("items of ours", () => {
  /** @param {import("../src/longwire.js").Rpc} rpc */
  function addCount(rpc) {
    const seen = { produced: 0, ended: rpc.defer() };
    rpc.addRoute("count", async function* (n = Infinity) {
      try {
        for (; seen.produced < n; seen.produced++) {
          yield seen.produced;
          await null;
        }
      } finally {
        seen.ended.resolve("ended");
      }
    });
    return seen;
  }

  /** @param {number} stream @param {string} [method] */
  const ask = (stream, method = "count") => ({ jsonrpc: "2.0", id: 1, method, stream });

  test("are produced only as they are granted", async (t) => {
    const { rpc, connection } = await pair(t);
    const seen = addCount(rpc);

    connection.send(ask(3));

    for (let i = 0; i < 3; i++) assert.deepEqual(await connection.next(), item(1, i));
    await connection.silence();
    assert.equal(seen.produced, 2);
    connection.send(more(1, 1));
    assert.deepEqual(await connection.next(), item(1, 3));
    await connection.silence();
  });

  test("cannot be part of a batch", async (t) => {
    const { rpc, connection } = await pair(t);
    addCount(rpc);

    connection.send([ask(1)]);

    const [{ error }] = await connection.next();
    assert.deepEqual([error.code, error.message], [Code.INVALID_REQUEST, "a stream cannot be part of a batch"]);
    await connection.silence();
  });

  test("may be granted 1024 at once", async (t) => {
    const { rpc, connection } = await pair(t);
    addCount(rpc);

    connection.send(ask(1024));

    for (let i = 0; i < 1024; i++) assert.deepEqual(await connection.next(), item(1, i));
    await connection.silence();
  });

  test("end when they are cancelled, while waiting to be granted more", async (t) => {
    const { rpc, connection } = await pair(t);
    const seen = addCount(rpc);
    connection.send(ask(1));
    await connection.next();

    connection.send(cancel(1));

    assert.equal((await connection.next()).error.code, Code.CANCELLED);
    assert.equal(await soon(seen.ended.promise, "the generator's end"), "ended");
    await connection.silence();
  });

  test("end with the connection", async (t) => {
    const { rpc, connection } = await pair(t);
    const seen = addCount(rpc);
    connection.send(ask(1));
    await connection.next();

    connection.cut();

    assert.equal(await soon(seen.ended.promise, "the generator's end"), "ended");
  });

  test("end while the generator waits for something else, as soon as that comes", async (t) => {
    const { rpc, connection } = await pair(t);
    const { promise, resolve } = rpc.defer();
    rpc.addRoute("slow", async function* () {
      try {
        await new Promise((wake) => this.signal.addEventListener("abort", wake));
        yield "too late";
      } finally {
        resolve("ended");
      }
    });
    connection.send(ask(1, "slow"));
    await connection.silence();

    connection.send(cancel(1));

    assert.equal((await connection.next()).error.code, Code.CANCELLED);
    assert.equal(await soon(promise, "the generator's end"), "ended");
    await connection.silence();
  });

  test("one that is not JSON ends them, and the generator", async (t) => {
    const { rpc, connection } = await pair(t);
    const { promise, resolve } = rpc.defer();
    rpc.addRoute("odd", async function* () {
      try {
        yield 1;
        yield 2n;
      } finally {
        resolve("ended");
      }
    });
    connection.send(ask(16, "odd"));

    assert.deepEqual(await connection.next(), item(1, 1));
    assert.match((await connection.next()).error.message, /BigInt/);
    assert.equal(await soon(promise, "the generator's end"), "ended");
  });

  test("may come from a plain generator or a ReadableStream", async (t) => {
    const { rpc, connection } = await pair(t);
    rpc.addRoute("plain", function* () { yield 0; yield undefined; });
    rpc.addRoute("readable", () => new ReadableStream({
      start(controller) {
        controller.enqueue(0);
        controller.enqueue(null);
        controller.close();
      },
    }));

    for (const name of ["plain", "readable"]) {
      connection.send(ask(16, name));
      assert.deepEqual(await connection.next(), item(1, 0));
      assert.deepEqual(await connection.next(), item(1, null));
      assert.deepEqual(await connection.next(), end(1));
    }
  });

  test("an array is no stream", async (t) => {
    const { rpc, connection } = await pair(t);
    rpc.addRoute("list", () => [1, 2]);

    connection.send(ask(16, "list"));
    assert.equal((await connection.next()).error.code, Code.STREAM_MISMATCH);

    connection.send({ jsonrpc: "2.0", id: 2, method: "list" });
    assert.deepEqual((await connection.next()).result, [1, 2]);
  });

  test("an error comes after them", async (t) => {
    const { rpc, connection } = await pair(t);
    rpc.addRoute("breaks", async function* () {
      yield 1;
      throw new RpcError("broken", { code: 7 });
    });

    connection.send(ask(16, "breaks"));

    assert.deepEqual(await connection.next(), item(1, 1));
    assert.equal((await connection.next()).error.code, 7);
  });
});

test("two of ours talk to each other through a server that passes on", async (t) => {
  const { rpc: left, connection: a } = await pair(t);
  const { rpc: right, connection: b } = await pair(t);
  a.socket.on("message", (data) => b.socket.send(String(data)));
  b.socket.on("message", (data) => a.socket.send(String(data)));
  right.addRoute("count", async function* (n) {
    for (let i = 0; i < n; i++) {
      if (i % 50 === 0) await sleep(1);
      yield i;
    }
  });

  const found = await soon(collect(left.stream("count", [500], { window: 7 })), "the items");

  assert.equal(found.length, 500);
  assert.equal(found[499], 499);
});
