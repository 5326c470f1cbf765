/** Every verb in every state: what is asked for is done, waits for a connection, or is refused at once. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";

import { Client, DisconnectedError } from "../src/longwire.js";
import { QUICK, failure, makeRpc, pair, soon, startPeer } from "./peer.js";
import { startMute } from "./rawpeer.js";

/** @import { TestContext } from "node:test" */
/** @import { Rpc } from "../src/longwire.js" */

/**
 * What may become of a call in a state:
 *
 * - "sent": it goes out
 * - "waits": it is settled by what becomes of the connection
 * - "refused": it fails in this turn of the event loop, or the next
 *
 * @typedef {"sent" | "waits" | "refused"} Fate
 */

/**
 * @typedef {object} State
 * @property {(t: TestContext) => Promise<Rpc>} enter
 * @property {import("../src/client.js").State} state
 * @property {Fate} fate
 */

/** @type {Record<string, State>} */
const STATES = {
  "before connect()": {
    enter: async (t) => makeRpc(t, "ws://127.0.0.1:1/"), state: "CLOSED", fate: "waits",
  },
  connecting: {
    enter: async (t) => makeRpc(t, await startMute(t, { answer: false })).connect(), state: "CONNECTING", fate: "waits",
  },
  open: {
    enter: async (t) => (await pair(t)).rpc, state: "OPEN", fate: "sent",
  },
  "closing, by destroy()": {
    async enter(t) {
      const url = await startMute(t);
      const rpc = makeRpc(t, url).connect();
      await soon(rpc.onEvent("connect"), "onconnect");
      rpc.destroy();
      return rpc;
    },
    state: "CLOSING",
    fate: "refused",
  },
  "closed, by destroy()": {
    async enter(t) {
      const { rpc } = await pair(t);
      rpc.destroy();
      await soon(rpc.onEvent("close"), "onclose");
      return rpc;
    },
    state: "CLOSED",
    fate: "refused",
  },
  "destroyed while connecting": {
    async enter(t) {
      const rpc = makeRpc(t, await startMute(t, { answer: false })).connect();
      rpc.destroy();
      return rpc;
    },
    state: "CLOSED",
    fate: "refused",
  },
  "destroyed before connect()": {
    async enter(t) {
      const rpc = makeRpc(t, "ws://127.0.0.1:1/");
      rpc.destroy();
      return rpc;
    },
    state: "CLOSED",
    fate: "refused",
  },
  "destroyed twice": {
    async enter(t) {
      const { rpc } = await pair(t);
      rpc.destroy();
      rpc.destroy();
      await soon(rpc.onEvent("close"), "onclose");
      return rpc;
    },
    state: "CLOSED",
    fate: "refused",
  },
  "closed, and not to come back": {
    async enter(t) {
      const { rpc, connection } = await pair(t, { reconnect: false });
      connection.cut();
      await soon(rpc.onEvent("close"), "onclose");
      return rpc;
    },
    state: "CLOSED",
    fate: "refused",
  },
  "offline, between two attempts": {
    async enter(t) {
      const { rpc, connection } = await pair(t, { reconnect: 1e6 });
      connection.cut();
      await soon(rpc.onEvent("close"), "onclose");
      return rpc;
    },
    state: "CLOSED",
    fate: "waits",
  },
  "offline, and nothing is to wait": {
    async enter(t) {
      const { rpc, connection } = await pair(t, { reconnect: 1e6, offline: "reject" });
      connection.cut();
      await soon(rpc.onEvent("close"), "onclose");
      return rpc;
    },
    state: "CLOSED",
    fate: "refused",
  },
};

/** @type {Record<string, (rpc: Rpc, options?: object) => Promise<unknown>>} */
const VERBS = {
  call: (rpc, options) => rpc.call("f", [1], options),
  proxy: (rpc, options) => rpc.proxy.f([1], options),
  notify: (rpc, options) => rpc.notify("f", [1], options),
  stream: (rpc, options) => rpc.stream("f", [1], options).next(),
};

/** What a promise has come to a few turns later. @param {Promise<unknown>} promise */
async function soonest(promise) {
  const outcome = promise.then((value) => ({ value }), (error) => ({ error }));
  return Promise.race([outcome, sleep(15).then(() => /** @type {any} */ ({}))]);
}

for (const [name, { enter, state, fate }] of Object.entries(STATES)) {
  describe(name, () => {
    for (const [verb, run] of Object.entries(VERBS)) {
      test(`${verb} ${fate === "sent" ? "is sent" : fate === "waits" ? "waits" : "is refused at once"}`, async (t) => {
        const rpc = await enter(t);
        assert.equal(rpc.state(), state);

        const promise = run(rpc);
        promise.catch(() => {});
        const { error, ...rest } = await soonest(promise);

        if (fate === "refused") {
          assert.ok(error instanceof DisconnectedError, String(error));
          assert.match(error.message, new RegExp(`^Socket is: ${state}`));
        } else if (fate === "sent" && verb === "notify") {
          assert.deepEqual(rest, { value: undefined });
        } else {
          assert.deepEqual([error, rest], [undefined, {}]);
          rpc.destroy();
          assert.equal((await failure(promise)).message, "Connection closed");
        }
      });

      if (fate !== "sent") {
        test(`${verb} with noWait is refused at once`, async (t) => {
          const { error } = await soonest(run(await enter(t), { noWait: true }));

          assert.equal(error.message, `Socket is: ${state}`);
        });
      }
    }

    test("sendRaw goes out, or throws", async (t) => {
      const rpc = await enter(t);

      if (fate === "sent") rpc.sendRaw("x");
      else assert.throws(() => rpc.sendRaw("x"), (error) => error instanceof DisconnectedError);
    });

    test("routes and listeners are added and taken away", async (t) => {
      const rpc = await enter(t);

      rpc.addRoute("x", () => 1);
      assert.equal(rpc.deleteRoute("x"), true);
      assert.equal(rpc.removeServerEventListener(rpc.addServerEventListener(() => {})), true);
      assert.equal(rpc.removeEventListener("close", rpc.addEventListener("close", () => {})), true);
    });

    test("destroy() ends it for good", async (t) => {
      const rpc = await enter(t);
      rpc.on("connect", () => assert.fail("connected"));

      rpc.destroy();
      while (rpc.state() === "CLOSING") {
        if (name.startsWith("closing")) break; // the other side never answers
        await soon(rpc.onEvent("close"), "onclose");
      }
      await sleep(30);

      assert.ok(["CLOSED", "CLOSING"].includes(rpc.state()));
      assert.ok((await soonest(rpc.call("f"))).error instanceof DisconnectedError);
    });

    test("wake() throws nothing", async (t) => {
      const rpc = await enter(t);

      rpc.wake();

      if (fate === "refused" && !name.startsWith("offline")) assert.equal(rpc.state(), state);
    });

    test("connect() gives a call its connection", async (t) => {
      const rpc = await enter(t);

      assert.equal(rpc.connect(), rpc);
      const calling = rpc.call("f");
      calling.catch(() => {});

      const early = await soonest(calling);
      if (name === "offline, and nothing is to wait") assert.ok(early.error);
      else assert.doesNotMatch(String(early.error), /opens it again/);
    });
  });
}

describe("between destroy() and connect()", () => {
  test("a call of the same turn is for the next connection, a later one is refused", async (t) => {
    const { peer, rpc } = await pair(t);
    rpc.destroy();
    const kept = rpc.call("kept");
    rpc.connect();
    const connection = await peer.accept();
    const { id, method } = await connection.next();
    connection.send({ jsonrpc: "2.0", id, result: method });
    assert.equal(await kept, "kept");

    rpc.destroy();
    const refused = failure(rpc.call("refused"));
    await null;
    rpc.connect();

    assert.match((await refused).message, /^Socket is: CLOSING; connect\(\) opens it again$/);
    const next = await peer.accept();
    await next.silence();
  });

  test("a refused call says how the last connection ended", async (t) => {
    const { rpc, connection } = await pair(t, { reconnect: false });
    connection.socket.close(1008, "enough");
    await soon(rpc.onEvent("close"), "onclose");

    assert.equal((await failure(rpc.call("f"))).report.reason, "enough");
  });
});

describe("a Client in every state", () => {
  /** @type {[string, (t: TestContext) => Promise<Client>][]} */
  const MAKERS = [
    ["new", async () => new Client("ws://127.0.0.1:1/", QUICK)],
    ["connecting", async (t) => new Client(await startMute(t, { answer: false }), QUICK).connect()],
    ["closing", async (t) => {
      const client = new Client(await startMute(t), QUICK).connect();
      await soon(client.onEvent("open"), "open");
      client.close();
      return client;
    }],
    ["closed", async (t) => {
      const client = new Client((await startPeer(t)).url, QUICK).connect();
      await soon(client.onEvent("open"), "open");
      client.close();
      await soon(client.onEvent("close"), "close");
      return client;
    }],
  ];
  for (const [name, make] of MAKERS) {
    test(`${name}: send() throws, wake(), drop() and close() do not`, async (t) => {
      const client = await make(t);
      t.after(() => client.close());

      assert.throws(() => client.send("x"), DisconnectedError);
      client.wake();
      client.drop("protocol", "x".repeat(500));
      client.close();
      client.close(3000, "again");
      assert.ok(["CLOSED", "CLOSING"].includes(client.state));
    });
  }
});
