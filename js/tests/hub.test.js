/** Subscriptions of a hub, with a test as the server. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";

import { GapError, Hub, HubCode } from "../src/longwire.js";
import { failure, makeRpc, pair, soon, startPeer } from "./peer.js";

/** @import { TestContext } from "node:test" */
/** @import { Connection } from "./peer.js" */

/** @param {number} offset @param {string} [epoch] */
const at = (offset, epoch = "aaaaaaaa") => `${epoch}.${offset}.${offset ? "b1" : "0"}`;

/** @param {...number} offsets */
const entries = (...offsets) => offsets.map((offset) => ({ offset, data: `m${offset}`, position: at(offset) }));

/** @param {...number} offsets */
const push = (...offsets) => ({
  jsonrpc: "2.0",
  method: "hub.message",
  params: { topic: "a:1", entries: entries(...offsets), position: at(offsets[offsets.length - 1]) },
});

/** @param {string} method @param {object} params */
const tell = (method, params) => ({ jsonrpc: "2.0", method: `hub.${method}`, params: { topic: "a:1", ...params } });

/**
 * The next call of the hub; those of the protocol itself are answered.
 *
 * @param {Connection} connection
 */
async function asked(connection) {
  for (;;) {
    const frame = await connection.next();
    if (!String(frame.method).startsWith("$/")) return frame;
    connection.send({ jsonrpc: "2.0", id: frame.id, result: null });
  }
}

/**
 * Answer a subscribe.
 *
 * @param {Connection} connection
 * @param {any} frame
 * @param {...object} answers
 */
const answer = (connection, { id }, ...answers) => connection.send({ jsonrpc: "2.0", id, result: answers });

/** @param {import("../src/longwire.js").Subscription} sub */
function noted(sub) {
  /** @type {any[]} */
  const events = [];
  sub.on("message", (data) => events.push(data));
  sub.on("gap", ({ reason, missed }) => events.push(["gap", reason, missed]));
  sub.on("subscribed", ({ recovered }) => events.push(["subscribed", recovered]));
  sub.on("unsubscribed", (error) => events.push(["unsubscribed", error.code]));
  return events;
}

/** @param {() => unknown} happened */
async function until(happened) {
  for (let turn = 0; !happened(); turn++) {
    assert.ok(turn < 2000, `never: ${happened}`);
    await sleep(5);
  }
}

/**
 * A connected hub with one subscription that was answered.
 *
 * @param {TestContext} t
 * @param {import("../src/subscription.js").SubscribeOptions} [options]
 */
async function following(t, options) {
  const { peer, rpc, connection } = await pair(t);
  const hub = new Hub(rpc);
  const sub = hub.subscribe("a:1", options);
  const events = noted(sub);
  const frame = await asked(connection);
  return { peer, rpc, connection, hub, sub, events, frame };
}

describe("subscribing", () => {
  test("all topics of a turn are subscribed to in one call", async (t) => {
    const { rpc, connection } = await pair(t);
    const hub = new Hub(rpc);
    hub.subscribe("a:1", { since: at(7), last: 5 });
    hub.subscribe("a:2", { last: 5, token: async () => "secret" });
    hub.subscribe("a:3", { presence: "watch" });

    const { method, params } = await asked(connection);

    assert.equal(method, "hub.subscribe");
    assert.deepEqual(params.topics, [
      { topic: "a:1", since: at(7) },
      { topic: "a:2", last: 5, token: "secret" },
      { topic: "a:3", presence: { client: hub.name, watch: true } },
    ]);
  });

  test("many topics take calls that a server accepts", async (t) => {
    const { rpc, connection } = await pair(t);
    const hub = new Hub(rpc);
    for (let n = 0; n < 700; n++) hub.subscribe(`a:${n}`, { token: n < 100 ? "t".repeat(8000) : undefined });

    const seen = new Set();
    while (seen.size < 700) {
      const frame = await asked(connection);
      assert.ok(JSON.stringify(frame).length < 120_000 && frame.params.topics.length <= 512);
      for (const { topic } of frame.params.topics) seen.add(topic);
    }
    await connection.silence();
  });

  test("what is not connected yet is subscribed to when it is", async (t) => {
    const peer = await startPeer(t);
    const rpc = makeRpc(t, peer.url);
    new Hub(rpc).subscribe("a:1");
    await sleep(10);
    rpc.connect();

    assert.deepEqual((await asked(await peer.accept())).params, { topics: [{ topic: "a:1" }] });
  });

  test("a topic is subscribed to once", async (t) => {
    const { hub, sub } = await following(t);

    assert.throws(() => hub.subscribe("a:1"), /already/);
    sub.unsubscribe();
    hub.subscribe("a:1");
  });

  for (const [name, options, error] of /** @type {[string, any, any][]} */ ([
    ["since", { since: 5 }, TypeError],
    ["last", { last: -1 }, RangeError],
    ["token", { token: 5 }, TypeError],
    ["presence", { presence: "yes" }, TypeError],
    ["maxQueue", { maxQueue: 0.5 }, RangeError],
  ])) {
    test(`an option that makes no sense is refused: ${name}`, async (t) => {
      const hub = new Hub(makeRpc(t, "ws://127.0.0.1:1/"));

      assert.throws(() => hub.subscribe("a:1", options), error);
      hub.subscribe("a:1"); // nothing is left of it
    });
  }
});

describe("following", () => {
  test("messages come once and in order, and the position moves behind them", async (t) => {
    const { connection, sub, events, frame } = await following(t);
    /** @type {any[]} */
    const positions = [];
    sub.on("message", () => positions.push(sub.position));
    answer(connection, frame, { position: at(2), recovered: null, entries: entries(1, 2) });
    connection.send(push(2, 3));
    connection.send(push(3));
    connection.send(push(4));

    await until(() => events.length >= 5);
    assert.deepEqual(events, [["subscribed", null], "m1", "m2", "m3", "m4"]);
    assert.deepEqual(positions, [null, at(1), at(2), at(3)]);
    assert.equal(sub.position, at(4));
  });

  test("what comes before the answer waits for it", async (t) => {
    const { connection, events, frame } = await following(t);
    connection.send(push(3));
    await sleep(20);
    assert.deepEqual(events, []);
    answer(connection, frame, { position: at(2), recovered: null, entries: entries(2) });

    await until(() => events.length >= 3);
    assert.deepEqual(events, [["subscribed", null], "m2", "m3"]);
  });

  test("after a reconnect it goes on from its position", async (t) => {
    const { peer, connection, sub, events, frame } = await following(t);
    answer(connection, frame, { position: at(2), recovered: null, entries: [] });
    connection.send(push(3));
    await until(() => sub.position === at(3));
    connection.cut();

    const next = await peer.accept();
    const again = await asked(next);
    assert.deepEqual(again.params.topics, [{ topic: "a:1", since: at(3) }]);
    answer(next, again, { position: at(5), recovered: true, entries: entries(4, 5) });

    await until(() => events.length >= 5);
    assert.deepEqual(events, [["subscribed", null], "m3", ["subscribed", true], "m4", "m5"]);
  });

  test("what cannot be recovered is a gap, and it goes on", async (t) => {
    const { connection, sub, events, frame } = await following(t, { since: at(3) });
    answer(connection, frame, { position: at(9, "cccccccc"), recovered: false, reason: "epoch", entries: [], snapshot: [1] });
    await until(() => sub.position === at(9, "cccccccc"));
    connection.send(tell("gap", { position: at(12, "cccccccc"), reason: "trimmed", missed: 3 }));

    await until(() => events.length >= 3);
    assert.deepEqual(events, [["subscribed", false], ["gap", "epoch", null], ["gap", "trimmed", 3]]);
    assert.deepEqual(sub.snapshot, [1]);
    assert.equal(sub.position, at(12, "cccccccc"));
  });

  test("what does not follow is asked for again from the position", async (t) => {
    const { connection, events, frame } = await following(t);
    answer(connection, frame, { position: at(2), recovered: null, entries: [] });
    connection.send(push(4));

    const again = await asked(connection);
    assert.deepEqual(again.params.topics, [{ topic: "a:1", since: at(2) }]);
    answer(connection, again, { position: at(4), recovered: true, entries: entries(3, 4) });
    await until(() => events.length >= 4);
    assert.deepEqual(events, [["subscribed", null], ["subscribed", true], "m3", "m4"]);
  });

  test("messages that were skipped are no gap", async (t) => {
    const { connection, sub, frame } = await following(t);
    /** @type {any[]} */
    const skipped = [];
    sub.on("message", (_, message) => skipped.push(message.skipped));
    answer(connection, frame, { position: at(2), recovered: null, entries: [] });
    const { params } = push(9);
    connection.send(tell("message", { ...params, skipped: 6 }));
    connection.send(push(10));

    await until(() => skipped.length >= 2);
    assert.deepEqual(skipped, [6, 0]);
  });

  test("a listener that throws stops nothing", async (t) => {
    const { connection, sub, events, frame } = await following(t);
    t.mock.method(console, "error", () => {});
    sub.on("message", () => { throw new Error("no"); });
    answer(connection, frame, { position: at(2), recovered: null, entries: entries(1, 2) });

    await until(() => events.length >= 3);
    assert.equal(sub.position, at(2));
  });
});

describe("refusals and ends", () => {
  /** @param {number} code @param {unknown} [data] */
  const refusal = (code, data) => ({
    topic: "a:1", error: { code, message: "no", data: data && { type: "X", data } },
  });

  test("one topic that is refused ends alone", async (t) => {
    const { rpc, connection } = await pair(t);
    const hub = new Hub(rpc);
    const [one, two] = [noted(hub.subscribe("a:1")), noted(hub.subscribe("a:2"))];
    answer(connection, await asked(connection), refusal(HubCode.UNKNOWN_TOPIC), { topic: "a:2", position: at(0) });

    await until(() => one.length && two.length);
    assert.deepEqual(one, [["unsubscribed", HubCode.UNKNOWN_TOPIC]]);
    assert.deepEqual(two, [["subscribed", undefined]]);
  });

  for (const [name, code, data, options] of /** @type {[string, number, any, any][]} */ ([
    ["the broker is away", HubCode.BROKER_UNAVAILABLE, { retry: 5 }, {}],
    ["the server is busy", -32002, { retry: 5 }, {}],
    ["a token has expired", HubCode.TOKEN_EXPIRED, { retry: 5 }, { token: () => "new" }],
  ])) {
    test(`it is tried again where ${name}`, async (t) => {
      const { connection, events, frame } = await following(t, options);
      answer(connection, frame, refusal(code, data));
      answer(connection, await asked(connection), { position: at(0) });

      await until(() => events.length);
      assert.deepEqual(events, [["subscribed", undefined]]);
    });
  }

  test("a token that is a text is not tried again when it has expired", async (t) => {
    const { connection, events, frame } = await following(t, { token: "old" });
    answer(connection, frame, refusal(HubCode.TOKEN_EXPIRED));

    await until(() => events.length);
    assert.deepEqual(events, [["unsubscribed", HubCode.TOKEN_EXPIRED]]);
  });

  test("a token that cannot be had ends it", async (t) => {
    const { rpc } = await pair(t);
    const events = noted(new Hub(rpc).subscribe("a:1", { token: async () => { throw new RangeError("none"); } }));

    await until(() => events.length);
    assert.deepEqual(events, [["unsubscribed", undefined]]);
  });

  test("an answer that is none ends it", async (t) => {
    for (const odd of [null, 5, {}, { position: 5 }]) {
      const { connection, events, frame } = await following(t);
      answer(connection, frame, /** @type {any} */ (odd));
      await until(() => events.length);
      assert.equal(events[0][0], "unsubscribed");
    }
  });

  test("the server may end it, for good or not", async (t) => {
    const { connection, events, frame } = await following(t);
    answer(connection, frame, { position: at(2) });
    connection.send(tell("unsubscribed", { code: "expired", reason: "", again: true }));
    const again = await asked(connection);
    assert.deepEqual(again.params.topics, [{ topic: "a:1", since: at(2) }]);
    answer(connection, again, { position: at(2), recovered: true });
    connection.send(tell("unsubscribed", { code: "revoked", reason: "", again: false }));

    await until(() => events.length >= 3);
    assert.deepEqual(events[2], ["unsubscribed", HubCode.NOT_SUBSCRIBED]);
  });

  test("a permission that ends is renewed with a new token", async (t) => {
    let count = 0;
    const { connection, frame } = await following(t, { token: () => `t${++count}` });
    answer(connection, frame, { position: at(2) });
    connection.send(tell("expiring", { in: 30 }));

    const { method, params } = await asked(connection);
    assert.deepEqual([method, params], ["hub.refresh", { topic: "a:1", token: "t2" }]);
  });

  test("a server that says things a thousand times is asked once", async (t) => {
    let count = 0;
    const { connection, frame } = await following(t, { token: () => `t${++count}` });
    answer(connection, frame, { position: at(2) });
    for (let n = 0; n < 1000; n++) connection.send(tell("expiring", { in: 30 }));
    assert.equal((await asked(connection)).method, "hub.refresh");
    for (let n = 0; n < 1000; n++) connection.send(tell("unsubscribed", { code: "expired", again: true }));

    assert.equal((await asked(connection)).method, "hub.subscribe");
    await connection.silence();
    assert.equal(count, 3);
  });

  test("who closes for good ends all subscriptions", async (t) => {
    const { rpc, connection, sub, events, frame } = await following(t);
    answer(connection, frame, { position: at(2) });
    await until(() => events.length);
    rpc.destroy();

    await until(() => events.length >= 2);
    assert.equal(events[1][0], "unsubscribed");
    assert.equal(sub.error?.name, "RemoteError");
  });

  test("what was left while the answer was on its way is left again", async (t) => {
    const { connection, sub, events, frame } = await following(t);
    sub.unsubscribe();
    assert.equal((await asked(connection)).method, "hub.unsubscribe");
    answer(connection, frame, { position: at(2), entries: entries(1, 2) });

    assert.equal((await asked(connection)).method, "hub.unsubscribe");
    assert.deepEqual(events, []);
  });
});

describe("for await", () => {
  test("messages wait for the loop, and the position for its body", async (t) => {
    const { rpc, connection } = await pair(t);
    const sub = new Hub(rpc).subscribe("a:1");
    answer(connection, await asked(connection), { position: at(2), recovered: null, entries: entries(1, 2) });
    await sleep(30); // nobody listens yet

    /** @type {any[]} */
    const found = [];
    for await (const { data, offset } of sub) {
      found.push([data, offset, sub.position]);
      if (offset === 2) connection.send(push(3));
      if (offset === 3) sub.unsubscribe();
    }

    assert.deepEqual(found, [["m1", 1, null], ["m2", 2, at(1)], ["m3", 3, at(2)]]);
    assert.equal(sub.position, at(3));
  });

  test("a gap is thrown, and another loop goes on after it", async (t) => {
    const { rpc, connection } = await pair(t);
    const sub = new Hub(rpc).subscribe("a:1", { since: at(1) });
    answer(connection, await asked(connection), { position: at(5), recovered: false, reason: "trimmed", missed: 4 });
    connection.send(push(6));

    const error = await failure(sub[Symbol.asyncIterator]().next());
    assert.ok(error instanceof GapError);
    assert.deepEqual([error.reason, error.missed, error.position], ["trimmed", 4, at(5)]);
    for await (const { data } of sub) {
      assert.equal(data, "m6");
      break;
    }
  });

  test("what a loop is too slow for is left at the server, and asked for later", async (t) => {
    const { rpc, connection } = await pair(t);
    const sub = new Hub(rpc).subscribe("a:1", { maxQueue: 4 });
    answer(connection, await asked(connection), { position: at(0), recovered: null });
    for (let n = 1; n <= 20; n++) connection.send(push(n));
    assert.equal((await asked(connection)).method, "hub.unsubscribe");
    await sleep(20);

    /** @type {any[]} */
    const found = [];
    for await (const { offset } of sub) {
      found.push(offset);
      if (offset === 3) {
        const again = await asked(connection);
        assert.deepEqual(again.params.topics, [{ topic: "a:1", since: at(5) }]);
        answer(connection, again, { position: at(7), recovered: true, entries: entries(6, 7) });
      }
      if (offset === 7) break;
    }
    assert.deepEqual(found, [1, 2, 3, 4, 5, 6, 7]);
  });

  test("the end of the connection is thrown", async (t) => {
    const { rpc, connection } = await pair(t);
    const sub = new Hub(rpc).subscribe("a:1");
    answer(connection, await asked(connection), { position: at(0), recovered: null });
    const next = sub[Symbol.asyncIterator]().next();
    rpc.destroy();

    assert.match((await failure(next)).message, /closed/);
  });
});

describe("calls", () => {
  test("publish, history and presence", async (t) => {
    const { connection, sub, frame } = await following(t);
    answer(connection, frame, { position: at(0), recovered: null });

    const published = sub.publish({ text: "hi" }, { id: "x" });
    let call = await asked(connection);
    assert.deepEqual([call.method, call.params], ["hub.publish", { topic: "a:1", data: { text: "hi" }, id: "x" }]);
    connection.send({ jsonrpc: "2.0", id: call.id, result: { offset: 1, position: at(1) } });
    assert.deepEqual(await soon(published, "it"), { offset: 1, position: at(1) });

    const history = sub.history({ limit: 2, reverse: true });
    call = await asked(connection);
    assert.deepEqual(call.params, { topic: "a:1", limit: 2, reverse: true });
    connection.send({ jsonrpc: "2.0", id: call.id, result: { entries: [{ offset: 1, data: 5 }], position: at(1), more: false } });
    assert.deepEqual(await soon(history, "it"), [{ data: 5, offset: 1, position: at(1), skipped: 0 }]);

    const lost = sub.history({ since: at(9) });
    call = await asked(connection);
    connection.send({ jsonrpc: "2.0", id: call.id, result: { entries: [], position: at(1), more: false, reason: "ahead" } });
    assert.equal((await failure(lost)).reason, "ahead");

    const present = sub.presence();
    call = await asked(connection);
    assert.equal(call.method, "hub.presence");
    connection.send({ jsonrpc: "2.0", id: call.id, result: { clients: 1, users: 1, members: [] } });
    assert.equal((await soon(present, "it")).clients, 1);
  });
});
