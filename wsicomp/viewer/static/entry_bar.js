/**
 * The line above a slide of a folder: what became of it, the way back to the list, and to its neighbours there.
 */

import { addressOf, PAGE, parseQuestion } from "./archive.js";
import { byId, make } from "./dom.js";
import { savedText } from "./measures.js";

/** @typedef {import("./archive.js").OpenedEntry} OpenedEntry */

/** What the list of keys says of ours. */
export const ENTRY_KEYS = [{ shown: ["PageUp", "PageDown"], says: "the slide before, after, in the folder" }];

/**
 * Put the line above the pictures.
 * @param {OpenedEntry} entry
 * @param {boolean} hasResults whether the slide is one of a comparison
 */
export function startEntryBar(entry, hasResults) {
  const question = parseQuestion(location.search);
  const from = entry.place === null ? 0 : Math.floor(entry.place / PAGE) * PAGE;
  const list = make("a", { href: addressOf({ ...question, from }), class: "back" }, "\u2039 All slides");
  const before = neighbour("Before", entry.previous, question);
  const after = neighbour("After", entry.next, question);
  const place = entry.place === null ? "" : `${(entry.place + 1).toLocaleString("en")} of ${entry.of.toLocaleString("en")}`;
  const steps = make("span", { class: "steps" }, before, make("span", {}, place), after);
  const saved = entry.saved !== null && entry.state !== "failed" && entry.state !== "skipped" ? savedText(entry.saved) : "";
  const outcome = make("span", { class: "outcome", "data-state": entry.state }, [entry.outcome, saved].filter(Boolean).join("; "));
  const bar = make("nav", { id: "entry", "aria-label": "Folder" }, list, outcome, steps);
  if (hasResults) list.after(make("a", { href: "results" }, "The comparison"));
  bar.append(...entry.sentences.map((text) => make("p", { class: "sentence" }, text)));
  byId("work").before(bar);
  addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.target instanceof HTMLInputElement || event.target instanceof HTMLTextAreaElement) return;
    const link = { PageUp: before, PageDown: after }[event.key];
    if (!(link instanceof HTMLAnchorElement)) return;
    event.preventDefault();
    link.click();
  });
}

/**
 * Say that nothing of a slide can be shown; the line above says why.
 * @param {HTMLElement} stage
 */
export function showNothing(stage) {
  document.body.classList.add("panel-closed");
  stage.append(make("p", { id: "nothing" }, "Neither the slide nor a conversion of it can be shown."));
}

/**
 * @param {string} text
 * @param {number | null} entry
 * @param {import("./archive.js").Question} question
 */
function neighbour(text, entry, question) {
  if (entry === null) return make("span", { class: "none", "aria-hidden": "true" }, text);
  return make("a", { href: addressOf(question, entry), rel: text === "After" ? "next" : "prev" }, text);
}
