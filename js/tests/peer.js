/** A server for tests to play the other side by hand, and clients that are ended with the test. */

import assert from "node:assert/strict";
import { once } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";

import WebSocket, { WebSocketServer } from "ws";

import * as longwire from "../src/longwire.js";

/** @import { TestContext } from "node:test" */

const PATIENCE = 20000;

/**
 * Await, but not for ever: a test that hangs says at what.
 *
 * @template T
 * @param {Promise<T>} promise
 * @param {string} what
 * @returns {Promise<T>}
 */
export async function soon(promise, what) {
  /** @type {any} */
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`still waiting for ${what}`)), PATIENCE);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

/** One connection, as the server sees it. */
export class Connection {
  /** @type {any[]} */ frames = [];
  /** @type {(() => void)[]} */ #waiting = [];
  /** @type {[number, string] | null} */ closed = null;

  /** @param {WebSocket} socket */
  constructor(socket) {
    this.socket = socket;
    socket.on("message", (data) => {
      this.frames.push(JSON.parse(String(data)));
      this.#wake();
    });
    socket.on("close", (code, reason) => {
      this.closed = [code, String(reason)];
      this.#wake();
    });
    socket.on("error", () => {});
  }

  #wake() {
    for (const resolve of this.#waiting.splice(0)) resolve();
  }

  /** @param {() => unknown} happened @param {string} what */
  async #until(happened, what) {
    while (!happened()) {
      await soon(new Promise((resolve) => void this.#waiting.push(() => resolve(undefined))), what);
    }
  }

  /** The next frame that comes in. */
  async next() {
    await this.#until(() => this.frames.length || this.closed, "a frame");
    assert.ok(this.frames.length, `closed instead of sending a frame: ${this.closed}`);
    return this.frames.shift();
  }

  /** The code and reason of the end. */
  async end() {
    await this.#until(() => this.closed, "the end of a connection");
    return /** @type {[number, string]} */ (this.closed);
  }

  /** @param {unknown} frame text is sent as it is, anything else as JSON */
  send(frame) {
    this.socket.send(typeof frame === "string" ? frame : JSON.stringify(frame));
  }

  /** Cut the connection without a word. */
  cut() {
    this.socket.terminate();
  }

  /** Assert that nothing more comes, once what was sent is dealt with. */
  async silence() {
    for (let turn = 0; turn < 2; turn++) {
      this.socket.ping();
      await soon(once(this.socket, "pong"), "a pong");
      await sleep(5);
    }
    assert.deepEqual(this.frames, []);
  }
}

/**
 * @typedef {object} Peer
 * @property {string} url
 * @property {number} port
 * @property {() => Promise<Connection>} accept the next connection
 * @property {() => number} count of connections there were
 * @property {() => Promise<void>} stop cuts every connection and refuses new ones
 */

/**
 * Start a server that accepts any subprotocol, or only `protocol`; "" for none.
 *
 * @param {TestContext} t
 * @param {{ port?: number, protocol?: string }} [options]
 * @returns {Promise<Peer>}
 */
export async function startPeer(t, { port = 0, protocol } = {}) {
  const server = new WebSocketServer({
    host: "127.0.0.1",
    port,
    handleProtocols: (offered) => protocol ?? [...offered][0],
  });
  await once(server, "listening");
  /** @type {Connection[]} */
  const arrived = [];
  /** @type {((connection: Connection) => void)[]} */
  const waiting = [];
  let count = 0;
  server.on("connection", (socket) => {
    count++;
    const connection = new Connection(socket);
    const accept = waiting.shift();
    if (accept) accept(connection);
    else arrived.push(connection);
  });
  const stop = async () => {
    for (const socket of server.clients) socket.terminate();
    await new Promise((resolve) => server.close(resolve));
  };
  t.after(stop);
  const actual = /** @type {import("node:net").AddressInfo} */ (server.address()).port;
  return {
    url: `ws://127.0.0.1:${actual}/`,
    port: actual,
    accept: () => {
      const connection = arrived.shift();
      if (connection) return Promise.resolve(connection);
      return soon(new Promise((resolve) => void waiting.push(resolve)), "a connection");
    },
    count: () => count,
    stop,
  };
}

/** Options that suit a test: Node 20 has no WebSocket, and nobody waits for long. */
export const QUICK = { WebSocket, reconnect: { first: 20, max: 100 }, heartbeat: /** @type {false} */ (false) };

/**
 * An `Rpc` that is destroyed with the test.
 *
 * @param {TestContext} t
 * @param {string} url
 * @param {import("../src/settings.js").RpcOptions} [options]
 */
export function makeRpc(t, url, options = {}) {
  const rpc = new longwire.Rpc(url, { ...QUICK, ...options });
  t.after(() => rpc.destroy());
  return rpc;
}

/**
 * A connected pair.
 *
 * @param {TestContext} t
 * @param {import("../src/settings.js").RpcOptions} [options]
 */
export async function pair(t, options = {}) {
  const peer = await startPeer(t);
  const rpc = makeRpc(t, peer.url, options);
  const connected = rpc.onEvent("onconnect");
  rpc.connect();
  const connection = await peer.accept();
  await soon(connected, "onconnect");
  return { peer, rpc, connection };
}

/**
 * The error that a promise rejects with.
 *
 * @param {Promise<unknown>} promise
 * @returns {Promise<any>}
 */
export async function failure(promise) {
  try {
    const value = await soon(promise, "a failure");
    throw new assert.AssertionError({ message: `no failure, but ${JSON.stringify(value)}` });
  } catch (error) {
    if (error instanceof assert.AssertionError) throw error;
    return error;
  }
}
