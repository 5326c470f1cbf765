/** Every example of tests/vectors/rpc, which Python replays too, over a real connection. */

import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import { describe, test } from "node:test";

import { RpcError } from "../src/longwire.js";
import { makeRpc, soon, startPeer } from "./peer.js";

const VECTORS = new URL("../../tests/vectors/rpc/", import.meta.url);

class Oops extends RpcError {
  /** @param {string} message */
  constructor(message) {
    super(message, { type: "Oops", data: { why: "asked" } });
  }
}

/** The routes that the examples call. @param {import("../src/longwire.js").Rpc} rpc */
function addRoutes(rpc) {
  /** @type {unknown} */
  let kept = null;
  /** @param {number} n */
  async function* count(n) {
    for (let i = 0; i < n; i++) yield i;
  }
  /** @type {Record<string, (this: any, ...args: any[]) => unknown>} */
  const routes = {
    echo: (value) => value,
    add: (a, b) => a + b,
    greet: (name, greeting = "hello") => `${greeting} ${name}`,
    nothing: () => {},
    oops: (message) => { throw new Oops(message); },
    wait: () => new Promise(() => {}),
    count,
    async* breaks(n) {
      yield* count(n);
      throw new Oops("broken");
    },
    box: () => "box",
    "box.put": (value) => { kept = value; },
    "box.get": () => kept,
    "a.b.c": () => "deep",
  };
  for (const [name, run] of Object.entries(routes)) rpc.addRoute(name, run);
}

/**
 * Whether a frame is as the example has it: "*" is anything within errors, members not named
 * may be there, and "$x" as an id is what came first.
 *
 * @param {any} found
 * @param {any} expected
 * @param {Map<string, unknown>} variables
 * @param {boolean} [loose]
 */
function assertFrame(found, expected, variables, loose = false) {
  if (loose && expected === "*") return;
  if (typeof expected !== "object" || expected === null) return assert.deepEqual(found, expected);
  assert.equal(Array.isArray(found), Array.isArray(expected), JSON.stringify(found));
  if (!loose) assert.deepEqual(Object.keys(found).sort(), Object.keys(expected).sort());
  for (const [key, value] of Object.entries(expected)) {
    if ((key === "id" || key === "serial") && /^\$/.test(value)) {
      if (!variables.has(value)) variables.set(value, found[key]);
      assert.equal(found[key], variables.get(value));
    } else {
      const error = key === "error" || (key === "data" && expected.type === "error");
      assertFrame(found[key], value, variables, loose || error);
    }
  }
}

/** @param {any} frame @param {Map<string, unknown>} variables */
function filled(frame, variables) {
  const text = JSON.stringify(frame, (key, value) => (
    (key === "id" || key === "serial") && variables.has(value) ? variables.get(value) : value
  ));
  return JSON.parse(text);
}

/** @param {any} example @param {import("node:test").TestContext} t */
async function replay(example, t) {
  const peer = await startPeer(t);
  const rpc = makeRpc(t, peer.url, { wire: example.wire, reconnect: false });
  addRoutes(rpc);
  const opened = rpc.onEvent("onconnect");
  rpc.connect();
  const connection = await peer.accept();
  await soon(opened, "onconnect");
  const variables = new Map();
  /** @type {Map<string, Promise<any>>} */
  const outcomes = new Map();
  const streams = new Map();
  const controllers = new Map();

  /** @type {Record<string, (step: any) => unknown>} */
  const commands = {
    call(step) {
      const controller = new AbortController();
      controllers.set(step.as, controller);
      const outcome = rpc.call(step.call, step.args, { signal: controller.signal });
      outcome.catch(() => {});
      outcomes.set(step.as, outcome);
    },
    notify: (step) => rpc.notify(step.notify, step.args),
    stream: (step) => streams.set(step.as, rpc.stream(step.stream, step.args, { window: step.window })),
    next(step) {
      const outcome = streams.get(step.next).next();
      outcome.catch(() => {});
      outcomes.set(step.next, outcome.then(
        (/** @type {any} */ { done, value }) => (done ? { done } : value),
      ));
    },
    cancel: (step) => (
      streams.has(step.cancel) ? streams.get(step.cancel).return() : controllers.get(step.cancel).abort()
    ),
    async lose() {
      const closed = rpc.onEvent("onclose");
      connection.cut();
      await soon(closed, "onclose");
    },
  };

  /** @type {Record<string, (step: any) => unknown>} */
  const steps = {
    in: (step) => connection.send(JSON.stringify(filled(step.in, variables))),
    in_text: (step) => connection.send(step.in_text),
    out: async (step) => assertFrame(await connection.next(), step.out, variables),
    async out_any_order(step) {
      for (const rest = [...step.out_any_order]; rest.length;) {
        const found = await connection.next();
        const at = rest.findIndex((expected) => {
          try {
            return assertFrame(found, expected, new Map(variables)) ?? true;
          } catch {
            return false;
          }
        });
        assert.notEqual(at, -1, JSON.stringify(found));
        assertFrame(found, rest.splice(at, 1)[0], variables);
      }
    },
    silence: () => connection.silence(),
    do: (step) => commands[Object.keys(commands).find((name) => name in step.do) ?? ""](step.do),
    async outcome(step) {
      const outcome = /** @type {Promise<any>} */ (outcomes.get(step.outcome));
      if ("result" in step) return assert.deepEqual(await soon(outcome, "a result"), step.result);
      if (step.done) return assert.deepEqual(await soon(outcome, "the end"), { done: true });
      const error = await soon(outcome, "an error").then(
        (value) => assert.fail(`no error but ${JSON.stringify(value)}`), (found) => found,
      );
      if (step.cancelled) return assert.equal(error.name, "AbortError");
      for (const [key, value] of Object.entries(step.error)) assert.deepEqual(error[key], value);
    },
    closed: async (step) => assert.equal((await connection.end())[0], step.closed),
  };

  for (const step of example.steps) {
    const kind = Object.keys(steps).find((name) => name in step);
    assert.ok(kind, `unknown step ${JSON.stringify(step)}`);
    await steps[kind](step);
  }
  await (connection.closed || connection.silence());
}

for (const file of readdirSync(VECTORS).filter((name) => name.endsWith(".json")).sort()) {
  const examples = JSON.parse(readFileSync(new URL(file, VECTORS), "utf8"));
  describe(file, () => {
    for (const example of examples) {
      if (example.only === "python" || example.side === "server") continue;
      if (example.wire === "longwire.msgpack") continue; // Python's alone
      test(`${example.wire}: ${example.name}`, (t) => replay(example, t));
    }
  });
}
