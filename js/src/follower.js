/**
 * Follower: a subscriber's half of the promise.
 *
 * Knows up to where it has the topic, drops what it has already, sees what does not follow.
 * What came while the answer to a subscribe was on its way is looked at after it.
 */

/**
 * One thing for the application: a message, or a gap before the next one.
 *
 * @typedef {object} Item
 * @property {string} position where the topic stands after it
 * @property {any} [entry]
 * @property {{ reason: string, missed: number | null }} [gap]
 * @property {number | null} [skipped]
 */

/** Messages that wait for the answer to a subscribe; a server sends none before it. */
const MAX_WAITING = 1000;

/** What came does not follow: subscribe again from the position. */
export class Broken extends Error {}

/**
 * Epoch and offset of a position; null for what is none, one of a later version, say.
 *
 * @param {string | null} position
 */
function parsed(position) {
  const [, epoch, offset] = /^([\w-]{1,16})\.(\d{1,16})\.[\da-f]{1,12}$/.exec(position ?? "") ?? [];
  return epoch ? { epoch, offset: Number(offset) } : null;
}

/** Where a subscriber is in a topic. `position` is what to subscribe from. */
export class Follower {
  isAnswered = false;
  /** @type {(() => Item[])[]} */ #waiting = [];

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
    /** @type {Item[]} */
    const items = recovered === false ? [{ position, gap: { reason, missed } }] : [];
    // Without a position given, or one that is of no use: what comes now is the beginning.
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
  message(message) {
    if (!this.isAnswered) return this.#wait(() => this.message(message));
    const { entries = [], position, skipped = 0 } = message;
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
    /** @type {Item[]} */
    const items = [];
    for (const entry of entries) {
      const { offset, prev = offset - 1, position = last } = entry;
      if (place && end && place.epoch === end.epoch) {
        if (offset <= place.offset) continue; // it has it
        if (!items.length && prev !== place.offset) throw new Broken(`${offset} does not follow ${place.offset}`);
      } else if (place) {
        throw new Broken("another history, without word of it");
      }
      items.push({ position, entry });
    }
    return items;
  }
}
