/**
 * The panel "Codecs": the view as a codec would store it, decoded again, with what it weighs.
 */

import { CodecFields, fillWithCodecs } from "./codec_fields.js";
import { chooser, make, takesText } from "./dom.js";
import { makeLayer } from "./layers.js";
import { bytesText, ssimText } from "./measures.js";
import { ask, isAborted } from "./server.js";
import { TriedTable } from "./tried_table.js";

/** @typedef {import("./panes.js").Panes} Panes */
/** @typedef {import("./session.js").Session} Session */
/** @typedef {import("./session.js").Slide} Slide */
/** @typedef {import("./session.js").Region} Region */
/**
 * @typedef {object} Figures what a codec made of the view
 * @property {number} bytes
 * @property {number | null} source_bytes
 * @property {number} bits_per_px
 * @property {number | null} ssim
 * @property {number | null} psnr null where every pixel is the source's
 * @property {number} seconds
 * @property {string} codec such as "jpeg:60"
 * @property {number} level
 * @property {number} x in level-0 px of the slide, as the others
 * @property {number} y
 * @property {number} width
 * @property {number} height
 */
/** @typedef {{picture: ImageBitmap, figures: Figures, words: string}} Tried */

/** The part of the view's sides below which what was tried is called its middle. */
const MOST_OF_VIEW = 0.9;
const SETTLE_MS = 150;
const START = "jpeg";

/** What the page's list of keys says of these. */
export const PLAYGROUND_KEYS = [{ shown: ["o"], says: "held: the original under a tried codec" }];

/**
 * Fill the panel "Codecs".
 * @param {Panes} panes
 * @param {Session} session
 * @param {HTMLElement} panel
 */
export function startPlayground(panes, session, panel) {
  const place = make("div");
  const title = "Try a codec on the view";
  panel.append(make("section", { class: "group", "aria-label": title }, make("h3", {}, title), place));
  const asked = new URLSearchParams(location.search).get("codec");
  fillWithCodecs(place, (codecs) => {
    const playground = new Playground(panes, session, codecs);
    if (asked) playground.fields.choose(asked);
    return playground.elements;
  });
}

/** The view as a codec would store it, over one of the panes. */
class Playground {
  /**
   * @param {Panes} panes
   * @param {Session} session
   * @param {readonly import("./codec_fields.js").Codec[]} codecs
   */
  constructor(panes, session, codecs) {
    this.panes = panes;
    this.slide = session.slides[0];
    this.fields = new CodecFields(codecs, START);
    this.pane = panes.panes[0];
    this.isOn = false;
    this.isHeld = false;
    /** @type {Tried | null} */
    this.tried = null;
    /** @type {AbortController | null} */
    this.underWay = null;
    this.timer = 0;
    /** The view that was asked for last. */
    this.askedView = "";
    this.layer = makeLayer("Tried codec", (context, toScreen, pane) => this.#draw(context, toScreen, pane));
    this.table = new TriedTable((codec) => this.fields.choose(codec));
    this.toggle = make("input", { type: "checkbox", role: "switch", id: "try-codec" });
    this.words = make("p", { class: "figures", role: "status" });
    this.#listen();
  }

  /** What the panel shows. */
  get elements() {
    const choices = this.panes.panes.map((pane, index) => ({ value: String(index), text: pane.label }));
    const where = chooser("Pane in which the codec is shown", choices, "0", (value) => {
      this.pane = this.panes.panes[Number(value)];
      this.panes.redraw();
    });
    return [
      make("label", { class: "switch" }, this.toggle, " Show the view as"),
      this.fields.element,
      ...(choices.length > 1 ? [make("label", { class: "pane-choice" }, "In ", where)] : []),
      this.words,
      make("p", { class: "note" }, "Hold o to see the original beneath."),
      this.table.element,
    ];
  }

  #listen() {
    const { panes, fields, toggle } = this;
    toggle.addEventListener("change", () => this.#turn(toggle.checked));
    fields.addEventListener("input", () => (this.isOn ? this.#askSoon() : this.#turn(true)));
    panes.addEventListener("view", () => {
      if (this.isOn && JSON.stringify(this.#region()) !== this.askedView) this.#askSoon();
    });
    addEventListener("keydown", (event) => {
      if (!this.isOn || event.key !== "o" || event.ctrlKey || event.metaKey || event.altKey || takesText(event.target))
        return;
      event.preventDefault();
      this.#hold(true);
    });
    addEventListener("keyup", (event) => event.key === "o" && this.#hold(false));
    addEventListener("blur", () => this.#hold(false));
    panes.addLayer(this.layer, true);
  }

  /** @param {boolean} isOn */
  #turn(isOn) {
    this.isOn = isOn;
    this.toggle.checked = isOn;
    this.underWay?.abort();
    clearTimeout(this.timer);
    if (isOn) this.#askSoon();
    else this.#show(null, "");
  }

  /** @param {boolean} isHeld */
  #hold(isHeld) {
    if (isHeld === this.isHeld) return;
    this.isHeld = isHeld;
    this.panes.redraw();
  }

  /** Ask once the slider and the view have come to rest. */
  #askSoon() {
    this.underWay?.abort();
    this.words.classList.add("stale");
    clearTimeout(this.timer);
    this.timer = window.setTimeout(() => void this.#ask(), SETTLE_MS);
  }

  async #ask() {
    const { signal } = (this.underWay = new AbortController());
    const { text: codec, words } = this.fields;
    const region = this.#region();
    const view = (this.askedView = JSON.stringify(region));
    this.words.textContent = `${words} …`;
    try {
      const query = new URLSearchParams({ ...region, codec });
      const response = await ask(`playground/${this.slide.id}?${query}`, { signal });
      const figures = /** @type {Figures} */ (JSON.parse(response.headers.get("Wsicomp-Figures") ?? "{}"));
      const blob = await response.blob();
      const picture = await createImageBitmap(blob, { colorSpaceConversion: "none" });
      if (signal.aborted) return;
      this.table.add(view, figures);
      const isPart = figures.width < MOST_OF_VIEW * Number(region.width) || figures.height < MOST_OF_VIEW * Number(region.height);
      this.#show({ picture, figures, words }, figuresText(words, figures, isPart));
    } catch (error) {
      if (isAborted(error) || signal.aborted) return;
      this.#show(null, `${words}: ${error instanceof Error ? error.message : error}`);
    }
  }

  /** @returns {Record<"x" | "y" | "width" | "height" | "px", string>} the region in sight, as the server is asked */
  #region() {
    const { x, y, width, height, px } = this.panes.viewRegion();
    const screenPx = Math.round(px * (window.devicePixelRatio || 1));
    return { x: String(x), y: String(y), width: String(width), height: String(height), px: String(screenPx) };
  }

  /**
   * @param {Tried | null} tried
   * @param {string} words
   */
  #show(tried, words) {
    this.tried?.picture.close();
    this.tried = tried;
    this.words.textContent = words;
    this.words.classList.remove("stale");
    this.panes.redraw();
  }

  /**
   * @param {CanvasRenderingContext2D} context
   * @param {(x: number, y: number) => {x: number, y: number}} toScreen
   * @param {import("./pane.js").Pane} pane
   */
  #draw(context, toScreen, pane) {
    if (!this.tried || this.isHeld || pane !== this.pane) return;
    const { picture, figures, words } = this.tried;
    const ratio = window.devicePixelRatio || 1;
    /** @param {number} x @param {number} y */
    const onGrid = (x, y) => {
      const place = toScreen(x, y);
      return { x: Math.round(place.x * ratio) / ratio, y: Math.round(place.y * ratio) / ratio };
    };
    const start = onGrid(figures.x, figures.y);
    const end = onGrid(figures.x + figures.width, figures.y + figures.height);
    context.imageSmoothingEnabled = (end.x - start.x) * ratio < picture.width;
    context.imageSmoothingQuality = "medium";
    context.drawImage(picture, start.x, start.y, end.x - start.x, end.y - start.y);
    context.setLineDash([6, 4]);
    context.strokeRect(start.x + 0.5, start.y + 0.5, end.x - start.x - 1, end.y - start.y - 1);
    context.font = "13px system-ui, sans-serif";
    const [left, top] = [Math.max(start.x, 0) + 8, Math.max(start.y, 0) + 8];
    context.fillStyle = "rgb(0 0 0 / 70%)";
    context.fillRect(left, top, context.measureText(words).width + 12, 22);
    context.fillStyle = "white";
    context.fillText(words, left + 6, top + 15);
  }
}

/**
 * Return what a codec made of the view, in words.
 * @param {string} words the codec and its quality
 * @param {Figures} figures
 * @param {boolean} isPart whether the view was too large for all of it to be tried
 */
function figuresText(words, { bytes, source_bytes: source, bits_per_px: bits, ssim, psnr, seconds }, isPart) {
  const before = source === null ? "" : ` (source ${bytesText(source)})`;
  const likeness = [
    ...(ssim === null ? [] : [`SSIM ${ssimText(ssim)}`]),
    psnr === null ? "every pixel exact" : `PSNR ${psnr.toFixed(1)} dB`,
  ];
  const cost = `${bits.toFixed(2)} bits a pixel, ${seconds.toFixed(2)} s`;
  return `${isPart ? "The middle of this view" : "This view"} as ${words}: ${bytesText(bytes)}${before}, ${likeness.join(", ")}; ${cost}`;
}
