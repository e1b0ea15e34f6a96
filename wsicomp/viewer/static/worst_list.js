/**
 * The tiles that are least like their source, as a list that leads to each of them.
 */

import { button, make } from "./dom.js";
import { makeLayer } from "./layers.js";
import { ssimText } from "./measures.js";
import { askJson } from "./server.js";

/** @typedef {import("./panes.js").Panes} Panes */
/** @typedef {import("./session.js").Slide} Slide */
/** @typedef {{level: number, column: number, row: number, x: number, y: number, width: number, height: number, codec: string, ssim: number, psnr: number | null}} WorstTile */
/** @typedef {{state: "measuring" | "done" | "unavailable", reason: string, measured: number, of: number, tiles: WorstTile[]}} Worst */

const POLL_MS = 1000;
const AROUND = 4;

/**
 * Return a list for each conversion; the server measures once a list is opened.
 * @param {Panes} panes
 * @returns {Node[]}
 */
export function worstRows(panes) {
  const slides = panes.session.slides.filter((slide) => slide.has_worst);
  if (!slides.length) return [];
  /** @type {{tile: WorstTile, slide: Slide} | null} */
  let marked = null;
  const layer = makeLayer("Marked tile", (context, toScreen) => {
    if (marked) drawMark(context, toScreen, marked.slide.scale, marked.tile);
  });
  panes.addLayer(layer);
  /** @param {Slide} slide @param {WorstTile} tile */
  const onChoice = (slide, tile) => {
    marked = { tile, slide };
    const { scale } = slide;
    panes.goTo((tile.x + tile.width / 2) * scale, (tile.y + tile.height / 2) * scale, tile.width * scale * AROUND);
    panes.redraw();
  };
  return slides.map((slide) => worstList(slide, (tile) => onChoice(slide, tile)));
}

/**
 * @param {Slide} slide
 * @param {(tile: WorstTile) => void} onChoice
 */
function worstList(slide, onChoice) {
  const note = make("p", { class: "note", "aria-live": "polite" });
  const list = make("div", { class: "worst" });
  const element = make("details", {}, make("summary", {}, slide.title), note, list);
  let isAsked = false;
  const ask = async () => {
    try {
      const worst = await askJson(`worst/${slide.id}`);
      write(worst, note, list, onChoice);
      if (worst.state === "measuring") setTimeout(ask, POLL_MS);
    } catch (error) {
      isAsked = false;
      note.textContent = error instanceof Error ? error.message : String(error);
    }
  };
  element.addEventListener("toggle", () => {
    if (!element.open || isAsked) return;
    isAsked = true;
    note.textContent = "Measuring …";
    void ask();
  });
  return element;
}

/**
 * @param {Worst} worst
 * @param {HTMLElement} note
 * @param {HTMLElement} list
 * @param {(tile: WorstTile) => void} onChoice
 */
function write({ state, reason, measured, of, tiles }, note, list, onChoice) {
  if (state === "unavailable") note.textContent = reason;
  else if (state === "measuring") note.textContent = `Measured ${measured} of ${of} tiles …`;
  else note.textContent = tiles.length ? `${measured} tiles measured` : "No tile differs from its source.";
  const isInUse = list.contains(document.activeElement);
  if (state === "measuring" && (isInUse || Number(list.dataset.count) === tiles.length)) return;
  list.dataset.count = String(tiles.length);
  const codecs = [...new Set(tiles.map(({ codec }) => codec))];
  list.replaceChildren(
    ...codecs.flatMap((codec) => {
      const rows = tiles.filter((tile) => tile.codec === codec).map((tile) => make("li", {}, tileButton(tile, onChoice)));
      return [make("h4", {}, codec), make("ol", {}, ...rows)];
    }),
  );
}

/**
 * @param {WorstTile} tile
 * @param {(tile: WorstTile) => void} onChoice
 */
function tileButton(tile, onChoice) {
  const { level, column, row, ssim, psnr } = tile;
  const element = button(`SSIM ${ssimText(ssim)}`, () => onChoice(tile), { title: `level ${level}, column ${column}, row ${row}` });
  if (psnr !== null) element.append(make("span", {}, `${psnr.toFixed(1)} dB`));
  element.append(make("span", { class: "note" }, `level ${level} (${column}, ${row})`));
  return element;
}

/**
 * @param {CanvasRenderingContext2D} context
 * @param {(x: number, y: number) => {x: number, y: number}} toScreen
 * @param {number} scale
 * @param {WorstTile} tile
 */
function drawMark(context, toScreen, scale, { x, y, width, height }) {
  const from = toScreen(x * scale, y * scale);
  const to = toScreen((x + width) * scale, (y + height) * scale);
  for (const [color, line] of /** @type {[string, number][]} */ ([["#fff", 5], ["#d50000", 2.5]])) {
    context.strokeStyle = color;
    context.lineWidth = line;
    context.strokeRect(from.x - 1, from.y - 1, to.x - from.x + 2, to.y - from.y + 2);
  }
}
