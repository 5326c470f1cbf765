/** How much the other side takes in one message: what is larger is refused here, and the connection lives. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";

import { Code, RpcError } from "../src/longwire.js";
import { failure, makeRpc, pair, soon, startPeer } from "./peer.js";

const LIMIT = 100_000;
const announcement = (message = LIMIT) => ({ jsonrpc: "2.0", method: "$/limits", params: { message } });

/** @param {any} t @param {import("../src/settings.js").RpcOptions} [options] */
async function limited(t, options) {
  const found = await pair(t, options);
  found.connection.send(announcement());
  await found.connection.silence();
  return found;
}

/**
 * Text of such a size that the call of `f` with it has as many bytes as the limit.
 *
 * @param {string} [character]
 */
function exactly(character = "x") {
  const around = Buffer.byteLength(JSON.stringify({ jsonrpc: "2.0", id: 1, method: "f", params: [""] }));
  const size = Buffer.byteLength(character);
  const rest = (LIMIT - around) % size;
  return character.repeat((LIMIT - around - rest) / size) + "y".repeat(rest);
}

describe("a limit that was announced", () => {
  for (const character of ["x", "ü", "€", "😀"]) {
    test(`counts bytes, not characters: ${character}`, async (t) => {
      const { rpc, connection } = await limited(t, { reconnect: false });
      const text = exactly(character);

      const sent = rpc.call("f", [text]);
      const frame = await connection.next();
      assert.equal(Buffer.byteLength(JSON.stringify(frame)), LIMIT);
      connection.send({ jsonrpc: "2.0", id: frame.id, result: 1 });
      assert.equal(await sent, 1);

      const error = await failure(rpc.call("f", [`${text}z`]));
      assert.ok(error instanceof RpcError);
      assert.equal(error.code, Code.TOO_LARGE);
      assert.match(error.message, /larger than the 100000 bytes that the other side takes/);
      assert.equal(rpc.state(), "OPEN");
    });
  }

  test("refuses every verb, and other calls go on", async (t) => {
    const { rpc, connection } = await limited(t);
    const large = "x".repeat(LIMIT);
    const other = rpc.call("small");
    const { id } = await connection.next();

    assert.equal((await failure(rpc.call("f", [large]))).code, Code.TOO_LARGE);
    assert.equal((await failure(rpc.call("f", { large }))).code, Code.TOO_LARGE);
    assert.equal((await failure(rpc.call(large))).code, Code.TOO_LARGE);
    assert.equal((await failure(rpc.notify("f", [large]))).code, Code.TOO_LARGE);
    assert.equal((await failure(rpc.stream("f", [large]).next())).code, Code.TOO_LARGE);
    assert.throws(() => rpc.sendRaw(`${large}x`), (error) => error instanceof RpcError && error.code === Code.TOO_LARGE);

    await connection.silence();
    connection.send({ jsonrpc: "2.0", id, result: "fine" });
    assert.equal(await other, "fine");
  });

  test("makes a small error of a large result, item, error and batch of answers", async (t) => {
    const { rpc, connection } = await limited(t);
    const large = "x".repeat(LIMIT);
    rpc.addRoute("result", () => large);
    rpc.addRoute("item", function* () { yield 1; yield large; });
    rpc.addRoute("message", () => { throw new RangeError(large); });
    rpc.addRoute("data", () => { throw Object.assign(new RangeError("no"), { data: large }); });
    rpc.addRoute("half", () => "x".repeat(LIMIT / 2));

    connection.send({ jsonrpc: "2.0", id: 1, method: "result" });
    const result = await connection.next();
    assert.deepEqual([result.id, result.error.code], [1, Code.INTERNAL_ERROR]);
    assert.match(result.error.message, /^the result cannot be sent: .*100000 bytes/);

    connection.send({ jsonrpc: "2.0", id: 2, method: "item", stream: 4 });
    assert.equal((await connection.next()).params.value, 1);
    const item = await connection.next();
    assert.deepEqual([item.id, item.error.code], [2, Code.INTERNAL_ERROR]);

    connection.send({ jsonrpc: "2.0", id: 3, method: "message" });
    const message = await connection.next();
    assert.deepEqual([message.id, message.error.data.type, message.error.message.length], [3, "RangeError", 500]);

    connection.send({ jsonrpc: "2.0", id: 4, method: "data" });
    const data = await connection.next();
    assert.deepEqual([data.id, data.error.message], [4, "no"]);

    connection.send([5, 6, 7].map((id) => ({ jsonrpc: "2.0", id, method: "half" })));
    const batch = await connection.next();
    assert.deepEqual(batch.map((/** @type {any} */ { id, error }) => [id, error.code]), [
      [5, Code.INTERNAL_ERROR], [6, Code.INTERNAL_ERROR], [7, Code.INTERNAL_ERROR],
    ]);
    assert.equal(rpc.state(), "OPEN");
  });

  for (const params of [undefined, null, [], {}, { message: null }, { message: 0 }, { message: -1 }, { message: 1.5 },
    { message: "100" }, { message: 1e400 }]) {
    test(`is ignored where it makes no sense: ${JSON.stringify(params)}`, async (t) => {
      const { rpc, connection } = await pair(t);
      connection.send({ jsonrpc: "2.0", method: "$/limits", params });
      await connection.silence();

      rpc.notify("f", ["x".repeat(8000)]);

      assert.equal((await connection.next()).method, "f");
    });
  }

  test("gives way to one that the page has said", async (t) => {
    const { rpc, connection } = await limited(t, { maxMessage: 200 });

    assert.equal((await failure(rpc.call("f", ["x".repeat(200)]))).code, Code.TOO_LARGE);
    rpc.notify("f", ["x".repeat(100)]);
    await connection.next();
  });

  test("is one of its connection", async (t) => {
    const { peer, rpc, connection } = await limited(t);
    connection.cut();
    const again = await peer.accept();
    again.send(announcement(2 * LIMIT));
    await again.silence();

    rpc.notify("f", ["x".repeat(LIMIT)]);

    assert.equal((await again.next()).method, "f");
  });
});

describe("a limit that is not known yet", () => {
  const large = ["x".repeat(LIMIT)];
  const medium = ["x".repeat(LIMIT / 2)];

  test("large calls wait for it, and those behind them keep their turn", async (t) => {
    const peer = await startPeer(t);
    const rpc = makeRpc(t, peer.url);
    const first = rpc.call("first");
    const refused = rpc.call("large", large);
    rpc.notify("medium", medium);
    rpc.notify("last");
    rpc.connect();
    const connection = await peer.accept();
    const { id } = await connection.next();
    assert.equal((await connection.next()).method, "$/ping");
    rpc.notify("later");
    await connection.silence();

    connection.send(announcement());

    assert.equal((await failure(refused)).code, Code.TOO_LARGE);
    for (const method of ["medium", "last", "later"]) assert.equal((await connection.next()).method, method);
    connection.send({ jsonrpc: "2.0", id, result: "first" });
    assert.equal(await first, "first");
  });

  for (const answer of [{ result: null }, { error: { code: -32601, message: "what?" } }]) {
    test(`they are sent to who answers without having told: ${JSON.stringify(answer)}`, async (t) => {
      const { rpc, connection } = await pair(t);
      rpc.notify("large", large);
      const { id, method } = await connection.next();
      assert.equal(method, "$/ping");
      await connection.silence();

      connection.send({ jsonrpc: "2.0", id, ...answer });

      assert.equal((await connection.next()).method, "large");
      rpc.notify("large", large);
      assert.equal((await connection.next()).method, "large");
    });
  }

  test("they are not kept from who agreed on no subprotocol of ours", async (t) => {
    const peer = await startPeer(t);
    const rpc = makeRpc(t, peer.url, { protocols: [] }).connect();
    const connection = await peer.accept();

    rpc.notify("large", large);

    assert.equal((await connection.next()).method, "large");
  });

  for (const wire of /** @type {const} */ (["wsrpc", "wsrpc.1"])) {
    test(`they are not kept on the wire ${wire}`, async (t) => {
      const { rpc, connection } = await pair(t, { wire });

      rpc.call("large", large).catch(() => {});

      assert.ok((await connection.next()).id ?? true);
    });
  }

  test("they can be given up, and then no longer hold up the others", async (t) => {
    const { rpc, connection } = await pair(t);
    const controller = new AbortController();
    const given = rpc.call("large", large, { signal: controller.signal });
    const late = rpc.call("late", large, { timeout: 20 });
    rpc.notify("small");
    const { id } = await connection.next();

    controller.abort();
    assert.equal((await failure(given)).name, "AbortError");
    assert.equal((await failure(late)).name, "TimeoutError");
    connection.send({ jsonrpc: "2.0", id, result: null });

    assert.equal((await connection.next()).method, "small");
    await connection.silence();
  });

  test("they fail with their connection", async (t) => {
    const { rpc, connection } = await pair(t, { reconnect: false });
    const calls = [rpc.call("large", large), rpc.call("small")];
    await connection.next();

    connection.cut();

    for (const calling of calls) assert.equal((await failure(calling)).code, Code.DISCONNECTED);
  });

  test("no more of them wait than the socket may hold", async (t) => {
    const { rpc } = await pair(t, { maxBuffered: 1.5 * LIMIT });
    const waiting = [rpc.call("large", large), rpc.call("large", large)];

    const error = await failure(rpc.call("large", large));

    assert.equal(error.code, Code.TOO_BUSY);
    rpc.destroy();
    for (const calling of waiting) await failure(calling);
  });

  test("while there is no connection, too", async (t) => {
    const rpc = makeRpc(t, "ws://127.0.0.1:1/", { maxBuffered: 1.5 * LIMIT });
    const waiting = [rpc.call("large", large), rpc.call("large", large)];

    assert.equal((await failure(rpc.call("large", large))).code, Code.TOO_BUSY);
    await sleep(5);
    rpc.destroy();
    for (const calling of waiting) await soon(failure(calling), "the end of what waited");
  });
});
