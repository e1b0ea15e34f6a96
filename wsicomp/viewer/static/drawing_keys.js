/**
 * The keys of the drawing: those of the whole page, and those of a shape's row in the list.
 */

import { takesText } from "./dom.js";
import { moved, resized } from "./shapes.js";

/** @typedef {import("./panes.js").Panes} Panes */
/** @typedef {import("./drawn_shapes.js").DrawnShapes} DrawnShapes */
/** @typedef {import("./drawing_tools.js").DrawingTools} DrawingTools */
/** @typedef {import("./shapes.js").Bounds} Bounds */

const STEP_PX = 10;
/** @type {Record<string, [number, number]>} */
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

/** What the page's list of keys says of these. */
export const DRAWING_KEYS = [
  { shown: ["r"], says: "draw a rectangle in the middle of the view, and go to its row in the list" },
  { shown: ["\u2190", "\u2192", "\u2191", "\u2193"], says: "in a shape's row: move it; with Alt by one pixel" },
  { shown: ["Shift", "\u2192"], says: "there: make it wider; likewise narrower, higher, lower" },
  { shown: ["Delete"], says: "remove the selected shape" },
  { shown: ["Enter"], says: "close the polygon" },
  { shown: ["Backspace"], says: "take its last point back" },
  { shown: ["Esc"], says: "cancel what is being drawn" },
  { shown: ["Ctrl", "z"], says: "undo in the drawing; with Shift redo" },
];

/**
 * Listen to the drawing's keys.
 * @param {DrawnShapes} drawing
 * @param {DrawingTools} tools
 * @param {() => void} drawInView draws a rectangle in the middle of the view
 */
export function startDrawingKeys(drawing, tools, drawInView) {
  /** @param {KeyboardEvent} event */
  const actionOf = ({ key, shiftKey, ctrlKey, metaKey, altKey }) => {
    if (ctrlKey || metaKey) {
      if (key.toLowerCase() === "z") return () => (shiftKey ? drawing.redo() : drawing.undo());
      return key === "y" ? () => drawing.redo() : null;
    }
    if (altKey) return null;
    if (key === "Escape" && (tools.isDrawing || tools.tool !== "select")) return () => tools.cancel();
    if (key === "Enter" && tools.points.length) return () => tools.close();
    if (key === "Backspace" && tools.points.length) return () => tools.takeBack();
    if (key === "Delete" && drawing.selectedShape) return () => drawing.remove();
    return key === "r" ? drawInView : null;
  };
  // Before others listen: Escape, Enter and the letters mean something to the page as well.
  addEventListener(
    "keydown",
    (event) => {
      const action = isTyped(event) ? null : actionOf(event);
      if (!action) return;
      event.preventDefault();
      event.stopPropagation();
      action();
    },
    true,
  );
}

/**
 * Return what a shape's row does with keys: it moves and resizes the selected shape.
 * @param {DrawnShapes} drawing
 * @param {Panes} panes
 * @returns {(event: KeyboardEvent) => void}
 */
export function rowKeys(drawing, panes) {
  return (event) => {
    const arrow = ARROWS[event.key];
    const shape = drawing.selectedShape;
    if (!arrow || !shape || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    event.stopPropagation();
    const step = event.altKey ? 1 : Math.max(1, Math.round(STEP_PX / panes.scale));
    const [dx, dy] = [arrow[0] * step, arrow[1] * step];
    const change = event.shiftKey ? resized : moved;
    drawing.replace(change(shape, dx, dy, panes.slide), event.shiftKey ? "resize" : "move");
  };
}

/**
 * True where a key goes to a text, a list or a dialog.
 * @param {KeyboardEvent} event
 */
function isTyped({ target, key }) {
  if (!(target instanceof HTMLElement)) return false;
  if (target.closest("dialog")) return true;
  if (target.matches("button, summary, a, [role=tab]")) return key === "Enter";
  return takesText(target);
}
