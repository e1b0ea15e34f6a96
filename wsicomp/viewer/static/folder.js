/**
 * The slides of a folder as cards: searched, sorted, and each opened by a click.
 */

import { addressOf, askArchive, ORDERS, PAGE, parseQuestion } from "./archive.js";
import { button, byId, chooser, make } from "./dom.js";
import { bytesText, savedText } from "./measures.js";
import { announce, sayError, watchServer } from "./messages.js";

/** @typedef {import("./archive.js").Entry} Entry */
/** @typedef {import("./archive.js").ArchivePage} ArchivePage */
/** @typedef {import("./archive.js").Question} Question */

const TYPED_MS = 250;
const AGAIN_MS = 10000;
const STATES = [
  ["look", "to look at"],
  ["failed", "failed"],
  ["skipped", "skipped"],
  ["running", "at work"],
  ["waiting", "waiting"],
  ["done", "done"],
];

/**
 * Shows the slides of a folder.
 * @param {import("./session.js").Session} session
 * @param {HTMLElement} stage
 */
export function startFolder(session, stage) {
  document.body.classList.add("folder", "panel-closed");
  stage.setAttribute("aria-label", `Slides of ${session.title}`);
  const list = new SlideCards(stage);
  if (session.results) list.totals.after(make("p", {}, make("a", { href: "results" }, "The comparison of these slides")));
  watchServer(() => list.show());
  addEventListener("popstate", () => list.reopen());
  list.show();
  Object.assign(window, { wsicomp: { list, session } });
}

/** The list: what was asked for, and the cards that answer it. */
class SlideCards {
  /** @param {HTMLElement} stage */
  constructor(stage) {
    this.question = parseQuestion(location.search);
    this.asked = new AbortController();
    this.shown = "";
    this.timer = 0;
    this.totals = make("p", { id: "totals" });
    this.states = make("div", { id: "states", role: "group", "aria-label": "Which slides" });
    this.count = make("p", { id: "found", class: "note" });
    this.cards = make("ul", { id: "cards" });
    this.pages = make("nav", { id: "pages", "aria-label": "Pages" });
    this.search = make("input", { type: "search", id: "find", placeholder: "Find a name or an outcome", "aria-label": "Find" });
    this.order = chooser("Order", ORDERS, this.question.order, (order) => this.ask({ order, from: 0 }));
    const tools = make("div", { id: "list-tools" }, this.search, this.order);
    stage.append(make("div", { id: "folder" }, this.totals, this.states, tools, this.count, this.cards, this.pages));
    this.listen();
  }

  listen() {
    let timer = 0;
    this.search.addEventListener("input", () => {
      clearTimeout(timer);
      timer = window.setTimeout(() => this.ask({ find: this.search.value.trim(), from: 0 }), TYPED_MS);
    });
    this.cards.addEventListener("keydown", (event) => this.step(event));
    addEventListener("keydown", (event) => {
      if (event.key !== "/" || event.target instanceof HTMLInputElement) return;
      event.preventDefault();
      this.search.focus();
    });
    document.addEventListener("visibilitychange", () => this.again());
  }

  /**
   * Ask another question, and keep it in the address.
   * @param {Partial<Question>} changed
   */
  ask(changed) {
    this.question = { ...this.question, ...changed };
    const address = addressOf(this.question);
    if ("from" in changed && changed.from) history.pushState(null, "", address);
    else history.replaceState(null, "", address);
    this.show().then(() => byId("folder").scrollTo(0, 0));
  }

  reopen() {
    this.question = parseQuestion(location.search);
    this.show();
  }

  /** Show the answer to the question as it is now. */
  async show() {
    this.asked.abort();
    this.asked = new AbortController();
    this.search.value = this.question.find;
    this.order.value = this.question.order;
    try {
      const found = await askArchive(this.question, this.asked.signal);
      const text = JSON.stringify([found, this.question]);
      if (text !== this.shown) this.draw(found);
      this.shown = text;
      this.again(found);
    } catch (error) {
      sayError(error);
    }
  }

  /**
   * Ask again after a while, as long as a batch is at work and somebody looks.
   * @param {ArchivePage} [found]
   */
  again(found) {
    if (found) this.isGrowing = Boolean(found.totals.states.running || found.totals.states.waiting);
    clearTimeout(this.timer);
    if (this.isGrowing && !document.hidden) this.timer = window.setTimeout(() => this.show(), AGAIN_MS);
  }

  /** @param {ArchivePage} found */
  draw(found) {
    const focused = document.activeElement instanceof HTMLAnchorElement ? document.activeElement.dataset.entry : undefined;
    this.totals.textContent = totalsText(found);
    this.states.replaceChildren(...this.stateButtons(found));
    this.count.textContent = foundText(found);
    announce(foundText(found));
    this.cards.replaceChildren(...found.entries.map((entry) => card(entry, addressOf(this.question, entry.entry))));
    this.pages.replaceChildren(...this.pageButtons(found));
    if (focused) this.links().find((link) => link.dataset.entry === focused)?.focus();
  }

  /** @param {ArchivePage} found */
  stateButtons({ totals, ledger }) {
    if (!ledger) return [];
    const choices = [["", "all"], ...STATES].filter(([state]) => !state || totals.states[state] || state === this.question.state);
    return choices.map(([state, text]) => {
      const count = state ? (totals.states[state] ?? 0) : totals.slides;
      const label = `${count.toLocaleString("en")} ${text}`;
      const pressed = String(state === this.question.state);
      return button(label, () => this.ask({ state, from: 0 }), { "aria-pressed": pressed, "data-state": state });
    });
  }

  /** @param {ArchivePage} found */
  pageButtons({ found, from }) {
    if (found <= PAGE && !from) return [];
    const back = button("\u2039 Before", () => this.ask({ from: Math.max(0, from - PAGE) }));
    const on = button("After \u203a", () => this.ask({ from: from + PAGE }));
    back.disabled = from === 0;
    on.disabled = from + PAGE >= found;
    const of = make("span", {}, `page ${Math.floor(from / PAGE) + 1} of ${Math.max(1, Math.ceil(found / PAGE))}`);
    return [back, of, on];
  }

  links() {
    return [...this.cards.querySelectorAll("a")];
  }

  /**
   * Move the focus from card to card.
   * @param {KeyboardEvent} event
   */
  step(event) {
    const links = this.links();
    const place = links.findIndex((link) => link === document.activeElement);
    const columns = links.filter((link) => link.offsetTop === links[0].offsetTop).length;
    const steps = /** @type {Record<string, number>} */ ({ ArrowRight: 1, ArrowLeft: -1, ArrowDown: columns, ArrowUp: -columns });
    if (place < 0 || !(event.key in steps)) return;
    event.preventDefault();
    links[place + steps[event.key]]?.focus();
  }
}

/**
 * Return a slide's card.
 * @param {Entry} entry
 * @param {string} address
 */
function card(entry, address) {
  const picture = make("img", {
    src: `entry-thumbnail/${entry.entry}?stamp=${encodeURIComponent(entry.stamp)}`,
    loading: "lazy",
    decoding: "async",
    alt: "",
  });
  const facts = make("span", { class: "sizes" }, sizesText(entry));
  if (entry.saved !== null && entry.state !== "failed" && entry.state !== "skipped") {
    facts.append(make("b", { class: entry.saved < 0 ? "larger" : "saved" }, savedText(entry.saved)));
  }
  const link = make("a", { href: address, "data-entry": entry.entry, "data-state": entry.state });
  link.append(make("span", { class: "frame" }, picture), make("span", { class: "name", title: entry.name }, entry.name));
  if (entry.outcome) link.append(make("span", { class: "outcome" }, entry.outcome));
  link.append(facts);
  if (entry.error) link.append(make("span", { class: "why", title: entry.error }, entry.error));
  return make("li", {}, link);
}

/** @param {Entry} entry */
function sizesText({ source_bytes, target_bytes, state }) {
  if (!target_bytes || state === "failed" || state === "skipped") return bytesText(source_bytes);
  return `${bytesText(source_bytes)} \u2192 ${bytesText(target_bytes)}`;
}

/** @param {ArchivePage} found */
function totalsText({ totals, ledger }) {
  const slides = `${totals.slides.toLocaleString("en")} ${totals.slides === 1 ? "slide" : "slides"}`;
  if (!ledger) return `${slides}, ${bytesText(totals.bytes)}.`;
  if (totals.saved === null) return `${slides}, ${bytesText(totals.bytes)}; none is converted yet.`;
  return `${slides}; ${bytesText(totals.source_bytes)} became ${bytesText(totals.target_bytes)}, ${savedText(totals.saved)}.`;
}

/** @param {ArchivePage} found */
function foundText({ found, totals, from, entries }) {
  if (found === 0) return "No slide is like that.";
  const part = entries.length < found ? `${from + 1} to ${from + entries.length} of ` : "";
  const all = found === totals.slides ? "" : ` of ${totals.slides.toLocaleString("en")}`;
  return `Shown: ${part}${found.toLocaleString("en")}${all}`;
}
