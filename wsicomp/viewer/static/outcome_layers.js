/**
 * What became of the tiles, as layers over the picture of each conversion, with a legend that counts.
 */

import { chooser, make } from "./dom.js";
import { layerRow, makeLayer } from "./layers.js";
import { ask, askJson } from "./server.js";
import { trueDownsample } from "./session.js";
import { sayError } from "./messages.js";

/** @typedef {import("./panes.js").Panes} Panes */
/** @typedef {import("./pane.js").Pane} Pane */
/** @typedef {import("./session.js").Slide} Slide */
/** @typedef {{code: number, name: string, meaning: string, color: string, is_gone: boolean}} LegendEntry */
/**
 * @typedef {import("./session.js").Level & {level: number, counts: Record<string, number>}} OutcomeLevel
 */

const GONE_COLOR = "#e53935";
const IN_SIGHT = "in sight";
const SEARCH_MS = 2000;

/**
 * Return the rows of the layers, and the legend.
 * @param {Panes} panes
 * @returns {Node[]}
 */
export function outcomeRows(panes) {
  const all = panes.session.slides.filter((slide) => slide.has_outcomes).map((slide) => new Outcomes(panes, slide));
  if (!all.length) return [make("p", { class: "note" }, "No slide here was written by wsicomp.")];
  const legend = new Legend(panes, all);
  /** @param {"gone" | "all"} kind @returns {import("./pane.js").Draw} */
  const drawer = (kind) => (context, toScreen, pane) => {
    outcomesOf(panes, all, pane)?.draw(context, toScreen, kind);
  };
  const gone = makeLayer("Tiles that went", drawer("gone"), { visible: false, opacity: 0.4 });
  const what = makeLayer("What became of tiles", drawer("all"), { visible: false, opacity: 0.45 });
  panes.addLayer(gone);
  panes.addLayer(what);
  const onSwitch = () => {
    for (const each of all) void each.load();
    legend.element.hidden = !(gone.visible || what.visible);
    legend.write();
  };
  return [layerRow(panes, gone, onSwitch, GONE_COLOR), layerRow(panes, what, onSwitch), legend.element];
}

/**
 * Return what is drawn on a pane: its own slide's outcomes; on the difference and on the source, the compared slide's.
 * @param {Panes} panes
 * @param {Outcomes[]} all
 * @param {Pane} pane
 */
function outcomesOf(panes, all, pane) {
  const { slides } = panes.session;
  if (pane === panes.difference) {
    return all.find(({ slide }) => slide === slides[panes.second]) ?? all.find(({ slide }) => slide === pane.slide);
  }
  return all.find(({ slide }) => slide === pane.slide);
}

/** The outcomes of one slide: asked for once, a level's codes when the level is first in sight. */
class Outcomes {
  /**
   * @param {Panes} panes
   * @param {Slide} slide
   */
  constructor(panes, slide) {
    this.panes = panes;
    this.slide = slide;
    /** @type {LegendEntry[]} */
    this.legend = [];
    /** @type {OutcomeLevel[]} */
    this.levels = [];
    /** @type {Set<number>} codes that are not drawn */
    this.hiddenCodes = new Set();
    /** @type {Map<number, Uint8Array>} */
    this.codes = new Map();
    /** @type {Map<string, HTMLCanvasElement>} */
    this.pictures = new Map();
    /** @type {Promise<void> | null} */
    this.loading = null;
    this.damaged = 0;
    /** What is done when the counts change. */
    this.onNews = () => {};
    /** @type {number | null} the level whose tiles are drawn; null for the one in sight */
    this.chosenLevel = 0;
  }

  load() {
    this.loading ??= askJson(`outcomes/${this.slide.id}`)
      .then((answer) => this.#take(answer))
      .catch((error) => {
        this.loading = null;
        sayError(error);
      });
    return this.loading;
  }

  /**
   * Take what the server knows, and ask again while it looks for damaged tiles.
   * @param {{legend: LegendEntry[], levels: OutcomeLevel[], damage: {done: boolean, damaged: number}}} answer
   */
  #take({ legend, levels, damage }) {
    [this.legend, this.levels] = [legend, levels];
    if (damage.damaged !== this.damaged) this.codes.clear();
    this.damaged = damage.damaged;
    this.panes.redraw();
    this.onNews();
    if (damage.done) return;
    setTimeout(() => {
      askJson(`outcomes/${this.slide.id}`).then((answer) => this.#take(answer), sayError);
    }, SEARCH_MS);
  }

  /** The level whose tiles are drawn: the one that was chosen, or the one of the pixels at the present zoom. */
  get drawnLevel() {
    const chosen = this.levels.find(({ level }) => level === this.chosenLevel);
    if (chosen) return chosen;
    const wanted = 1.05 / (this.panes.scale * this.slide.scale);
    return this.levels.findLast((level) => level.downsample <= wanted) ?? this.levels[0];
  }

  /**
   * @param {CanvasRenderingContext2D} context
   * @param {(x: number, y: number) => {x: number, y: number}} toScreen
   * @param {"gone" | "all"} kind
   */
  draw(context, toScreen, kind) {
    const level = this.drawnLevel;
    const picture = level && this.#pictureOf(level, kind);
    if (!picture) return;
    const unit = trueDownsample(this.slide, level) * this.slide.scale;
    const from = toScreen(0, 0);
    const edge = toScreen(level.width * unit, level.height * unit);
    const to = toScreen(level.columns * level.tile_width * unit, level.rows * level.tile_height * unit);
    context.beginPath();
    context.rect(from.x, from.y, edge.x - from.x, edge.y - from.y);
    context.clip();
    context.imageSmoothingEnabled = false;
    context.drawImage(picture, from.x, from.y, to.x - from.x, to.y - from.y);
  }

  /**
   * Draw or leave out the tiles of a code.
   * @param {number} code
   * @param {boolean} shown
   */
  showCode(code, shown) {
    if (shown) this.hiddenCodes.delete(code);
    else this.hiddenCodes.add(code);
    this.pictures.clear();
    this.panes.redraw();
  }

  /**
   * @param {OutcomeLevel} level
   * @param {"gone" | "all"} kind
   */
  #pictureOf(level, kind) {
    const key = `${kind} ${level.level}`;
    const codes = this.codes.get(level.level);
    if (!codes) return void this.#loadCodes(level);
    let picture = this.pictures.get(key);
    if (!picture) {
      picture = pictureOf(codes, level, this.#colors(kind));
      this.pictures.set(key, picture);
    }
    return picture;
  }

  /** @param {OutcomeLevel} level */
  async #loadCodes({ level }) {
    this.codes.set(level, new Uint8Array());
    try {
      const answer = await ask(`outcomes/${this.slide.id}/${level}`);
      this.codes.set(level, new Uint8Array(await answer.arrayBuffer()));
      this.pictures.clear();
      this.panes.redraw();
    } catch (error) {
      sayError(error);
    }
  }

  /** @param {"gone" | "all"} kind */
  #colors(kind) {
    /** @type {Map<number, number[]>} */
    const colors = new Map();
    for (const { code, color, is_gone: isGone } of this.legend) {
      if (kind === "gone" && isGone) colors.set(code, rgb(GONE_COLOR));
      if (kind === "all" && !this.hiddenCodes.has(code)) colors.set(code, rgb(color));
    }
    return colors;
  }
}

/** The legend of one slide's outcomes, with counts of the level in sight and of all. */
class Legend {
  /**
   * @param {Panes} panes
   * @param {Outcomes[]} all
   */
  constructor(panes, all) {
    this.all = all;
    this.chosen = all[0];
    this.element = make("div", { class: "legend", hidden: true });
    this.written = "";
    panes.addEventListener("view", () => this.write());
    for (const each of all) {
      each.onNews = () => {
        this.written = "";
        this.write();
      };
    }
  }

  write() {
    const { slide, levels, drawnLevel: level, legend } = this.chosen;
    const key = `${slide.id} ${level?.level}`;
    if (this.element.hidden || !level || key === this.written) return;
    this.written = key;
    const rows = legend
      .filter(({ name }) => this.all.some((each) => total(each.levels, name) > 0))
      .map((entry) => ({ entry, here: level.counts[entry.name] ?? 0, total: total(levels, entry.name) }))
      .map((row) => this.#row(row));
    const head = make("tr", {}, cell("th", "Tiles"), cell("th", `level ${level.level}`), cell("th", "all"));
    const table = make("table", {}, make("thead", {}, head), make("tbody", {}, ...rows));
    this.element.replaceChildren(...this.#chooser(), this.#levelChooser(levels), table);
  }

  /** @param {OutcomeLevel[]} levels */
  #levelChooser(levels) {
    const choices = levels.map(({ level }) => ({ value: String(level), text: `level ${level}` }));
    const choose = (/** @type {string} */ value) => {
      for (const each of this.all) each.chosenLevel = value === IN_SIGHT ? null : Number(value);
      this.written = "";
      this.write();
      this.chosen.panes.redraw();
    };
    const present = this.chosen.chosenLevel === null ? IN_SIGHT : String(this.chosen.chosenLevel);
    return chooser("Tiles of", [...choices, { value: IN_SIGHT, text: "the level in sight" }], present, choose);
  }

  #chooser() {
    if (this.all.length < 2) return [];
    const choices = this.all.map(({ slide }) => ({ value: String(slide.id), text: slide.title }));
    const choose = (/** @type {string} */ value) => {
      this.chosen = this.all.find(({ slide }) => String(slide.id) === value) ?? this.chosen;
      this.write();
    };
    return [chooser("Counts of", choices, String(this.chosen.slide.id), choose)];
  }

  /** @param {{entry: LegendEntry, here: number, total: number}} row */
  #row({ entry, here, total: sum }) {
    const outcomes = this.chosen;
    const box = make("input", { type: "checkbox", "aria-label": `Draw tiles: ${entry.name}` });
    box.checked = !outcomes.hiddenCodes.has(entry.code);
    box.addEventListener("change", () => outcomes.showCode(entry.code, box.checked));
    const swatch = make("span", { class: "swatch" });
    swatch.style.background = entry.color;
    const label = make("label", { title: entry.meaning }, box, swatch, entry.name);
    return make("tr", {}, cell("th", label), cell("td", here.toLocaleString("en")), cell("td", sum.toLocaleString("en")));
  }
}

/**
 * @param {"th" | "td"} tag
 * @param {string | Node} content
 */
function cell(tag, content) {
  return make(tag, {}, content);
}

/**
 * @param {OutcomeLevel[]} levels
 * @param {string} name
 */
function total(levels, name) {
  return levels.reduce((sum, { counts }) => sum + (counts[name] ?? 0), 0);
}

/**
 * Return a picture of one pixel a tile.
 * @param {Uint8Array} codes in raster order
 * @param {OutcomeLevel} level
 * @param {Map<number, number[]>} colors
 */
function pictureOf(codes, { columns, rows }, colors) {
  const canvas = make("canvas", { width: columns, height: rows });
  const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  const pixels = context.createImageData(columns, rows);
  const count = Math.min(codes.length, columns * rows);
  for (let at = 0; at < count; at += 1) {
    const color = colors.get(codes[at]);
    if (color) pixels.data.set([...color, 255], at * 4);
  }
  context.putImageData(pixels, 0, 0);
  return canvas;
}

/**
 * @param {string} color "#rrggbb"
 */
function rgb(color) {
  return [1, 3, 5].map((at) => parseInt(color.slice(at, at + 2), 16));
}
