/**
 * Subscription: one topic, message by message, through all connections.
 *
 * What a loop is too slow for is not kept without end: the subscription is left, and taken
 * up again from its position when the loop has caught up.
 */

import { Emitter } from "./emitter.js";
import { COUNT, FUNCTION, checked, oneOf } from "./options.js";
import { Broken, Follower } from "./follower.js";

/** @import { Listener } from "./emitter.js" */
/** @import { Hub, PublishOptions } from "./hub.js" */
/** @import { Item } from "./follower.js" */
/** @import { Given, Rule } from "./options.js" */

/**
 * @typedef {object} SubscribeOptions
 * @property {string | null | undefined} [since] a position to go on from
 * @property {number | null | undefined} [last] without `since`: how many of the newest to begin with
 * @property {string | (() => string | Promise<string>) | null | undefined} [token] a function is asked
 *   before each subscribe
 * @property {boolean | "watch" | null | undefined} [presence] be present and be told of the others, or
 *   only be told of them
 * @property {number | null | undefined} [maxQueue] messages that wait for a `for await`; 1000
 */

/**
 * @typedef {object} Message
 * @property {any} data
 * @property {number} offset
 * @property {string} position what to give as `since` to have all that comes after it
 * @property {number} [at] when it was stored, in seconds since 1970
 * @property {string} [from] the user who published it; not there for the server itself
 * @property {Record<string, string>} [headers]
 * @property {string} [key]
 * @property {number | null} skipped how many before it were left out, null if that is not known
 */

/** @internal @type {Record<string, Rule | null>} */
export const SUBSCRIBE = {
  since: ["a position", () => true, "string"],
  last: COUNT,
  token: null,
  presence: null,
  maxQueue: COUNT,
};
const TOKEN = [FUNCTION, /** @type {Rule} */ (["a text or a function", () => true, "string"])];
const PAGE = { limit: null };
const HISTORY = { since: null, limit: null, reverse: null };
const PRESENCE = /* @__PURE__ */ oneOf({ watch: 1 });

/** Messages are missing; the subscription goes on after them. */
export class GapError extends Error {
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
    /** Why: "epoch", "trimmed", "ahead", "fork", "slow", "lost", "no-history". */
    this.reason = reason;
    /** How many are missing, null if that is not known. */
    this.missed = missed;
    /** Where the topic stands after them. */
    this.position = position;
  }
}

/**
 * A topic as this page follows it; made by `Hub.subscribe`. Events:
 *
 * - `message` (data, `Message`): each of them, once and in order;
 * - `gap` (`GapError`): messages are missing here;
 * - `subscribed` (answer): after each subscribe, that of a reconnect too; `answer.recovered` is true
 *   where nothing was missed, false after a gap, null without a position;
 * - `presence` ({ joined, left, members, clients, users });
 * - `unsubscribed` (error): it is over, by the server or for want of a connection.
 *
 * `for await (const message of chat)` is the other way to read it: a gap is thrown there, unless
 * somebody listens to `gap`; another loop goes on after it.
 */
export class Subscription extends Emitter {
  /** @internal */
  static EVENTS = ["message", "gap", "subscribed", "presence", "unsubscribed"];

  /** What the server gave in the place of what was missed, the last time. @type {any} */
  snapshot = undefined;
  /** Why it is over. @type {Error | null} */
  error = null;
  /** @internal */ follower;
  /** @internal */ attempt = 0;
  /** @internal */ failures = 0;
  /** @internal */ isRefreshing = false;
  /** @internal @type {any} */ timer;
  #hub;
  #options;
  /** @type {string | null} */ #position;
  /** @type {string | null} */ #taken = null;
  /** @type {Item[]} */ #queue = [];
  /** @type {(() => void)[]} */ #readers = [];
  #isRead = false; // by a loop, some time
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
    if (token !== undefined && !TOKEN.some(([, , type]) => typeof token === type)) {
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
      since: since ?? undefined,
      last: since === null ? last : undefined,
      presence: presence ? { client: this.#hub.name, watch: presence === "watch" } : undefined,
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
    } else if (this.#queue.length > (this.#options.maxQueue ?? 1000) && !this.#isPaused) {
      this.#isPaused = true;
      this.#hub.leave(this);
    }
    if (items.length) this.#wake();
  }

  /** @param {Item} item */
  #tell(item) {
    if (this.#isOver) return; // a listener has ended it
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
    for (;;) {
      if (this.#taken !== null) [this.#position, this.#taken] = [this.#taken, null];
      while (!this.#queue.length) {
        this.#resume();
        if (this.error) throw this.error;
        if (this.#isOver) return;
        await new Promise((resolve) => void this.#readers.push(() => resolve(undefined)));
      }
      const item = /** @type {Item} */ (this.#queue.shift());
      if (this.#queue.length <= (this.#options.maxQueue ?? 1000) / 2) this.#resume();
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
    return found.entries.map((/** @type {any} */ entry) => message({ position: entry.position ?? found.position, entry }));
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
}

/** @param {Item} item @returns {Message} */
function message({ entry: { prev, ...entry }, position, skipped = 0 }) {
  return { data: null, ...entry, position, skipped };
}
