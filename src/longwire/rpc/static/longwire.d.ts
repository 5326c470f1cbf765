/*! longwire 0.1.0, BSD-3-Clause */

/**
 * Errors, told apart by class and by `code`, the code of JSON-RPC.
 *
 *     RpcError              every error of this library
 *     ├── RemoteError       the other side answered with an error
 *     ├── TimeoutError      no answer within the call's `timeout`
 *     └── DisconnectedError there is no connection, or it ended before the answer
 *
 * A call that its `signal` ended rejects with the signal's reason, as `fetch` does.
 */
/** Codes of errors. What JSON-RPC 2.0 names, and ours from -32000 on. */
declare const Code: Readonly<{
    PARSE_ERROR: -32700;
    INVALID_REQUEST: -32600;
    METHOD_NOT_FOUND: -32601;
    INVALID_PARAMS: -32602;
    INTERNAL_ERROR: -32603;
    APPLICATION: -32000;
    NOT_AUTHORISED: -32001;
    TOO_BUSY: -32002;
    DEADLINE: -32003;
    STREAM_MISMATCH: -32004;
    DISCONNECTED: -32005;
    TOO_LARGE: -32006;
    CANCELLED: -32800;
}>;
export type Details = {
    /**
     * one of `Code`, or the application's own
     */
    code?: number;
    /**
     * the name of the exception's class
     */
    type?: string;
    /**
     * what the exception carries beside its message
     */
    data?: unknown;
    /**
     * under which the server's log has an internal error
     */
    id?: string;
    /**
     * where the server allows it
     */
    traceback?: string;
};
/** An error of a call. Thrown by a route, it crosses the wire with all it has. */
declare class RpcError extends Error {
    /** One of `Code`, or the application's own. */
    code: number;
    /** The name of the exception's class on the side that raised it. */
    type: string | undefined;
    /** What the exception carries beside its message. */
    data: unknown;
    /**
     * @param {string} message
     * @param {Details} [details]
     */
    constructor(message: string, details?: Details);
}
/** The other side answered with an error. */
declare class RemoteError extends RpcError {
    /** Under which the server's log has an internal error. */
    id: string | undefined;
    /** Where it was raised, if the server tells. */
    traceback: string | undefined;
    /**
     * @param {string} message
     * @param {Details} [details]
     */
    constructor(message: string, details?: Details);
}
/** No answer came in time; the other side was told to stop. */
declare class TimeoutError extends RpcError {
    /** @param {string} message */
    constructor(message: string);
}
/** There is no connection, or it ended before the answer. */
declare class DisconnectedError extends RpcError {
    /** Why the connection ended, if there was one. */
    report: CloseReport | undefined;
    /**
     * @param {string} message
     * @param {CloseReport} [report]
     */
    constructor(message: string, report?: CloseReport);
}

/** Listeners by event; "onclose" and "close" are the same event. */
export type Listener = (...details: any[]) => unknown;
declare class Emitter {
    #private;
    /**
     * Call `listener` at every `event`; returns a function that ends it.
     *
     * @param {string} event
     * @param {Listener} listener
     * @returns {() => void}
     */
    on(event: string, listener: Listener): () => void;
    /**
     * Stop calling `listener` at `event`.
     *
     * @param {string} event
     * @param {Listener} listener
     */
    off(event: string, listener: Listener): void;
    /**
     * Call `listener` at every `event`; returns a number for `removeEventListener`.
     *
     * @param {string} event
     * @param {Listener} listener
     * @returns {number}
     */
    addEventListener(event: string, listener: Listener): number;
    /**
     * Stop calling a listener, named by its number or by itself.
     *
     * @param {string} event
     * @param {number | Listener} which
     * @returns {boolean} whether there was one
     */
    removeEventListener(event: string, which: number | Listener): boolean;
    /**
     * Return a promise of the next `event`: what listeners get first.
     *
     * @param {string} event
     * @returns {Promise<any>}
     */
    onEvent(event: string): Promise<any>;
    /**
     * Whether anybody listens to `event`.
     *
     * @protected
     * @param {string} event
     */
    protected listens(event: string): boolean;
    /**
     * @protected
     * @param {string} event
     * @param {...unknown} details
     */
    protected emit(event: string, ...details: unknown[]): void;
}
/**
 * Call what a user gave us; its fault is shown and stops nothing of ours.
 *
 * @param {Listener} listener
 * @param {...unknown} details
 */
declare function shielded(listener: Listener, ...details: unknown[]): void;

/**
 * Client: a WebSocket that comes back by itself and says why it went.
 *
 * Knows nothing of what the messages mean. Times are in milliseconds.
 */
export type State = "CONNECTING" | "OPEN" | "CLOSING" | "CLOSED";
/** The names of states, by the number that a WebSocket has for them. */
declare const STATES: readonly ["CONNECTING", "OPEN", "CLOSING", "CLOSED"];
export type Cause = "local" | "peer" | "network" | "refused" | "timeout" | "silence" | "protocol" | "error";
export type CloseReport = {
    cause: Cause;
    /**
     * of the closing frame; 1006 without one
     */
    code: number;
    reason: string;
    /**
     * whether both sides closed properly
     */
    clean: boolean;
    /**
     * whether the connection was ever open
     */
    opened: boolean;
    /**
     * how long it was open
     */
    duration: number;
    /**
     * for how long nothing had come in; null if nothing ever did
     */
    quiet: number | null;
    /**
     * messages that came in
     */
    received: number;
    /**
     * messages that went out
     */
    sent: number;
    /**
     * what was thrown, if anything was
     */
    error: unknown;
    /**
     * the address, without query, user and password; "" if there was none yet
     */
    url: string;
    /**
     * when the next attempt is made, from the end on; null for never,
     * Infinity where it waits for the page to be shown again
     */
    retryAfter: number | null;
};
export type Backoff = {
    /**
     * before the first attempt; 500
     */
    first?: number | null | undefined;
    /**
     * 30 000
     */
    max?: number | null | undefined;
    /**
     * from one attempt to the next; 2
     */
    factor?: number | null | undefined;
    /**
     * the part of each that is left to chance, 0 to 1; 0.5
     */
    jitter?: number | null | undefined;
};
export type Heartbeat = {
    /**
     * silence after which `probe` is sent; 30 000
     */
    interval?: number | null | undefined;
    /**
     * silence after a probe that ends the connection; 10 000
     */
    timeout?: number | null | undefined;
    /**
     * sends something that will be answered; without it, the
     * other side is expected to send something by itself every `interval`
     */
    probe?: (() => void) | null | undefined;
};
export type ClientOptions = {
    /**
     * subprotocols to offer
     */
    protocols?: string | string[] | null | undefined;
    /**
     * the class to use where there is no global one
     */
    WebSocket?: any;
    /**
     * a number: always so long; false: never
     */
    reconnect?: number | boolean | Backoff | null | undefined;
    heartbeat?: boolean | Heartbeat | null | undefined;
    /**
     * 10 000
     */
    openTimeout?: number | null | undefined;
    /**
     * 5 000
     */
    closeTimeout?: number | null | undefined;
    /**
     * bytes accepted by `send` and not yet sent; 16 MiB
     */
    maxBuffered?: number | null | undefined;
};
export type Address = string | URL | (() => string | URL | Promise<string | URL>);
/** Bytes that may wait to be sent. */
declare const MAX_BUFFERED: number;
/** Beyond this, timers of browsers and Node do not wait at all. */
declare const FOR_EVER: number;
/**
 * Return an address a WebSocket takes, made absolute from the page's own.
 *
 * @param {string | URL} url
 * @returns {string}
 */
declare function absolute(url: string | URL): string;
/**
 * A WebSocket that reconnects. Events: `open` (subprotocol), `message` (data), `close`
 * (`CloseReport`), `change` (`State`).
 */
declare class Client extends Emitter {
    #private;
    /**
     * @param {Address} url relative ones are the page's; a function is asked each time
     * @param {ClientOptions | null} [options]
     */
    constructor(url: Address, options?: ClientOptions | null);
    /** The state of the connection; "CLOSED" before `connect()`. */
    get state(): State;
    /**
     * The subprotocol of the open connection, or "".
     *
     * @returns {string}
     */
    get protocol(): string;
    /** Why the last connection or attempt ended; null if none has. */
    get report(): CloseReport | null;
    /** Whether there is a connection or there will be: from `connect()` to `close()`. */
    get wanted(): boolean;
    /** Connect, and again whenever the connection ends. */
    connect(): this;
    /**
     * Close the connection and stay closed.
     *
     * @param {number} [code] 1000, or 3000 to 4999
     * @param {string} [reason]
     */
    close(code?: number, reason?: string): void;
    /**
     * Give up on this connection without waiting for anything, and make another.
     *
     * @param {Cause} cause
     * @param {string} [reason]
     * @param {number} [code]
     */
    drop(cause: Cause, reason?: string, code?: number): void;
    /**
     * Send a message; throws where there is no open connection or too much is unsent.
     *
     * @param {string | ArrayBufferLike | ArrayBufferView | Blob} data
     */
    send(data: string | ArrayBufferLike | ArrayBufferView | Blob): void;
    /** Try now what would be tried later: the next attempt, or a heartbeat. */
    wake(): void;
}

/**
 * RpcStream: the items of a remote async generator, as an async iterator.
 *
 * Holds what has come and was not taken yet, which is never more than `window` items: the
 * other side may send only as many as it was granted, and is granted more when half of
 * them were taken.
 */
export type Control = {
    /**
     * grant so many items more
     */
    more: (count: number) => void;
    /**
     * nobody wants more items
     */
    cancel: () => void;
};
/**
 * @template [T=any]
 * @implements {AsyncIterableIterator<T>}
 */
declare class RpcStream<T = any> implements AsyncIterableIterator<T> {
    #private;
    [Symbol.asyncIterator](): this;
    /** @returns {Promise<IteratorResult<T>>} */
    next(): Promise<IteratorResult<T>>;
    /**
     * Stop the other side; what has come and was not taken is dropped.
     *
     * @param {any} [value]
     * @returns {Promise<IteratorResult<T>>}
     */
    return(value?: any): Promise<IteratorResult<T>>;
}

/** Settings: the options of an `Rpc` and of its calls, and what each may be. */
export type RpcSettings = {
    /**
     * the first of them
     */
    wire?: "longwire.jsonrpc" | "wsrpc" | "wsrpc.1" | null | undefined;
    /**
     * of every call that has none of its own; none
     */
    timeout?: number | null | undefined;
    /**
     * what becomes of calls while there is no
     * connection: they wait for the next attempt and fail with it ("queue", the default), or
     * wait for as long as it takes ("keep"), or fail at once ("reject")
     */
    offline?: "queue" | "keep" | "reject" | null | undefined;
    /**
     * calls that may wait for a connection; 1000
     */
    maxQueue?: number | null | undefined;
    /**
     * calls that may wait for an answer; 10 000
     */
    maxPending?: number | null | undefined;
    /**
     * calls of the other side at a time; 1000
     */
    maxCalls?: number | null | undefined;
    /**
     * bytes that the other side takes in one message; our
     * servers announce it
     */
    maxMessage?: number | null | undefined;
    /**
     * tell the other side the stacks of what routes throw
     */
    tracebacks?: boolean | null | undefined;
    /**
     * classes for errors of the other side, by the names of their types there
     */
    errors?: Record<string, new (message: string, details: Details) => Error> | null | undefined;
    /**
     * sees every message
     */
    onFrame?: ((text: unknown, direction: "in" | "out") => void) | null | undefined;
};
export type RpcOptions = ClientOptions & RpcSettings;
export type CallOptions = {
    /**
     * gives the call up, and tells the other side
     */
    signal?: AbortSignal | null | undefined;
    /**
     * after which it is given up; null or Infinity for never
     */
    timeout?: number | null | undefined;
    /**
     * fail rather than wait for a connection
     */
    noWait?: boolean | null | undefined;
};
export type StreamOptions = {
    /**
     * ends the stream with its reason
     */
    signal?: AbortSignal | null | undefined;
    /**
     * items that may be under way, 1 to 1024; 16
     */
    window?: number | null | undefined;
    /**
     * call again after a reconnect; a
     * function is told when that happens: what was sent meanwhile is missing
     */
    resubscribe?: boolean | (() => void) | null | undefined;
    /**
     * fail rather than wait for a connection
     */
    noWait?: boolean | null | undefined;
};

/**
 * Routes: types of our own routes, and of those of the other side, whose table `longwire rpc
 * types` writes.
 *
 *     { add: { params: [a: number, b: number], result: number }, count: { params: [], items: number } }
 *
 * There is no code here.
 */
export type Context = {
    /**
     * of the route
     */
    name: string;
    /**
     * aborted when the call is cancelled or the connection ends
     */
    signal: AbortSignal;
    /**
     * answers, for routes added as asynchronous
     */
    resolve: (value?: unknown) => void;
    reject: (error: unknown) => void;
};
export type Route = {
    run: (this: Context, ...args: any[]) => unknown;
    isAsync: boolean;
};
export type NeedsNothing<Params> = [] extends Params ? true : {} extends Params ? true : null extends Params ? true : undefined extends Params ? true : false;
export type Arguments<Params, Options> = NeedsNothing<Params> extends true ? [args?: Params | null | undefined, options?: Options | null | undefined] : [args: Params, options?: Options | null | undefined];
export type NamesWith<Routes, Member extends string> = {
    [Name in keyof Routes & string]: Routes[Name] extends {
        [_ in Member]: any;
    } ? Name : never;
}[keyof Routes & string];
export type PartAfter<Name, Prefix extends string> = Name extends `${Prefix}${infer Rest}` ? Rest extends `${infer Part}.${string}` ? Part : Rest : never;
export type RemotePath<Routes extends Record<keyof Routes, any>, Name extends string> = (Name extends NamesWith<Routes, "result"> ? (...rest: Arguments<Routes[Name]["params"], CallOptions>) => Promise<Routes[Name]["result"]> : unknown) & {
    readonly [Part in PartAfter<keyof Routes, `${Name}.`>]: RemotePath<Routes, `${Name}.${Part}`>;
};
export type RemoteProxy<Routes extends Record<keyof Routes, any>> = string extends keyof Routes ? any : {
    readonly [Part in PartAfter<keyof Routes, "">]: RemotePath<Routes, Part>;
};

/**
 * Rpc: calls in both directions over a connection that comes back by itself.
 *
 *     const rpc = new Rpc("/rpc").connect();
 *     rpc.addRoute("whoAreYou", () => navigator.userAgent);
 *     await rpc.call("add", [1, 2]);
 *     for await (const price of rpc.stream("prices", { of: "tea" })) show(price);
 */
/**
 * Calls in both directions. Events: `connect` (subprotocol), `close` (`CloseReport`), `error`
 * (what no call can be told), `change` (`State`), `resubscribe` (name of the stream).
 *
 * For TypeScript, `Routes` may name what the server has, as `longwire rpc types` writes it:
 * `{ add: { params: [a: number, b: number], result: number }, count: { params: [], items: number } }`.
 *
 * @template {Record<keyof Routes, any>} [Routes=Record<string, any>]
 */
declare class Rpc<Routes extends Record<keyof Routes, any> = Record<string, any>> extends Emitter {
    #private;
    /** Whether to show on the console what happens; without arguments. */
    static DEBUG: boolean;
    /** Whether to show every message on the console. */
    static TRACE: boolean;
    /**
     * @param {Address} url relative ones are the page's; a function is
     *   asked before each attempt
     * @param {RpcOptions | null} [options]
     */
    constructor(url: Address, options?: RpcOptions | null);
    /** Connect, and again whenever the connection ends. */
    connect(): this;
    /**
     * Close the connection and stay closed; every call that waits fails, and so does every
     * other until `connect()`.
     *
     * @param {number} [code]
     * @param {string} [reason]
     */
    destroy(code?: number, reason?: string): void;
    /**
     * The state of the connection: "CONNECTING", "OPEN", "CLOSING" or "CLOSED".
     *
     * @returns {State}
     */
    state(): State;
    /** The state as the number that a WebSocket has for it. */
    stateCode(): number;
    /** Why the last connection ended, or the last attempt failed. */
    get report(): CloseReport | null;
    /** Try now what would be tried later: the next attempt, or a heartbeat. */
    wake(): void;
    /**
     * Call a route of the other side. An array has the arguments by position, an object by
     * name; nothing is no argument, and any other value is one.
     *
     * @template {NamesWith<Routes, "result">} Name
     * @param {Name} name
     * @param {Arguments<Routes[Name]["params"], CallOptions>} rest
     * @returns {Promise<Routes[Name]["result"]>}
     */
    call<Name extends NamesWith<Routes, "result">>(name: Name, ...rest: Arguments<Routes[Name]["params"], CallOptions>): Promise<Routes[Name]["result"]>;
    /**
     * Call a route of the other side that need not answer. The promise tells that it was
     * sent, and may be left alone.
     *
     * @template {keyof Routes & string} Name
     * @param {Name} name
     * @param {Arguments<Routes[Name]["params"], CallOptions>} rest
     * @returns {Promise<void>}
     */
    notify<Name extends keyof Routes & string>(name: Name, ...rest: Arguments<Routes[Name]["params"], CallOptions>): Promise<void>;
    /**
     * Ask for the items of a route that is a stream.
     *
     * @template {NamesWith<Routes, "items">} Name
     * @param {Name} name
     * @param {Arguments<Routes[Name]["params"], StreamOptions>} rest
     * @returns {RpcStream<Routes[Name]["items"]>}
     */
    stream<Name extends NamesWith<Routes, "items">>(name: Name, ...rest: Arguments<Routes[Name]["params"], StreamOptions>): RpcStream<Routes[Name]["items"]>;
    /**
     * Calls as methods: `rpc.proxy.a.b(args)` is `rpc.call("a.b", args)`. A route whose
     * name ends with `then` can only be called by `call`.
     *
     * @returns {RemoteProxy<Routes>}
     */
    get proxy(): RemoteProxy<Routes>;
    /**
     * Let the other side call `run`. It gets an array of arguments by position and anything
     * else as one; what it returns, or the promise of it, is the answer, and what an async
     * generator yields is a stream. `this` has `signal`, `name`, `resolve` and `reject`.
     *
     * @param {string} name
     * @param {(this: Context, ...args: any[]) => unknown} run
     * @param {boolean} [isAsync] the answer is what `this.resolve` or `this.reject` is given
     */
    addRoute(name: string, run: (this: Context, ...args: any[]) => unknown, isAsync?: boolean): void;
    /**
     * @param {string} name
     * @returns {boolean} whether there was one
     */
    deleteRoute(name: string): boolean;
    /**
     * Call `listener` with every event of the server: a message that is neither call nor
     * answer, or a notification no route takes.
     *
     * @param {(event: any) => unknown} listener
     * @returns {number}
     */
    addServerEventListener(listener: (event: any) => unknown): number;
    /**
     * @param {number} id
     * @returns {boolean} whether there was one
     */
    removeServerEventListener(id: number): boolean;
    /**
     * Send a message as it is: text, or anything else as JSON.
     *
     * @param {unknown} data
     */
    sendRaw(data: unknown): void;
    /** A promise with what settles it. */
    defer(): {
        promise: Promise<any>;
        resolve: (value?: any) => void;
        reject: (error: unknown) => void;
    };
}

/**
 * Follower: a subscriber's half of the promise.
 *
 * Knows up to where it has the topic, drops what it has already, sees what does not follow.
 * What came while the answer to a subscribe was on its way is looked at after it.
 */
export type Item = {
    /**
     * where the topic stands after it
     */
    position: string;
    entry?: any;
    gap?: {
        reason: string;
        missed: number | null;
    };
    skipped?: number | null;
};
/** What came does not follow: subscribe again from the position. */
declare class Broken extends Error {
}
/** Where a subscriber is in a topic. `position` is what to subscribe from. */
declare class Follower {
    #private;
    position: string | null;
    isAnswered: boolean;
    /** @param {string | null} since */
    constructor(since: string | null);
    /** A subscribe is on its way. */
    asked(): void;
    /**
     * Take the answer; return what is new, with what came meanwhile. Throws `Broken`.
     *
     * @param {any} answer
     */
    answered({ recovered, reason, missed, position, entries }: any): Item[];
    /**
     * Take a message; return what is new in it. Throws `Broken`.
     *
     * @param {any} message
     * @returns {Item[]}
     */
    message(message: any): Item[];
    /**
     * Take word of a gap.
     *
     * @param {any} gap
     * @returns {Item[]}
     */
    gap(gap: any): Item[];
}

/**
 * Subscription: one topic, message by message, through all connections.
 *
 * What a loop is too slow for is not kept without end: the subscription is left, and taken
 * up again from its position when the loop has caught up.
 */
export type SubscribeOptions = {
    /**
     * a position to go on from
     */
    since?: string | null | undefined;
    /**
     * without `since`: how many of the newest to begin with
     */
    last?: number | null | undefined;
    /**
     * a function is asked
     * before each subscribe
     */
    token?: string | (() => string | Promise<string>) | null | undefined;
    /**
     * be present and be told of the others, or
     * only be told of them
     */
    presence?: boolean | "watch" | null | undefined;
    /**
     * messages that wait for a `for await`; 1000
     */
    maxQueue?: number | null | undefined;
};
export type Message = {
    data: any;
    offset: number;
    /**
     * what to give as `since` to have all that comes after it
     */
    position: string;
    /**
     * when it was stored, in seconds since 1970
     */
    at?: number;
    /**
     * the user who published it; not there for the server itself
     */
    from?: string;
    headers?: Record<string, string>;
    key?: string;
    /**
     * how many before it were left out, null if that is not known
     */
    skipped: number | null;
};
/** Messages are missing; the subscription goes on after them. */
declare class GapError extends Error {
    topic: string;
    /** Why: "epoch", "trimmed", "ahead", "fork", "slow", "lost", "no-history". */
    reason: string;
    /** How many are missing, null if that is not known. */
    missed: number | null;
    /** Where the topic stands after them. */
    position: string;
    /**
     * @param {string} topic
     * @param {string} reason
     * @param {number | null} missed
     * @param {string} position
     */
    constructor(topic: string, reason: string, missed: number | null, position: string);
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
declare class Subscription extends Emitter {
    #private;
    topic: string;
    /** What the server gave in the place of what was missed, the last time. @type {any} */
    snapshot: any;
    /** Why it is over. @type {Error | null} */
    error: Error | null;
    /**
     * Up to where messages were dealt with: keep this. It moves when the listeners of a message
     * have returned, or the loop asks for the next one.
     */
    get position(): string | null;
    /**
     * @param {string} event
     * @param {Listener} listener
     */
    addEventListener(event: string, listener: Listener): number;
    /** End it; who iterates gets to the end. */
    unsubscribe(): void;
    /** @returns {AsyncGenerator<Message, void, void>} */
    [Symbol.asyncIterator](): AsyncGenerator<Message, void, void>;
    /**
     * Publish a message on this topic.
     *
     * @param {unknown} data
     * @param {PublishOptions} [options]
     */
    publish(data: unknown, options?: PublishOptions): Promise<{
        offset: number;
        position: string;
        duplicate?: boolean;
    }>;
    /**
     * Stored messages after a position, or before it, the newest first; throws `GapError` where
     * `since` is no place to go on from.
     *
     * @param {{ since?: string, limit?: number, reverse?: boolean }} [options]
     * @returns {Promise<Message[]>}
     */
    history(options?: {
        since?: string;
        limit?: number;
        reverse?: boolean;
    }): Promise<Message[]>;
    /**
     * Who is present.
     *
     * @param {{ limit?: number }} [options]
     * @returns {Promise<{ members: any[], clients: number, users: number, you?: string }>}
     */
    presence(options?: {
        limit?: number;
    }): Promise<{
        members: any[];
        clients: number;
        users: number;
        you?: string;
    }>;
}

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
export type PublishOptions = {
    /**
     * a message with the same one is stored once: so it may be tried again
     */
    id?: string | null | undefined;
    /**
     * for topics that keep the latest of each
     */
    key?: string | null | undefined;
};
/** Codes of the hub's errors, beside those of `Code`. */
declare const HubCode: Readonly<{
    UNKNOWN_TOPIC: -32010;
    NOT_SUBSCRIBED: -32011;
    TOO_LARGE: -32012;
    BROKER_UNAVAILABLE: -32013;
    TOKEN_EXPIRED: -32014;
    TOO_MANY_SUBSCRIPTIONS: -32015;
    OPTION_OFF: -32016;
}>;
/** The hub of a server, as a page sees it. */
declare class Hub {
    #private;
    /** Who this page is where it is present: the same through all connections. */
    name: string;
    /**
     * @param {Rpc<any>} rpc
     * @param {{ prefix?: string | null | undefined }} [options] `prefix`: that of the server's hub; "hub"
     */
    constructor(rpc: Rpc<any>, options?: {
        prefix?: string | null | undefined;
    });
    /**
     * Follow a topic, from now on or from a position.
     *
     * @param {string} topic
     * @param {SubscribeOptions | null} [options]
     */
    subscribe(topic: string, options?: SubscribeOptions | null): Subscription;
    /**
     * Publish a message; tells its `offset` and `position` when it is stored.
     *
     * @param {string} topic
     * @param {unknown} data
     * @param {PublishOptions} [options]
     * @returns {Promise<{ offset: number, position: string, duplicate?: boolean }>}
     */
    publish(topic: string, data: unknown, options?: PublishOptions): Promise<{
        offset: number;
        position: string;
        duplicate?: boolean;
    }>;
    /** End all subscriptions; the connection remains. */
    close(): void;
}

/**
 * WSRPC: the client object of the wsrpc family, with or without `new`.
 *
 *     RPC = WSRPC("/ws/", 5000);
 *     RPC.connect();
 *     RPC.call("test").then(show);
 */
/**
 * Return an `Rpc` that speaks as pages of that family do: today's wire unless `options.wire`
 * says "wsrpc.1" (the one of wsrpc-tornado) or "longwire.jsonrpc". Of the first two it offers
 * no subprotocol, because those servers know none.
 *
 * @param {string | URL} url
 * @param {number | null} [reconnectTimeout] milliseconds; 1000
 * @param {RpcOptions | null} [options]
 * @returns {Rpc}
 */
declare function make(url: string | URL, reconnectTimeout?: number | null, options?: RpcOptions | null): Rpc;
export type WSRPCClass = typeof Rpc & typeof make & (new (...args: Parameters<typeof make>) => Rpc);
declare const WSRPC: WSRPCClass;

export { Client, Code, DisconnectedError, RemoteError, RpcError, TimeoutError, Hub, HubCode, Rpc, RpcStream, GapError, Subscription, WSRPC };
