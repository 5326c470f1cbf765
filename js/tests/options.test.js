/** Options of every kind and value: each means something, or is refused where it is given. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";

import { Client, Hub, Rpc, WSRPC } from "../src/longwire.js";
import { QUICK, failure, makeRpc, pair, soon, startPeer } from "./peer.js";

const NOWHERE = "ws://127.0.0.1:1/";

/** As good as not given. */
const ABSENT = [undefined, null];

/** What is wrong for each kind of option. @type {Record<string, any[]>} */
const WRONG = {
  time: [0, -0, -1, NaN, -Infinity, "5", true, {}, [], 5n, Symbol("x"), () => 5, Object.create(null)],
  count: [-1, NaN, 1.5, -Infinity, "5", true, {}, [], 5n, Symbol("x"), () => 5],
  window: [0, -1, NaN, 1.5, 1025, Infinity, "5", true, {}, 5n],
  function: [0, 1, NaN, "f", true, {}, [], 5n, Symbol("x")],
  object: [0, 1, NaN, "f", true, 5n, Symbol("x"), () => 1],
  signal: [0, 1, NaN, "f", true, {}, [], 5n, Symbol("x"), new AbortController()],
  word: ["", "no such", 0, NaN, true, {}, [], 5n, Symbol("x"), () => 1],
  heartbeat: [0, 1, NaN, "f", 5n, Symbol("x"), () => 1],
  reconnect: [0, -1, NaN, "f", 5n, Symbol("x"), () => 1],
  factor: [0, 0.5, -1, NaN, Infinity, "2", true, {}, 5n],
  jitter: [-0.1, 1.1, NaN, Infinity, "0", true, {}, 5n],
};

/** What is right for each kind. @type {Record<string, any[]>} */
const RIGHT = {
  time: [1, 0.5, 1e9, 2 ** 31, Infinity],
  count: [0, 1, 1e9, Infinity],
  window: [1, 16, 1024],
  function: [() => {}],
  object: [{}],
  signal: [new AbortController().signal],
  heartbeat: [true, false, {}, { interval: 50 }],
  reconnect: [true, false, {}, 50, Infinity],
  factor: [1, 1.5, 10],
  jitter: [0, 0.5, 1],
};

/** @param {string} name @param {any} value @returns {any} */
const nested = (name, value) => name.split(".").reduceRight((inner, key) => ({ [key]: inner }), value);

/** @type {[string, string][]} */
const CLIENT = [
  ["openTimeout", "time"], ["closeTimeout", "time"], ["maxBuffered", "count"], ["WebSocket", "function"],
  ["heartbeat", "heartbeat"], ["heartbeat.interval", "time"], ["heartbeat.timeout", "time"],
  ["heartbeat.probe", "function"], ["reconnect", "reconnect"], ["reconnect.first", "time"], ["reconnect.max", "time"],
  ["reconnect.factor", "factor"], ["reconnect.jitter", "jitter"],
];
/** @type {[string, string][]} */
const RPC = [
  ...CLIENT, ["wire", "word"], ["offline", "word"], ["timeout", "time"], ["maxQueue", "count"],
  ["maxPending", "count"], ["maxCalls", "count"], ["maxMessage", "count"], ["errors", "object"], ["onFrame", "function"],
];
/** @type {[string, string][]} */
const CALL = [["signal", "signal"], ["timeout", "time"]];
/** @type {[string, string][]} */
const STREAM = [["signal", "signal"], ["window", "window"]];

const isOptionError = (/** @type {unknown} */ error) => error instanceof TypeError || error instanceof RangeError;

/** @param {string} name @param {unknown} error @param {string} at */
function assertSays(name, error, at) {
  assert.ok(isOptionError(error), `${at}: ${String(error)}`);
  const last = name.split(".").at(-1);
  assert.match(/** @type {Error} */ (error).message, new RegExp(`^${last} must be .*, not `, "s"), at);
}

/** @param {unknown} value */
const show = (value) => (typeof value === "object" && value ? "an object" : `${typeof value} ${String(value)}`);

describe("options of a connection", () => {
  /** @type {[string, (options: any) => any, [string, string][]][]} */
  const MAKERS = [
    ["Client", (options) => new Client(NOWHERE, options), CLIENT],
    ["Rpc", (options) => new Rpc(NOWHERE, options), RPC],
    ["WSRPC", (options) => WSRPC(NOWHERE, 1000, options), RPC],
  ];
  for (const [maker, make, options] of MAKERS) {
    for (const [name, kind] of options) {
      test(`${maker}: ${name}`, () => {
        for (const value of WRONG[kind]) {
          const at = `${name}: ${show(value)}`;
          assert.throws(() => make(nested(name, value)), (error) => assertSays(name, error, at) ?? true, at);
        }
        for (const value of [...ABSENT, ...(RIGHT[kind] ?? [])]) make(nested(name, value));
      });
    }

    test(`${maker}: the options as a whole`, () => {
      for (const value of [5, "x", true, 5n, () => 1]) {
        assert.throws(() => make(value), /options must be an object, not/);
      }
      for (const value of [...ABSENT, {}, Object.create(null)]) make(value);
    });
  }

  test("those that are null are as if they were not given, and it works", async (t) => {
    const peer = await startPeer(t);
    const rpc = new Rpc(peer.url, {
      WebSocket: QUICK.WebSocket, wire: null, protocols: null, timeout: null, offline: null, maxQueue: null,
      maxPending: null, maxCalls: null, maxMessage: null, tracebacks: null, errors: null, onFrame: null,
      reconnect: null, heartbeat: null, openTimeout: null, closeTimeout: null, maxBuffered: null,
    });
    t.after(() => rpc.destroy());
    const calling = rpc.call("add", [1, 2], null);
    rpc.connect();
    const connection = await peer.accept();
    assert.equal(connection.socket.protocol, "longwire.jsonrpc");
    const { id } = await connection.next();
    connection.send({ jsonrpc: "2.0", id, result: 3 });
    assert.equal(await calling, 3);
    connection.cut();
    await soon(rpc.onEvent("close"), "the close report");
    assert.ok(/** @type {number} */ (rpc.report?.retryAfter) > 0);
  });

  test("the number of WSRPC is one of milliseconds, or false", () => {
    for (const value of [...ABSENT, 1, 5000, Infinity]) WSRPC(NOWHERE, value);
    for (const value of [0, -1, NaN]) assert.throws(() => WSRPC(NOWHERE, value), /reconnect must be/);
  });

  test("a limit of 0 lets nothing in, and Infinity is none", async (t) => {
    const none = makeRpc(t, NOWHERE, { maxQueue: 0 });
    assert.equal((await failure(none.call("a"))).code, -32002);
    const { rpc, connection } = await pair(t, { maxCalls: 0, maxPending: 0 });
    assert.equal((await failure(rpc.call("a"))).code, -32002);
    rpc.addRoute("x", () => 1);
    connection.send({ jsonrpc: "2.0", id: 1, method: "x" });
    assert.equal((await connection.next()).error.code, -32002);

    const any = makeRpc(t, NOWHERE, { maxQueue: Infinity, maxPending: Infinity, maxBuffered: Infinity });
    const calls = Array.from({ length: 1500 }, () => any.call("a").catch((error) => error));
    any.destroy();
    for (const error of await Promise.all(calls)) assert.equal(error.message, "Connection closed");
  });
});

/** Everything that takes options: `what` names them in the text. @type {[string, (rpc: Rpc, options: any) => any, string][]} */
const TAKERS = [
  ["Client", (_, options) => new Client(NOWHERE, options), "options"],
  ["Rpc", (_, options) => new Rpc(NOWHERE, options), "options"],
  ["WSRPC", (_, options) => WSRPC(NOWHERE, 1000, options), "options"],
  ["reconnect", (_, reconnect) => new Rpc(NOWHERE, { reconnect }), "reconnect"],
  ["heartbeat", (_, heartbeat) => new Client(NOWHERE, { heartbeat }), "heartbeat"],
  ["call", (rpc, options) => rpc.call("f", [], options), "options"],
  ["a call by proxy", (rpc, options) => rpc.proxy.f([], options), "options"],
  ["notify", (rpc, options) => rpc.notify("f", [], options), "options"],
  ["stream", (rpc, options) => rpc.stream("f", [], options), "options"],
  ["Hub", (rpc, options) => new Hub(rpc, options), "options"],
  ["subscribe", (rpc, options) => new Hub(rpc).subscribe("a", options), "options"],
  ["Hub.publish", (rpc, options) => new Hub(rpc).publish("a", 1, options), "options"],
  ["publish", (rpc, options) => new Hub(rpc).subscribe("a").publish(1, options), "options"],
  ["history", (rpc, options) => new Hub(rpc).subscribe("a").history(options), "options"],
  ["presence", (rpc, options) => new Hub(rpc).subscribe("a").presence(options), "options"],
];

describe("a name that no option has", () => {
  for (const [taker, take, what] of TAKERS) {
    test(`${taker} refuses it, and says which there are`, async (t) => {
      const rpc = makeRpc(t, NOWHERE);
      for (const name of ["timeOut", "toString", ""]) {
        const error = await failure((async () => take(rpc, { [name]: 5 }))());
        assert.ok(error instanceof TypeError, String(error));
        assert.ok(error.message.startsWith(`${what}: ${JSON.stringify(name)} is not one of `), error.message);
      }
    });
  }

  test("the text has those of the call, not those of the connection", async (t) => {
    const rpc = makeRpc(t, NOWHERE);

    assert.equal(
      (await failure(rpc.call("f", [], /** @type {any} */ ({ timeOut: 5 })))).message,
      'options: "timeOut" is not one of signal, timeout, noWait',
    );
  });
});

describe("a name that no event has", () => {
  /** @type {[string, () => any, string][]} */
  const EMITTERS = [
    ["Client", () => new Client(NOWHERE), "open, message, close, change"],
    ["Rpc", () => new Rpc(NOWHERE), "connect, close, error, change, resubscribe"],
    ["WSRPC", () => WSRPC(NOWHERE), "connect, close, error, change, resubscribe"],
    ["Subscription", () => new Hub(new Rpc(NOWHERE)).subscribe("a"), "message, gap, subscribed, presence, unsubscribed"],
  ];
  for (const [kind, make, names] of EMITTERS) {
    test(`${kind} refuses it, and takes those it has`, async () => {
      const emitter = make();
      const expected = { name: "TypeError", message: `events: "opened" is not one of ${names}` };
      assert.throws(() => emitter.on("opened", () => {}), expected);
      assert.throws(() => emitter.addEventListener("onopened", () => {}), expected);
      assert.equal((await failure(emitter.onEvent("opened"))).message, expected.message);
      for (const name of names.split(", ")) {
        emitter.on(name, () => {});
        emitter.addEventListener(`on${name}`, () => {});
      }
      assert.equal(emitter.removeEventListener("opened", 1), false);
    });
  }

  test("a subclass has what events it likes", () => {
    class Own extends Rpc {
      greet() {
        this.emit("greeted", 1);
      }
    }
    for (const one of [new Own(NOWHERE), new (class extends Own {})(NOWHERE)]) {
      /** @type {unknown[]} */
      const heard = [];
      one.on("greeted", (/** @type {unknown} */ detail) => heard.push(detail));
      one.greet();
      assert.deepEqual(heard, [1]);
    }
  });
});

describe("options of a call", () => {
  for (const verb of /** @type {const} */ (["call", "notify"])) {
    for (const [name, kind] of CALL) {
      test(`${verb}: ${name}`, async (t) => {
        const { rpc, connection } = await pair(t);
        for (const value of WRONG[kind]) {
          const at = `${name}: ${show(value)}`;
          assertSays(name, await failure(rpc[verb]("a", [], { [name]: value })), at);
        }
        await connection.silence();
        for (const value of [...ABSENT, ...RIGHT[kind].filter((/** @type {any} */ right) => !(right < 1e9))]) {
          const calling = rpc[verb]("a", [], { [name]: value });
          calling.catch(() => {});
          const { id } = await connection.next();
          if (verb === "call") connection.send({ jsonrpc: "2.0", id, result: "ok" });
          assert.equal(await calling, verb === "call" ? "ok" : undefined, show(value));
        }
      });
    }
  }

  for (const [name, kind] of STREAM) {
    test(`stream: ${name}`, async (t) => {
      const { rpc, connection } = await pair(t);
      for (const value of WRONG[kind]) {
        const at = `${name}: ${show(value)}`;
        const make = () => rpc.stream("a", [], { [name]: value });
        assert.throws(make, (error) => assertSays(name, error, at) ?? true, at);
      }
      await connection.silence();
      for (const value of [...ABSENT, ...RIGHT[kind]]) {
        const stream = rpc.stream("a", [], { [name]: value });
        const { id, stream: window } = await connection.next();
        assert.equal(window, kind === "window" ? value ?? 16 : 16);
        connection.send({ jsonrpc: "2.0", id, result: null });
        assert.deepEqual(await stream.next(), { value: undefined, done: true });
      }
    });
  }

  test("the options as a whole", async (t) => {
    const { rpc, connection } = await pair(t);
    for (const value of /** @type {any[]} */ ([5000, "x", true, 5n, () => 1])) {
      assert.match((await failure(rpc.call("a", [], value))).message, /options must be an object/);
      assert.match((await failure(rpc.notify("a", [], value))).message, /options must be an object/);
      assert.throws(() => rpc.stream("a", [], value), /options must be an object/);
    }
    await connection.silence();
    for (const value of [...ABSENT, {}]) {
      rpc.notify("a", [], value);
      await connection.next();
    }
  });

  test("timeout: undefined is the usual limit; null and Infinity are none, whatever it is", async (t) => {
    const { rpc, connection } = await pair(t, { timeout: 25 });
    const never = [null, Infinity, 2 ** 31, 1e300].map((timeout) => rpc.call("slow", [], { timeout }));
    const usual = [{}, { timeout: undefined }, null, undefined].map((options) => rpc.call("slow", [], options));

    for (const calling of usual) assert.equal((await failure(calling)).name, "TimeoutError");
    await sleep(40);
    for (let id = 1; id <= 4; id++) connection.send({ jsonrpc: "2.0", id, result: id });

    assert.deepEqual(await soon(Promise.all(never), "the answers"), [1, 2, 3, 4]);
  });

  test("the usual limit is not one of notifications and streams", async (t) => {
    const peer = await startPeer(t);
    const rpc = makeRpc(t, peer.url, { timeout: 5 });
    const sent = rpc.notify("a");
    const stream = rpc.stream("b");
    await sleep(30);
    rpc.connect();
    const connection = await peer.accept();

    await sent;
    assert.equal((await connection.next()).method, "a");
    const { id } = await connection.next();
    connection.send({ jsonrpc: "2.0", id, result: null });
    assert.equal((await stream.next()).done, true);
  });

  test("a signal without a reason, as of a library, ends a call, and not as if it had succeeded", async (t) => {
    const { rpc } = await pair(t);
    const signal = Object.assign(new EventTarget(), { aborted: false, reason: undefined });
    const calling = rpc.call("slow", [], { signal: /** @type {any} */ (signal) });

    signal.dispatchEvent(new Event("abort"));

    assert.equal(await calling.then(() => "succeeded", () => "failed"), "failed");
  });

  test("a signal that is aborted already ends each verb at once with its reason", async (t) => {
    const { rpc, connection } = await pair(t);
    const reasons = [new Error("why"), null, undefined, 0, "text"];
    for (const reason of reasons) {
      const signal = AbortSignal.abort(reason);
      const expected = signal.reason; // undefined becomes an AbortError
      for (const promise of [
        rpc.call("a", [], { signal }), rpc.notify("a", [], { signal }), rpc.stream("a", [], { signal }).next(),
      ]) {
        assert.equal(await promise.then(() => "settled", (error) => error), expected);
      }
    }
    await connection.silence();
  });
});

describe("what routes and listeners may be", () => {
  test("routes are functions with a name of their own", (t) => {
    const rpc = makeRpc(t, NOWHERE);
    for (const name of /** @type {any[]} */ ([undefined, null, "", 7, {}, [], Symbol("x"), () => 1, Object.create(null)])) {
      assert.throws(() => rpc.addRoute(name, () => 1), /the name of a route must be text/);
    }
    for (const run of /** @type {any[]} */ ([undefined, null, "", 7, {}, [], Symbol("x")])) {
      assert.throws(() => rpc.addRoute("x", run), /the route x must be a function/);
    }
    assert.throws(() => rpc.addRoute("$/x", () => 1), RangeError);
    for (const name of /** @type {any[]} */ ([undefined, null, 7, {}, Symbol("x")])) {
      assert.equal(rpc.deleteRoute(name), false);
    }
  });

  test("listeners are functions", (t) => {
    const rpc = makeRpc(t, NOWHERE);
    for (const listener of /** @type {any[]} */ ([undefined, null, "", 7, {}, [], Symbol("x")])) {
      assert.throws(() => rpc.on("close", listener), TypeError);
      assert.throws(() => rpc.addEventListener("close", listener), TypeError);
      assert.throws(() => rpc.addServerEventListener(listener), TypeError);
      assert.equal(rpc.removeEventListener("close", listener), false);
      assert.equal(rpc.removeServerEventListener(listener), false);
    }
  });

  test("codes and reasons of a close are those that browsers take, in every state", async (t) => {
    const peer = await startPeer(t);
    for (const make of [() => new Client(peer.url, QUICK), () => new Rpc(peer.url, QUICK)]) {
      const one = make();
      const end = (/** @type {any[]} */ ...args) => ("destroy" in one ? one.destroy(...args) : one.close(...args));
      const refuses = () => {
        for (const code of [0, 999, 1001, 1005, 2999, 5000, NaN, 3000.5, Infinity, "1000", null, {}]) {
          assert.throws(() => end(code), /code must be 1000, or 3000 to 4999/);
        }
        for (const reason of [7, null, {}, "x".repeat(124), "ü".repeat(62)]) {
          assert.throws(() => end(1000, reason), /reason must be text of at most 123 bytes/);
        }
      };
      refuses();
      one.connect();
      refuses();
      const connection = await peer.accept();
      if ((await one.state) !== "OPEN") await soon(one.onEvent("change"), "the open connection");
      refuses();
      end(4999, "ü".repeat(61));
      refuses();
      assert.deepEqual(await connection.end(), [4999, "ü".repeat(61)]);
    }
  });
});
