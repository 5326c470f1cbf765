/**
 * Hub: topics of a server, followed through all connections.
 *
 *     const rpc = new Rpc("/rpc").connect();
 *     const chat = new Hub(rpc).subscribe("chat:42", { since: localStorage.at, last: 50 });
 *     chat.on("message", (data) => show(data));
 *     chat.on("gap", () => reload());
 *
 * After a reconnect all topics are subscribed to in one call, each from its position.
 */

import { Code, RemoteError } from "./errors.js";
import { FUNCTION, OBJECT, check, checked } from "./options.js";
import { NAME } from "./settings.js";
import { SUBSCRIBE, Subscription } from "./subscription.js";
import { told } from "./wires.js";

/** @import { SubscribeOptions } from "./subscription.js" */
/** @import { Rpc } from "./rpc.js" */

/**
 * @typedef {object} PublishOptions
 * @property {string | null | undefined} [id] a message with the same one is stored once: so it may be tried again
 * @property {string | null | undefined} [key] for topics that keep the latest of each
 */

/** Codes of the hub's errors, beside those of `Code`. */
export const HubCode = /* @__PURE__ */ Object.freeze({
  UNKNOWN_TOPIC: -32010,
  NOT_SUBSCRIBED: -32011,
  TOO_LARGE: -32012,
  BROKER_UNAVAILABLE: -32013,
  TOKEN_EXPIRED: -32014,
  TOO_MANY_SUBSCRIPTIONS: -32015,
  OPTION_OFF: -32016,
});

const TOPICS_PER_CALL = 512;
const TEXT_PER_CALL = 1e5; // characters, with tokens: servers take messages of 256 KiB
const MAX_DELAY = 30000;

/** The hub of a server, as a page sees it. */
export class Hub {
  /** Who this page is where it is present: the same through all connections. */
  name = Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
  #rpc;
  #prefix;
  /** @type {Map<string, Subscription>} */ #subs = new Map();
  /** @type {Set<Subscription>} */ #waiting = new Set();
  #isSubscribing = false;
  /** @type {(() => void)[]} */ #ends = [];

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
      message: (/** @type {any} */ params) => this.#take(params, (sub) => sub.take(() => sub.follower.message(params))),
      gap: (/** @type {any} */ params) => this.#take(params, (sub) => sub.take(() => sub.follower.gap(params))),
      presence: (/** @type {any} */ params) => this.#take(params, (sub) => sub.present(params)),
      unsubscribed: (/** @type {any} */ params) => this.#take(params, (sub) => this.#ended(sub, params)),
      expiring: (/** @type {any} */ params) => this.#take(params, (sub) => this.#refresh(sub)),
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
      }),
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
    /** @type {{ sub: Subscription, attempt: number, params: object }[]} */
    const asked = [];
    for (const each of found) {
      if (!each || each.sub.attempt !== each.attempt) continue;
      size += JSON.stringify(each.params).length;
      if (asked.length && size > TEXT_PER_CALL) this.#waiting.add(each.sub);
      else asked.push(each);
    }
    if (!asked.length || this.#rpc.state() !== "OPEN") return;
    // Not awaited: those who wait need not wait for it.
    this.call("subscribe", { topics: asked.map(({ params }) => params) }).then(
      (answers) => asked.forEach(({ sub, attempt }, index) => this.#answered(sub, attempt, answers?.[index])),
      (error) => asked.forEach(({ sub, attempt }) => this.#refused(sub, attempt, error)),
    );
  }

  /** @param {Subscription} sub */
  async #wanted(sub) {
    if (!sub.isWanted) return null;
    const { attempt } = sub;
    try {
      return { sub, attempt, params: await sub.wanted() };
    } catch (error) {
      if (sub.attempt === attempt) this.#fail(sub, error);
      return null;
    }
  }

  /**
   * @param {Subscription} sub
   * @param {number} attempt
   * @param {any} answer
   */
  #answered(sub, attempt, answer) {
    if (answer?.error) {
      const failure = told(answer.error);
      return this.#refused(sub, attempt, new RemoteError(failure.message, failure));
    }
    if (typeof answer?.position !== "string") {
      return this.#refused(sub, attempt, new RemoteError("the answer to a subscribe has no position"));
    }
    if (sub.attempt === attempt && sub.isWanted) sub.answered(answer);
    // It was left while this was on its way: the server does not know that.
    else if (!this.#subs.get(sub.topic)?.isWanted) this.#unsubscribe(sub.topic);
  }

  /**
   * A subscribe failed: try again where that may help, or end.
   *
   * @param {Subscription} sub
   * @param {number} attempt
   * @param {any} error
   */
  #refused(sub, attempt, error) {
    // After a lost connection, the next one subscribes to everything.
    if (sub.attempt !== attempt || error?.code === Code.DISCONNECTED) return;
    const { code, data } = error ?? {};
    const isBusy = code === HubCode.BROKER_UNAVAILABLE || code === Code.TOO_BUSY || code === Code.DEADLINE;
    if (!isBusy && !(code === HubCode.TOKEN_EXPIRED && sub.hasTokens)) return this.#fail(sub, error);
    const least = data?.retry > 0 ? data.retry : 1000;
    this.#later(sub, Math.min(least * 2 ** Math.min(sub.failures++, 10), MAX_DELAY) * (0.75 + Math.random() / 2));
  }

  /**
   * @param {Subscription} sub
   * @param {number} delay
   */
  #later(sub, delay) {
    const { attempt } = sub;
    clearTimeout(sub.timer);
    const timer = (sub.timer = setTimeout(() => {
      if (sub.attempt === attempt && this.#subs.get(sub.topic) === sub && sub.isWanted) this.renew(sub);
    }, delay));
    /** @type {any} */ (timer).unref?.(); // no reason for Node to stay: the connection is one
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
    // Where there is no connection there is no subscription.
    if (this.#rpc.state() === "OPEN") this.call("unsubscribe", { topic }).catch(() => {});
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
    // An answer that came before it in the same turn, as on Node, is told by a promise.
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
    if (again) this.#later(sub, Math.random() * 1000);
    else this.#fail(sub, new RemoteError(`${sub.topic}: ${reason || code}`, { code: HubCode.NOT_SUBSCRIBED, data: { code } }));
  }

  /** @param {Subscription} sub */
  async #refresh(sub) {
    if (!sub.hasTokens || sub.isRefreshing) return;
    sub.isRefreshing = true;
    try {
      await this.call("refresh", { topic: sub.topic, token: await sub.token() });
    } catch {
      // The end comes as a notification, and then it is subscribed to anew.
    } finally {
      sub.isRefreshing = false;
    }
  }
}
