/** Messages made at random from what the wires know: nothing throws, and calls go on. */

import assert from "node:assert/strict";
import { once } from "node:events";
import { test } from "node:test";

import { pair, soon } from "./peer.js";

const MESSAGES = 3000;
const SEED = Number(process.env.SEED) || (Date.now() % 1e9);

/** @param {number} seed */
function dice(seed) {
  let state = seed;
  // A congruential generator, so that a seed tells it all.
  return (/** @type {number} */ sides) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * sides);
  };
}

const NAMES = [
  "jsonrpc", "id", "method", "params", "result", "error", "stream", "serial", "type", "call", "arguments",
  "data", "code", "message", "value", "count", "__proto__", "constructor",
];
const VALUES = [
  "2.0", 0, 1, 2, 3, -1, 1.5, 1e300, null, true, false, "", "x", "$/item", "$/more", "$/cancel", "$/ping",
  "call", "callback", "error", "echo", "count", "fails", "waits", "toString", "__proto__", 16, 1024, 1025, [], {},
];

/** @param {(sides: number) => number} roll @param {number} depth @returns {unknown} */
function anything(roll, depth) {
  const kind = roll(depth > 0 ? 10 : 6);
  if (kind < 6) return VALUES[roll(VALUES.length)];
  if (kind === 6) return Array.from({ length: roll(4) }, () => anything(roll, depth - 1));
  const members = Array.from({ length: roll(6) }, () => [
    NAMES[roll(NAMES.length)], anything(roll, depth - 1),
  ]);
  return Object.fromEntries(members);
}

/** @param {(sides: number) => number} roll @returns {unknown} */
function message(roll) {
  const known = {
    jsonrpc: "2.0", id: roll(4), method: ["echo", "count", "fails", "waits", "$/cancel", "$/more"][roll(6)],
    params: anything(roll, 1), stream: roll(3) ? undefined : roll(20), serial: roll(4), call: "echo",
    type: [undefined, "call", "callback", "error"][roll(4)],
  };
  const base = roll(3) ? known : { jsonrpc: "2.0", id: roll(9), result: anything(roll, 2) };
  const spoilt = Object.entries(base).filter(() => roll(5));
  if (roll(3) === 0) spoilt.push([NAMES[roll(NAMES.length)], anything(roll, 2)]);
  const choice = roll(10);
  if (choice === 0) return anything(roll, 3);
  if (choice === 1) return [Object.fromEntries(spoilt), anything(roll, 2)];
  return Object.fromEntries(spoilt);
}

for (const wire of /** @type {const} */ (["longwire.jsonrpc", "wsrpc", "wsrpc.1"])) {
  test(`${wire}: whatever comes, calls go on (SEED=${SEED})`, async (t) => {
    const roll = dice(SEED);
    const { rpc, connection } = await pair(t, { wire });
    rpc.addRoute("echo", (value) => value);
    rpc.addRoute("fails", () => { throw new Error("as it should"); });
    rpc.addRoute("waits", () => new Promise(() => {}));
    rpc.addRoute("count", async function* () { for (let i = 0; ; i++) yield i; });
    const open = wire === "longwire.jsonrpc" && rpc.stream("endless", [], { window: 4 });
    const early = rpc.call("early").catch((error) => error);

    for (let i = 0; i < MESSAGES; i++) {
      const text = JSON.stringify(message(roll)) ?? "undefined";
      connection.send(roll(20) ? text : text.slice(0, roll(text.length)));
    }
    await soon(early, "the outcome of a call that was answered with nonsense");
    if (open) await open.return();
    connection.socket.ping();
    await soon(once(connection.socket, "pong"), "a pong, when all was read");
    connection.frames.length = 0;
    const calling = rpc.call("late", ["still there?"]);
    const isCall = (/** @type {any} */ frame) => frame.method === "late" || frame.call === "late";
    let frame = await connection.next();
    while (!isCall(frame)) frame = await connection.next();
    connection.send(
      wire === "wsrpc.1"
        ? { serial: frame.serial, type: "callback", data: "yes" }
        : { jsonrpc: "2.0", id: frame.id, result: "yes" },
    );

    assert.equal(await soon(calling, "an answer"), "yes");
    assert.equal(rpc.state(), "OPEN");
  });
}
