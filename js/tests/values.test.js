/** Values of every kind as arguments, results, items and errors: each arrives, or is refused at once. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { Code, RpcError } from "../src/longwire.js";
import { failure, makeRpc, pair, soon, startPeer } from "./peer.js";

/** @import { TestContext } from "node:test" */

const HALF = "\ud83d"; // of an emoji
const OTHER_HALF = "\ude00";

class Point {
  x = 1;
  #hidden = 2;
  get hidden() { return this.#hidden; }
}

/** @returns {any} */
function circle() {
  /** @type {any} */
  const found = {};
  found.self = found;
  return found;
}

/** @param {unknown} target */
function revoked(target) {
  const { proxy, revoke } = Proxy.revocable(/** @type {object} */ (target), {});
  revoke();
  return proxy;
}

/** @param {number} depth */
function deep(depth) {
  /** @type {unknown[]} */
  let found = [];
  for (let i = 0; i < depth; i++) found = [found];
  return found;
}

/** Thrown by getters and toJSON(); none of it may keep us from an answer. @type {[string, () => any][]} */
const THROWN = [
  ["null", () => null],
  ["undefined", () => undefined],
  ["0", () => 0],
  ["a text", () => "text"],
  ["half an emoji", () => new Error(`cut ${HALF}`)],
  ["a symbol", () => Symbol("odd")],
  ["a bigint", () => 1n],
  ["a function", () => () => 1],
  ["an object without a prototype", () => Object.create(null)],
  ["an object whose toString throws", () => ({ toString() { throw new Error("no"); } })],
  ["an object whose toString is not a function", () => ({ toString: 1, valueOf: 2 })],
  ["a revoked proxy", () => revoked({})],
  ["a revoked proxy of an error", () => revoked(new Error("x"))],
  ["a proxy that throws at every look", () => new Proxy(new Error("x"), {
    get() { throw new Error("no"); },
    getPrototypeOf() { throw null; },
    has() { throw undefined; },
  })],
  ["an error whose message throws", () => Object.defineProperty(new Error("x"), "message", {
    get() { throw new Error("no message"); },
  })],
  ["an error whose name, stack, type and data throw", () => Object.defineProperties(new Error("x"), {
    name: { get() { throw 1; } }, stack: { get() { throw 2; } }, type: { get() { throw 3; } }, data: { get() { throw 4; } },
  })],
  ["an error whose code throws", () => Object.defineProperty(new RpcError("x"), "code", { get() { throw null; } })],
  ["an error with a code that is no number", () => new RpcError("x", { code: /** @type {any} */ ("E_CODE") })],
  ["an error with data that is not JSON", () => new RpcError("x", { data: circle() })],
  ["an error with data that holds a bigint", () => new RpcError("x", { data: [1n] })],
  ["an error with a type that is no text", () => Object.assign(new Error("x"), { type: Symbol("t") })],
  ["an error with a message that is no text", () => Object.assign(new Error("x"), { message: circle() })],
  ["an error with a very long message", () => new Error("x".repeat(5e6))],
  ["an error with a very long name", () => Object.assign(new Error("x"), { name: "n".repeat(5e6) })],
];

/** Values that JSON can say: what goes in, what arrives as one argument or as a result. @type {[string, any, any][]} */
const SAID = [
  ["null", null, null],
  ["true", true, true],
  ["zero", 0, 0],
  ["minus zero", -0, 0],
  ["a large number", 1e308, 1e308],
  ["NaN", NaN, null],
  ["Infinity", Infinity, null],
  ["text", "grüezi 😀", "grüezi 😀"],
  ["text that looks like half an emoji", "\\ud83d \\\\ud83d", "\\ud83d \\\\ud83d"],
  ["text with every control character", "\u0000\u001f\u007f\u2028", "\u0000\u001f\u007f\u2028"],
  ["the halves of an emoji", HALF + OTHER_HALF, "😀"],
  ["an empty array", [], []],
  ["an array with holes", [, 1], [null, 1]],
  ["undefined in an array", [undefined], [null]],
  ["functions and symbols in an array", [() => 1, Symbol("x")], [null, null]],
  ["an empty object", {}, {}],
  ["an object without a prototype", Object.assign(Object.create(null), { a: 1 }), { a: 1 }],
  ["undefined in an object", { a: undefined, b: 1 }, { b: 1 }],
  ["an own class", new Point(), { x: 1 }],
  ["an own class with nothing in it", new (class Empty {})(), {}],
  ["a date", new Date(0), "1970-01-01T00:00:00.000Z"],
  ["a date that is none", new Date(NaN), null],
  ["a text as an object", Object("x"), "x"],
  ["a number as an object", Object(7), 7],
  ["an address", new URL("https://example.org/"), "https://example.org/"],
  ["what toJSON says", { toJSON: () => ({ a: 1 }) }, { a: 1 }],
  ["a text that toJSON says", { toJSON: () => "said" }, "said"],
  ["null that toJSON says", { toJSON: () => null }, null],
  ["bytes", new Uint8Array([1, 2]), { 0: 1, 1: 2 }],
  ["a deep array", deep(500), deep(500)],
  ["a proxy", new Proxy({ a: 1 }, {}), { a: 1 }],
];

/** Values that JSON cannot say, or would lose without a word. @type {[string, () => any, RegExp][]} */
const REFUSED = [
  ["a bigint", () => 1n, /BigInt/],
  ["a circle", circle, /circular/i],
  ["half an emoji", () => HALF, /surrogate/],
  ["the other half of an emoji", () => `${OTHER_HALF}${HALF}`, /surrogate/],
  ["half an emoji behind backslashes", () => `\\\\${HALF}`, /surrogate/],
  ["half an emoji as a key", () => ({ [HALF]: 1 }), /surrogate/],
  ["a map", () => new Map([["a", 1]]), /Map would arrive as an empty object/],
  ["a set", () => new Set([1]), /Set would arrive/],
  ["a buffer", () => new ArrayBuffer(2), /ArrayBuffer would arrive/],
  ["a pattern", () => /x/, /RegExp would arrive/],
  ["an error", () => new Error("x"), /Error would arrive/],
  ["a blob", () => new Blob(["x"]), /Blob would arrive/],
  ["toJSON that throws", () => ({ toJSON() { throw new RangeError("not now"); } }), /not now/],
  ["toJSON that says a bigint", () => ({ toJSON: () => 1n }), /BigInt/],
  ["a getter that throws", () => ({ get a() { throw new RangeError("not now"); } }), /not now/],
  ["a revoked proxy", () => revoked({}), /revoked/],
  ["an array too deep", () => deep(1e5), /call stack|recursion/i],
  ...THROWN.map(([name, make]) => /** @type {[string, () => any, RegExp]} */ (
    [`a getter that throws ${name}`, () => ({ get a() { throw make(); } }), /not JSON/]
  )),
];

/** Inside of an array or an object it is the same. @type {[string, (value: any) => any][]} */
const PLACES = [
  ["alone", (value) => value],
  ["in an array", (value) => [value]],
  ["in an object", (value) => ({ value })],
  ["deep inside", (value) => [{}, "{}", { list: [{ value }] }]],
];

/** @type {["longwire.jsonrpc", "wsrpc", "wsrpc.1"]} */
const WIRES = ["longwire.jsonrpc", "wsrpc", "wsrpc.1"];

describe("arguments that JSON can say", () => {
  for (const wire of WIRES) {
    test(`${wire}: each arrives as one argument, as an argument by position and by name`, async (t) => {
      const { rpc, connection } = await pair(t, { wire });

      for (const [name, value, expected] of SAID) {
        rpc.notify("f", [value]);
        assert.deepEqual(argumentsOf(await connection.next()), [expected], name);
        rpc.notify("f", { value });
        assert.deepEqual(argumentsOf(await connection.next()), { value: expected }, name);
        const alone = value === null ? null : isStructure(expected) ? expected : [expected];
        rpc.notify("f", value);
        assert.deepEqual(argumentsOf(await connection.next()) ?? null, alone, name);
      }
    });
  }

  test("they are those of the moment of the call", async (t) => {
    const peer = await startPeer(t);
    const rpc = makeRpc(t, peer.url);
    const items = [1];
    rpc.notify("f", items);
    items.push(2);
    rpc.connect();
    const connection = await peer.accept();

    assert.deepEqual((await connection.next()).params, [1]);
  });
});

/** @param {unknown} value */
const isStructure = (value) => typeof value === "object" && value !== null;

/** @param {any} frame */
const argumentsOf = (frame) => frame.params ?? frame.arguments;

describe("arguments that JSON cannot say", () => {
  for (const wire of WIRES) {
    test(`${wire}: each is refused at once, whether connected or not, and nothing is sent`, async (t) => {
      const { rpc, connection } = await pair(t, { wire });
      const waiting = makeRpc(t, "ws://127.0.0.1:1/", { wire });

      for (const [name, make, why] of REFUSED) {
        for (const [place, put] of PLACES) {
          for (const one of [rpc, waiting]) {
            for (const verb of /** @type {const} */ (["call", "notify"])) {
              const error = await failure(one[verb]("f", put(make())));
              assert.ok(error instanceof TypeError, `${name} ${place}: ${verb}: ${String(error)}`);
              assert.match(error.message, why, `${name} ${place}`);
            }
            assert.throws(() => one.stream("f", put(make())), why, `${name} ${place}`);
          }
        }
      }
      await connection.silence();
      const calling = rpc.call("f");
      await connection.next();
      failure(calling);
    });
  }

  for (const value of [() => 1, Symbol("x"), class {}]) {
    test(`a ${typeof value} is no argument`, async (t) => {
      const { rpc } = await pair(t);

      assert.match((await failure(rpc.call("f", value))).message, /not JSON: a (function|symbol)/);
    });
  }

  test("half an emoji in a name is refused, too", async (t) => {
    const { rpc } = await pair(t);

    assert.match((await failure(rpc.call(HALF))).message, /surrogate/);
    assert.throws(() => rpc.addRoute(HALF, () => 1), /surrogate/);
  });
});

test("sendRaw sends a text as it is and any other value as JSON, or throws", async (t) => {
  const { rpc, connection } = await pair(t);

  for (const [name, value, expected] of SAID) {
    rpc.sendRaw(typeof value === "string" ? JSON.stringify(value) : value);
    assert.deepEqual(await connection.next(), expected, name);
  }
  for (const [name, make, why] of REFUSED) {
    const value = make();
    if (typeof value !== "string") assert.throws(() => rpc.sendRaw(value), why, name);
  }
  await connection.silence();
});

describe("results", () => {
  test("those that JSON can say arrive", async (t) => {
    const { rpc, connection } = await pair(t);
    /** @type {any} */
    let result;
    rpc.addRoute("f", () => result);

    for (const [name, value, expected] of SAID) {
      result = value;
      connection.send({ jsonrpc: "2.0", id: name, method: "f" });
      assert.deepEqual(await connection.next(), { jsonrpc: "2.0", id: name, result: expected });
    }
  });

  for (const wire of WIRES) {
    test(`${wire}: those that JSON cannot say are errors with the call's id`, async (t) => {
      const { rpc, connection } = await pair(t, { wire });
      let make = () => /** @type {any} */ (null);
      rpc.addRoute("f", () => make());
      rpc.addRoute("later", async () => make());

      for (const method of ["f", "later"]) {
        for (const [index, [name, value, why]] of REFUSED.entries()) {
          make = value;
          const id = 1000 + index;
          connection.send(wire === "wsrpc.1" ? { serial: id, call: method } : { jsonrpc: "2.0", id, method });
          const frame = await connection.next();
          assert.equal(frame.id ?? frame.serial, id, name);
          const message = frame.error?.message ?? frame.data;
          // A promise looks at what it resolves to, and fails by itself.
          assert.match(message, name === "a revoked proxy" ? /revoked/ : why, name);
        }
      }
    });
  }

  test("a thenable that throws is an error, too", async (t) => {
    const { rpc, connection } = await pair(t);
    rpc.addRoute("getter", () => ({ get then() { throw new Error("no then"); } }));
    rpc.addRoute("call", () => ({ then() { throw new Error("no then"); } }));

    for (const method of ["getter", "call"]) {
      connection.send({ jsonrpc: "2.0", id: method, method });
      const { id, error } = await connection.next();
      assert.deepEqual([id, error.message], [method, "no then"]);
    }
  });
});

describe("items", () => {
  test("one that JSON cannot say ends its stream with an error", async (t) => {
    const { rpc, connection } = await pair(t);
    let make = () => /** @type {any} */ (null);
    let ended = 0;
    rpc.addRoute("f", function* () {
      try {
        yield 1;
        yield make();
        yield 2;
      } finally {
        ended++;
      }
    });

    for (const [index, [name, value, why]] of REFUSED.entries()) {
      make = value;
      connection.send({ jsonrpc: "2.0", id: index, method: "f", stream: 16 });
      assert.deepEqual((await connection.next()).params, { id: index, value: 1 });
      const { id, error } = await connection.next();
      assert.equal(id, index);
      assert.match(error.message, why, name);
      assert.equal(error.code, Code.INTERNAL_ERROR);
    }
    assert.equal(ended, REFUSED.length);
  });

  test("iterators that break their rules end their stream with an error", async (t) => {
    const { rpc, connection } = await pair(t);
    /** @type {Record<string, any>} */
    const odd = {
      "no iterator": { [Symbol.asyncIterator]: () => undefined },
      "next() gives nothing": { [Symbol.asyncIterator]: () => ({ next: () => undefined }) },
      "next() throws": { [Symbol.asyncIterator]: () => ({ next() { throw null; } }) },
      "next is no function": { [Symbol.asyncIterator]: () => ({ next: 1 }) },
      "return throws": { [Symbol.asyncIterator]: () => ({ next: () => ({ value: 1n }), return() { throw null; } }) },
      "return is a getter that throws": {
        [Symbol.asyncIterator]: () => ({ next: () => ({ value: 1n }), get return() { throw null; } }),
      },
    };

    for (const [name, value] of Object.entries(odd)) {
      rpc.addRoute("f", () => value);
      connection.send({ jsonrpc: "2.0", id: name, method: "f", stream: 1 });
      const { id, error } = await connection.next();
      assert.equal(id, name);
      assert.equal(typeof error.message, "string", name);
    }
  });
});

describe("whatever a route throws", () => {
  /** @type {[string, (thrown: () => any) => (this: any) => any, boolean?][]} */
  const WAYS = [
    ["thrown", (thrown) => () => { throw thrown(); }],
    ["rejected", (thrown) => async () => { throw thrown(); }],
    ["thrown by an asynchronous route", (thrown) => () => { throw thrown(); }, true],
    ["given to this.reject", (thrown) => function () { this.reject(thrown()); }, true],
  ];

  for (const wire of WIRES) {
    for (const tracebacks of [false, true]) {
      test(`${wire}: it is answered${tracebacks ? ", with tracebacks" : ""}`, async (t) => {
        const { rpc, connection } = await pair(t, { wire, tracebacks });

        for (const [way, make, isAsync] of WAYS) {
          for (const [index, [name, thrown]] of THROWN.entries()) {
            rpc.addRoute("f", make(thrown), isAsync);
            connection.send(wire === "wsrpc.1" ? { serial: index, call: "f" } : { jsonrpc: "2.0", id: index, method: "f" });
            const frame = await connection.next();
            const said = frame.error ?? frame.data;
            assert.equal(frame.id ?? frame.serial, index, `${name} ${way}`);
            assert.equal(typeof (said.message ?? said), "string", `${name} ${way}`);
          }
        }
      });
    }
  }

  test("it ends a stream", async (t) => {
    const { rpc, connection } = await pair(t);

    for (const [name, thrown] of THROWN) {
      rpc.addRoute("f", async function* () { yield 1; throw thrown(); });
      connection.send({ jsonrpc: "2.0", id: name, method: "f", stream: 2 });
      assert.equal((await connection.next()).method, "$/item");
      const { id, error } = await connection.next();
      assert.equal(id, name);
      assert.equal(typeof error.message, "string", name);
      assert.ok(Number.isInteger(error.code), name);
    }
  });

  test("what a notification throws goes to onerror, and calls go on", async (t) => {
    t.mock.method(console, "error", () => {});
    const { rpc, connection } = await pair(t);
    let told = 0;
    rpc.on("error", () => { told++; });

    for (const [, thrown] of THROWN) {
      rpc.addRoute("f", () => { throw thrown(); });
      connection.send({ jsonrpc: "2.0", method: "f" });
    }
    await connection.silence();

    assert.equal(told, THROWN.length);
  });

  test("what a listener throws stops nothing", async (t) => {
    t.mock.method(console, "error", (/** @type {any} */ error) => String(error.message)); // which throws for some
    const { rpc, connection, peer } = await pair(t);

    for (const [name, thrown] of THROWN) {
      const off = rpc.on("close", () => { throw thrown(); });
      const offFrame = rpc.addServerEventListener(() => { throw thrown(); });
      connection.send({ jsonrpc: "2.0", method: "event" });
      await connection.silence();
      assert.equal(rpc.state(), "OPEN", name);
      off();
      rpc.removeServerEventListener(offFrame);
    }
    rpc.on("close", () => { throw revoked({}); });
    connection.cut();
    await peer.accept();
    await soon(rpc.onEvent("connect"), "onconnect");
  });

  test("its data goes along where it is JSON, and its message always", async (t) => {
    const { rpc, connection } = await pair(t);
    rpc.addRoute("good", () => { throw Object.assign(new Error("no"), { data: { a: [1] } }); });
    rpc.addRoute("bad", () => { throw Object.assign(new Error("no"), { data: { a: 1n } }); });

    connection.send({ jsonrpc: "2.0", id: 1, method: "good" });
    assert.deepEqual((await connection.next()).error.data, { type: "Error", data: { a: [1] } });
    connection.send({ jsonrpc: "2.0", id: 2, method: "bad" });
    const { error } = await connection.next();
    assert.deepEqual([error.message, error.data], ["no", { type: "Error" }]);
  });
});

describe("the stack of what a route throws", () => {
  /** @param {TestContext} t @param {any} wire @param {boolean} tracebacks */
  async function answer(t, wire, tracebacks) {
    const { rpc, connection } = await pair(t, { wire, tracebacks });
    rpc.addRoute("f", function whereItBroke() { throw new RangeError("too far"); });
    connection.send(wire === "wsrpc.1" ? { serial: 2, call: "f" } : { jsonrpc: "2.0", id: 2, method: "f" });
    return connection.next();
  }

  test("is told where the page allows it", async (t) => {
    const stack = /RangeError: too far\n +at .*whereItBroke/;
    assert.match((await answer(t, "longwire.jsonrpc", true)).error.data.traceback, stack);
    assert.match((await answer(t, "wsrpc", true)).error.traceback, stack);
    const { data } = await answer(t, "wsrpc.1", true);
    assert.deepEqual([data.type, data.message], ["RangeError", "too far"]);
    assert.match(data.traceback, stack);
  });

  for (const wire of WIRES) {
    test(`${wire}: is told to nobody otherwise`, async (t) => {
      assert.doesNotMatch(JSON.stringify(await answer(t, wire, false)), /whereItBroke|traceback/);
    });
  }

  test("is not told of what has none", async (t) => {
    const { rpc, connection } = await pair(t, { tracebacks: true });
    for (const [id, thrown] of ["text", null, undefined, 7, {}].entries()) {
      rpc.addRoute("f", () => { throw thrown; });
      connection.send({ jsonrpc: "2.0", id, method: "f" });
      assert.deepEqual((await connection.next()).error.data, { type: "Error" });
    }
  });

  test("is cut where it is long", async (t) => {
    const { rpc, connection } = await pair(t, { tracebacks: true });
    rpc.addRoute("f", () => { throw Object.assign(new Error("x"), { stack: `${HALF}${"at\n".repeat(1e6)}` }); });
    connection.send({ jsonrpc: "2.0", id: 1, method: "f" });

    assert.equal((await connection.next()).error.data.traceback.length, 8192);
  });
});
