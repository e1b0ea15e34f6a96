/**
 * Slices side by side: a volume, what a candidate made of it, and how far they are apart.
 */

import { paintDifference, paintOutline, paintSlice } from "./painting.js";

/** @typedef {import("./slice_store.js").SliceStore} SliceStore */
/** @typedef {import("./slice_store.js").ShownSlice} ShownSlice */

export const AMPLIFICATIONS = [1, 2, 4, 8, 16, 32];
const PANES = ["source", "found", "difference"];

/**
 * Return an element that the page must have.
 * @template {HTMLElement} T
 * @param {string} id
 * @param {new () => T} kind
 * @returns {T}
 */
export function part(id, kind) {
  const found = document.getElementById(id);
  if (!(found instanceof kind)) throw new Error(`the page has no "${id}"`);
  return found;
}

export class VolumeViewer {
  /** @param {SliceStore} store */
  constructor(store) {
    this.store = store;
    this.volumeNumber = 0;
    this.candidate = 0;
    this.place = 0;
    this.amplification = 8;
    this.showsOutline = true;
    this.window = { level: 0, width: 1 };
    /** @type {ShownSlice | null} */
    this.shown = null;
    this.panes = PANES.map((name) => part(`pane-${name}`, HTMLElement));
    this.pictures = PANES.map((name) => part(`picture-${name}`, HTMLCanvasElement));
    this.outlines = PANES.map((name) => part(`outline-${name}`, HTMLCanvasElement));
    /** Done when the last change is drawn. @type {Promise<void>} */
    this.ready = Promise.resolve();
    this.onChange = () => {};
    this.last = 0;
  }

  get volume() {
    return this.store.volumes[this.volumeNumber];
  }

  /** @param {number} number */
  chooseVolume(number) {
    const before = this.volume.candidates[this.candidate]?.label;
    this.volumeNumber = number;
    const tried = this.volume.candidates;
    const same = tried.findIndex(({ label, reason }) => label === before && !reason);
    this.candidate = Math.max(0, same < 0 ? tried.findIndex(({ reason }) => !reason) : same);
    this.place = this.volume.slices.length >> 1;
    this.window = { ...this.volume.windows[0] };
    this.change();
  }

  /** @param {number} number */
  chooseCandidate(number) {
    this.candidate = number;
    this.change();
  }

  /** @param {number} place among the slices that are shown */
  chooseSlice(place) {
    this.place = Math.min(Math.max(place, 0), this.volume.slices.length - 1);
    this.change();
  }

  /**
   * @param {number} level
   * @param {number} width
   */
  setWindow(level, width) {
    if (!Number.isFinite(level) || !(width > 0)) return;
    this.window = { level, width };
    this.change();
  }

  /** @param {number} amplification */
  setAmplification(amplification) {
    this.amplification = amplification;
    this.change();
  }

  /** @param {boolean} shows */
  showOutline(shows) {
    this.showsOutline = shows;
    this.change();
  }

  /** Draw anew; a change that is overtaken by another one is not drawn. */
  change() {
    const turn = ++this.last;
    this.onChange();
    this.ready = this.load(turn).catch((error) => {
      part("viewer-state", HTMLElement).textContent = String(error.message);
    });
  }

  /** @param {number} turn */
  async load(turn) {
    const found = await this.store.slice(this.volumeNumber, this.candidate, this.place);
    if (turn !== this.last) return;
    this.shown = found;
    part("show-outline", HTMLInputElement).disabled = !found.mask;
    this.draw(found);
  }

  /** @param {ShownSlice} slice */
  draw({ source, found, mask, isExact }) {
    const { volume, window, pictures } = this;
    for (const pane of this.panes) pane.style.aspectRatio = String(volume.aspect);
    paintSlice(pictures[0], source, volume, window);
    paintSlice(pictures[1], found, volume, window);
    paintDifference(pictures[2], source, found, volume, window, this.amplification);
    for (const outline of this.outlines) paintOutline(outline, this.showsOutline ? mask : null, volume);
    const number = volume.slices[this.place];
    const exact = isExact ? "every voxel of this slice came back exactly" : "voxels of this slice differ";
    part("viewer-state", HTMLElement).textContent = `Slice ${number + 1} of ${volume.sliceCount}: ${exact}.`;
  }

  /**
   * Return what stands at a voxel, in words.
   * @param {number} column
   * @param {number} row
   */
  told(column, row) {
    if (!this.shown) return "";
    const { low, step, unit, columns, isTrue } = this.volume;
    const place = row * columns + column;
    const [before, after] = [this.shown.source[place], this.shown.found[place]].map((number) => low + step * number);
    const text = (/** @type {number} */ value) => (isTrue ? `${Number(value.toPrecision(8))}` : value.toPrecision(4));
    const apart = after === before ? "equal" : `${after > before ? "+" : ""}${text(after - before)}`;
    return `${column}, ${row}: ${text(before)} \u2192 ${text(after)} ${unit} (${apart})`;
  }
}
