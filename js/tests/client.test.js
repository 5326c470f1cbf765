/** The socket that comes back: states, reports, delays, heartbeats. */

import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:net";
import { describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";

import { Client, DisconnectedError, RpcError } from "../src/longwire.js";
import { QUICK, soon, startPeer } from "./peer.js";
import { startMute } from "./rawpeer.js";

/** @import { ClientOptions } from "../src/client.js" */
/** @import { TestContext } from "node:test" */

/**
 * @param {TestContext} t
 * @param {import("../src/client.js").Address} url
 * @param {ClientOptions} [options]
 */
function makeClient(t, url, options = {}) {
  const client = new Client(url, { ...QUICK, ...options });
  t.after(() => client.close());
  return client;
}

/** @param {Client} client */
const nextReport = (client) => soon(client.onEvent("close"), "a close report");

/** An address where nobody listens. */
async function nowhere() {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = /** @type {import("node:net").AddressInfo} */ (server.address());
  await new Promise((resolve) => server.close(resolve));
  return `ws://127.0.0.1:${port}/`;
}

/** @param {Client} client @param {number} count */
async function delays(client, count) {
  const found = [];
  while (found.length < count) found.push((await nextReport(client)).retryAfter);
  return found;
}

describe("addresses", () => {
  /** @type {[any, RegExp][]} */
  const WRONG = [
    ["localhost:8000", /^no scheme: write ws:\/\/localhost:8000$/],
    ["127.0.0.1:8000/rpc", /^no scheme: write ws:\/\/127\.0\.0\.1:8000\/rpc$/],
    ["[::1]:8000", /^no scheme: write ws:\/\/\[::1\]:8000$/],
    ["example.org:8000?a=1", /^no scheme: write ws:\/\/example\.org:8000\?a=1$/],
    ["ftp://example.org/", /^ftp: is no scheme of a WebSocket, write ws: or wss: for ftp:\/\/example\.org\/$/],
    ["/rpc", /^\/rpc is no address: write ws:\/\/host:port\/path$/], // relative, and there is no page
    ["localhost", /^localhost is no address: write/],
    ["ws://", /^ws:\/\/ is no address: write/],
    ["", / is no address: write/],
    [undefined, /^undefined is no address: write/],
  ];
  for (const [url, text] of WRONG) {
    test(`${url} is refused, and the text says what to write`, () => {
      assert.throws(() => new Client(url), (error) => error instanceof TypeError && text.test(error.message));
    });
  }

  test("what a function gives is checked as well, and the report has the error", async (t) => {
    const client = makeClient(t, () => "localhost:8000").connect();

    const { cause, error, url } = await nextReport(client);

    assert.deepEqual([cause, error.message, url], ["error", "no scheme: write ws://localhost:8000", ""]);
  });

  test("the report has the address, without what may be secret", async (t) => {
    const { host } = new URL(await nowhere());
    const client = makeClient(t, `ws://user:password@${host}/a/b?token=secret`).connect();

    assert.equal((await nextReport(client)).url, `ws://${host}/a/b`);
  });
});

describe("states", () => {
  test("a client goes from closed through all states and back", async (t) => {
    const peer = await startPeer(t);
    const client = makeClient(t, peer.url);
    const states = [client.state];
    client.on("change", (state) => states.push(state));

    client.connect();
    await soon(client.onEvent("open"), "open");
    client.close();
    await nextReport(client);

    assert.deepEqual(states, ["CLOSED", "CONNECTING", "OPEN", "CLOSING", "CLOSED"]);
  });

  test("connecting twice makes one connection", async (t) => {
    const peer = await startPeer(t);
    const client = makeClient(t, peer.url).connect().connect();

    await soon(client.onEvent("open"), "open");
    await sleep(30);

    assert.equal(peer.count(), 1);
  });

  test("a close while connecting ends the attempt", async (t) => {
    const client = makeClient(t, await startMute(t, { answer: false })).connect();

    client.close();

    assert.equal(client.state, "CLOSED");
    assert.equal(client.report?.cause, "local");
    assert.equal(client.report?.retryAfter, null);
  });

  test("a client that was closed can connect again, even before it is closed", async (t) => {
    const peer = await startPeer(t);
    const client = makeClient(t, peer.url).connect();
    await soon(client.onEvent("open"), "open");

    client.close();
    client.connect();

    await soon(client.onEvent("open"), "open again");
    assert.equal(client.state, "OPEN");
  });

  test("sending needs an open connection", (t) => {
    const client = makeClient(t, "ws://127.0.0.1:1/");

    assert.throws(() => client.send("x"), (error) => (
      error instanceof DisconnectedError && error.message === "Socket is: CLOSED"
    ));
  });

  test("messages go both ways, text and bytes", async (t) => {
    const peer = await startPeer(t);
    const client = makeClient(t, peer.url).connect();
    /** @type {unknown[]} */
    const got = [];
    client.on("message", (data) => got.push(data));
    const connection = await peer.accept();
    if (client.state !== "OPEN") await soon(client.onEvent("open"), "open");

    client.send('"grüezi"');
    assert.equal(await connection.next(), "grüezi");
    connection.socket.send("text");
    connection.socket.send(new Uint8Array([1, 2]));
    while (got.length < 2) await soon(client.onEvent("message"), "a message");

    assert.equal(got[0], "text");
    assert.deepEqual(new Uint8Array(/** @type {ArrayBuffer} */ (got[1])), new Uint8Array([1, 2]));
  });
});

describe("addresses", () => {
  test("http becomes ws, and a fragment is left out", async (t) => {
    const peer = await startPeer(t);
    const client = makeClient(t, `${peer.url.replace("ws:", "http:")}path?a=1#part`).connect();

    await soon(client.onEvent("open"), "open");
  });

  test("a relative address is the page's", async (t) => {
    const peer = await startPeer(t);
    // @ts-expect-error: Node has no location, pages have
    globalThis.location = { href: peer.url.replace("ws:", "http:") + "some/page.html" };
    t.after(() => { Reflect.deleteProperty(globalThis, "location"); });

    const client = makeClient(t, "../live").connect();

    await soon(client.onEvent("open"), "open");
  });

  for (const url of ["ftp://127.0.0.1/", "not an address", "mailto:someone@example.org"]) {
    test(`${url} is refused at once`, () => {
      assert.throws(() => new Client(url), TypeError);
    });
  }

  test("a function is asked for the address before each attempt", async (t) => {
    const peer = await startPeer(t);
    const addresses = [
      () => { throw new Error("no token"); },
      () => Promise.reject(new Error("no token yet")),
      () => Promise.resolve(peer.url),
    ];
    const client = makeClient(t, () => /** @type {any} */ (addresses.shift())());
    const reports = [nextReport(client)];

    client.connect();
    const first = await reports[0];
    const second = await nextReport(client);
    await soon(client.onEvent("open"), "open");

    assert.deepEqual([first.cause, first.error.message], ["error", "no token"]);
    assert.deepEqual([second.cause, second.error.message], ["error", "no token yet"]);
    assert.deepEqual(addresses, []);
  });

  test("without a WebSocket the error names the option", () => {
    const there = globalThis.WebSocket;
    Reflect.deleteProperty(globalThis, "WebSocket");
    try {
      assert.throws(() => new Client("ws://127.0.0.1:1/").connect(), /option WebSocket/);
    } finally {
      if (there) globalThis.WebSocket = there;
    }
  });
});

describe("close reports", () => {
  test("the peer closed it", async (t) => {
    const peer = await startPeer(t);
    const client = makeClient(t, peer.url).connect();
    const connection = await peer.accept();
    connection.send("hello");
    await soon(client.onEvent("message"), "a message");

    connection.socket.close(4321, "enough");
    const report = await nextReport(client);

    assert.equal(report.cause, "peer");
    assert.deepEqual([report.code, report.reason, report.clean], [4321, "enough", true]);
    assert.deepEqual([report.opened, report.received, report.sent], [true, 1, 0]);
    assert.ok(report.duration > 0);
    assert.ok(report.quiet >= 0 && report.quiet <= report.duration);
    assert.equal(client.report, report);
  });

  test("we closed it", async (t) => {
    const peer = await startPeer(t);
    const client = makeClient(t, peer.url).connect();
    const connection = await peer.accept();
    if (client.state !== "OPEN") await soon(client.onEvent("open"), "open");

    client.close(3001, "bye");

    assert.deepEqual(await connection.end(), [3001, "bye"]);
    const report = client.report ?? await nextReport(client);
    assert.deepEqual([report.cause, report.code, report.retryAfter], ["local", 3001, null]);
  });

  test("the network broke", async (t) => {
    const peer = await startPeer(t);
    const client = makeClient(t, peer.url).connect();
    (await peer.accept()).cut();

    const report = await nextReport(client);

    assert.deepEqual([report.cause, report.code, report.clean], ["network", 1006, false]);
    assert.equal(report.quiet, null);
  });

  test("nobody listens", async (t) => {
    const client = makeClient(t, await nowhere()).connect();

    const report = await nextReport(client);

    assert.deepEqual([report.cause, report.opened, report.duration], ["refused", false, 0]);
    assert.match(String(report.error), /ECONNREFUSED/);
  });

  test("an opening that takes too long is given up", async (t) => {
    const url = await startMute(t, { answer: false });
    const client = makeClient(t, url, { openTimeout: 40 }).connect();

    const report = await nextReport(client);

    assert.deepEqual([report.cause, report.opened], ["timeout", false]);
  });

  test("a closing that takes too long is given up", async (t) => {
    const client = makeClient(t, await startMute(t), { closeTimeout: 40 }).connect();
    await soon(client.onEvent("open"), "open");

    client.close();
    const report = await nextReport(client);

    assert.deepEqual([report.cause, report.code, report.clean], ["timeout", 1000, false]);
    assert.equal(client.state, "CLOSED");
  });

  test("a code that may not be sent changes nothing", async (t) => {
    const peer = await startPeer(t);
    const client = makeClient(t, peer.url).connect();
    await soon(client.onEvent("open"), "open");

    assert.throws(() => client.close(1006));

    assert.equal(client.state, "OPEN");
    assert.equal(client.wanted, true);
  });
});

describe("reconnecting", () => {
  test("a client comes back to a server that was restarted", async (t) => {
    const peer = await startPeer(t);
    const client = makeClient(t, peer.url).connect();
    await peer.accept();
    await peer.stop();
    const again = await startPeer(t, { port: peer.port });

    await again.accept();

    if (client.state !== "OPEN") await soon(client.onEvent("open"), "open");
  });

  test("delays grow to a limit, each with its part of chance", async (t) => {
    const reconnect = { first: 8, max: 32, factor: 2, jitter: 0.5 };
    const client = makeClient(t, await nowhere(), { reconnect }).connect();

    const found = await delays(client, 5);

    for (const [i, whole] of [8, 16, 32, 32, 32].entries()) {
      const delay = /** @type {number} */ (found[i]);
      assert.ok(delay >= whole / 2 && delay <= whole, `${delay} is not ${whole / 2} to ${whole}`);
    }
    assert.ok(new Set(found).size > 2, "no chance in it");
  });

  test("delays grow where each connection is closed as soon as it is open", async (t) => {
    const peer = await startPeer(t);
    const reconnect = { first: 5000, max: 100000, factor: 3, jitter: 0 };
    const client = makeClient(t, peer.url, { reconnect }).connect();
    client.on("open", () => peer.accept().then((connection) => connection.socket.close()));
    client.on("close", () => setTimeout(() => client.wake()));

    const found = await delays(client, 3);

    assert.deepEqual(found, [5000, 15000, 45000]);
  });

  test("a connection that held makes the next delay short again", async (t) => {
    const peer = await startPeer(t);
    const client = makeClient(t, await nowhere().then(() => peer.url), {
      reconnect: { first: 10, max: 10000, factor: 4, jitter: 0 },
    }).connect();
    client.on("open", () => peer.accept().then(async (connection) => {
      await sleep(15);
      connection.cut();
    }));

    assert.deepEqual(await delays(client, 3), [10, 10, 10]);
  });

  test("a number is the delay, always", async (t) => {
    const client = makeClient(t, await nowhere(), { reconnect: 7 }).connect();

    assert.deepEqual(await delays(client, 3), [7, 7, 7]);
  });

  test("a delay without end does not become none at all", async (t) => {
    const client = makeClient(t, await nowhere(), { reconnect: Infinity }).connect();
    await nextReport(client);

    await sleep(30);

    assert.equal(client.state, "CLOSED");
  });

  test("false is never", async (t) => {
    const client = makeClient(t, await nowhere(), { reconnect: false }).connect();

    assert.deepEqual(await delays(client, 1), [null]);
    await sleep(20);
    assert.equal(client.state, "CLOSED");
    assert.equal(client.wanted, false);
  });

  test("who never reconnects by itself can be told to", async (t) => {
    const peer = await startPeer(t);
    const client = makeClient(t, peer.url, { reconnect: false }).connect();
    (await peer.accept()).cut();
    await nextReport(client);

    client.connect();

    await soon(client.onEvent("open"), "open");
  });

  test("a client that is closed while it waits does not come back", async (t) => {
    const client = makeClient(t, await nowhere(), { reconnect: 10 }).connect();
    await nextReport(client);

    client.close();
    await sleep(30);

    assert.equal(client.state, "CLOSED");
    assert.equal(client.wanted, false);
  });

  test("wake() tries now what would be tried later", async (t) => {
    const peer = await startPeer(t);
    const client = makeClient(t, peer.url, { reconnect: 60000 }).connect();
    (await peer.accept()).cut();
    await nextReport(client);

    client.wake();

    await soon(client.onEvent("open"), "open");
  });

  test("the network's return and the page's wake it, while it is wanted", async (t) => {
    const page = new EventTarget();
    const shown = Object.assign(new EventTarget(), { visibilityState: "visible" });
    const names = /** @type {const} */ (["addEventListener", "removeEventListener"]);
    for (const name of names) globalThis[name] = page[name].bind(page);
    // @ts-expect-error: as much of a document as there is to it
    globalThis.document = shown;
    t.after(() => {
      for (const name of [...names, "document"]) Reflect.deleteProperty(globalThis, name);
    });
    const peer = await startPeer(t);
    const client = makeClient(t, peer.url, { reconnect: 60000 }).connect();
    const cut = async () => {
      (await peer.accept()).cut();
      await nextReport(client);
    };

    await cut();
    page.dispatchEvent(new Event("online"));
    await soon(client.onEvent("open"), "open after online");

    await cut();
    shown.visibilityState = "hidden";
    shown.dispatchEvent(new Event("visibilitychange"));
    await sleep(20);
    assert.equal(client.state, "CLOSED");
    shown.visibilityState = "visible";
    shown.dispatchEvent(new Event("visibilitychange"));
    await soon(client.onEvent("open"), "open after visibilitychange");

    await cut();
    client.close();
    page.dispatchEvent(new Event("online"));
    await sleep(20);
    assert.equal(client.state, "CLOSED");
  });
});

describe("heartbeats", () => {
  test("silence without an answer to the probe ends the connection", async (t) => {
    let probes = 0;
    const heartbeat = { interval: 40, timeout: 40, probe: () => { probes++; } };
    const client = makeClient(t, await startMute(t), { heartbeat }).connect();
    await soon(client.onEvent("open"), "open");

    const report = await nextReport(client);

    assert.equal(report.cause, "silence");
    assert.match(report.reason, /^nothing came in for \d+ ms$/);
    assert.ok(report.duration >= 79, `${report.duration}`);
    assert.equal(probes, 1);
    assert.ok(report.retryAfter > 0);
  });

  test("answers keep the connection, and messages make probes superfluous", async (t) => {
    const peer = await startPeer(t);
    let probes = 0;
    /** @type {Client} */
    const client = makeClient(t, peer.url, {
      heartbeat: { interval: 400, timeout: 5000, probe: () => { probes++; client.send("1"); } },
    }).connect();
    const connection = await peer.accept();

    for (let i = 0; i < 30; i++) {
      connection.send("busy");
      await sleep(20);
    }
    assert.equal(probes, 0);
    for (let i = 0; i < 2; i++) {
      assert.equal(await connection.next(), 1);
      connection.send("pong");
    }

    assert.equal(client.state, "OPEN");
  });

  test("wake() probes an open connection at once", async (t) => {
    let probes = 0;
    const heartbeat = { interval: 60000, timeout: 40, probe: () => { probes++; } };
    const client = makeClient(t, await startMute(t), { heartbeat }).connect();
    await soon(client.onEvent("open"), "open");

    client.wake();
    client.wake();

    assert.equal(probes, 1);
    assert.equal((await nextReport(client)).cause, "silence");
  });

  test("an interval without end probes nothing", async (t) => {
    let probes = 0;
    const heartbeat = { interval: Infinity, probe: () => { probes++; } };
    const client = makeClient(t, await startMute(t), { heartbeat }).connect();
    await soon(client.onEvent("open"), "open");

    await sleep(30);

    assert.equal(client.state, "OPEN");
    assert.equal(probes, 0);
  });

  test("nothing is probed while the connection is closing", async (t) => {
    let probes = 0;
    const heartbeat = { interval: 20, timeout: 20, probe: () => { probes++; } };
    const client = makeClient(t, await startMute(t), { heartbeat, closeTimeout: 100 }).connect();
    await soon(client.onEvent("open"), "open");

    client.close();

    assert.equal((await nextReport(client)).cause, "timeout");
    assert.equal(probes, 0);
  });

  test("without a probe the other side is expected to speak", async (t) => {
    const heartbeat = { interval: 20, timeout: 20 };
    const client = makeClient(t, await startMute(t), { heartbeat }).connect();

    assert.equal((await nextReport(client)).cause, "silence");
  });
});

describe("limits", () => {
  test("no more is taken for sending than the limit", async (t) => {
    const url = await startMute(t, { reads: false });
    const client = makeClient(t, url, { maxBuffered: 1 << 20 }).connect();
    await soon(client.onEvent("open"), "open");
    const chunk = "x".repeat(1 << 20);

    assert.throws(() => {
      for (let i = 0; i < 64; i++) client.send(chunk);
    }, (error) => error instanceof RpcError && error.code === -32002 && /limit is 1048576/.test(error.message));
  });
});

describe("listeners", () => {
  test("one that throws stops no other, and is shown", async (t) => {
    const shown = t.mock.method(console, "error", () => {});
    const peer = await startPeer(t);
    const client = makeClient(t, peer.url);
    client.on("open", () => { throw new Error("in a listener"); });

    client.connect();

    await soon(client.onEvent("open"), "open");
    assert.equal(shown.mock.calls[0].arguments[0].message, "in a listener");
  });

  test("one can be taken off by its number, by itself, and by what on() gave", () => {
    class Bell extends Client {
      ring() {
        this.emit("ring");
      }
    }
    const bell = new Bell("ws://127.0.0.1/");
    let rung = 0;
    const ear = () => { rung++; };
    const id = bell.addEventListener("onring", ear);
    const off = bell.on("ring", ear);
    bell.on("onring", ear);

    bell.ring();
    assert.equal(rung, 3);
    assert.equal(bell.removeEventListener("onring", id), true);
    assert.equal(bell.removeEventListener("onring", id), false);
    off();
    bell.ring();
    assert.equal(rung, 4);
    bell.off("ring", ear);
    bell.ring();
    assert.equal(rung, 4);
  });

  test("one must be a function", () => {
    // @ts-expect-error: that is what is tested
    assert.throws(() => new Client("ws://127.0.0.1/").on("open", "x"), /must be a function, not string/);
  });
});
