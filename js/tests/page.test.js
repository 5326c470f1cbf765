/** What a browser tells of the page and the network, played by hand; Chromium itself is asked in Python. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";

import { Client } from "../src/longwire.js";
import { QUICK, failure, makeRpc, pair, soon, startPeer } from "./peer.js";
import { startMute } from "./rawpeer.js";

/** @import { TestContext } from "node:test" */

const NAMES = ["addEventListener", "removeEventListener", "document"];

/** Counts its listeners. */
class Target extends EventTarget {
  count = 0;
  visibilityState = "visible";

  /** @param {string} type @param {any} listener */
  addEventListener(type, listener) {
    this.count++;
    super.addEventListener(type, listener);
  }

  /** @param {string} type @param {any} listener */
  removeEventListener(type, listener) {
    this.count--;
    super.removeEventListener(type, listener);
  }

  /** @param {string} type @param {object} [members] */
  tell(type, members = {}) {
    this.dispatchEvent(Object.assign(new Event(type), members));
  }
}

/**
 * Make Node's global object one of a page, or of a worker, for the length of a test.
 *
 * @param {TestContext} t
 * @param {{ worker?: boolean }} [options]
 */
function browser(t, { worker = false } = {}) {
  const window = new Target();
  const document = new Target();
  const globals = {
    addEventListener: window.addEventListener.bind(window),
    removeEventListener: window.removeEventListener.bind(window),
    ...(worker ? {} : { document }),
  };
  Object.assign(globalThis, globals);
  t.after(() => { for (const name of NAMES) Reflect.deleteProperty(globalThis, name); });
  return { window, document };
}

describe("a page that is left, and may be shown again", () => {
  /** @type {[string, (page: ReturnType<typeof browser>) => void, (page: ReturnType<typeof browser>) => void][]} */
  const WAYS = [
    [
      "goes into the back/forward cache",
      ({ window }) => window.tell("pagehide", { persisted: true }),
      ({ window }) => window.tell("pageshow", { persisted: true }),
    ],
    ["is frozen", ({ document }) => document.tell("freeze"), ({ document }) => document.tell("resume")],
    [
      "goes into the cache and is frozen there",
      ({ window, document }) => { window.tell("pagehide", { persisted: true }); document.tell("freeze"); },
      ({ window, document }) => { document.tell("resume"); window.tell("pageshow", { persisted: true }); },
    ],
  ];
  for (const [name, leave, back] of WAYS) {
    test(`${name}: closes at once, and connects when it is back`, async (t) => {
      const page = browser(t);
      const { peer, rpc, connection } = await pair(t);
      const calling = failure(rpc.call("slow"));
      await connection.next();

      leave(page);

      assert.equal(rpc.state(), "CLOSED");
      assert.deepEqual(
        [rpc.report?.cause, rpc.report?.reason, rpc.report?.retryAfter], ["local", "the page was left", Infinity],
      );
      assert.equal((await calling).message, "Connection closed");
      assert.deepEqual(await connection.end(), [1000, "the page was left"]);
      await sleep(60);
      assert.equal(peer.count(), 1);

      const connected = rpc.onEvent("connect");
      back(page);
      const again = await peer.accept();
      await soon(connected, "onconnect");
      rpc.notify("back");
      assert.equal((await again.next()).method, "back");
    });
  }

  test("what waits goes on waiting where it is to be kept, and a stream goes on", async (t) => {
    const page = browser(t);
    const { peer, rpc, connection } = await pair(t, { offline: "keep" });
    const stream = rpc.stream("prices", [], { resubscribe: true });
    await connection.next();
    page.window.tell("pagehide", { persisted: true });
    const kept = rpc.call("kept");

    page.window.tell("pageshow", { persisted: true });

    const again = await peer.accept();
    const frames = [await again.next(), await again.next()];
    assert.deepEqual(frames.map(({ method }) => method), ["prices", "kept"]);
    again.send({ jsonrpc: "2.0", id: frames[1].id, result: 1 });
    assert.equal(await kept, 1);
    await stream.return();
  });

  test("an attempt under way is given up, and one that was to come does not come", async (t) => {
    const page = browser(t);
    const rpc = makeRpc(t, await startMute(t, { answer: false })).connect();
    assert.equal(rpc.state(), "CONNECTING");
    page.window.tell("pagehide", { persisted: true });
    assert.equal(rpc.state(), "CLOSED");

    const peer = await startPeer(t);
    await peer.stop();
    const other = makeRpc(t, peer.url, { reconnect: 20 }).connect();
    await soon(other.onEvent("close"), "onclose");
    page.window.tell("pagehide", { persisted: true });
    const next = await startPeer(t, { port: peer.port });
    await sleep(80);
    assert.equal(next.count(), 0);
    page.window.tell("pageshow", { persisted: true });
    await next.accept();
  });

  test("one that must not come back does not, and says so", async (t) => {
    const page = browser(t);
    const { peer, rpc } = await pair(t, { reconnect: false });

    page.window.tell("pagehide", { persisted: true });

    assert.equal(rpc.report?.retryAfter, null);
    page.window.tell("pageshow", { persisted: true });
    await sleep(30);
    assert.equal(peer.count(), 1);
    assert.match((await failure(rpc.call("a"))).message, /Socket is: CLOSED/);
  });

  test("one that is destroyed meanwhile stays away", async (t) => {
    const page = browser(t);
    const { peer, rpc } = await pair(t);
    page.window.tell("pagehide", { persisted: true });
    rpc.destroy();

    page.window.tell("pageshow", { persisted: true });

    await sleep(30);
    assert.equal(peer.count(), 1);
    assert.equal(page.window.count + page.document.count, 0);
  });

  test("a page that is not kept is left to the browser", async (t) => {
    const page = browser(t);
    const { rpc } = await pair(t);

    page.window.tell("pagehide", { persisted: false });
    page.window.tell("pageshow", { persisted: false });

    assert.equal(rpc.state(), "OPEN");
  });

  test("a Client does the same", async (t) => {
    const page = browser(t);
    const peer = await startPeer(t);
    const client = new Client(peer.url, QUICK).connect();
    t.after(() => client.close());
    const connection = await peer.accept();
    if (client.state !== "OPEN") await soon(client.onEvent("open"), "open");

    page.document.tell("freeze");
    assert.deepEqual(await connection.end(), [1000, "the page was left"]);
    page.document.tell("resume");

    await peer.accept();
  });
});

describe("a page that is looked at, and the network", () => {
  /** @type {[string, (page: ReturnType<typeof browser>) => void, boolean][]} */
  const EVENTS = [
    ["the network is back", ({ window }) => window.tell("online"), true],
    ["the page is looked at again", ({ document }) => document.tell("visibilitychange"), true],
    ["the page is hidden", ({ document }) => {
      document.visibilityState = "hidden";
      document.tell("visibilitychange");
    }, false],
    ["the network has gone", ({ window }) => window.tell("offline"), false],
  ];
  for (const [name, happen, wakes] of EVENTS) {
    test(`${name}: the next attempt is made ${wakes ? "at once" : "when it was to be made"}`, async (t) => {
      const page = browser(t);
      const { peer, rpc, connection } = await pair(t, { reconnect: 1e6 });
      connection.cut();
      await soon(rpc.onEvent("close"), "onclose");

      happen(page);

      if (wakes) await peer.accept();
      else await sleep(30);
      assert.equal(peer.count(), wakes ? 2 : 1);
    });
  }

  for (const [name, happen] of EVENTS) {
    test(`${name}: an open connection is ${/hidden/.test(name) ? "left alone" : "asked whether it lives"}`, async (t) => {
      const page = browser(t);
      const { connection } = await pair(t, { heartbeat: { interval: 1e6 } });

      happen(page);

      if (/hidden/.test(name)) await connection.silence();
      else assert.equal((await connection.next()).method, "$/ping");
    });
  }

  test("a connection that died with the network is given up after the heartbeat's timeout", async (t) => {
    const page = browser(t);
    const rpc = makeRpc(t, await startMute(t), { heartbeat: { interval: 1e6, timeout: 20 }, reconnect: 1e6 }).connect();
    await soon(rpc.onEvent("connect"), "onconnect");

    page.window.tell("offline");

    assert.equal((await soon(rpc.onEvent("close"), "onclose")).cause, "silence");
  });
});

describe("listeners", () => {
  test("end with destroy(), and are not added twice", async (t) => {
    const page = browser(t);
    const { rpc, connection } = await pair(t);
    const count = page.window.count + page.document.count;
    rpc.connect();
    assert.equal(page.window.count + page.document.count, count);

    rpc.destroy();
    await connection.end();

    assert.ok(count > 0);
    assert.equal(page.window.count + page.document.count, 0);
  });

  test("a worker has no document, and hears of the network", async (t) => {
    const page = browser(t, { worker: true });
    const { peer, rpc, connection } = await pair(t, { reconnect: 1e6 });
    connection.cut();
    await soon(rpc.onEvent("close"), "onclose");

    page.window.tell("online");

    await peer.accept();
  });
});

test("a call of any length is not cut while its connection lives", async (t) => {
  // Sixty-five minutes of the page's time pass in one moment; what is due then is done.
  const { rpc, connection } = await pair(t, { heartbeat: { interval: 30_000, timeout: 10_000 } });
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const clock = t.mock.method(performance, "now");
  const start = performance.now();
  const calling = rpc.call("slow");
  const { id } = await connection.next();

  for (let minute = 1; minute <= 65; minute++) {
    clock.mock.mockImplementation(() => start + minute * 60_000);
    t.mock.timers.tick(60_000);
    const probe = await connection.next();
    assert.equal(probe.method, "$/ping");
    const heard = new Promise((resolve) => void setImmediate(resolve));
    connection.send({ jsonrpc: "2.0", id: probe.id, result: null });
    await heard;
  }
  t.mock.timers.reset();
  connection.send({ jsonrpc: "2.0", id, result: "at last" });

  assert.equal(await calling, "at last");
});
