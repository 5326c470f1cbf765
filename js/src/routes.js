/**
 * Routes: types of our own routes, and of those of the other side, whose table `longwire rpc
 * types` writes.
 *
 *     { add: { params: [a: number, b: number], result: number }, count: { params: [], items: number } }
 *
 * There is no code here.
 */

/** @import { CallOptions } from "./settings.js" */

/**
 * What a route finds as `this`.
 *
 * @typedef {object} Context
 * @property {string} name of the route
 * @property {AbortSignal} signal aborted when the call is cancelled or the connection ends
 * @property {(value?: unknown) => void} resolve answers, for routes added as asynchronous
 * @property {(error: unknown) => void} reject
 */

/** @typedef {{ run: (this: Context, ...args: any[]) => unknown, isAsync: boolean }} Route */

/**
 * Whether a call without arguments is one.
 *
 * @template Params
 * @typedef {[] extends Params ? true : {} extends Params ? true : null extends Params ? true : undefined extends Params ? true : false} NeedsNothing
 */

/**
 * What follows the name of a route in a call: arguments, and options.
 *
 * @template Params, Options
 * @typedef {NeedsNothing<Params> extends true
 *   ? [args?: Params | null | undefined, options?: Options | null | undefined]
 *   : [args: Params, options?: Options | null | undefined]} Arguments
 */

/**
 * The names of those routes that have a `result`, or `items`.
 *
 * @template Routes
 * @template {string} Member
 * @typedef {{ [Name in keyof Routes & string]: Routes[Name] extends { [_ in Member]: any } ? Name : never }[keyof Routes & string]} NamesWith
 */

/**
 * What may come next in a name after `Prefix`.
 *
 * @template Name
 * @template {string} Prefix
 * @typedef {Name extends `${Prefix}${infer Rest}` ? Rest extends `${infer Part}.${string}` ? Part : Rest : never} PartAfter
 */

/**
 * A name, or the beginning of one, as a part of the proxy.
 *
 * @template {Record<keyof Routes, any>} Routes
 * @template {string} Name
 * @typedef {(Name extends NamesWith<Routes, "result">
 *     ? (...rest: Arguments<Routes[Name]["params"], CallOptions>) => Promise<Routes[Name]["result"]>
 *     : unknown)
 *   & { readonly [Part in PartAfter<keyof Routes, `${Name}.`>]: RemotePath<Routes, `${Name}.${Part}`> }} RemotePath
 */

/**
 * Calls as methods. Without a table of routes every name is allowed.
 *
 * @template {Record<keyof Routes, any>} Routes
 * @typedef {string extends keyof Routes ? any
 *   : { readonly [Part in PartAfter<keyof Routes, "">]: RemotePath<Routes, Part> }} RemoteProxy
 */

export {};
