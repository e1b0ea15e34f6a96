/**
 * The panel "Draw": shapes on the slide, their file, and what a conversion that keeps them would weigh.
 */

import { make } from "./dom.js";
import { filesRow } from "./drawing_files.js";
import { rowKeys, startDrawingKeys } from "./drawing_keys.js";
import { shapesDrawer } from "./drawing_layer.js";
import { ShapeFields, ShapeList, changeRow, toolRow } from "./drawing_panel.js";
import { DrawingTools } from "./drawing_tools.js";
import { DrawnShapes } from "./drawn_shapes.js";
import { estimateForm } from "./estimate_panel.js";
import { layerRow, makeLayer } from "./layers.js";
import { say, sayError } from "./messages.js";
import { outlineRow } from "./outline_row.js";
import { boundsOf, rectangle } from "./shapes.js";

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
