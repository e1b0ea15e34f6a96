/**
 * The tissue and its margin as layers over every picture.
 */

import { make } from "./dom.js";
import { layerRow, makeLayer } from "./layers.js";
import { askJson } from "./server.js";

/** @typedef {import("./panes.js").Panes} Panes */

const TISSUE = 255;
const MARGIN = 128;
const TISSUE_COLOR = [0, 150, 136];
const MARGIN_COLOR = [255, 152, 0];

/**
 * Return the rows of tissue and margin. The mask is asked for when one of them is first switched on; tissue of a file
 * that the user named is shown at once.
 * @param {Panes} panes
 */
export function tissueRows(panes) {
  const mask = new Mask(panes);
  const tissue = makeLayer("Tissue", mask.drawer(TISSUE), { visible: panes.session.mask, opacity: 0.45 });
  const margin = makeLayer("Margin", mask.drawer(MARGIN), { visible: false, opacity: 0.45 });
  panes.addLayer(tissue);
  panes.addLayer(margin);
  const onSwitch = () => void mask.load();
  if (tissue.visible) onSwitch();
  return [
    layerRow(panes, tissue, onSwitch, css(TISSUE_COLOR)),
    layerRow(panes, margin, onSwitch, css(MARGIN_COLOR)),
    mask.note,
  ];
}

/** The mask of the first conversion, or of the slide where there is none. */
class Mask {
  /** @param {Panes} panes */
  constructor(panes) {
    this.panes = panes;
    this.slide = panes.session.slides.find(({ role }) => role === "conversion") ?? panes.slide;
    this.note = make("p", { class: "note" });
    /** @type {Map<number, HTMLCanvasElement>} */
    this.pictures = new Map();
    this.isAsked = false;
  }

  async load() {
    if (this.isAsked) return;
    this.isAsked = true;
    this.note.textContent = "Looking for tissue …";
    try {
      const facts = await askJson(`mask/${this.slide.id}`);
      const image = new Image();
      image.src = `mask/${this.slide.id}.png`;
      await image.decode();
      this.pictures.set(TISSUE, colored(image, TISSUE, TISSUE_COLOR));
      this.pictures.set(MARGIN, colored(image, MARGIN, MARGIN_COLOR));
      this.note.textContent = noteOf(facts);
    } catch (error) {
      this.isAsked = false;
      this.note.textContent = error instanceof Error ? error.message : String(error);
    }
    this.panes.redraw();
  }

  /**
   * @param {number} value
   * @returns {import("./pane.js").Draw}
   */
  drawer(value) {
    return (context, toScreen) => {
      const picture = this.pictures.get(value);
      if (!picture) return;
      const { width, height, scale } = this.slide;
      const from = toScreen(0, 0);
      const to = toScreen(width * scale, height * scale);
      context.imageSmoothingEnabled = false;
      context.drawImage(picture, from.x, from.y, to.x - from.x, to.y - from.y);
    };
  }
}

/** @param {{tissue_fraction: number, source: string, margin_um: number | null}} facts */
function noteOf({ tissue_fraction: fraction, source, margin_um: margin }) {
  const parts = [`${(fraction * 100).toFixed(1)} % tissue`];
  if (margin) parts.push(`margin ${margin} um`);
  if (source) parts.push(source);
  return parts.join(", ");
}

/**
 * Return the pixels of one value of a grey picture in one colour, the others transparent.
 * @param {HTMLImageElement} image
 * @param {number} value
 * @param {number[]} color
 */
function colored(image, value, color) {
  const canvas = make("canvas", { width: image.naturalWidth, height: image.naturalHeight });
  const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  context.drawImage(image, 0, 0);
  const pixels = context.getImageData(0, 0, canvas.width, canvas.height);
  const { data } = pixels;
  for (let at = 0; at < data.length; at += 4) {
    const isMeant = data[at] === value;
    data.set(color, at);
    data[at + 3] = isMeant ? 255 : 0;
  }
  context.putImageData(pixels, 0, 0);
  return canvas;
}

/** @param {number[]} color */
function css(color) {
  return `rgb(${color.join(" ")})`;
}
