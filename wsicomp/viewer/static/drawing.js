/**
 * The panel "Draw": shapes on the slide, their file, and what a conversion that keeps them would weigh.
 */

import { button, make } from "./dom.js";
import { filesRow } from "./drawing_files.js";
import { rowKeys, startDrawingKeys } from "./drawing_keys.js";
import { shapesDrawer } from "./drawing_layer.js";
import { ShapeFields, ShapeList, changeRow, toolRow } from "./drawing_panel.js";
import { DrawingTools } from "./drawing_tools.js";
import { DrawnShapes } from "./drawn_shapes.js";
import { estimateForm } from "./estimate_panel.js";
import { importContent } from "./geojson.js";
import { layerRow, makeLayer } from "./layers.js";
import { say, sayError } from "./messages.js";
import { askJson } from "./server.js";
import { boundsOf, isRectangle, rectangle } from "./shapes.js";

/** @typedef {import("./panes.js").Panes} Panes */
/** @typedef {import("./session.js").Session} Session */

/**
 * Fill the panel "Draw".
 * @param {Panes} panes
 * @param {Session} session
 * @param {HTMLElement} panel
 */
export function startDrawing(panes, session, panel) {
  const slide = session.slides[0];
  const drawing = new DrawnShapes();
  const fields = new ShapeFields(drawing);
  const tools = new DrawingTools(panes, drawing, (polygon) => add(polygon), say);
  const list = new ShapeList(drawing, slide.mpp, rowKeys(drawing, panes), () => bringIntoSight(panes, drawing));
  const layer = makeLayer(
    "Drawn shapes",
    shapesDrawer(drawing, () => tools.begun),
  );
  /** @param {import("./shapes.js").Polygon} polygon */
  const add = (polygon) => {
    try {
      drawing.add([{ ...fields.label, polygons: [polygon] }]);
    } catch (error) {
      sayError(error);
    }
  };
  panel.append(
    group("Tools", toolRow(tools), changeRow(drawing)),
    group("Shapes", list.element, fields.element, outlineRow(session, drawing), layerRow(panes, layer)),
    group("Files", filesRow(session, drawing)),
    group("What a conversion would weigh", estimateForm(session, drawing)),
  );
  panes.addLayer(layer);
  drawing.addEventListener("change", () => panes.redraw());
  drawing.addEventListener("draft", () => panes.redraw());
  drawing.keepIn(sessionStorage, `drawing ${location.pathname} ${slide.name}`, slide, (error) => {
    sayError(new Error(`The drawing is not kept for a reload: ${error instanceof Error ? error.message : error}`));
  });
  startDrawingKeys(drawing, tools, () => {
    tools.choose("select");
    add(middleOf(panes));
    document.getElementById("tab-draw")?.click();
    list.focus();
  });
}

/**
 * Return a part of the panel with its title.
 * @param {string} title
 * @param {...Node} parts
 */
function group(title, ...parts) {
  return make("section", { class: "group", "aria-label": title }, make("h3", {}, title), ...parts);
}

/**
 * Return a rectangle in the middle of what is in sight, half as wide and high.
 * @param {Panes} panes
 */
function middleOf(panes) {
  const { x, y, width, height } = panes.viewRegion();
  const [halfWidth, halfHeight] = [Math.max(1, width >> 1), Math.max(1, height >> 1)];
  return rectangle({
    x: x + ((width - halfWidth) >> 1),
    y: y + ((height - halfHeight) >> 1),
    width: halfWidth,
    height: halfHeight,
  });
}

/**
 * Go to the selected shape, unless it is in sight and not tiny.
 * @param {Panes} panes
 * @param {DrawnShapes} drawing
 */
function bringIntoSight(panes, drawing) {
  const shape = drawing.selectedShape;
  if (!shape) return;
  const { x, y, width, height } = boundsOf(shape);
  const view = panes.viewRegion();
  const isInside = x >= view.x && y >= view.y && x + width <= view.x + view.width && y + height <= view.y + view.height;
  if (isInside && Math.max(width, height) * panes.scale > 20) return;
  panes.goTo(x + width / 2, y + height / 2, 2 * Math.max(width, (height * view.width) / view.height));
}

/**
 * Return the button that makes the outline of the tissue of a rectangle; where that cannot be, the reason.
 * @param {Session} session
 * @param {DrawnShapes} drawing
 */
function outlineRow({ slides, features }, drawing) {
  if (!features.outline) {
    const reason = features.outline_reason || "not available here";
    return make("p", { class: "note" }, `Outlines of the tissue in a rectangle: ${reason}`);
  }
  const ask = button("Outline the tissue in this rectangle", async () => {
    const shape = drawing.selectedShape;
    if (!shape) return;
    ask.disabled = true;
    say("Looking for the tissue in the rectangle …");
    try {
      const body = JSON.stringify({ slide: slides[0].id, ...boundsOf(shape) });
      const answer = await askJson("outline", {
        method: "POST",
        headers: { "Content-Type": "application/json" },
        body,
      });
      if (!answer.geometry.coordinates.length) throw new Error(["No tissue was found", ...answer.notes].join("; "));
      const [{ polygons }] = importContent(answer.geometry, slides[0]).shapes;
      drawing.select(drawing.shapes.indexOf(shape));
      if (!drawing.selectedShape) throw new Error("The rectangle is no more: its outline was let go.");
      drawing.replace({ ...shape, polygons });
      const done = `The rectangle is the outline of its tissue now, by ${answer.source}; Undo brings it back`;
      say([done, ...answer.notes].join("; "));
    } catch (error) {
      sayError(error);
    } finally {
      update();
    }
  });
  const update = () => {
    const shape = drawing.selectedShape;
    ask.disabled = !shape || !isRectangle(shape);
    ask.title = ask.disabled ? "Select a rectangle first" : "";
  };
  drawing.addEventListener("change", update);
  update();
  return make("div", { class: "buttons" }, ask);
}
