/**
 * The panel of the drawing: tools, the list of shapes with their areas, and the selected one's name, class and colour.
 */

import { KNOWN_CLASSES, classColor } from "./annotation_labels.js";
import { button, make } from "./dom.js";
import { cssColor } from "./drawing_layer.js";
import { crossesItself } from "./geojson.js";
import { areaOf, areaText, isRectangle, pointCount } from "./shapes.js";

/** @typedef {import("./drawn_shapes.js").DrawnShapes} DrawnShapes */
/** @typedef {import("./drawing_tools.js").DrawingTools} DrawingTools */
/** @typedef {import("./drawing_tools.js").Tool} Tool */
/** @typedef {import("./shapes.js").Shape} Shape */
/** @typedef {import("./shapes.js").Color} Color */

const TOOLS = /** @type {const} */ ([
  ["select", "Select", "Click a shape to select it; drag its corners. Elsewhere the picture moves."],
  ["rectangle", "Rectangle", "Drag from corner to corner. Escape cancels."],
  [
    "polygon",
    "Polygon",
    "Click point by point. Enter, a double click or a click on the first point closes; Backspace takes a point back; " +
      "Escape cancels. Dragging moves the picture.",
  ],
]);

/** @type {WeakMap<Shape, boolean>} whether a shape crosses itself, which takes a while to find out */
const crossed = new WeakMap();

/**
 * Return the row of tools, with what the chosen one does.
 * @param {DrawingTools} tools
 */
export function toolRow(tools) {
  const hint = make("p", { class: "note", id: "tool-hint" });
  const radios = TOOLS.map(([tool, title]) => {
    const radio = make("input", { type: "radio", name: "tool", value: tool, "aria-describedby": "tool-hint" });
    radio.addEventListener("change", () => tools.choose(tool));
    return { tool, radio, label: make("label", {}, radio, make("span", {}, title)) };
  });
  const update = () => {
    for (const { tool, radio } of radios) radio.checked = tool === tools.tool;
    hint.textContent = TOOLS.find(([tool]) => tool === tools.tool)?.[2] ?? "";
  };
  tools.addEventListener("tool", update);
  update();
  const row = make(
    "div",
    { class: "tools", role: "radiogroup", "aria-label": "Tool" },
    ...radios.map(({ label }) => label),
  );
  return make("div", {}, row, hint);
}

/**
 * Return the buttons that undo, redo and remove.
 * @param {DrawnShapes} drawing
 */
export function changeRow(drawing) {
  const undo = button("Undo", () => drawing.undo());
  const redo = button("Redo", () => drawing.redo());
  const remove = button("Delete", () => drawing.remove(), { "aria-label": "Delete the selected shape" });
  const clear = button("Delete all", () => drawing.clear());
  const update = () => {
    undo.disabled = !drawing.canUndo;
    redo.disabled = !drawing.canRedo;
    remove.disabled = !drawing.selectedShape;
    clear.disabled = !drawing.shapes.length;
  };
  drawing.addEventListener("change", update);
  update();
  return make("div", { class: "buttons" }, undo, redo, remove, clear);
}

/** The list of shapes. A shape's row is a button: it selects, and its keys move the shape. */
export class ShapeList {
  /**
   * @param {DrawnShapes} drawing
   * @param {number | null} mpp um a level-0 px
   * @param {(event: KeyboardEvent) => void} onKey
   * @param {() => void} onShow asked to bring the selected shape into sight
   */
  constructor(drawing, mpp, onKey, onShow) {
    this.drawing = drawing;
    this.mpp = mpp;
    this.onKey = onKey;
    this.onShow = onShow;
    this.list = make("ul", { class: "shapes", "aria-label": "Shapes" });
    this.summary = make("p", { class: "note" });
    this.element = make("div", {}, this.summary, this.list);
    /** @type {readonly Shape[]} the shapes whose rows there are */
    this.listed = [];
    drawing.addEventListener("change", () => this.#update());
    drawing.addEventListener("draft", () => this.#updateDraft());
    this.#list([]);
    this.#update();
  }

  /** Put the focus on the selected shape's row. */
  focus() {
    this.#rowAt(this.drawing.selected)?.focus();
  }

  /** @param {number} index */
  #rowAt(index) {
    return /** @type {HTMLElement | null} */ (this.list.children[index]?.firstElementChild ?? null);
  }

  #update() {
    const { shapes, selected } = this.drawing;
    const hadFocus = this.list.contains(document.activeElement);
    if (this.listed !== shapes) this.#list(shapes);
    this.#mark(selected);
    if (hadFocus) this.focus();
  }

  /** @param {readonly Shape[]} shapes */
  #list(shapes) {
    const before = this.listed;
    this.listed = shapes;
    if (before.length === shapes.length) {
      shapes.forEach((shape, index) => {
        if (shape !== before[index]) this.#rowAt(index)?.replaceChildren(...this.#words(shape));
      });
    } else {
      this.list.replaceChildren(...shapes.map((shape, index) => make("li", {}, this.#row(shape, index))));
    }
    const area = shapes.reduce((sum, shape) => sum + areaOf(shape), 0);
    const count = shapes.length === 1 ? "1 shape" : `${shapes.length} shapes`;
    const summary = `${count}, together ${areaText(area, this.mpp)}`;
    this.summary.textContent = shapes.length ? summary : "Nothing is drawn yet.";
  }

  /**
   * @param {Shape} shape
   * @param {number} index
   */
  #row(shape, index) {
    const row = button("", () => this.#choose(index), { class: "shape" });
    row.append(...this.#words(shape));
    row.addEventListener("keydown", this.onKey);
    row.addEventListener("focus", () => this.drawing.select(index));
    return row;
  }

  /** @param {number} selected */
  #mark(selected) {
    const row = this.#rowAt(selected);
    const marked = this.list.querySelector("[aria-current]");
    if (row === marked) return;
    marked?.removeAttribute("aria-current");
    row?.setAttribute("aria-current", "true");
    // The list alone: a field of the panel that is typed in must not move.
    if (row) this.list.scrollTop = row.offsetTop - (this.list.clientHeight - row.offsetHeight) / 2;
  }

  /** @param {number} index */
  #choose(index) {
    this.drawing.select(index);
    this.onShow();
  }

  #updateDraft() {
    const shape = this.drawing.draft ?? this.drawing.selectedShape;
    if (shape) this.#rowAt(this.drawing.selected)?.replaceChildren(...this.#words(shape));
  }

  /** @param {Shape} shape */
  #words(shape) {
    const swatch = make("span", { class: "swatch", "aria-hidden": "true" });
    swatch.style.background = cssColor(shape.color);
    const name = shape.name || (isRectangle(shape) ? "Rectangle" : `Outline of ${pointCount(shape)} points`);
    const words = [shape.className, areaText(areaOf(shape), this.mpp)].filter(Boolean).join(" · ");
    const fault = isCrossed(shape) ? [make("span", { class: "fault" }, "crosses itself")] : [];
    return [swatch, make("span", { class: "name" }, name), make("span", { class: "shape-facts" }, words), ...fault];
  }
}

/** The fields of the selected shape; with none selected, what the next one gets. */
export class ShapeFields {
  /** @param {DrawnShapes} drawing */
  constructor(drawing) {
    this.drawing = drawing;
    this.name = make("input", { type: "text", maxlength: 200, autocomplete: "off" });
    this.className = make("input", { type: "text", maxlength: 200, autocomplete: "off", list: "classes" });
    this.color = make("input", { type: "color", value: hexColor(classColor("")) });
    this.title = make("legend", {}, "Next shape");
    this.element = make(
      "fieldset",
      { class: "fields" },
      this.title,
      make("label", {}, "Name ", this.name),
      make("label", {}, "Class ", this.className),
      make("label", {}, "Colour ", this.color),
      make("datalist", { id: "classes" }, ...KNOWN_CLASSES.map(([value]) => make("option", { value }))),
    );
    this.name.addEventListener("input", () => this.#change({ name: this.name.value.trim() }, "name"));
    this.className.addEventListener("input", () => this.#setClass(this.className.value.trim()));
    this.color.addEventListener("input", () => this.#setColor());
    drawing.addEventListener("change", () => this.#update());
    this.#update();
  }

  /** What a new shape is called, and its class and colour: those of the shape before it, without the name. */
  get label() {
    return {
      name: this.drawing.selectedShape ? "" : this.name.value.trim(),
      className: this.className.value.trim(),
      color: this.#colorValue(),
    };
  }

  /**
   * @param {Partial<Shape>} change
   * @param {string} kind
   */
  #change(change, kind) {
    const shape = this.drawing.selectedShape;
    if (shape) this.drawing.replace({ ...shape, ...change }, kind);
  }

  /** @param {string} className */
  #setClass(className) {
    const known = this.drawing.shapes.find((shape, index) => {
      return shape.className === className && index !== this.drawing.selected;
    });
    const color = known?.color ?? classColor(className);
    this.color.value = hexColor(color);
    this.#change({ className, color }, "class");
  }

  #setColor() {
    const color = this.#colorValue();
    const shape = this.drawing.selectedShape;
    if (shape?.className) this.drawing.recolor(shape.className, color);
    else this.#change({ color }, "color");
  }

  /** @returns {Color} */
  #colorValue() {
    const value = Number.parseInt(this.color.value.slice(1), 16);
    return [value >> 16, (value >> 8) & 255, value & 255];
  }

  #update() {
    const shape = this.drawing.selectedShape;
    this.title.textContent = shape ? "Selected shape" : "Next shape";
    // A field that is typed in has the text already, with the blanks at its end.
    if (document.activeElement !== this.name) this.name.value = shape?.name ?? "";
    if (!shape) return;
    if (document.activeElement !== this.className) this.className.value = shape.className;
    this.color.value = hexColor(shape.color);
  }
}

/** @param {Color} color */
function hexColor(color) {
  return `#${color.map((part) => part.toString(16).padStart(2, "0")).join("")}`;
}

/** @param {Shape} shape */
function isCrossed(shape) {
  const known = crossed.get(shape) ?? crossesItself(shape);
  crossed.set(shape, known);
  return known;
}
