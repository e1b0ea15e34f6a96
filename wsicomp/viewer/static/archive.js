/**
 * What the server says of a folder's slides, and the question that chooses among them.
 */

import { askJson } from "./server.js";

/**
 * @typedef {object} Entry a slide of the folder
 * @property {number} entry its number
 * @property {string} name
 * @property {string} state "" without a ledger
 * @property {string} outcome what became of it, in words
 * @property {number} source_bytes
 * @property {number | null} target_bytes
 * @property {number | null} saved
 * @property {string} error
 * @property {string} stamp changes with the conversion
 */

/**
 * @typedef {Entry & {previous: number | null, next: number | null, place: number | null, of: number, sentences: string[]}} OpenedEntry
 */

/**
 * @typedef {object} Totals
 * @property {number} slides
 * @property {Record<string, number>} states
 * @property {number} bytes
 * @property {number} source_bytes of those that are converted
 * @property {number} target_bytes
 * @property {number | null} saved
 */

/** @typedef {{name: string, ledger: boolean, totals: Totals, found: number, from: number, entries: Entry[]}} ArchivePage */
/** @typedef {{find: string, state: string, order: string, from: number}} Question */

export const PAGE = 60;

/** The orders of the list, as people read them. */
export const ORDERS = [
  { value: "name", text: "By name" },
  { value: "outcome", text: "What needs a look first" },
  { value: "saved", text: "Most saved first" },
  { value: "least-saved", text: "Least saved first" },
  { value: "largest", text: "Largest first" },
  { value: "smallest", text: "Smallest first" },
];

/**
 * Return the question that an address holds.
 * @param {string} search what is behind the address's question mark
 * @returns {Question}
 */
export function parseQuestion(search) {
  const found = new URLSearchParams(search);
  const order = ORDERS.find(({ value }) => value === found.get("order"))?.value ?? "name";
  const from = Math.max(0, Math.floor(Number(found.get("from"))) || 0);
  return { find: found.get("find") ?? "", state: found.get("state") ?? "", order, from };
}

/**
 * Return the address of the list, or of one of its slides.
 * @param {Question} question
 * @param {number | null} [entry]
 */
export function addressOf({ find, state, order, from }, entry = null) {
  const words = new URLSearchParams();
  if (entry !== null) words.set("entry", String(entry));
  if (find) words.set("find", find);
  if (state) words.set("state", state);
  if (order !== "name") words.set("order", order);
  if (from > 0 && entry === null) words.set("from", String(from));
  return `?${words}`;
}

/**
 * Return a part of the list.
 * @param {Question} question
 * @param {AbortSignal} signal
 * @returns {Promise<ArchivePage>}
 */
export async function askArchive(question, signal) {
  const words = new URLSearchParams({ ...question, from: String(question.from), count: String(PAGE) });
  return askJson(`archive.json?${words}`, { signal });
}
