/**
 * The codecs that were tried on one view, smallest first, to compare them.
 */

import { button, make } from "./dom.js";
import { bytesText, ssimText } from "./measures.js";

/** @typedef {import("./playground.js").Figures} Figures */

const COLUMNS = ["Codec", "Bytes", "Of source", "SSIM", "PSNR dB"];
const MOST_ROWS = 12;

/** A table with a row for each codec and quality; a new view empties it. */
export class TriedTable {
  /** @param {(codec: string) => void} onChoice called with a codec that is to be shown again */
  constructor(onChoice) {
    this.onChoice = onChoice;
    this.view = "";
    /** @type {Map<string, Figures>} */
    this.rows = new Map();
    this.body = make("tbody");
    const head = make("tr", {}, ...COLUMNS.map((name) => make("th", { scope: "col" }, name)));
    const table = make("table", {}, make("caption", {}, "Tried on this view"), make("thead", {}, head), this.body);
    this.element = make("div", { class: "tried", hidden: true }, table);
  }

  /**
   * Add what a codec made of a view.
   * @param {string} view what tells views apart
   * @param {Figures} figures
   */
  add(view, figures) {
    if (view !== this.view) this.rows.clear();
    this.view = view;
    this.rows.delete(figures.codec);
    this.rows.set(figures.codec, figures);
    if (this.rows.size > MOST_ROWS) this.rows.delete([...this.rows.keys()][0]);
    const sorted = [...this.rows.values()].sort((a, b) => a.bytes - b.bytes);
    this.body.replaceChildren(...sorted.map((row) => this.#row(row, row === figures)));
    this.element.hidden = false;
  }

  /**
   * @param {Figures} figures
   * @param {boolean} isShown
   */
  #row({ bytes, source_bytes: source, ssim, psnr, codec }, isShown) {
    const cells = [
      bytesText(bytes),
      source ? `${((100 * bytes) / source).toFixed(0)} %` : "",
      ssim === null ? "" : ssimText(ssim),
      psnr === null ? "exact" : psnr.toFixed(1),
    ];
    const choose = button(codec, () => this.onChoice(codec), { title: "Show this one again" });
    const row = make("tr", {}, make("th", { scope: "row" }, choose), ...cells.map((text) => make("td", {}, text)));
    if (isShown) row.setAttribute("aria-current", "true");
    return row;
  }
}
