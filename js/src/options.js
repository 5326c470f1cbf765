/**
 * Options: what each may be. One that is undefined or null is as if it were not given, and
 * anything that makes no sense is refused where it is given.
 */

/** @typedef {[expected: string, test: (value: any) => boolean, type: string]} Rule */

/**
 * Options that are given: none of them is null.
 *
 * @template T
 * @typedef {{ [Name in keyof T]: Exclude<T[Name], null> }} Given
 */

/** @type {Rule} */
export const TIME = ["milliseconds > 0, or Infinity", (value) => value > 0, "number"];
/** @type {Rule} */
export const COUNT = [
  "an integer >= 0, or Infinity",
  (value) => value >= 0 && (value === Infinity || Number.isInteger(value)),
  "number",
];
/** @type {Rule} */
export const FUNCTION = ["a function", () => true, "function"];
/** @type {Rule} */
export const OBJECT = ["an object", () => true, "object"];

/** @param {object} names @returns {Rule} */
export const oneOf = (names) => [
  `one of ${Object.keys(names).join(", ")}`, (value) => Object.hasOwn(names, value), "string",
];

/** @param {unknown} value */
function shown(value) {
  if (typeof value === "string") return JSON.stringify(value.slice(0, 60));
  return value && /object|function/.test(typeof value) ? typeof value : String(value);
}

/**
 * Refuse a value that breaks a rule: a TypeError or a RangeError says what is allowed.
 *
 * @param {string} name
 * @param {unknown} value
 * @param {Rule} rule
 */
export function check(name, value, [expected, test, type]) {
  if (typeof value === type && test(value)) return;
  throw new (typeof value === "number" && type === "number" ? RangeError : TypeError)(`${name} must be ${expected}, not ${shown(value)}`);
}

/**
 * Refuse a name that is not one of `names`: it is misspelt, and would do nothing.
 *
 * @param {string} what
 * @param {string} name
 * @param {string[]} names
 */
export function known(what, name, names) {
  if (!names.includes(name)) throw new TypeError(`${what}: ${shown(name)} is not one of ${names.join(", ")}`);
}

/**
 * Return the options that are given, checked. A name that `rules` does not have is refused; null
 * is the rule of an option that is checked elsewhere.
 *
 * @template {object} T
 * @param {T | null | undefined} options
 * @param {Record<string, Rule | null>} rules
 * @param {string} [name]
 * @returns {Given<T>}
 */
export function checked(options, rules, name = "options") {
  if (options !== undefined) check(name, options, OBJECT);
  const given = Object.entries(options ?? {}).filter(([, value]) => value !== undefined && value !== null);
  for (const [key, value] of given) {
    known(name, key, Object.keys(rules));
    if (rules[key]) check(key, value, rules[key]);
  }
  return /** @type {Given<T>} */ (Object.fromEntries(given));
}

/**
 * The same for options that may be switched off or on as a whole.
 *
 * @template {object} T
 * @param {T | boolean} options
 * @param {Record<string, Rule>} rules
 * @param {string} name
 * @returns {Given<T> | false}
 */
export const checkedGroup = (options, rules, name) => (
  options !== false && checked(options === true ? undefined : options, rules, name)
);
