/*! longwire 0.1.0, BSD-3-Clause */

// src/options.js
var TIME = ["milliseconds > 0, or Infinity", (value) => value > 0, "number"];
var COUNT = [
  "an integer >= 0, or Infinity",
  (value) => value >= 0 && (value === Infinity || Number.isInteger(value)),
  "number"
];
var FUNCTION = ["a function", () => true, "function"];
var OBJECT = ["an object", () => true, "object"];
var oneOf = (names) => [
  `one of ${Object.keys(names).join(", ")}`,
  (value) => Object.hasOwn(names, value),
  "string"
];
function shown(value) {
  if (typeof value === "string") return JSON.stringify(value.slice(0, 60));
  return value && /object|function/.test(typeof value) ? typeof value : String(value);
}
function check(name, value, [expected, test, type]) {
  if (typeof value === type && test(value)) return;
  throw new (typeof value === "number" && type === "number" ? RangeError : TypeError)(`${name} must be ${expected}, not ${shown(value)}`);
}
function known(what, name, names) {
  if (!names.includes(name)) throw new TypeError(`${what}: ${shown(name)} is not one of ${names.join(", ")}`);
}
function checked(options, rules, name = "options") {
  if (options !== void 0) check(name, options, OBJECT);
  const given = Object.entries(options ?? {}).filter(([, value]) => value !== void 0 && value !== null);
  for (const [key, value] of given) {
    known(name, key, Object.keys(rules));
    if (rules[key]) check(key, value, rules[key]);
  }
  return (
    /** @type {Given<T>} */
    Object.fromEntries(given)
  );
}
var checkedGroup = (options, rules, name) => options !== false && checked(options === true ? void 0 : options, rules, name);

// src/emitter.js
var plain = (event) => event.replace(/^on/, "");
var Emitter = class {
  /** @type {Map<number, [string, Listener]>} */
  #listeners = /* @__PURE__ */ new Map();
  #next = 1;
  /**
   * Call `listener` at every `event`; returns a function that ends it.
   *
   * @param {string} event
   * @param {Listener} listener
   * @returns {() => void}
   */
  on(event, listener) {
    const id = this.addEventListener(event, listener);
    return () => void this.#listeners.delete(id);
  }
  /**
   * Stop calling `listener` at `event`.
   *
   * @param {string} event
   * @param {Listener} listener
   */
  off(event, listener) {
    this.removeEventListener(event, listener);
  }
  /**
   * Call `listener` at every `event`; returns a number for `removeEventListener`.
   *
   * @param {string} event
   * @param {Listener} listener
   * @returns {number}
   */
  addEventListener(event, listener) {
    if (typeof listener !== "function") {
      throw new TypeError(`a listener must be a function, not ${typeof listener}`);
    }
    const Class = (
      /** @type {any} */
      this.constructor
    );
    if (Object.hasOwn(Class, "EVENTS")) known("events", plain(event), Class.EVENTS);
    this.#listeners.set(this.#next, [plain(event), listener]);
    return this.#next++;
  }
  /**
   * Stop calling a listener, named by its number or by itself.
   *
   * @param {string} event
   * @param {number | Listener} which
   * @returns {boolean} whether there was one
   */
  removeEventListener(event, which) {
    for (const [id, [name, listener]] of this.#listeners) {
      if (name === plain(event) && (id === which || listener === which)) {
        return this.#listeners.delete(id);
      }
    }
    return false;
  }
  /**
   * Return a promise of the next `event`: what listeners get first.
   *
   * @param {string} event
   * @returns {Promise<any>}
   */
  onEvent(event) {
    return new Promise((resolve) => {
      const end = this.on(event, (detail) => {
        end();
        resolve(detail);
      });
    });
  }
  /**
   * Whether anybody listens to `event`.
   *
   * @protected
   * @param {string} event
   */
  listens(event) {
    return [...this.#listeners.values()].some(([name]) => name === event);
  }
  /**
   * @protected
   * @param {string} event
   * @param {...unknown} details
   */
  emit(event, ...details) {
    for (const [name, listener] of [...this.#listeners.values()]) {
      if (name === event) shielded(listener, ...details);
    }
  }
};
function shielded(listener, ...details) {
  try {
    listener(...details);
  } catch (error) {
    try {
      (globalThis.reportError ?? console.error)(error);
    } catch {
    }
  }
}

// src/errors.js
var Code = /* @__PURE__ */ Object.freeze({
  PARSE_ERROR: -32700,
  INVALID_REQUEST: -32600,
  METHOD_NOT_FOUND: -32601,
  INVALID_PARAMS: -32602,
  INTERNAL_ERROR: -32603,
  APPLICATION: -32e3,
  NOT_AUTHORISED: -32001,
  TOO_BUSY: -32002,
  DEADLINE: -32003,
  STREAM_MISMATCH: -32004,
  DISCONNECTED: -32005,
  TOO_LARGE: -32006,
  CANCELLED: -32800
});
var RpcError = class extends Error {
  /**
   * @param {string} message
   * @param {Details} [details]
   */
  constructor(message2, details = {}) {
    super(message2);
    this.name = "RpcError";
    this.code = details.code ?? Code.APPLICATION;
    this.type = details.type;
    this.data = details.data;
  }
};
var RemoteError = class extends RpcError {
  /**
   * @param {string} message
   * @param {Details} [details]
   */
  constructor(message2, details = {}) {
    super(message2, details);
    this.name = "RemoteError";
    this.id = details.id;
    this.traceback = details.traceback;
  }
};
var TimeoutError = class extends RpcError {
  /** @param {string} message */
  constructor(message2) {
    super(message2, { code: Code.DEADLINE, type: "TimeoutError" });
    this.name = "TimeoutError";
  }
};
var DisconnectedError = class extends RpcError {
  /**
   * @param {string} message
   * @param {CloseReport} [report]
   */
  constructor(message2, report) {
    super(message2, { code: Code.DISCONNECTED, type: "DisconnectedError" });
    this.name = "DisconnectedError";
    this.report = report;
  }
};

// src/values.js
var MAX_TYPE = 100;
var MAX_TRACEBACK = 8192;
var MAX_EXCERPT = 500;
var LONE_SURROGATE = /(^|[^\\])(\\\\)*\\ud[89a-f]/;
var kindOf = (value) => Object.prototype.toString.call(value).slice(8, -1);
function json(value) {
  try {
    const text = JSON.stringify(value) ?? "null";
    if (text.includes("{}")) JSON.stringify(value, refuseEmptied);
    return wellFormed(text);
  } catch (error) {
    throw new TypeError(`not JSON: ${messageOf(error)}`, { cause: error });
  }
}
function refuseEmptied(_, value) {
  const kind = kindOf(value);
  if (typeof value === "object" && !/^(Object|Array|Null)$/.test(kind) && JSON.stringify(value) === "{}") {
    throw new TypeError(`${kind} would arrive as an empty object`);
  }
  return value;
}
function wellFormed(text) {
  if (text.includes("\\ud") && LONE_SURROGATE.test(text)) {
    throw new TypeError("a string has half of a surrogate pair, as of an emoji cut in two");
  }
  return text;
}
function jsonOfArguments(params) {
  if (params === void 0 || params === null) return void 0;
  if (typeof params === "function" || typeof params === "symbol") {
    throw new TypeError(`not JSON: a ${typeof params}`);
  }
  const text = json(params);
  return /^[[{]/.test(text) ? text : `[${text}]`;
}
function exceeds(text, limit) {
  return text.length > limit || text.length * 3 > limit && new TextEncoder().encode(text).length > limit;
}
function attempt(read) {
  try {
    return read();
  } catch {
    return void 0;
  }
}
var integer = (value) => Number.isInteger(value) ? (
  /** @type {number} */
  value
) : void 0;
var said = (value, size) => String(value).slice(0, size).replace(/\p{Surrogate}/gu, "�");
var messageOf = (error) => attempt(() => said(error?.message ?? error)) ?? "an error that cannot be shown";
function failureOf(error, tracebacks) {
  return {
    // Other errors have codes, too, which mean something else.
    code: attempt(() => error instanceof RpcError && integer(error.code)) || Code.APPLICATION,
    message: messageOf(error),
    type: attempt(() => said(error?.type ?? error?.name ?? "Error", MAX_TYPE)) ?? "Error",
    data: attempt(() => error?.data),
    traceback: attempt(() => tracebacks && error.stack ? said(error.stack, MAX_TRACEBACK) : void 0)
  };
}
var shortened = ({ code, message: message2, type }) => ({ code, message: said(message2, MAX_EXCERPT), type });

// src/client.js
var STATES = /* @__PURE__ */ Object.freeze(
  /** @type {const} */
  ["CONNECTING", "OPEN", "CLOSING", "CLOSED"]
);
var GOING_AWAY_WITHOUT_A_WORD = 1006;
var LATE = 2e3;
var now = () => performance.now();
var RULES = {
  protocols: null,
  WebSocket: FUNCTION,
  reconnect: null,
  heartbeat: null,
  openTimeout: TIME,
  closeTimeout: TIME,
  maxBuffered: COUNT
};
var BACKOFF = {
  first: TIME,
  max: TIME,
  factor: ["1 or more", (value) => value >= 1 && value < Infinity, "number"],
  jitter: ["from 0 to 1", (value) => value >= 0 && value <= 1, "number"]
};
var HEARTBEAT = { interval: TIME, timeout: TIME, probe: FUNCTION };
var CLOSE_CODE = ["1000, or 3000 to 4999", isSendable, "number"];
var CLOSE_REASON = ["text of at most 123 bytes", (value) => !exceeds(value, 123), "string"];
var MAX_BUFFERED = 1 << 24;
var FOR_EVER = 2 ** 31 - 1;
var later = (act, delay) => setTimeout(act, Math.min(delay, FOR_EVER));
function absolute(url) {
  const text = `${url}`;
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
var Client = class extends Emitter {
  /** @internal */
  static EVENTS = ["open", "message", "close", "change"];
  /** @type {Address} */
  #url;
  /** @type {Given<ClientOptions>} */
  #options;
  /** @type {Backoff | false} */
  #backoff;
  /** @type {Heartbeat | false} */
  #heartbeat;
  /** @type {any} */
  #socket = null;
  /** @type {State} */
  #state = "CLOSED";
  /** @type {CloseReport | null} */
  #report = null;
  /** @type {any} */
  #timer;
  // to open, to close, or to try again: one at a time
  /** @type {any} */
  #pulse;
  #wanted = false;
  #away = false;
  // the page is in a cache, or frozen
  #attempt = 0;
  // counts them all: what an old one began is told apart by it
  #failures = 0;
  #delay = 0;
  #openedAt = 0;
  #heardAt = 0;
  #probedAt = 0;
  #received = 0;
  #sent = 0;
  #shown = "";
  // the address without what may be secret: query, user, password
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
    if (this.#state === "CLOSED") this.#open();
    return this;
  }
  /**
   * Close the connection and stay closed.
   *
   * @param {number} [code] 1000, or 3000 to 4999
   * @param {string} [reason]
   */
  close(code = 1e3, reason = "") {
    check("code", code, CLOSE_CODE);
    check("reason", reason, CLOSE_REASON);
    this.#rest();
    if (this.#state === "OPEN") this.#socket.close(code, reason);
    if (this.#state === "OPEN") {
      this.#become("CLOSING");
      clearTimeout(this.#pulse);
      clearTimeout(this.#timer);
      this.#timer = later(
        () => this.#end("timeout", { code, reason }),
        this.#options.closeTimeout ?? 5e3
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
  drop(cause, reason = "", code = 4e3) {
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
        { code: Code.TOO_BUSY }
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
    if (type === "freeze" || type === "pagehide" && persisted) this.#leave();
    else if (type === "resume" || type === "pageshow") this.#return();
    else if (type === "offline") this.#ask();
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
    this.drop("local", "the page was left", 1e3);
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
    const attempt2 = ++this.#attempt;
    this.#openedAt = this.#heardAt = this.#received = this.#sent = 0;
    this.#shown = "";
    clearTimeout(this.#timer);
    this.#timer = later(() => this.#end("timeout"), this.#options.openTimeout ?? 1e4);
    this.#become("CONNECTING");
    if (this.#attempt !== attempt2) return;
    const url = this.#url;
    const failed = (error) => {
      if (this.#attempt === attempt2) this.#end("error", { error, reason: String(error) });
    };
    const dial = (found) => {
      if (this.#attempt === attempt2) this.#dial(absolute(found));
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
    const shown2 = new URL(url);
    shown2.username = shown2.password = shown2.search = "";
    this.#shown = shown2.href;
    const socket = this.#socket = new (this.#socketClass())(url, this.#options.protocols ?? []);
    socket.binaryType = "arraybuffer";
    let error = null;
    socket.onopen = () => this.#opened();
    socket.onmessage = (event) => {
      this.#heardAt = now();
      this.#received++;
      this.emit("message", event.data);
    };
    socket.onerror = (event) => {
      error = event.error ?? null;
    };
    socket.onclose = (event) => {
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
    const { interval = 3e4, timeout = 1e4, probe } = (
      /** @type {Record<string, any>} */
      this.#heartbeat
    );
    clearTimeout(this.#pulse);
    const at = now();
    const waiting = this.#probedAt > this.#heardAt;
    const due = waiting ? this.#probedAt + timeout : this.#heardAt + interval;
    if (at < due && !(soon && !waiting)) {
      this.#pulse = later(() => this.#beat(), due - at + 1);
    } else if (waiting && at < due + LATE) {
      this.#end("silence", { reason: `nothing came in for ${Math.round(at - this.#heardAt)} ms` });
    } else {
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
  #end(cause, known2 = {}) {
    const socket = this.#socket;
    clearTimeout(this.#timer);
    clearTimeout(this.#pulse);
    this.#attempt++;
    this.#socket = null;
    this.#probedAt = 0;
    if (socket) discard(socket, known2);
    const at = now();
    const opened = this.#openedAt > 0;
    this.#report = {
      cause,
      code: GOING_AWAY_WITHOUT_A_WORD,
      reason: "",
      clean: false,
      error: null,
      ...known2,
      opened,
      url: this.#shown,
      duration: opened ? at - this.#openedAt : 0,
      quiet: this.#received ? at - this.#heardAt : null,
      received: this.#received,
      sent: this.#sent,
      retryAfter: this.#plan(opened ? at - this.#openedAt : 0)
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
    if (this.#away) return Infinity;
    if (duration > this.#delay) this.#failures = 0;
    this.#delay = delayOf(backoff, this.#failures);
    this.#failures++;
    this.#timer = later(() => this.#open(), this.#delay);
    return this.#delay;
  }
};
function backoffOf(reconnect) {
  if (typeof reconnect !== "number") return checkedGroup(reconnect, BACKOFF, "reconnect");
  check("reconnect", reconnect, TIME);
  return { first: reconnect, max: reconnect, factor: 1, jitter: 0 };
}
function delayOf(options, failures) {
  const { first = 500, max = 3e4, factor = 2, jitter = 0.5 } = (
    /** @type {Record<string, any>} */
    options
  );
  return Math.min(first * factor ** failures, max) * (1 - jitter * Math.random());
}
function discard(socket, { code, reason }) {
  socket.onopen = socket.onmessage = socket.onclose = null;
  socket.onerror = () => {
  };
  if (socket.readyState < 2) socket.close(isSendable(code) ? code : 1e3, reason?.slice(0, 40));
}
function isSendable(code) {
  return code === 1e3 || code >= 3e3 && code < 5e3 && Number.isInteger(code);
}

// src/wires.js
var isObject = (value) => typeof value === "object" && value !== null && !Array.isArray(value);
var MAX_ID = 256;
var isId = (id) => typeof id === "number" || typeof id === "string" && id.length <= MAX_ID;
var textOrNothing = (value) => typeof value === "string" ? value : void 0;
var isCount = (value) => Number.isInteger(value) && /** @type {number} */
value > 0;
var MAX_WINDOW = 1024;
var invalidRequest = (message2) => ({ code: Code.INVALID_REQUEST, message: message2, type: "InvalidRequest" });
var invalid = (id, message2) => ({ kind: "invalid", id, failure: invalidRequest(message2) });
var joined = (head, name, value) => value === void 0 ? JSON.stringify(head) : `${JSON.stringify(head).slice(0, -1)},"${name}":${value}}`;
var ENVELOPE = ["type", "data", "id", "traceback"];
var said2 = (value) => typeof value === "string" ? value : attempt(() => JSON.stringify(value)) ?? "";
function told(error) {
  if (!isObject(error)) return { message: said2(error) };
  const { message: message2 = "", data } = error;
  const isOurs = isObject(data) && typeof data.type === "string" && Object.keys(data).every((key) => ENVELOPE.includes(key));
  return {
    message: said2(message2),
    code: integer(error.code),
    type: textOrNothing(error.type) ?? textOrNothing(data?.type),
    data: isOurs ? data.data : data,
    id: isOurs ? textOrNothing(data.id) : void 0,
    traceback: textOrNothing((isOurs ? data : error).traceback)
  };
}
var PROTOCOL = {
  "$/item": ({ id, value }) => ({ kind: "item", id, value }),
  "$/more": ({ id, count }) => isCount(count) && { kind: "more", id, count },
  "$/cancel": ({ id }) => ({ kind: "cancel", id }),
  "$/cancelRequest": ({ id }) => ({ kind: "cancel", id }),
  // the Language Server Protocol's name
  "$/limits": ({ message: message2 }) => isCount(message2) && { kind: "limits", count: message2 }
};
var jsonrpc = {
  name: "longwire.jsonrpc",
  extended: true,
  first: 0,
  step: 1,
  ping: "$/ping",
  call: (id, method, params, window) => joined({ jsonrpc: "2.0", id, method, stream: window }, "params", params),
  result: (id, value) => joined({ jsonrpc: "2.0", id }, "result", value),
  error: (id, { code = Code.APPLICATION, message: message2, ...data }) => JSON.stringify({ jsonrpc: "2.0", id, error: { code, message: message2, data } }),
  read(message2) {
    if (!isObject(message2)) return invalid(null, "a message must be an object");
    const { id, method, params, stream, error } = message2;
    const answerTo = isId(id) ? id : null;
    if (message2.jsonrpc !== "2.0") return invalid(answerTo, 'jsonrpc must be "2.0"');
    if (method === void 0) {
      const isResult = "result" in message2;
      if (isResult ? error ?? false : "error" in message2) return { kind: "error", id, failure: told(error) };
      if (isResult) return { kind: "result", id, value: message2.result };
      return invalid(answerTo, "there is neither method nor result nor error");
    }
    if (typeof method !== "string") return invalid(answerTo, "method must be a string");
    if (id !== void 0 && !isId(id)) return invalid(null, "id must be a number or a short string");
    if (params !== void 0 && typeof params !== "object") {
      return invalid(answerTo, "params must be an array or an object");
    }
    if (stream !== void 0 && !(isCount(stream) && stream <= MAX_WINDOW && id !== void 0)) {
      return invalid(answerTo, `stream must be an integer from 1 to ${MAX_WINDOW}, of a call with an id`);
    }
    if (id === void 0 && method.startsWith("$/")) {
      const known2 = Object.hasOwn(PROTOCOL, method) && isObject(params);
      return known2 && PROTOCOL[method](params) || { kind: "nothing" };
    }
    return { kind: "call", id, method, params, window: stream };
  }
};
var wsrpc = {
  name: "wsrpc",
  extended: false,
  first: 1,
  step: 2,
  ping: "ping",
  call: (id, method, params = "null") => joined({ id, method }, "params", params),
  result: (id, value) => joined({ id }, "result", value),
  error: (id, { type = "Error", message: message2, traceback }) => JSON.stringify({ id, error: { type, message: message2, traceback } }),
  read(message2) {
    if (!isObject(message2)) return invalid(null, "a message must be an object");
    const { id, method, params } = message2;
    if (id === void 0) return { kind: "event", value: message2 };
    if (id !== null && !isId(id)) return invalid(null, "id must be a number or a short string");
    if (method !== void 0) {
      if (typeof method !== "string") return invalid(id, "method must be a string");
      return { kind: "call", id, method, params };
    }
    if (message2.error !== void 0 && message2.error !== null) {
      return { kind: "error", id, failure: told(message2.error) };
    }
    return { kind: "result", id, value: message2.result ?? null };
  }
};
var wsrpc1 = {
  name: "wsrpc.1",
  extended: false,
  first: 1,
  step: 2,
  ping: "ping",
  call: (id, method, params = "null") => joined({ serial: id, type: "call", call: method }, "arguments", params),
  result: (id, value) => joined({ serial: id, type: "callback" }, "data", value),
  // A text, as servers of that time expect it; with a traceback it is worth an object.
  error: (id, { type, message: message2, traceback }) => JSON.stringify({
    serial: id,
    type: "error",
    data: traceback ? { type, message: message2, traceback } : message2
  }),
  read(message2) {
    const { serial: id, type = "call" } = isObject(message2) ? message2 : {};
    if (typeof id !== "number" || id < 0) return { kind: "nothing" };
    if (type === "callback") return { kind: "result", id, value: message2.data ?? null };
    if (type === "error") return { kind: "error", id, failure: told(message2.data) };
    if (type !== "call" || typeof message2.call !== "string") {
      return invalid(id, "type must be call, callback or error, and call a string");
    }
    return { kind: "call", id, method: message2.call, params: message2.arguments };
  }
};
var WIRES = { "longwire.jsonrpc": jsonrpc, wsrpc, "wsrpc.1": wsrpc1 };
function positional(params) {
  if (Array.isArray(params)) return params;
  return params === void 0 || params === null ? [] : [params];
}

// src/settings.js
var RULES2 = /* @__PURE__ */ Object.assign({}, RULES, {
  wire: /* @__PURE__ */ oneOf(WIRES),
  timeout: TIME,
  offline: /* @__PURE__ */ oneOf({ queue: 1, keep: 1, reject: 1 }),
  maxQueue: COUNT,
  maxPending: COUNT,
  maxCalls: COUNT,
  maxMessage: COUNT,
  tracebacks: null,
  errors: OBJECT,
  onFrame: FUNCTION
});
var SIGNAL = ["an AbortSignal", (value) => typeof value.addEventListener === "function", "object"];
var CALL = { signal: SIGNAL, timeout: TIME, noWait: null };
var STREAM = {
  signal: SIGNAL,
  window: [
    `an integer from 1 to ${MAX_WINDOW}`,
    (value) => Number.isInteger(value) && value >= 1 && value <= MAX_WINDOW,
    "number"
  ],
  resubscribe: null,
  noWait: null
};
var NAME = ["text that is not empty", (value) => value && json(value), "string"];

// src/follower.js
var MAX_WAITING = 1e3;
var Broken = class extends Error {
};
function parsed(position) {
  const [, epoch, offset] = /^([\w-]{1,16})\.(\d{1,16})\.[\da-f]{1,12}$/.exec(position ?? "") ?? [];
  return epoch ? { epoch, offset: Number(offset) } : null;
}
var Follower = class {
  isAnswered = false;
  /** @type {(() => Item[])[]} */
  #waiting = [];
  /** @param {string | null} since */
  constructor(since) {
    this.position = since;
  }
  /** A subscribe is on its way. */
  asked() {
    this.isAnswered = false;
    this.#waiting = [];
  }
  /**
   * Take the answer; return what is new, with what came meanwhile. Throws `Broken`.
   *
   * @param {any} answer
   */
  answered({ recovered = null, reason = "unknown", missed = null, position, entries = [] }) {
    this.isAnswered = true;
    const items = recovered === false ? [{ position, gap: { reason, missed } }] : [];
    if (!recovered) this.position = null;
    items.push(...this.#entries(entries, position, this.position));
    const [found, kept] = [parsed(position), parsed(this.position)];
    const isOld = found && kept && found.epoch === kept.epoch && found.offset < kept.offset;
    if (!isOld) this.position = position;
    for (const read of this.#waiting.splice(0)) items.push(...read());
    return items;
  }
  /**
   * Take a message; return what is new in it. Throws `Broken`.
   *
   * @param {any} message
   * @returns {Item[]}
   */
  message(message2) {
    if (!this.isAnswered) return this.#wait(() => this.message(message2));
    const { entries = [], position, skipped = 0 } = message2;
    const items = this.#entries(entries, position, skipped === 0 ? this.position : null);
    if (items.length) items[0].skipped = skipped;
    if (items.length || !entries.length) this.position = position;
    return items;
  }
  /**
   * Take word of a gap.
   *
   * @param {any} gap
   * @returns {Item[]}
   */
  gap(gap) {
    if (!this.isAnswered) return this.#wait(() => this.gap(gap));
    const { position, reason = "unknown", missed = null } = gap;
    this.position = position;
    return [{ position, gap: { reason, missed } }];
  }
  /** @param {() => Item[]} read */
  #wait(read) {
    if (this.#waiting.length >= MAX_WAITING) {
      throw new Broken("too much came before the answer to a subscribe");
    }
    this.#waiting.push(read);
    return [];
  }
  /**
   * The entries after the position `before`, null for before anything.
   *
   * @param {any[]} entries
   * @param {string} last
   * @param {string | null} before
   */
  #entries(entries, last, before) {
    const [place, end] = [parsed(before), parsed(last)];
    const items = [];
    for (const entry of entries) {
      const { offset, prev = offset - 1, position = last } = entry;
      if (place && end && place.epoch === end.epoch) {
        if (offset <= place.offset) continue;
        if (!items.length && prev !== place.offset) throw new Broken(`${offset} does not follow ${place.offset}`);
      } else if (place) {
        throw new Broken("another history, without word of it");
      }
      items.push({ position, entry });
    }
    return items;
  }
};

// src/subscription.js
var SUBSCRIBE = {
  since: ["a position", () => true, "string"],
  last: COUNT,
  token: null,
  presence: null,
  maxQueue: COUNT
};
var TOKEN = [
  FUNCTION,
  /** @type {Rule} */
  ["a text or a function", () => true, "string"]
];
var PAGE = { limit: null };
var HISTORY = { since: null, limit: null, reverse: null };
var PRESENCE = /* @__PURE__ */ oneOf({ watch: 1 });
var GapError = class extends Error {
  /**
   * @param {string} topic
   * @param {string} reason
   * @param {number | null} missed
   * @param {string} position
   */
  constructor(topic, reason, missed, position) {
    super(`${topic}: ${missed ?? "some"} messages are missing: ${reason}`);
    this.name = "GapError";
    this.topic = topic;
    this.reason = reason;
    this.missed = missed;
    this.position = position;
  }
};
var Subscription = class extends Emitter {
  /** @internal */
  static EVENTS = ["message", "gap", "subscribed", "presence", "unsubscribed"];
  /** What the server gave in the place of what was missed, the last time. @type {any} */
  snapshot = void 0;
  /** Why it is over. @type {Error | null} */
  error = null;
  /** @internal */
  follower;
  /** @internal */
  attempt = 0;
  /** @internal */
  failures = 0;
  /** @internal */
  isRefreshing = false;
  /** @internal @type {any} */
  timer;
  #hub;
  #options;
  /** @type {string | null} */
  #position;
  /** @type {string | null} */
  #taken = null;
  /** @type {Item[]} */
  #queue = [];
  /** @type {(() => void)[]} */
  #readers = [];
  #isRead = false;
  // by a loop, some time
  #isPaused = false;
  #isOver = false;
  #isWarned = false;
  /**
   * @internal
   * @param {Hub} hub
   * @param {string} topic
   * @param {Given<SubscribeOptions>} options
   */
  constructor(hub, topic, options) {
    super();
    const { since = null, token, presence } = options;
    if (token !== void 0 && !TOKEN.some(([, , type]) => typeof token === type)) {
      throw new TypeError(`token must be a text or a function, not ${typeof token}`);
    }
    if (typeof presence === "string" && !PRESENCE[1](presence)) {
      throw new TypeError(`presence must be true, false or "watch", not ${JSON.stringify(presence)}`);
    }
    this.topic = topic;
    this.#hub = hub;
    this.#options = options;
    this.#position = since;
    this.follower = new Follower(since);
  }
  /**
   * Up to where messages were dealt with: keep this. It moves when the listeners of a message
   * have returned, or the loop asks for the next one.
   */
  get position() {
    return this.#position;
  }
  /** Whether the server should send. @internal */
  get isWanted() {
    return !this.#isOver && !this.#isPaused;
  }
  // --- subscribing -------------------------------------------------------------
  /** The token to show now. @internal */
  async token() {
    const { token } = this.#options;
    return typeof token === "function" ? token() : token;
  }
  /** Whether a new token may help. @internal */
  get hasTokens() {
    return typeof this.#options.token === "function";
  }
  /** What to ask the server for. @internal */
  async wanted() {
    const { last, presence } = this.#options;
    const since = this.follower.position;
    return {
      topic: this.topic,
      token: await this.token(),
      since: since ?? void 0,
      last: since === null ? last : void 0,
      presence: presence ? { client: this.#hub.name, watch: presence === "watch" } : void 0
    };
  }
  /** @internal @param {any} answer */
  answered(answer) {
    this.failures = 0;
    if ("snapshot" in answer) this.snapshot = answer.snapshot;
    const { entries, ...rest } = answer;
    this.take(() => this.follower.answered(answer), () => this.emit("subscribed", rest));
  }
  /**
   * Take what came, or subscribe anew if it does not follow.
   *
   * @internal
   * @param {() => Item[]} read
   * @param {() => void} [first]
   */
  take(read, first) {
    if (!this.isWanted) return;
    let items;
    try {
      items = read();
    } catch (error) {
      if (!(error instanceof Broken)) throw error;
      console.warn(`longwire: ${this.topic} is subscribed to anew: ${error.message}`);
      this.#hub.renew(this);
      return;
    }
    first?.();
    this.#keep(items);
  }
  /** Whether messages are for listeners, not for a loop that there is or will be. */
  get #isHeard() {
    return !this.#isRead && (this.listens("message") || this.listens("presence"));
  }
  /**
   * @param {string} event
   * @param {Listener} listener
   */
  addEventListener(event, listener) {
    const id = super.addEventListener(event, listener);
    if (this.#queue.length) queueMicrotask(() => this.#keep([]));
    return id;
  }
  /** @param {Item[]} items */
  #keep(items) {
    for (const item of items) this.#queue.push(item);
    if (this.#isHeard) {
      for (const item of this.#queue.splice(0)) this.#tell(item);
      this.#resume();
    } else if (this.#queue.length > (this.#options.maxQueue ?? 1e3) && !this.#isPaused) {
      this.#isPaused = true;
      this.#hub.leave(this);
    }
    if (items.length) this.#wake();
  }
  /** @param {Item} item */
  #tell(item) {
    if (this.#isOver) return;
    const { position, entry, gap } = item;
    if (gap) this.#gap(new GapError(this.topic, gap.reason, gap.missed, position));
    else if (entry) this.emit("message", entry.data, message(item));
    this.#position = position;
  }
  /** @param {GapError} error */
  #gap(error) {
    if (!this.listens("gap") && !this.#isWarned) {
      this.#isWarned = true;
      console.warn(`longwire: nobody listens to "gap": ${error.message}`);
    }
    this.emit("gap", error);
  }
  /** @internal @param {any} diff */
  present(diff) {
    if (!this.#isOver) this.emit("presence", diff);
  }
  /** Nothing more will come. @internal @param {Error} error */
  fail(error) {
    if (this.#isOver) return;
    this.#isOver = true;
    this.error = error;
    this.#wake();
    this.emit("unsubscribed", error);
  }
  /** End it; who iterates gets to the end. */
  unsubscribe() {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#wake();
    this.#hub.leave(this, true);
  }
  // --- reading -----------------------------------------------------------------
  #wake() {
    for (const resolve of this.#readers.splice(0)) resolve();
  }
  #resume() {
    if (!this.#isPaused) return;
    this.#isPaused = false;
    if (this.isWanted) this.#hub.renew(this);
  }
  /** @returns {AsyncGenerator<Message, void, void>} */
  async *[Symbol.asyncIterator]() {
    this.#isRead = true;
    for (; ; ) {
      if (this.#taken !== null) [this.#position, this.#taken] = [this.#taken, null];
      while (!this.#queue.length) {
        this.#resume();
        if (this.error) throw this.error;
        if (this.#isOver) return;
        await new Promise((resolve) => void this.#readers.push(() => resolve(void 0)));
      }
      const item = (
        /** @type {Item} */
        this.#queue.shift()
      );
      if (this.#queue.length <= (this.#options.maxQueue ?? 1e3) / 2) this.#resume();
      const { position, gap } = item;
      if (gap) {
        this.#position = position;
        const error = new GapError(this.topic, gap.reason, gap.missed, position);
        if (!this.listens("gap")) throw error;
        this.emit("gap", error);
        continue;
      }
      this.#taken = position;
      yield message(item);
    }
  }
  // --- calls -------------------------------------------------------------------
  /**
   * Publish a message on this topic.
   *
   * @param {unknown} data
   * @param {PublishOptions} [options]
   */
  publish(data, options) {
    return this.#hub.publish(this.topic, data, options);
  }
  /**
   * Stored messages after a position, or before it, the newest first; throws `GapError` where
   * `since` is no place to go on from.
   *
   * @param {{ since?: string, limit?: number, reverse?: boolean }} [options]
   * @returns {Promise<Message[]>}
   */
  async history(options) {
    const found = await this.#hub.call("history", { ...checked(options, HISTORY), topic: this.topic });
    if (found.reason) throw new GapError(this.topic, found.reason, null, found.position);
    return found.entries.map((entry) => message({ position: entry.position ?? found.position, entry }));
  }
  /**
   * Who is present.
   *
   * @param {{ limit?: number }} [options]
   * @returns {Promise<{ members: any[], clients: number, users: number, you?: string }>}
   */
  async presence(options) {
    return this.#hub.call("presence", { ...checked(options, PAGE), topic: this.topic });
  }
};
function message({ entry: { prev, ...entry }, position, skipped = 0 }) {
  return { data: null, ...entry, position, skipped };
}

// src/hub.js
var HubCode = /* @__PURE__ */ Object.freeze({
  UNKNOWN_TOPIC: -32010,
  NOT_SUBSCRIBED: -32011,
  TOO_LARGE: -32012,
  BROKER_UNAVAILABLE: -32013,
  TOKEN_EXPIRED: -32014,
  TOO_MANY_SUBSCRIPTIONS: -32015,
  OPTION_OFF: -32016
});
var TOPICS_PER_CALL = 512;
var TEXT_PER_CALL = 1e5;
var MAX_DELAY = 3e4;
var Hub = class {
  /** Who this page is where it is present: the same through all connections. */
  name = Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
  #rpc;
  #prefix;
  /** @type {Map<string, Subscription>} */
  #subs = /* @__PURE__ */ new Map();
  /** @type {Set<Subscription>} */
  #waiting = /* @__PURE__ */ new Set();
  #isSubscribing = false;
  /** @type {(() => void)[]} */
  #ends = [];
  /**
   * @param {Rpc<any>} rpc
   * @param {{ prefix?: string | null | undefined }} [options] `prefix`: that of the server's hub; "hub"
   */
  constructor(rpc, options) {
    check("rpc", rpc, OBJECT);
    check("rpc.addRoute", rpc.addRoute, FUNCTION);
    const { prefix = "hub" } = checked(options, { prefix: NAME });
    this.#rpc = rpc;
    this.#prefix = prefix;
    const routes = {
      message: (params) => this.#take(params, (sub) => sub.take(() => sub.follower.message(params))),
      gap: (params) => this.#take(params, (sub) => sub.take(() => sub.follower.gap(params))),
      presence: (params) => this.#take(params, (sub) => sub.present(params)),
      unsubscribed: (params) => this.#take(params, (sub) => this.#ended(sub, params)),
      expiring: (params) => this.#take(params, (sub) => this.#refresh(sub))
    };
    for (const [name, run] of Object.entries(routes)) {
      rpc.addRoute(`${prefix}.${name}`, run);
      this.#ends.push(() => rpc.deleteRoute(`${prefix}.${name}`));
    }
    this.#ends.push(
      rpc.on("connect", () => {
        for (const sub of this.#subs.values()) this.renew(sub);
      }),
      rpc.on("close", ({ retryAfter }) => {
        for (const sub of [...this.#subs.values()]) {
          sub.attempt++;
          sub.follower.asked();
          if (retryAfter === null) this.#fail(sub, new RemoteError("the connection is closed", { code: Code.DISCONNECTED }));
        }
      })
    );
  }
  /**
   * Follow a topic, from now on or from a position.
   *
   * @param {string} topic
   * @param {SubscribeOptions | null} [options]
   */
  subscribe(topic, options) {
    check("topic", topic, NAME);
    if (this.#subs.has(topic)) throw new Error(`${topic} is subscribed to already: use that one`);
    const sub = new Subscription(this, topic, checked(options, SUBSCRIBE));
    this.#subs.set(topic, sub);
    this.renew(sub);
    return sub;
  }
  /**
   * Publish a message; tells its `offset` and `position` when it is stored.
   *
   * @param {string} topic
   * @param {unknown} data
   * @param {PublishOptions} [options]
   * @returns {Promise<{ offset: number, position: string, duplicate?: boolean }>}
   */
  async publish(topic, data, options) {
    return this.call("publish", { topic, data: data ?? null, ...checked(options, { id: null, key: null }) });
  }
  /** End all subscriptions; the connection remains. */
  close() {
    for (const sub of [...this.#subs.values()]) sub.unsubscribe();
    for (const end of this.#ends.splice(0)) end();
  }
  /**
   * Call one of the hub's methods.
   *
   * @internal
   * @param {string} method
   * @param {object} params
   */
  call(method, params) {
    return this.#rpc.call(`${this.#prefix}.${method}`, params);
  }
  // --- subscribing -------------------------------------------------------------
  /**
   * Subscribe to a topic, together with all others that wait for that.
   *
   * @internal
   * @param {Subscription} sub
   */
  renew(sub) {
    sub.attempt++;
    sub.follower.asked();
    this.#waiting.add(sub);
    if (this.#isSubscribing) return;
    this.#isSubscribing = true;
    queueMicrotask(async () => {
      try {
        while (this.#waiting.size && this.#rpc.state() === "OPEN") await this.#subscribe();
      } finally {
        this.#isSubscribing = false;
      }
    });
  }
  /** Subscribe to as many of those that wait as one call takes. */
  async #subscribe() {
    const subs = [...this.#waiting].slice(0, TOPICS_PER_CALL);
    for (const sub of subs) this.#waiting.delete(sub);
    const found = await Promise.all(subs.map((sub) => this.#wanted(sub)));
    let size = 0;
    const asked = [];
    for (const each of found) {
      if (!each || each.sub.attempt !== each.attempt) continue;
      size += JSON.stringify(each.params).length;
      if (asked.length && size > TEXT_PER_CALL) this.#waiting.add(each.sub);
      else asked.push(each);
    }
    if (!asked.length || this.#rpc.state() !== "OPEN") return;
    this.call("subscribe", { topics: asked.map(({ params }) => params) }).then(
      (answers) => asked.forEach(({ sub, attempt: attempt2 }, index) => this.#answered(sub, attempt2, answers?.[index])),
      (error) => asked.forEach(({ sub, attempt: attempt2 }) => this.#refused(sub, attempt2, error))
    );
  }
  /** @param {Subscription} sub */
  async #wanted(sub) {
    if (!sub.isWanted) return null;
    const { attempt: attempt2 } = sub;
    try {
      return { sub, attempt: attempt2, params: await sub.wanted() };
    } catch (error) {
      if (sub.attempt === attempt2) this.#fail(sub, error);
      return null;
    }
  }
  /**
   * @param {Subscription} sub
   * @param {number} attempt
   * @param {any} answer
   */
  #answered(sub, attempt2, answer) {
    if (answer?.error) {
      const failure = told(answer.error);
      return this.#refused(sub, attempt2, new RemoteError(failure.message, failure));
    }
    if (typeof answer?.position !== "string") {
      return this.#refused(sub, attempt2, new RemoteError("the answer to a subscribe has no position"));
    }
    if (sub.attempt === attempt2 && sub.isWanted) sub.answered(answer);
    else if (!this.#subs.get(sub.topic)?.isWanted) this.#unsubscribe(sub.topic);
  }
  /**
   * A subscribe failed: try again where that may help, or end.
   *
   * @param {Subscription} sub
   * @param {number} attempt
   * @param {any} error
   */
  #refused(sub, attempt2, error) {
    if (sub.attempt !== attempt2 || error?.code === Code.DISCONNECTED) return;
    const { code, data } = error ?? {};
    const isBusy = code === HubCode.BROKER_UNAVAILABLE || code === Code.TOO_BUSY || code === Code.DEADLINE;
    if (!isBusy && !(code === HubCode.TOKEN_EXPIRED && sub.hasTokens)) return this.#fail(sub, error);
    const least = data?.retry > 0 ? data.retry : 1e3;
    this.#later(sub, Math.min(least * 2 ** Math.min(sub.failures++, 10), MAX_DELAY) * (0.75 + Math.random() / 2));
  }
  /**
   * @param {Subscription} sub
   * @param {number} delay
   */
  #later(sub, delay) {
    const { attempt: attempt2 } = sub;
    clearTimeout(sub.timer);
    const timer = sub.timer = setTimeout(() => {
      if (sub.attempt === attempt2 && this.#subs.get(sub.topic) === sub && sub.isWanted) this.renew(sub);
    }, delay);
    timer.unref?.();
  }
  /**
   * Leave a topic, for good or for a while.
   *
   * @internal
   * @param {Subscription} sub
   * @param {boolean} [forGood]
   */
  leave(sub, forGood = false) {
    sub.attempt++;
    sub.follower.asked();
    this.#waiting.delete(sub);
    if (forGood && this.#subs.get(sub.topic) === sub) this.#subs.delete(sub.topic);
    this.#unsubscribe(sub.topic);
  }
  /** @param {string} topic */
  #unsubscribe(topic) {
    if (this.#rpc.state() === "OPEN") this.call("unsubscribe", { topic }).catch(() => {
    });
  }
  /**
   * @param {Subscription} sub
   * @param {any} error
   */
  #fail(sub, error) {
    this.#waiting.delete(sub);
    if (this.#subs.get(sub.topic) === sub) this.#subs.delete(sub.topic);
    sub.fail(error);
  }
  // --- what the server tells ---------------------------------------------------
  /**
   * @param {any} params
   * @param {(sub: Subscription) => void} act
   */
  #take(params, act) {
    queueMicrotask(() => {
      const sub = this.#subs.get(params?.topic);
      if (sub) act(sub);
    });
  }
  /**
   * @param {Subscription} sub
   * @param {any} params
   */
  #ended(sub, { code = "", reason = "", again = false }) {
    sub.attempt++;
    sub.follower.asked();
    if (again) this.#later(sub, Math.random() * 1e3);
    else this.#fail(sub, new RemoteError(`${sub.topic}: ${reason || code}`, { code: HubCode.NOT_SUBSCRIBED, data: { code } }));
  }
  /** @param {Subscription} sub */
  async #refresh(sub) {
    if (!sub.hasTokens || sub.isRefreshing) return;
    sub.isRefreshing = true;
    try {
      await this.call("refresh", { topic: sub.topic, token: await sub.token() });
    } catch {
    } finally {
      sub.isRefreshing = false;
    }
  }
};

// src/incoming.js
var Incoming = class {
  #controller = new AbortController();
  #credit;
  #cancelled;
  #granted = () => {
  };
  /**
   * @param {number} credit items that may be sent
   * @param {() => void} cancelled answers
   */
  constructor(credit, cancelled) {
    this.#credit = credit;
    this.#cancelled = cancelled;
  }
  /**
   * @param {Route} route
   * @param {string} name
   * @param {unknown[]} args
   * @returns {Promise<any>}
   */
  async call({ run, isAsync }, name, args) {
    const { promise, resolve, reject } = deferred();
    const context = { name, signal: this.#controller.signal, resolve, reject };
    const value = run.apply(context, args);
    return isAsync ? promise : value;
  }
  /**
   * Send the items of a stream as they are granted.
   *
   * @param {any} items
   * @param {(item: unknown) => void} send
   */
  async pump(items, send) {
    const { signal } = this.#controller;
    const iterator = (items[Symbol.asyncIterator] ?? items[Symbol.iterator]).call(items);
    const stop = async () => {
      try {
        await iterator.return?.();
      } catch {
      }
    };
    signal.addEventListener("abort", stop);
    try {
      for (; ; ) {
        while (this.#credit < 1 && !signal.aborted) {
          await new Promise((resolve) => this.#granted = () => resolve(void 0));
        }
        if (signal.aborted) return;
        const { done, value } = await iterator.next();
        if (done || signal.aborted) return;
        this.#credit--;
        send(value);
      }
    } catch (error) {
      stop();
      throw error;
    }
  }
  /** @param {number} count */
  grant(count) {
    this.#credit += count;
    this.#granted();
  }
  /** The other side does not want it any more. */
  cancel() {
    this.#cancelled();
    this.abort("the call was cancelled", Code.CANCELLED);
  }
  /**
   * @param {string} reason
   * @param {number} code
   */
  abort(reason, code) {
    this.#controller.abort(new RpcError(reason, { code }));
    this.#granted();
  }
};
function deferred() {
  let resolve = () => {
  };
  let reject = () => {
  };
  const promise = new Promise((...settle) => [resolve, reject] = settle);
  return { promise, resolve, reject };
}
var isStream = (value) => Boolean(
  value?.[Symbol.asyncIterator] || value?.[Symbol.iterator] && typeof value.next === "function"
);

// src/link.js
var MAX_STRAYS = 1e3;
var MAX_IN_BATCH = 1e3;
var SMALL = 1 << 14;
var ID_FIRST = /^\s*\{\s*(?:"jsonrpc"\s*:\s*"2\.0"\s*,\s*)?"(?:id|serial)"\s*:\s*(0|[1-9]\d*|"[^"\\\x00-\x1f]{0,256}")\s*,/;
var ID_LAST = /,\s*"(?:id|serial)"\s*:\s*(0|[1-9]\d*|"[^"\\\x00-\x1f]{0,256}")\s*\}\s*$/;
var MAX_TAIL = 400;
var PING = "$/ping";
var internalError = (message2) => ({ code: Code.INTERNAL_ERROR, message: message2, type: "InternalError" });
var Link = class {
  /** @type {Wire} */
  #wire;
  /** @type {Owner} */
  #owner;
  /** @type {Map<Id, Call>} */
  #pending = /* @__PURE__ */ new Map();
  /** @type {Map<Id, Incoming>} */
  #incoming = /* @__PURE__ */ new Map();
  /** @type {number} */
  #last;
  #strays = 0;
  #alive = true;
  /** Bytes that the other side takes in one message; undefined while that is not known. @type {number | undefined} */
  #limit;
  /**
   * @param {Wire} wire
   * @param {Owner} owner
   */
  constructor(wire, owner) {
    this.#wire = wire;
    this.#owner = owner;
    this.#last = wire.first;
    this.#limit = owner.maxMessage;
  }
  /** How many calls of ours wait for an answer. */
  get size() {
    return this.#pending.size;
  }
  /**
   * Send something that the other side will answer.
   *
   * @param {() => void} [done] called when it has
   */
  ping(done = () => {
  }) {
    this.start({ method: this.#wire.ping, params: void 0, succeed: done, fail: done });
  }
  // --- our calls ---------------------------------------------------------------
  /**
   * Whether a call may be sent yet. If not, we ask how much the other side takes, and say
   * when it is known.
   *
   * @param {Call} call
   */
  takes({ method, params }) {
    if (this.#limit !== void 0 || `${method}${params}`.length < SMALL) return true;
    this.ping(() => this.#limited(this.#limit ?? Infinity));
    return false;
  }
  /** @param {number} limit */
  #limited(limit) {
    this.#limit = this.#owner.maxMessage ?? limit;
    this.#owner.ready();
  }
  /**
   * Send a call of ours.
   *
   * @param {Call} call
   */
  start(call) {
    const { method, params, stream } = call;
    const silent = call.silent && this.#wire.extended;
    const id = silent ? void 0 : this.#last += this.#wire.step;
    try {
      if (stream && !this.#wire.extended) {
        throw new RpcError(`${this.#wire.name} has no streams`, { code: Code.STREAM_MISMATCH });
      }
      this.#owner.send(this.checked(this.#wire.call(id, method, params, stream?.begin())));
    } catch (error) {
      call.fail(error);
      return;
    }
    if (silent) return call.succeed();
    call.id = id;
    this.#pending.set(id, call);
    if (call.silent) call.succeed();
  }
  /**
   * Nobody waits for the answer any more.
   *
   * @param {Call} call
   */
  cancel(call) {
    if (this.#pending.get(call.id) !== call) return;
    this.#pending.delete(call.id);
    this.#tell("$/cancel", { id: call.id });
  }
  /**
   * Let the other side send more items of a stream.
   *
   * @param {Call} call
   * @param {number} count
   */
  more(call, count) {
    if (this.#pending.get(call.id) === call) this.#tell("$/more", { id: call.id, count });
  }
  /** The connection has ended: returns our calls that were under way. */
  end() {
    this.#alive = false;
    const incoming = [...this.#incoming.values()];
    this.#incoming.clear();
    for (const call of incoming) call.abort("the connection has ended", Code.DISCONNECTED);
    const lost = [...this.#pending.values()];
    this.#pending.clear();
    return lost;
  }
  // --- what comes in -----------------------------------------------------------
  /** @param {unknown} data of a message */
  receive(data) {
    if (typeof data !== "string") return this.#owner.fault("messages must be text");
    let message2;
    try {
      message2 = JSON.parse(data);
    } catch (error) {
      return this.#unreadable(data, `not JSON: ${messageOf(error)}`);
    }
    if (Array.isArray(message2) && this.#wire.extended) return this.#takeBatch(message2);
    this.#take(message2)?.then(({ text }) => this.#post(text));
  }
  /**
   * Whatever it was, who waits for it is told, where the message shows who that is: some
   * servers write NaN, which is not JSON.
   *
   * @param {string} data
   * @param {string} message
   */
  #unreadable(data, message2) {
    const found = ID_FIRST.exec(data) ?? ID_LAST.exec(data.slice(-MAX_TAIL));
    const id = found ? JSON.parse(found[1]) : null;
    const isCall = /"(method|call|result|callback|error)"/.exec(data)?.[1].match(/method|call$/);
    const failure = { code: Code.PARSE_ERROR, message: message2, type: "ParseError" };
    const call = isCall ? void 0 : this.#taken(id);
    if (call) call.fail(this.#owner.raise(failure));
    else this.#post(this.#error(isCall ? id : null, failure));
  }
  /** @param {unknown[]} batch */
  #takeBatch(batch) {
    if (!batch.length || batch.length > MAX_IN_BATCH) {
      const found = `a batch must have 1 to ${MAX_IN_BATCH} messages, not ${batch.length}`;
      return this.#post(this.#error(null, invalidRequest(found)));
    }
    const answers = [];
    for (const message2 of batch) {
      const answer = this.#take(message2, true);
      if (answer) answers.push(answer);
    }
    Promise.all(answers).then((found) => {
      if (!found.length) return;
      const text = `[${found.map((answer) => answer.text)}]`;
      const failure = internalError("the answers to this batch are too large");
      this.#post(this.#fits(text) ? text : `[${found.map(({ id }) => this.#error(id, failure))}]`);
    });
  }
  /**
   * Do what a message says; returns what to answer, if anything.
   *
   * @param {any} message
   * @param {boolean} [inBatch]
   * @returns {Promise<Reply> | undefined}
   */
  #take(message2, inBatch = false) {
    const read = this.#wire.read(message2);
    const { kind, id, failure } = read;
    switch (kind) {
      case "call":
        return this.#called(read, message2, inBatch);
      case "invalid": {
        const why = (
          /** @type {Failure} */
          failure
        );
        const isCall = message2?.method !== void 0;
        if (!isCall) this.#taken(id)?.fail(this.#owner.raise(why));
        const named = isCall || !this.#wire.extended ? id : null;
        return Promise.resolve({ id: named, text: this.#error(named, why) });
      }
      case "result":
        this.#answered(id)?.succeed(read.value);
        break;
      case "error": {
        const error = this.#owner.raise(
          /** @type {Failure} */
          failure
        );
        if (id === null || id === void 0) this.#owner.error(error);
        else this.#answered(id)?.fail(error);
        break;
      }
      case "item": {
        const call = this.#pending.get(id);
        if (call?.stream?.push(read.value) === false) this.cancel(call);
        break;
      }
      case "more": {
        const incoming = this.#incoming.get(id);
        if (incoming) incoming.grant(
          /** @type {number} */
          read.count
        );
        break;
      }
      case "cancel":
        this.#incoming.get(id)?.cancel();
        break;
      case "limits":
        this.#limited(
          /** @type {number} */
          read.count
        );
        break;
      case "event":
        this.#owner.event(read.value);
    }
  }
  /** @param {Id} id */
  #taken(id) {
    const call = this.#pending.get(id);
    this.#pending.delete(id);
    return call;
  }
  /** @param {Id} id */
  #answered(id) {
    const call = this.#taken(id);
    const asked = typeof id === "number" && id > this.#wire.first && id <= this.#last;
    if (!call && !asked && ++this.#strays > MAX_STRAYS) {
      this.#owner.fault(`more than ${MAX_STRAYS} answers to calls that were not made`);
    }
    return call;
  }
  // --- calls of the other side -------------------------------------------------
  /**
   * @param {Read} read
   * @param {unknown} frame
   * @param {boolean} inBatch
   * @returns {Promise<Reply> | undefined}
   */
  #called(read, frame, inBatch) {
    const { id, window } = read;
    const method = (
      /** @type {string} */
      read.method
    );
    if (method === PING && id !== void 0) return Promise.resolve({ id, text: this.#result(id, null) });
    const route = this.#owner.route(method);
    if (id === void 0 && !route) return void this.#owner.event(frame);
    const refusal = this.#refusal(id, inBatch && window) ?? (route ? void 0 : { code: Code.METHOD_NOT_FOUND, type: "MethodNotFound", message: "Route not found" });
    if (!refusal) return this.#run(
      /** @type {Route} */
      route,
      read
    );
    if (id !== void 0) return Promise.resolve({ id, text: this.#error(id, refusal) });
  }
  /**
   * Why a call cannot begin, whatever its route.
   *
   * @param {any} id
   * @param {unknown} streamInBatch
   * @returns {Failure | undefined}
   */
  #refusal(id, streamInBatch) {
    if (streamInBatch) return invalidRequest("a stream cannot be part of a batch");
    if (this.#incoming.has(id)) return invalidRequest(`the id ${JSON.stringify(id)} is in use`);
    if (this.#incoming.size >= this.#owner.maxCalls) {
      return { code: Code.TOO_BUSY, type: "TooBusy", message: `${this.#incoming.size} calls are under way already` };
    }
  }
  /**
   * Call a route; the promise has the answer, and stays open if there is none: for a
   * notification, or if the connection ends first.
   *
   * @param {Route} route
   * @param {Read} read
   * @returns {Promise<Reply> | undefined}
   */
  #run(route, { id, method = "", params, window }) {
    const key = id ?? Symbol(method);
    const { promise, resolve } = deferred();
    const incoming = new Incoming(window ?? 0, () => {
      answer(() => this.#error(id, { code: Code.CANCELLED, message: "cancelled", type: "Cancelled" }));
    });
    const answer = (text) => {
      if (this.#incoming.get(key) !== incoming) return;
      this.#incoming.delete(key);
      if (id !== void 0) resolve({ id, text: text() });
    };
    this.#incoming.set(key, incoming);
    incoming.call(route, method, positional(params)).then((value) => {
      if (isStream(value) !== (window !== void 0)) {
        if (!window) Promise.resolve(value.return?.()).catch(() => {
        });
        throw new RpcError(
          `${method} is ${window ? "not a stream" : "a stream: ask for it as one"}`,
          { code: Code.STREAM_MISMATCH, type: "StreamMismatch" }
        );
      }
      return window ? incoming.pump(value, (item) => this.#item(id, item)) : value;
    }).then(
      (value) => answer(() => this.#result(id, value)),
      (error) => {
        if (id === void 0) this.#owner.error(error);
        answer(() => this.#error(id, failureOf(error, this.#owner.tracebacks)));
      }
    );
    return id === void 0 ? void 0 : promise;
  }
  // --- what goes out -----------------------------------------------------------
  /** @param {string} text */
  #fits(text) {
    return !exceeds(text, this.#limit ?? Infinity);
  }
  /**
   * Return the text of a message if the other side can read it; throws otherwise.
   *
   * @param {string} text
   */
  checked(text) {
    if (this.#fits(text)) return wellFormed(text);
    throw new RpcError(
      `the message is larger than the ${this.#limit} bytes that the other side takes`,
      { code: Code.TOO_LARGE }
    );
  }
  /**
   * The text of an answer.
   *
   * @param {Id} id
   * @param {unknown} value
   */
  #result(id, value) {
    try {
      return this.checked(this.#wire.result(id, json(value)));
    } catch (error) {
      return this.#error(id, internalError(`the result cannot be sent: ${messageOf(error)}`));
    }
  }
  /**
   * The text of an answer that nothing can keep from being one.
   *
   * @param {Id} id
   * @param {Failure} failure
   * @returns {string}
   */
  #error(id, failure) {
    return attempt(() => this.checked(this.#wire.error(id, failure))) ?? this.#wire.error(id, shortened(failure));
  }
  /**
   * Send an item of a stream; throws where it cannot be one.
   *
   * @param {Id} id
   * @param {unknown} value
   */
  #item(id, value) {
    try {
      const params = `{"id":${JSON.stringify(id)},"value":${json(value)}}`;
      this.#post(this.checked(this.#wire.call(void 0, "$/item", params)));
    } catch (error) {
      const failure = internalError(`an item cannot be sent: ${messageOf(error)}`);
      throw new RpcError(failure.message, failure);
    }
  }
  /**
   * @param {string} method
   * @param {object} params
   */
  #tell(method, params) {
    if (this.#alive && this.#wire.extended) {
      this.#post(this.#wire.call(void 0, method, JSON.stringify(params)));
    }
  }
  /**
   * Send what nobody waits for.
   *
   * @param {string} text
   */
  #post(text) {
    if (!this.#alive) return;
    try {
      this.#owner.send(text);
    } catch (error) {
      this.#owner.fault(messageOf(error));
    }
  }
};

// src/stream.js
var RpcStream = class {
  /** @type {T[]} */
  #items = [];
  /** @type {{ resolve: (result: IteratorResult<T>) => void, reject: (error: unknown) => void }[]} */
  #waiting = [];
  /** @type {Control} */
  #control;
  /** @type {{ error: unknown } | null} */
  #failed = null;
  #window;
  #granted = 0;
  // items that may still come
  #taken = 0;
  // items that were taken since more were granted
  #ended = false;
  /**
   * @param {number} window
   * @internal
   * @param {Control} control
   */
  constructor(window, control) {
    this.#window = window;
    this.#control = control;
  }
  [Symbol.asyncIterator]() {
    return this;
  }
  /** @returns {Promise<IteratorResult<T>>} */
  next() {
    if (this.#items.length) {
      const value = (
        /** @type {T} */
        this.#items.shift()
      );
      this.#took();
      return Promise.resolve({ value, done: false });
    }
    if (this.#failed) {
      const { error } = this.#failed;
      this.#failed = null;
      return Promise.reject(error);
    }
    if (this.#ended) return Promise.resolve({ value: void 0, done: true });
    return new Promise((resolve, reject) => void this.#waiting.push({ resolve, reject }));
  }
  /**
   * Stop the other side; what has come and was not taken is dropped.
   *
   * @param {any} [value]
   * @returns {Promise<IteratorResult<T>>}
   */
  return(value) {
    this.#items = [];
    this.#failed = null;
    if (!this.#ended) {
      this.end();
      this.#control.cancel();
    }
    return Promise.resolve({ value, done: true });
  }
  /** Whether there is no room for another item. @internal */
  get isFull() {
    return this.#items.length >= this.#window;
  }
  /**
   * Begin, or begin again: returns how many items may come.
   *
   * @internal
   * @returns {number}
   */
  begin() {
    this.#taken = 0;
    return this.#granted = this.#window - this.#items.length;
  }
  /**
   * Take an item from the wire; false where more came than were granted.
   *
   * @internal
   * @param {T} value
   */
  push(value) {
    if (this.#ended) return true;
    if (this.#granted-- <= 0) {
      this.end(new RpcError("the other side sent more items than it was granted", {
        code: Code.STREAM_MISMATCH
      }));
      return false;
    }
    const waiting = this.#waiting.shift();
    if (waiting) {
      waiting.resolve({ value, done: false });
      this.#took();
    } else {
      this.#items.push(value);
    }
    return true;
  }
  /**
   * No more will come; an error is thrown after the items that came.
   *
   * @internal
   * @param {unknown} [error]
   */
  end(error) {
    if (this.#ended) return;
    this.#ended = true;
    if (error !== void 0) this.#failed = { error };
    for (const { resolve, reject } of this.#waiting.splice(0)) {
      this.next().then(resolve, reject);
    }
  }
  /**
   * End at once with an error; what has come and was not taken is dropped.
   *
   * @internal
   * @param {unknown} error
   */
  abort(error) {
    this.#items = [];
    this.end(error);
  }
  #took() {
    if (this.#ended) return;
    if (++this.#taken < this.#window / 2) return;
    const count = this.#taken;
    this.#taken = 0;
    this.#granted += count;
    this.#control.more(count);
  }
};

// src/rpc.js
var Rpc = class extends Emitter {
  /** @internal */
  static EVENTS = ["connect", "close", "error", "change", "resubscribe"];
  /** Whether to show on the console what happens; without arguments. */
  static DEBUG = false;
  /** Whether to show every message on the console. */
  static TRACE = false;
  /** @type {Given<RpcOptions>} */
  #options;
  /** @type {Client} */
  #client;
  /** @type {Link | null} */
  #link = null;
  /** @type {Map<string, Route>} */
  #routes = /* @__PURE__ */ new Map();
  /** @type {Map<number, (event: any) => unknown>} */
  #serverListeners = /* @__PURE__ */ new Map();
  #nextListener = 1;
  #leaving = false;
  #ended = false;
  // no connection comes before the next connect()
  /** Calls that wait for a connection, in order. @type {Set<Call>} */
  #queue = /* @__PURE__ */ new Set();
  /** Streams that will be asked for again when there is room for items. @type {Set<Call>} */
  #parked = /* @__PURE__ */ new Set();
  /**
   * @param {Address} url relative ones are the page's; a function is
   *   asked before each attempt
   * @param {RpcOptions | null} [options]
   */
  constructor(url, options) {
    super();
    const given = this.#options = checked(options, RULES2);
    const { wire = "longwire.jsonrpc" } = given;
    const heartbeat = given.heartbeat ?? true;
    const probe = heartbeat.probe ?? (() => this.#link?.ping());
    this.#client = new Client(url, {
      protocols: [wire],
      ...Object.fromEntries(Object.entries(given).filter(([name]) => name in RULES)),
      heartbeat: heartbeat === true || typeof heartbeat === "object" ? { ...heartbeat, probe } : heartbeat
    });
    if (!WIRES[wire].extended) {
      this.addRoute("ping", (data) => data);
      this.addRoute("log", (data) => console.log(data));
    }
    this.#client.on("open", (protocol) => this.#opened(WIRES[protocol] ?? WIRES[wire], protocol));
    this.#client.on("message", (data) => {
      this.#seen(data, "in");
      this.#link?.receive(data);
    });
    this.#client.on("close", (report) => this.#closed(report));
    this.#client.on("change", (state) => this.emit("change", state));
  }
  // --- the connection ----------------------------------------------------------
  /** Connect, and again whenever the connection ends. */
  connect() {
    this.#client.connect();
    this.#ended = false;
    return this;
  }
  /**
   * Close the connection and stay closed; every call that waits fails, and so does every
   * other until `connect()`.
   *
   * @param {number} [code]
   * @param {string} [reason]
   */
  destroy(code = 1e3, reason = "") {
    this.#client.close(code, reason);
    this.#ended = true;
    this.#leaving = this.state() === "CLOSING";
    this.#fail(new DisconnectedError("Connection closed", this.#client.report ?? void 0), true);
  }
  /**
   * The state of the connection: "CONNECTING", "OPEN", "CLOSING" or "CLOSED".
   *
   * @returns {State}
   */
  state() {
    return this.#client.state;
  }
  /** The state as the number that a WebSocket has for it. */
  stateCode() {
    return STATES.indexOf(this.#client.state);
  }
  /** Why the last connection ended, or the last attempt failed. */
  get report() {
    return this.#client.report;
  }
  /** Try now what would be tried later: the next attempt, or a heartbeat. */
  wake() {
    this.#client.wake();
  }
  // --- calling -----------------------------------------------------------------
  /**
   * Call a route of the other side. An array has the arguments by position, an object by
   * name; nothing is no argument, and any other value is one.
   *
   * @template {NamesWith<Routes, "result">} Name
   * @param {Name} name
   * @param {Arguments<Routes[Name]["params"], CallOptions>} rest
   * @returns {Promise<Routes[Name]["result"]>}
   */
  call(name, ...rest) {
    const [args, options] = rest;
    return new Promise((resolve, reject) => {
      this.#start(this.#make(name, args, resolve, reject), options);
    });
  }
  /**
   * Call a route of the other side that need not answer. The promise tells that it was
   * sent, and may be left alone.
   *
   * @template {keyof Routes & string} Name
   * @param {Name} name
   * @param {Arguments<Routes[Name]["params"], CallOptions>} rest
   * @returns {Promise<void>}
   */
  notify(name, ...rest) {
    const [args, options] = rest;
    const sent = new Promise((resolve, reject) => {
      this.#start({ ...this.#make(name, args, () => resolve(), reject), silent: true }, options, null);
    });
    sent.catch(() => {
    });
    return sent;
  }
  /**
   * Ask for the items of a route that is a stream.
   *
   * @template {NamesWith<Routes, "items">} Name
   * @param {Name} name
   * @param {Arguments<Routes[Name]["params"], StreamOptions>} rest
   * @returns {RpcStream<Routes[Name]["items"]>}
   */
  stream(name, ...rest) {
    const [args, options] = rest;
    const { signal, window = 16, resubscribe, noWait } = checked(options, STREAM);
    const stream = new RpcStream(
      /** @type {number} */
      window,
      {
        more: (count) => {
          if (this.#parked.delete(call)) this.#dispatch(call);
          else this.#link?.more(call, count);
        },
        cancel: () => {
          this.#forget(call);
          call.succeed(void 0);
        }
      }
    );
    const call = {
      ...this.#make(name, args, () => stream.end(), (error) => {
        if (signal?.aborted) stream.abort(error);
        else stream.end(error);
      }),
      stream,
      resubscribe
    };
    this.#start(call, { signal, noWait }, null);
    return stream;
  }
  /**
   * Calls as methods: `rpc.proxy.a.b(args)` is `rpc.call("a.b", args)`. A route whose
   * name ends with `then` can only be called by `call`.
   *
   * @returns {RemoteProxy<Routes>}
   */
  get proxy() {
    return path(this, "");
  }
  // --- being called ------------------------------------------------------------
  /**
   * Let the other side call `run`. It gets an array of arguments by position and anything
   * else as one; what it returns, or the promise of it, is the answer, and what an async
   * generator yields is a stream. `this` has `signal`, `name`, `resolve` and `reject`.
   *
   * @param {string} name
   * @param {(this: Context, ...args: any[]) => unknown} run
   * @param {boolean} [isAsync] the answer is what `this.resolve` or `this.reject` is given
   */
  addRoute(name, run, isAsync = false) {
    check("the name of a route", name, NAME);
    check(`the route ${name}`, run, FUNCTION);
    if (name.startsWith("$/")) throw new RangeError(`${name}: names with $/ are the protocol's`);
    this.#routes.set(name, { run, isAsync });
  }
  /**
   * @param {string} name
   * @returns {boolean} whether there was one
   */
  deleteRoute(name) {
    return this.#routes.delete(name);
  }
  /**
   * Call `listener` with every event of the server: a message that is neither call nor
   * answer, or a notification no route takes.
   *
   * @param {(event: any) => unknown} listener
   * @returns {number}
   */
  addServerEventListener(listener) {
    check("a listener", listener, FUNCTION);
    this.#serverListeners.set(this.#nextListener, listener);
    return this.#nextListener++;
  }
  /**
   * @param {number} id
   * @returns {boolean} whether there was one
   */
  removeServerEventListener(id) {
    return this.#serverListeners.delete(id);
  }
  /**
   * Send a message as it is: text, or anything else as JSON.
   *
   * @param {unknown} data
   */
  sendRaw(data) {
    const text = typeof data === "string" ? data : json(data);
    this.#write(this.#link?.checked(text) ?? text);
  }
  /** A promise with what settles it. */
  defer() {
    return deferred();
  }
  // --- calls on their way ------------------------------------------------------
  /**
   * @param {string} method
   * @param {unknown} args
   * @param {(value: any) => void} resolve
   * @param {(error: unknown) => void} reject
   */
  #make(method, args, resolve, reject) {
    check("the name of a route", method, NAME);
    const params = jsonOfArguments(args);
    const after = [];
    const settling = (settle) => (value) => {
      for (const clean of after.splice(0)) clean();
      settle(value);
    };
    return { method, params, after, succeed: settling(resolve), fail: settling(reject) };
  }
  /**
   * @param {Call & { after: (() => void)[] }} call
   * @param {CallOptions | null | undefined} options
   * @param {number | null} [usual] its limit of time where the options have none
   */
  #start(call, options, usual = this.#options.timeout) {
    const { signal, noWait } = checked(options, CALL);
    const timeout = options?.timeout === void 0 ? usual : options.timeout;
    if (signal) {
      const abort = () => this.#abandon(call, signal.reason);
      if (signal.aborted) return abort();
      signal.addEventListener("abort", abort);
      call.after.push(() => signal.removeEventListener("abort", abort));
    }
    if (timeout && timeout < FOR_EVER) {
      const timer = setTimeout(() => {
        const why = this.#link ? "" : this.#client.wanted ? `: Socket is: ${this.state()}` : ": call connect()";
        this.#abandon(call, new TimeoutError(`no answer to ${call.method} within ${timeout} ms${why}`));
      }, timeout);
      call.after.push(() => clearTimeout(timer));
    }
    this.#dispatch(call, noWait);
  }
  /**
   * Send a call now or when there is a connection.
   *
   * @param {Call} call
   * @param {boolean} [noWait]
   */
  #dispatch(call, noWait) {
    const { offline = "queue", maxQueue = 1e3, maxPending = 1e4, maxBuffered = MAX_BUFFERED } = this.#options;
    const link = this.#link;
    if (link && link.size >= maxPending) {
      return call.fail(busy(`${maxPending} calls are waiting for an answer already`));
    }
    if (link && !this.#queue.size && link.takes(call)) return this.#send(call);
    const refuse = (why = "") => call.fail(new DisconnectedError(`Socket is: ${this.state()}${why}`, this.report ?? void 0));
    if (!link && (noWait || offline === "reject")) return refuse();
    let size = 0;
    for (const { params = "" } of this.#queue) size += params.length;
    if (this.#queue.size >= maxQueue || size > maxBuffered) {
      return call.fail(busy(`${this.#queue.size} calls of ${size} characters are waiting for a connection already`));
    }
    this.#queue.add(call);
    if (this.#ended) {
      queueMicrotask(() => this.#ended && this.#queue.delete(call) && refuse("; connect() opens it again"));
    }
  }
  /** Send what waits for a connection, in order. */
  #flush() {
    for (const call of this.#queue) {
      if (!this.#link?.takes(call)) return;
      this.#queue.delete(call);
      this.#send(call);
    }
  }
  /** @param {Call} call */
  #forget(call) {
    this.#queue.delete(call);
    this.#parked.delete(call);
    this.#link?.cancel(call);
  }
  /**
   * @param {Call} call
   * @param {unknown} error
   */
  #abandon(call, error) {
    this.#forget(call);
    call.fail(error);
  }
  // --- what becomes of the connection ------------------------------------------
  /**
   * @param {Wire} wire
   * @param {string} protocol that was agreed on
   */
  #opened(wire, protocol) {
    this.#log("open", wire.name);
    const { errors = {}, maxCalls = 1e3, maxMessage, tracebacks } = this.#options;
    this.#link = new Link(wire, {
      maxCalls,
      // Only our own servers announce it, on our own wire.
      maxMessage: maxMessage ?? (protocol && wire.extended ? void 0 : Infinity),
      tracebacks: Boolean(tracebacks),
      send: (text) => this.#write(text),
      route: (name) => this.#routes.get(name),
      event: (value) => {
        for (const listener of [...this.#serverListeners.values()]) shielded(listener, value);
      },
      ready: () => this.#flush(),
      error: (error) => this.emit("error", error),
      fault: (reason) => this.#client.drop("protocol", reason),
      raise: (failure) => {
        const { type } = failure;
        const Class = type !== void 0 && Object.hasOwn(errors, type) ? errors[type] : RemoteError;
        try {
          return new Class(failure.message, failure);
        } catch {
          return new RemoteError(failure.message, failure);
        }
      }
    });
    this.#flush();
    this.emit("connect", wire.name);
  }
  /**
   * Send a call on the open connection.
   *
   * @param {Call} call
   */
  #send(call) {
    if (call.stream?.isFull) {
      this.#parked.add(call);
      return;
    }
    if (call.lost) {
      call.lost = false;
      this.emit("resubscribe", call.method);
      if (typeof call.resubscribe === "function") shielded(call.resubscribe);
    }
    this.#log("call", call.method);
    if (this.#link) this.#link.start(call);
    else this.#dispatch(call);
  }
  /** @param {CloseReport} report */
  #closed(report) {
    this.#log("closed", report.cause, report.code, report.reason);
    const quiet = report.cause === "local" || report.cause === "peer";
    const trouble = /^wsrpc/.test(this.#options.wire ?? "") ? "" : troubleOf(report);
    const error = new DisconnectedError(quiet ? "Connection closed" : `WebSocket error occurred${trouble}`, report);
    const isLast = report.retryAfter === null;
    if (!this.#leaving) this.#fail(error, isLast);
    this.#leaving = false;
    if (isLast) this.#ended = true;
    if (!quiet) this.emit("error", error);
    this.emit("close", report);
  }
  /**
   * Fail every call that is under way or waits; but for those that go on.
   *
   * @param {DisconnectedError} error
   * @param {boolean} forever whether there will be no other connection
   */
  #fail(error, forever) {
    const lost = this.#link?.end() ?? [];
    const waiting = [...this.#queue];
    this.#link = null;
    this.#queue.clear();
    for (const call of lost) {
      if (call.resubscribe && !forever) this.#queue.add(Object.assign(call, { lost: true }));
      else call.fail(error);
    }
    for (const call of waiting) {
      if (!forever && (call.resubscribe || this.#options.offline === "keep")) this.#queue.add(call);
      else call.fail(error);
    }
    if (!forever) return;
    for (const call of this.#parked) call.fail(error);
    this.#parked.clear();
  }
  /** @param {string} text */
  #write(text) {
    this.#client.send(text);
    this.#seen(text, "out");
  }
  /**
   * @param {unknown} text
   * @param {"in" | "out"} direction
   */
  #seen(text, direction) {
    const { onFrame } = this.#options;
    if (onFrame) shielded(onFrame, text, direction);
    if (this.#class.TRACE) console.debug("longwire:", direction, text);
  }
  /** @param {...unknown} what */
  #log(...what) {
    if (this.#class.DEBUG) console.debug("longwire:", ...what);
  }
  get #class() {
    return (
      /** @type {typeof Rpc} */
      this.constructor
    );
  }
};
var busy = (message2) => new RpcError(message2, { code: Code.TOO_BUSY });
function troubleOf({ url, cause, reason, error }) {
  const { message: message2, code } = (
    /** @type {any} */
    error ?? {}
  );
  return `${url && `: ${url}`}: ${reason || message2 || code || cause}`;
}
function path(rpc, name) {
  return new Proxy(() => {
  }, {
    // Whoever awaits this asks for `then`, and must not be told that there is one.
    get: (_, key) => typeof key === "symbol" || key === "then" ? void 0 : path(rpc, name ? `${name}.${key}` : key),
    apply: (_, __, [args, options]) => rpc.call(name, args, options)
  });
}

// src/wsrpc.js
function make(url, reconnectTimeout, options) {
  const { wire = "wsrpc", protocols = WIRES[wire]?.extended ? [wire] : [], ...others } = checked(options, RULES2);
  const given = { wire, protocols, reconnect: reconnectTimeout ?? 1e3, ...others };
  return Reflect.construct(Rpc, [url, given], new.target ?? WSRPC);
}
var WSRPC = /* @__PURE__ */ (() => {
  Object.setPrototypeOf(make, Rpc);
  make.EVENTS = Rpc.EVENTS;
  make.prototype = Object.create(Rpc.prototype, { constructor: { value: make } });
  return (
    /** @type {WSRPCClass} */
    /** @type {unknown} */
    make
  );
})();
export {
  Client,
  Code,
  DisconnectedError,
  GapError,
  Hub,
  HubCode,
  RemoteError,
  Rpc,
  RpcError,
  RpcStream,
  Subscription,
  TimeoutError,
  WSRPC
};
