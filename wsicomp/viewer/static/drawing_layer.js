/**
 * Draws the shapes on a pane: outlines, the corners of the selected one, and what is being drawn. Nothing is filled:
 * tissue keeps its colours.
 */

import { boundsOf } from "./shapes.js";

/** @typedef {import("./pane.js").Draw} Draw */
/** @typedef {import("./rings.js").Point} Point */
/** @typedef {import("./shapes.js").Shape} Shape */
/** @typedef {import("./drawn_shapes.js").DrawnShapes} DrawnShapes */

const HANDLE = 8;
const MOST_HANDLES = 2000;

/** @type {WeakMap<Shape, {path: Path2D, bounds: import("./shapes.js").Bounds}>} in level-0 px */
const traces = new WeakMap();

/**
 * Return what draws the shapes of a drawing, and the points of an outline that is not closed yet.
 * @param {DrawnShapes} drawing
 * @param {() => readonly Point[]} begun the points of the outline under way; the last one follows the pointer
 * @returns {Draw}
 */
export function shapesDrawer(drawing, begun) {
  return (context, toScreen, pane) => {
    const view = frameOf(toScreen);
    drawing.shapes.forEach((each, index) => {
      const isSelected = index === drawing.selected;
      const shape = (isSelected && drawing.draft) || each;
      if (isInSight(view, shape, pane)) drawShape(context, view, shape, isSelected);
    });
    const selected = drawing.draft ?? drawing.selectedShape;
    if (selected) drawHandles(context, view, selected, pane);
    drawBegun(context, view, begun());
  };
}

/**
 * @typedef {{left: number, top: number, scale: number}} Frame where the slide's first pixel is on the pane, and the
 *   screen px of a level-0 px
 */

/**
 * @param {(x: number, y: number) => {x: number, y: number}} toScreen
 * @returns {Frame}
 */
function frameOf(toScreen) {
  const origin = toScreen(0, 0);
  return { left: origin.x, top: origin.y, scale: (toScreen(1024, 0).x - origin.x) / 1024 };
}

/**
 * @param {CanvasRenderingContext2D} context
 * @param {Frame} frame
 * @param {Shape} shape
 * @param {boolean} isSelected
 */
function drawShape(context, frame, shape, isSelected) {
  const color = cssColor(shape.color);
  context.save();
  context.translate(frame.left, frame.top);
  context.scale(frame.scale, frame.scale);
  const { path } = traceOf(shape);
  context.lineJoin = "round";
  context.lineWidth = (isSelected ? 5 : 4) / frame.scale;
  context.strokeStyle = "rgb(255 255 255 / 80%)";
  context.stroke(path);
  context.lineWidth = (isSelected ? 3 : 2) / frame.scale;
  context.strokeStyle = color;
  context.stroke(path);
  context.restore();
}

/**
 * @param {Frame} frame
 * @param {Shape} shape
 * @param {{width: number, height: number}} pane
 */
function isInSight({ left, top, scale }, shape, pane) {
  const { x, y, width, height } = traceOf(shape).bounds;
  const isBeside = left + (x + width) * scale < -HANDLE || left + x * scale > pane.width + HANDLE;
  return !isBeside && top + (y + height) * scale > -HANDLE && top + y * scale < pane.height + HANDLE;
}

/** @param {Shape} shape */
function traceOf(shape) {
  const known = traces.get(shape);
  if (known) return known;
  const path = new Path2D();
  for (const ring of shape.polygons.flat()) {
    ring.forEach(([x, y], index) => (index ? path.lineTo(x, y) : path.moveTo(x, y)));
    path.closePath();
  }
  const trace = { path, bounds: boundsOf(shape) };
  traces.set(shape, trace);
  return trace;
}

/**
 * @param {CanvasRenderingContext2D} context
 * @param {Frame} frame
 * @param {Shape} shape
 * @param {{width: number, height: number}} pane
 */
function drawHandles(context, frame, shape, pane) {
  const places = shape.polygons
    .flat(2)
    .map(([x, y]) => [frame.left + x * frame.scale, frame.top + y * frame.scale])
    .filter(([x, y]) => x > -HANDLE && y > -HANDLE && x < pane.width + HANDLE && y < pane.height + HANDLE);
  if (places.length > MOST_HANDLES) return;
  context.fillStyle = "white";
  context.strokeStyle = cssColor(shape.color);
  context.lineWidth = 2;
  for (const [x, y] of places) {
    context.fillRect(x - HANDLE / 2, y - HANDLE / 2, HANDLE, HANDLE);
    context.strokeRect(x - HANDLE / 2, y - HANDLE / 2, HANDLE, HANDLE);
  }
}

/**
 * @param {CanvasRenderingContext2D} context
 * @param {Frame} frame
 * @param {readonly Point[]} points
 */
function drawBegun(context, frame, points) {
  if (!points.length) return;
  const places = points.map(([x, y]) => [frame.left + x * frame.scale, frame.top + y * frame.scale]);
  for (const [width, color] of /** @type {const} */ ([
    [4, "white"],
    [2, "black"],
  ])) {
    context.beginPath();
    for (const [x, y] of places) context.lineTo(x, y);
    context.lineWidth = width;
    context.strokeStyle = color;
    context.stroke();
  }
  context.fillStyle = "white";
  context.lineWidth = 1;
  for (const [x, y] of places) {
    context.beginPath();
    context.arc(x, y, HANDLE / 2, 0, 2 * Math.PI);
    context.fill();
    context.stroke();
  }
}

/** @param {import("./shapes.js").Color} color */
export function cssColor([red, green, blue]) {
  return `rgb(${red} ${green} ${blue})`;
}
