/**
 * Client: a WebSocket that comes back by itself and says why it went.
 *
 * Knows nothing of what the messages mean. Times are in milliseconds.
 */

import { Emitter, shielded } from "./emitter.js";
import { Code, DisconnectedError, RpcError } from "./errors.js";
import { COUNT, FUNCTION, TIME, check, checked, checkedGroup } from "./options.js";
import { attempt, exceeds } from "./values.js";

/** @import { Given, Rule } from "./options.js" */

/** @typedef {"CONNECTING" | "OPEN" | "CLOSING" | "CLOSED"} State */
/** The names of states, by the number that a WebSocket has for them. */
export const STATES = /* @__PURE__ */ Object.freeze(
  /** @type {const} */ (["CONNECTING", "OPEN", "CLOSING", "CLOSED"]),
);

/**
 * Why a connection ended, or an attempt failed.
 *
 * - `"local"`: we closed it, or the page was left.
 * - `"peer"`: the other side closed it, see `code` and `reason`.
 * - `"network"`: it broke without a word.
 * - `"refused"`: it was never opened; browsers do not tell more.
 * - `"timeout"`: opening or closing took too long.
 * - `"silence"`: nothing came in, not even the answer to a heartbeat.
 * - `"protocol"`: the other side sent what cannot be accepted.
 * - `"error"`: there was no attempt: see `error`.
 *
 * @typedef {"local" | "peer" | "network" | "refused" | "timeout" | "silence" | "protocol" | "error"} Cause
 */

/**
 * @typedef {object} CloseReport
 * @property {Cause} cause
 * @property {number} code of the closing frame; 1006 without one
 * @property {string} reason
 * @property {boolean} clean whether both sides closed properly
 * @property {boolean} opened whether the connection was ever open
 * @property {number} duration how long it was open
 * @property {number | null} quiet for how long nothing had come in; null if nothing ever did
 * @property {number} received messages that came in
 * @property {number} sent messages that went out
 * @property {unknown} error what was thrown, if anything was
 * @property {string} url the address, without query, user and password; "" if there was none yet
 * @property {number | null} retryAfter when the next attempt is made, from the end on; null for never,
 *   Infinity where it waits for the page to be shown again
 */

/**
 * @typedef {object} Backoff
 * @property {number | null | undefined} [first] before the first attempt; 500
 * @property {number | null | undefined} [max] 30 000
 * @property {number | null | undefined} [factor] from one attempt to the next; 2
 * @property {number | null | undefined} [jitter] the part of each that is left to chance, 0 to 1; 0.5
 */

/**
 * @typedef {object} Heartbeat
 * @property {number | null | undefined} [interval] silence after which `probe` is sent; 30 000
 * @property {number | null | undefined} [timeout] silence after a probe that ends the connection; 10 000
 * @property {(() => void) | null | undefined} [probe] sends something that will be answered; without it, the
 *   other side is expected to send something by itself every `interval`
 */

/**
 * @typedef {object} ClientOptions
 * @property {string | string[] | null | undefined} [protocols] subprotocols to offer
 * @property {any} [WebSocket] the class to use where there is no global one
 * @property {number | boolean | Backoff | null | undefined} [reconnect] a number: always so long; false: never
 * @property {boolean | Heartbeat | null | undefined} [heartbeat]
 * @property {number | null | undefined} [openTimeout] 10 000
 * @property {number | null | undefined} [closeTimeout] 5 000
 * @property {number | null | undefined} [maxBuffered] bytes accepted by `send` and not yet sent; 16 MiB
 */

/** @typedef {string | URL | (() => string | URL | Promise<string | URL>)} Address */

const GOING_AWAY_WITHOUT_A_WORD = 1006;
const LATE = 2000; // a timer that is later than this was asleep with its page

const now = () => performance.now();

/** @internal @type {Record<string, Rule | null>} */
export const RULES = {
  protocols: null, WebSocket: FUNCTION, reconnect: null, heartbeat: null, openTimeout: TIME, closeTimeout: TIME,
  maxBuffered: COUNT,
};
/** @type {Record<string, Rule>} */
const BACKOFF = {
  first: TIME,
  max: TIME,
  factor: ["1 or more", (value) => value >= 1 && value < Infinity, "number"],
  jitter: ["from 0 to 1", (value) => value >= 0 && value <= 1, "number"],
};
const HEARTBEAT = { interval: TIME, timeout: TIME, probe: FUNCTION };
/** @type {Rule} */
const CLOSE_CODE = ["1000, or 3000 to 4999", isSendable, "number"];
/** @type {Rule} */
const CLOSE_REASON = ["text of at most 123 bytes", (value) => !exceeds(value, 123), "string"];

/** Bytes that may wait to be sent. */
export const MAX_BUFFERED = 1 << 24;

/** Beyond this, timers of browsers and Node do not wait at all. */
export const FOR_EVER = 2 ** 31 - 1;

/**
 * @param {() => void} act
 * @param {number} delay
 */
const later = (act, delay) => setTimeout(act, Math.min(delay, FOR_EVER));

/**
 * Return an address a WebSocket takes, made absolute from the page's own.
 *
 * @param {string | URL} url
 * @returns {string}
 */
export function absolute(url) {
  const text = `${url}`;
  // A URL parser takes localhost in localhost:8000 for a scheme, and 127.0.0.1:8000 for a path.
  if (/^([\w.-]+|\[[\da-f:.]+\]):\d+([/?#]|$)/i.test(text)) throw new TypeError(`no scheme: write ws://${text}`);
  const found = attempt(() => new URL(url, globalThis.location?.href));
  if (!found) throw new TypeError(`${text} is no address: write ws://host:port/path`);
  found.protocol = found.protocol.replace(/^http/, "ws");
  if (!/^wss?:$/.test(found.protocol)) {
    throw new TypeError(`${found.protocol} is no scheme of a WebSocket, write ws: or wss: for ${found.href}`);
  }
  found.hash = "";
  return found.href;
}

/**
 * A WebSocket that reconnects. Events: `open` (subprotocol), `message` (data), `close`
 * (`CloseReport`), `change` (`State`).
 */
export class Client extends Emitter {
  /** @internal */
  static EVENTS = ["open", "message", "close", "change"];

  /** @type {Address} */ #url;
  /** @type {Given<ClientOptions>} */ #options;
  /** @type {Backoff | false} */ #backoff;
  /** @type {Heartbeat | false} */ #heartbeat;
  /** @type {any} */ #socket = null;
  /** @type {State} */ #state = "CLOSED";
  /** @type {CloseReport | null} */ #report = null;
  /** @type {any} */ #timer; // to open, to close, or to try again: one at a time
  /** @type {any} */ #pulse;
  #wanted = false;
  #away = false; // the page is in a cache, or frozen
  #attempt = 0; // counts them all: what an old one began is told apart by it
  #failures = 0;
  #delay = 0;
  #openedAt = 0;
  #heardAt = 0;
  #probedAt = 0;
  #received = 0;
  #sent = 0;
  #shown = ""; // the address without what may be secret: query, user, password

  /**
   * @param {Address} url relative ones are the page's; a function is asked each time
   * @param {ClientOptions | null} [options]
   */
  constructor(url, options) {
    super();
    this.#url = typeof url === "function" ? url : absolute(url);
    this.#options = checked(options, RULES);
    const { reconnect = true, heartbeat = false } = this.#options;
    this.#backoff = backoffOf(reconnect);
    this.#heartbeat = checkedGroup(heartbeat, HEARTBEAT, "heartbeat");
  }

  /** The state of the connection; "CLOSED" before `connect()`. */
  get state() {
    return this.#state;
  }

  /**
   * The subprotocol of the open connection, or "".
   *
   * @returns {string}
   */
  get protocol() {
    return this.#socket?.protocol ?? "";
  }

  /** Why the last connection or attempt ended; null if none has. */
  get report() {
    return this.#report;
  }

  /** Whether there is a connection or there will be: from `connect()` to `close()`. */
  get wanted() {
    return this.#wanted;
  }

  /** Connect, and again whenever the connection ends. */
  connect() {
    if (this.#wanted) return this;
    if (!this.#socketClass()) {
      throw new RpcError("there is no WebSocket here: give its class as the option WebSocket");
    }
    this.#wanted = true;
    this.#failures = this.#delay = 0;
    this.#listen("addEventListener");
    // A close() of a moment ago is still under way: #end() goes on from there.
    if (this.#state === "CLOSED") this.#open();
    return this;
  }

  /**
   * Close the connection and stay closed.
   *
   * @param {number} [code] 1000, or 3000 to 4999
   * @param {string} [reason]
   */
  close(code = 1000, reason = "") {
    check("code", code, CLOSE_CODE);
    check("reason", reason, CLOSE_REASON);
    this.#rest();
    if (this.#state === "OPEN") this.#socket.close(code, reason);
    if (this.#state === "OPEN") {
      this.#become("CLOSING");
      clearTimeout(this.#pulse);
      clearTimeout(this.#timer);
      this.#timer = later(
        () => this.#end("timeout", { code, reason }), this.#options.closeTimeout ?? 5000,
      );
    } else if (this.#state === "CONNECTING") {
      this.#end("local", { code, reason });
    } else if (this.#state === "CLOSED") {
      clearTimeout(this.#timer);
    }
  }

  /**
   * Give up on this connection without waiting for anything, and make another.
   *
   * @param {Cause} cause
   * @param {string} [reason]
   * @param {number} [code]
   */
  drop(cause, reason = "", code = 4000) {
    if (this.#state !== "CLOSED") this.#end(cause, { code, reason });
  }

  /**
   * Send a message; throws where there is no open connection or too much is unsent.
   *
   * @param {string | ArrayBufferLike | ArrayBufferView | Blob} data
   */
  send(data) {
    if (this.#state !== "OPEN") throw new DisconnectedError(`Socket is: ${this.#state}`);
    const limit = this.#options.maxBuffered ?? MAX_BUFFERED;
    if (this.#socket.bufferedAmount > limit) {
      throw new RpcError(
        `${this.#socket.bufferedAmount} bytes are unsent, the limit is ${limit}`,
        { code: Code.TOO_BUSY },
      );
    }
    this.#socket.send(data);
    this.#sent++;
  }

  /** Try now what would be tried later: the next attempt, or a heartbeat. */
  wake() {
    if (!this.#wanted) return;
    if (this.#state === "CLOSED") this.#open();
    else this.#ask();
  }

  /** Find out whether an open connection still lives. */
  #ask() {
    if (this.#state === "OPEN" && this.#heartbeat) this.#beat(true);
  }

  /**
   * What the browser tells of the page and the network. Workers hear of the network alone.
   *
   * @param {any} event
   */
  #heed = ({ type, persisted }) => {
    if (type === "freeze" || (type === "pagehide" && persisted)) this.#leave();
    else if (type === "resume" || type === "pageshow") this.#return();
    else if (type === "offline") this.#ask(); // the browser may be mistaken, and localhost stays
    else if (type !== "pagehide" && globalThis.document?.visibilityState !== "hidden") this.wake();
  };

  /** @param {"addEventListener" | "removeEventListener"} verb */
  #listen(verb) {
    for (const type of ["online", "offline", "pagehide", "pageshow"]) globalThis[verb]?.(type, this.#heed);
    for (const type of ["visibilitychange", "freeze", "resume"]) globalThis.document?.[verb](type, this.#heed);
  }

  /**
   * The page was left and may be shown again, or is frozen: it would hold a connection on
   * which nobody answers.
   */
  #leave() {
    this.#away = true;
    clearTimeout(this.#timer);
    this.drop("local", "the page was left", 1000);
  }

  #return() {
    if (!this.#away) return;
    this.#away = false;
    this.#failures = this.#delay = 0;
    this.wake();
  }

  /** Nobody is to try again. */
  #rest() {
    this.#wanted = this.#away = false;
    this.#listen("removeEventListener");
  }

  #socketClass() {
    return this.#options.WebSocket ?? globalThis.WebSocket;
  }

  /** @param {State} state */
  #become(state) {
    this.#state = state;
    this.emit("change", state);
  }

  #open() {
    const attempt = ++this.#attempt;
    this.#openedAt = this.#heardAt = this.#received = this.#sent = 0;
    this.#shown = "";
    clearTimeout(this.#timer);
    this.#timer = later(() => this.#end("timeout"), this.#options.openTimeout ?? 10000);
    this.#become("CONNECTING");
    if (this.#attempt !== attempt) return; // a listener has closed it
    const url = this.#url;
    /** @param {unknown} error */
    const failed = (error) => {
      if (this.#attempt === attempt) this.#end("error", { error, reason: String(error) });
    };
    /** @param {string | URL} found */
    const dial = (found) => {
      if (this.#attempt === attempt) this.#dial(absolute(found));
    };
    try {
      if (typeof url !== "function") dial(url);
      else Promise.resolve(url()).then(dial).catch(failed);
    } catch (error) {
      failed(error);
    }
  }

  /** @param {string} url */
  #dial(url) {
    const shown = new URL(url);
    shown.username = shown.password = shown.search = "";
    this.#shown = shown.href;
    const socket = (this.#socket = new (this.#socketClass())(url, this.#options.protocols ?? []));
    socket.binaryType = "arraybuffer";
    /** @type {unknown} */
    let error = null;
    socket.onopen = () => this.#opened();
    socket.onmessage = (/** @type {MessageEvent} */ event) => {
      this.#heardAt = now();
      this.#received++;
      this.emit("message", event.data);
    };
    socket.onerror = (/** @type {any} */ event) => {
      error = event.error ?? null; // Node's tell; browsers keep it to themselves
    };
    socket.onclose = (/** @type {CloseEvent} */ event) => {
      const { code, reason, wasClean } = event;
      this.#end(this.#causeOf(code), { code, reason, clean: wasClean, error });
    };
  }

  #opened() {
    clearTimeout(this.#timer);
    this.#openedAt = this.#heardAt = now();
    this.#state = "OPEN";
    if (this.#heartbeat) this.#beat();
    this.emit("open", this.protocol);
    if (this.#state === "OPEN") this.emit("change", "OPEN");
  }

  /**
   * @param {number} code
   * @returns {Cause}
   */
  #causeOf(code) {
    if (this.#state === "CLOSING") return "local";
    if (!this.#openedAt) return "refused";
    return code === GOING_AWAY_WITHOUT_A_WORD ? "network" : "peer";
  }

  /** @param {boolean} [soon] */
  #beat(soon = false) {
    const { interval = 30000, timeout = 10000, probe } = /** @type {Record<string, any>} */ (this.#heartbeat);
    clearTimeout(this.#pulse);
    const at = now();
    const waiting = this.#probedAt > this.#heardAt;
    const due = waiting ? this.#probedAt + timeout : this.#heardAt + interval;
    if (at < due && !(soon && !waiting)) {
      this.#pulse = later(() => this.#beat(), due - at + 1);
    } else if (waiting && at < due + LATE) {
      this.#end("silence", { reason: `nothing came in for ${Math.round(at - this.#heardAt)} ms` });
    } else {
      // Due, asked for, or the page was asleep and what came meanwhile is yet to be read.
      this.#probedAt = at;
      this.#pulse = later(() => this.#beat(), Math.min(interval, timeout) + 1);
      if (probe) shielded(probe);
    }
  }

  /**
   * Forget the socket, tell why, plan the next.
   *
   * @param {Cause} cause
   * @param {Partial<CloseReport>} [known]
   */
  #end(cause, known = {}) {
    const socket = this.#socket;
    clearTimeout(this.#timer);
    clearTimeout(this.#pulse);
    this.#attempt++;
    this.#socket = null;
    this.#probedAt = 0;
    if (socket) discard(socket, known);
    const at = now();
    const opened = this.#openedAt > 0;
    this.#report = {
      cause, code: GOING_AWAY_WITHOUT_A_WORD, reason: "", clean: false, error: null,
      ...known,
      opened,
      url: this.#shown,
      duration: opened ? at - this.#openedAt : 0,
      quiet: this.#received ? at - this.#heardAt : null,
      received: this.#received,
      sent: this.#sent,
      retryAfter: this.#plan(opened ? at - this.#openedAt : 0),
    };
    this.#state = "CLOSED";
    this.emit("close", this.#report);
    if (this.#state === "CLOSED") this.emit("change", "CLOSED");
  }

  /**
   * Set the timer of the next attempt; null where there is none.
   *
   * @param {number} duration of the connection that ended
   */
  #plan(duration) {
    const backoff = this.#backoff;
    if (!backoff) this.#rest();
    if (!this.#wanted || !backoff) return null;
    if (this.#away) return Infinity; // until #return()
    // One that is closed as soon as it is open has not succeeded.
    if (duration > this.#delay) this.#failures = 0;
    this.#delay = delayOf(backoff, this.#failures);
    this.#failures++;
    this.#timer = later(() => this.#open(), this.#delay);
    return this.#delay;
  }
}

/** @param {number | boolean | Backoff} reconnect */
function backoffOf(reconnect) {
  if (typeof reconnect !== "number") return checkedGroup(reconnect, BACKOFF, "reconnect");
  check("reconnect", reconnect, TIME);
  return { first: reconnect, max: reconnect, factor: 1, jitter: 0 };
}

/**
 * @param {Backoff} options
 * @param {number} failures before this one
 */
function delayOf(options, failures) {
  const { first = 500, max = 30000, factor = 2, jitter = 0.5 } = /** @type {Record<string, any>} */ (options);
  // Jitter, so that not all clients of a restarted server come at the same moment.
  return Math.min(first * factor ** failures, max) * (1 - jitter * Math.random());
}

/**
 * Close a socket nobody listens to any more.
 *
 * @param {any} socket
 * @param {Partial<CloseReport>} why
 */
function discard(socket, { code, reason }) {
  socket.onopen = socket.onmessage = socket.onclose = null;
  socket.onerror = () => {}; // Node's throws an error that nobody listens for
  if (socket.readyState < 2) socket.close(isSendable(code) ? code : 1000, reason?.slice(0, 40));
}

/** @param {any} code */
function isSendable(code) {
  return code === 1000 || (code >= 3000 && code < 5000 && Number.isInteger(code));
}
