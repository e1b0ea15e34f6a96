/**
 * The shapes that a person has drawn: what is selected, what can be undone, and what a reload keeps.
 *
 * Knows nothing of panes and panels: they listen. It sends `change` when shapes or the selection are others, and
 * `draft` while a shape follows the pointer.
 */

import { GeoJsonError, MOST_POINTS, MOST_SHAPES, exportText, importContent } from "./geojson.js";
import { pointCount } from "./shapes.js";

/** @typedef {import("./shapes.js").Shape} Shape */
/** @typedef {import("./rings.js").Size} Size */
/** @typedef {{shapes: readonly Shape[], selected: number}} State */

const MOST_UNDONE = 50;

/** A drawing: its shapes, the selected one and what came before. */
export class DrawnShapes extends EventTarget {
  constructor() {
    super();
    /** @type {State} */
    this.state = { shapes: [], selected: -1 };
    /** @type {State[]} */
    this.past = [];
    /** @type {State[]} */
    this.future = [];
    /** What the last change was; the next one of the same kind is one with it for undoing. */
    this.kind = "";
    /** @type {Shape | null} the selected shape as the pointer has it now */
    this.draft = null;
  }

  /** All shapes, in the order in which they were drawn. */
  get shapes() {
    return this.state.shapes;
  }

  /** The number of the selected shape, -1 if there is none. */
  get selected() {
    return this.state.selected;
  }

  /** @returns {Shape | null} */
  get selectedShape() {
    return this.state.shapes[this.state.selected] ?? null;
  }

  get canUndo() {
    return this.past.length > 0;
  }

  get canRedo() {
    return this.future.length > 0;
  }

  /**
   * Add shapes, and select the last of them.
   * @param {readonly Shape[]} added
   * @throws {GeoJsonError} there would be too many
   */
  add(added) {
    const shapes = [...this.shapes, ...added];
    checkCount(shapes.length, MOST_SHAPES, "shapes");
    checkCount(
      shapes.reduce((sum, shape) => sum + pointCount(shape), 0),
      MOST_POINTS,
      "points",
    );
    this.#become({ shapes, selected: shapes.length - 1 });
  }

  /**
   * Put another shape in the place of the selected one.
   * @param {Shape} shape
   * @param {string} [kind] changes of one kind after each other are undone together
   */
  replace(shape, kind = "") {
    if (!this.selectedShape) return;
    this.#become({ ...this.state, shapes: this.shapes.with(this.selected, shape) }, kind);
  }

  /**
   * Give all shapes of a class another colour.
   * @param {string} className
   * @param {import("./shapes.js").Color} color
   */
  recolor(className, color) {
    const shapes = this.shapes.map((shape) => (shape.className === className ? { ...shape, color } : shape));
    this.#become({ ...this.state, shapes }, `color ${className}`);
  }

  /** Remove the selected shape, and select the one in its place. */
  remove() {
    if (!this.selectedShape) return;
    const shapes = this.shapes.filter((_, index) => index !== this.selected);
    this.#become({ shapes, selected: Math.min(this.selected, shapes.length - 1) });
  }

  /** Remove all shapes. */
  clear() {
    if (this.shapes.length) this.#become({ shapes: [], selected: -1 });
  }

  /** @param {number} index -1 for none */
  select(index) {
    if (index === this.selected) return;
    this.state = { ...this.state, selected: index };
    this.draft = null;
    this.kind = "";
    this.#send("change");
  }

  /**
   * Show the selected shape otherwise, until it is replaced or let be.
   * @param {Shape | null} shape
   */
  preview(shape) {
    this.draft = shape;
    this.#send("draft");
  }

  undo() {
    this.#travel(this.past, this.future);
  }

  redo() {
    this.#travel(this.future, this.past);
  }

  /**
   * Keep the shapes in a storage from now on, and take what it has.
   * @param {Storage} storage
   * @param {string} key
   * @param {Size} size of the slide
   * @param {(error: unknown) => void} onError called when the storage takes no more
   */
  keepIn(storage, key, size, onError) {
    const kept = storage.getItem(key);
    if (kept) {
      try {
        this.state = { shapes: importContent(JSON.parse(kept), size).shapes, selected: -1 };
      } catch (error) {
        onError(error);
      }
    }
    let written = this.shapes;
    this.addEventListener("change", () => {
      if (written === this.shapes) return;
      written = this.shapes;
      try {
        if (written.length) storage.setItem(key, exportText(written));
        else storage.removeItem(key);
      } catch (error) {
        onError(error);
      }
    });
    this.#send("change");
  }

  /**
   * @param {State} state
   * @param {string} [kind]
   */
  #become(state, kind = "") {
    if (!kind || kind !== this.kind) this.past.push(this.state);
    this.past.splice(0, this.past.length - MOST_UNDONE);
    this.future = [];
    this.kind = kind;
    this.state = state;
    this.draft = null;
    this.#send("change");
  }

  /**
   * @param {State[]} from
   * @param {State[]} to
   */
  #travel(from, to) {
    const state = from.pop();
    if (!state) return;
    to.push(this.state);
    this.state = state;
    this.kind = "";
    this.draft = null;
    this.#send("change");
  }

  /** @param {string} name */
  #send(name) {
    this.dispatchEvent(new Event(name));
  }
}

/**
 * @param {number} count
 * @param {number} most
 * @param {string} what
 */
function checkCount(count, most, what) {
  if (count <= most) return;
  const [found, expected] = [count.toLocaleString("en"), most.toLocaleString("en")];
  throw new GeoJsonError(`${found} ${what} together, expected at most ${expected}; remove some shapes first`);
}
