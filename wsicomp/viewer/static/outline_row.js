/**
 * A rectangle becomes the outline of the tissue in it, which the server finds.
 */

import { button, make } from "./dom.js";
import { importContent } from "./geojson.js";
import { say, sayError } from "./messages.js";
import { askJson } from "./server.js";
import { boundsOf, isRectangle } from "./shapes.js";

/** @typedef {import("./session.js").Session} Session */
/** @typedef {import("./drawn_shapes.js").DrawnShapes} DrawnShapes */
/** @typedef {import("./shapes.js").Shape} Shape */

const TITLE = "Outline the tissue in this rectangle";

/**
 * Return the button that makes the outline; where that cannot be, the reason.
 * @param {Session} session
 * @param {DrawnShapes} drawing
 */
export function outlineRow({ slides, features }, drawing) {
  if (!features.outline) {
    const reason = features.outline_reason || "not available here";
    return make("p", { class: "note" }, `Outlines of the tissue in a rectangle: ${reason}`);
  }
  let isAsking = false;
  const ask = button(TITLE, async () => {
    const shape = drawing.selectedShape;
    if (!shape) return;
    isAsking = true;
    update();
    try {
      await outline(slides[0], drawing, shape);
    } catch (error) {
      sayError(error);
    }
    isAsking = false;
    update();
  });
  const update = () => {
    const shape = drawing.selectedShape;
    ask.textContent = isAsking ? "Looking for the tissue …" : TITLE;
    ask.disabled = isAsking || !shape || !isRectangle(shape);
    ask.title = ask.disabled && !isAsking ? "Select a rectangle first" : "";
  };
  drawing.addEventListener("change", update);
  update();
  return make("div", { class: "buttons" }, ask);
}

/**
 * Put the outline of the tissue in the place of a rectangle.
 * @param {import("./session.js").Slide} slide
 * @param {DrawnShapes} drawing
 * @param {Shape} shape the rectangle
 */
async function outline(slide, drawing, shape) {
  const body = JSON.stringify({ slide: slide.id, ...boundsOf(shape) });
  const headers = { "Content-Type": "application/json" };
  const { geometry, source, notes } = await askJson("outline", { method: "POST", headers, body });
  if (!geometry.coordinates.length) throw new Error(["No tissue was found", ...notes].join("; "));
  const [{ polygons }] = importContent(geometry, slide).shapes;
  const index = drawing.shapes.indexOf(shape);
  if (index < 0) throw new Error("The rectangle was changed in the meantime: its outline is let go.");
  drawing.select(index);
  drawing.replace({ ...shape, polygons });
  const done = `The rectangle is the outline of its tissue now, by ${source}; Undo brings it back`;
  say([done, ...notes].join("; "));
}
