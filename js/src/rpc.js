/**
 * Rpc: calls in both directions over a connection that comes back by itself.
 *
 *     const rpc = new Rpc("/rpc").connect();
 *     rpc.addRoute("whoAreYou", () => navigator.userAgent);
 *     await rpc.call("add", [1, 2]);
 *     for await (const price of rpc.stream("prices", { of: "tea" })) show(price);
 */

import { Client, FOR_EVER, MAX_BUFFERED, RULES as CLIENT, STATES } from "./client.js";
import { Emitter, shielded } from "./emitter.js";
import { Code, DisconnectedError, RemoteError, RpcError, TimeoutError } from "./errors.js";
import { deferred } from "./incoming.js";
import { Link } from "./link.js";
import { FUNCTION, check, checked } from "./options.js";
import { CALL, NAME, RULES, STREAM } from "./settings.js";
import { RpcStream } from "./stream.js";
import { json, jsonOfArguments } from "./values.js";
import { WIRES } from "./wires.js";

/** @import { Address, CloseReport, State } from "./client.js" */
/** @import { Call } from "./link.js" */
/** @import { Given } from "./options.js" */
/** @import { Arguments, Context, NamesWith, RemoteProxy, Route } from "./routes.js" */
/** @import { CallOptions, RpcOptions, StreamOptions } from "./settings.js" */
/** @import { Wire } from "./wires.js" */

/**
 * Calls in both directions. Events: `connect` (subprotocol), `close` (`CloseReport`), `error`
 * (what no call can be told), `change` (`State`), `resubscribe` (name of the stream).
 *
 * For TypeScript, `Routes` may name what the server has, as `longwire rpc types` writes it:
 * `{ add: { params: [a: number, b: number], result: number }, count: { params: [], items: number } }`.
 *
 * @template {Record<keyof Routes, any>} [Routes=Record<string, any>]
 */
export class Rpc extends Emitter {
  /** @internal */
  static EVENTS = ["connect", "close", "error", "change", "resubscribe"];
  /** Whether to show on the console what happens; without arguments. */
  static DEBUG = false;
  /** Whether to show every message on the console. */
  static TRACE = false;

  /** @type {Given<RpcOptions>} */ #options;
  /** @type {Client} */ #client;
  /** @type {Link | null} */ #link = null;
  /** @type {Map<string, Route>} */ #routes = new Map();
  /** @type {Map<number, (event: any) => unknown>} */ #serverListeners = new Map();
  #nextListener = 1;
  #leaving = false;
  #ended = false; // no connection comes before the next connect()
  /** Calls that wait for a connection, in order. @type {Set<Call>} */
  #queue = new Set();
  /** Streams that will be asked for again when there is room for items. @type {Set<Call>} */
  #parked = new Set();

  /**
   * @param {Address} url relative ones are the page's; a function is
   *   asked before each attempt
   * @param {RpcOptions | null} [options]
   */
  constructor(url, options) {
    super();
    const given = (this.#options = checked(options, RULES));
    const { wire = "longwire.jsonrpc" } = given;
    /** @type {any} */
    const heartbeat = given.heartbeat ?? true;
    const probe = heartbeat.probe ?? (() => this.#link?.ping());
    this.#client = new Client(url, {
      protocols: [wire],
      ...Object.fromEntries(Object.entries(given).filter(([name]) => name in CLIENT)),
      heartbeat: heartbeat === true || typeof heartbeat === "object" ? { ...heartbeat, probe } : heartbeat,
    });
    if (!WIRES[wire].extended) {
      // What that family expects to be there.
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
  destroy(code = 1000, reason = "") {
    this.#client.close(code, reason);
    this.#ended = true;
    this.#leaving = this.state() === "CLOSING";
    this.#fail(new DisconnectedError("Connection closed", this.#client.report ?? undefined), true);
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
    /** @type {Promise<void>} */
    const sent = new Promise((resolve, reject) => {
      // It waits for no answer, so the usual limit of that time is not for it.
      this.#start({ ...this.#make(name, args, () => resolve(), reject), silent: true }, options, null);
    });
    sent.catch(() => {}); // not an unhandled one
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
    const stream = new RpcStream(/** @type {number} */ (window), {
      more: (count) => {
        if (this.#parked.delete(call)) this.#dispatch(call);
        else this.#link?.more(call, count);
      },
      cancel: () => {
        this.#forget(call);
        call.succeed(undefined);
      },
    });
    const call = {
      ...this.#make(name, args, () => stream.end(), (error) => {
        if (signal?.aborted) stream.abort(error);
        else stream.end(error);
      }),
      stream,
      resubscribe,
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
    const params = jsonOfArguments(args); // now: what is changed later is not what was meant
    /** @type {(() => void)[]} */
    const after = [];
    /** @param {(value: any) => void} settle */
    const settling = (settle) => (/** @type {any} */ value) => {
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
    const timeout = options?.timeout === undefined ? usual : options.timeout;
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
    const { offline = "queue", maxQueue = 1000, maxPending = 10000, maxBuffered = MAX_BUFFERED } = this.#options;
    const link = this.#link;
    if (link && link.size >= maxPending) {
      return call.fail(busy(`${maxPending} calls are waiting for an answer already`));
    }
    // What waits is sent before.
    if (link && !this.#queue.size && link.takes(call)) return this.#send(call);
    const refuse = (why = "") => (
      call.fail(new DisconnectedError(`Socket is: ${this.state()}${why}`, this.report ?? undefined))
    );
    if (!link && (noWait || offline === "reject")) return refuse();
    let size = 0;
    for (const { params = "" } of this.#queue) size += params.length;
    if (this.#queue.size >= maxQueue || size > maxBuffered) {
      return call.fail(busy(`${this.#queue.size} calls of ${size} characters are waiting for a connection already`));
    }
    this.#queue.add(call);
    // A connect() that follows at once is for it, too.
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
    const { errors = {}, maxCalls = 1000, maxMessage, tracebacks } = this.#options;
    this.#link = new Link(wire, {
      maxCalls,
      // Only our own servers announce it, on our own wire.
      maxMessage: maxMessage ?? (protocol && wire.extended ? undefined : Infinity),
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
        const Class = type !== undefined && Object.hasOwn(errors, type) ? errors[type] : RemoteError;
        try {
          return new Class(failure.message, failure);
        } catch {
          return new RemoteError(failure.message, failure); // it takes something else
        }
      },
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
    else this.#dispatch(call); // who was told has closed the connection
  }

  /** @param {CloseReport} report */
  #closed(report) {
    this.#log("closed", report.cause, report.code, report.reason);
    const quiet = report.cause === "local" || report.cause === "peer";
    // Pages of the wsrpc family may compare the text.
    const trouble = /^wsrpc/.test(this.#options.wire ?? "") ? "" : troubleOf(report);
    const error = new DisconnectedError(quiet ? "Connection closed" : `WebSocket error occurred${trouble}`, report);
    const isLast = report.retryAfter === null;
    // What waits since destroy() and connect() waits for the next connection.
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
    return /** @type {typeof Rpc} */ (this.constructor);
  }
}

/** @param {string} message */
const busy = (message) => new RpcError(message, { code: Code.TOO_BUSY });

/**
 * Where and why a connection ended; browsers tell less of it than Node does.
 *
 * @param {CloseReport} report
 */
function troubleOf({ url, cause, reason, error }) {
  const { message, code } = /** @type {any} */ (error ?? {});
  return `${url && `: ${url}`}: ${reason || message || code || cause}`;
}

/**
 * @param {Rpc<any>} rpc
 * @param {string} name
 * @returns {any}
 */
function path(rpc, name) {
  return new Proxy(() => {}, {
    // Whoever awaits this asks for `then`, and must not be told that there is one.
    get: (_, key) => (
      typeof key === "symbol" || key === "then" ? undefined : path(rpc, name ? `${name}.${key}` : key)
    ),
    apply: (_, __, [args, options]) => rpc.call(name, args, options),
  });
}
