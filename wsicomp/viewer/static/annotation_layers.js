/**
 * Outlines from files of annotations, with their names.
 */

import { PLAIN, isRecord, labelled } from "./annotation_labels.js";
import { make } from "./dom.js";
import { cssColor } from "./drawing_layer.js";
import { layerRow, makeLayer } from "./layers.js";
import { askJson } from "./server.js";

/** @typedef {import("./panes.js").Panes} Panes */
/** @typedef {(x: number, y: number) => {x: number, y: number}} ToScreen */
/**
 * An outline in level-0 px of the first slide. A path is built once: a file may hold a hundred thousand corners.
 * @typedef {object} Outline
 * @property {Path2D} path of its rings
 * @property {number[][]} points that are no corners but marks of their own
 * @property {string} name
 * @property {string} color
 * @property {number[]} at where its name stands
 * @property {{left: number, top: number, right: number, bottom: number}} box
 */

const COLOR = "#1e88e5";
const NAME_LEAST_PX = 24;
const DOT_MOST_PX = 5;
const DOT_LEAST_PX = 2;

/**
 * Return a row for each file of annotations. A file is asked for at once: it was named to be seen.
 * @param {Panes} panes
 * @returns {Node[]}
 */
export function annotationRows(panes) {
  return panes.session.annotations.flatMap(({ id, name }) => {
    /** @type {Outline[]} */
    let outlines = [];
    const note = make("p", { class: "note" });
    const layer = makeLayer(name, (context, toScreen, pane) => {
      const topLeft = pane.toSlide(0, 0);
      const bottomRight = pane.toSlide(pane.width, pane.height);
      const isSeen = (/** @type {Outline} */ { box }) => isInSight(box, topLeft, bottomRight);
      drawOutlines(context, toScreen, outlines.filter(isSeen));
    });
    panes.addLayer(layer);
    askJson(`annotations/${id}`)
      .then(({ features }) => {
        outlines = features.flatMap(outlineOf);
        const count = outlines.length === 1 ? "1 outline" : `${outlines.length} outlines`;
        const lacking = features.length - outlines.length;
        note.textContent = lacking ? `${count}; ${lacking} without places that are numbers left out` : count;
        panes.redraw();
      })
      .catch((error) => (note.textContent = error.message));
    return [layerRow(panes, layer), note];
  });
}

/**
 * Return a GeoJSON feature's outline as QuPath names and colours it; nothing for one that cannot be drawn.
 * @param {any} feature
 * @returns {Outline[]}
 */
export function outlineOf(feature) {
  const { rings, points } = placesOf(feature.geometry);
  const all = [...rings.flat(), ...points];
  if (!all.length || !all.every(isPlace)) return [];
  const { name, className, color } = labelled(isRecord(feature.properties) ? feature.properties : {});
  const style = color === PLAIN ? COLOR : cssColor(color);
  return [{ path: pathOf(rings), points, name: name || className, color: style, at: all[0], box: boxOf(all) }];
}

/**
 * @param {any} geometry
 * @returns {{rings: number[][][], points: number[][]}}
 */
function placesOf(geometry) {
  const { type, coordinates } = geometry ?? {};
  if (!Array.isArray(coordinates)) return { rings: [], points: [] };
  const lists = coordinates.filter(Array.isArray);
  if (type === "Polygon" || type === "MultiLineString") return { rings: lists, points: [] };
  if (type === "MultiPolygon") return { rings: lists.flat().filter(Array.isArray), points: [] };
  if (type === "LineString") return { rings: [coordinates], points: [] };
  return { rings: [], points: type === "Point" ? [coordinates] : lists };
}

/** @param {unknown} found */
function isPlace(found) {
  return Array.isArray(found) && Number.isFinite(found[0]) && Number.isFinite(found[1]);
}

/** @param {number[][][]} rings */
function pathOf(rings) {
  const path = new Path2D();
  for (const ring of rings) ring.forEach(([x, y], index) => (index ? path.lineTo(x, y) : path.moveTo(x, y)));
  return path;
}

/** @param {number[][]} corners */
function boxOf(corners) {
  const box = { left: Infinity, top: Infinity, right: -Infinity, bottom: -Infinity };
  for (const [x, y] of corners) {
    box.left = Math.min(box.left, x);
    box.top = Math.min(box.top, y);
    box.right = Math.max(box.right, x);
    box.bottom = Math.max(box.bottom, y);
  }
  return box;
}

/**
 * @param {Outline["box"]} box
 * @param {{x: number, y: number}} topLeft
 * @param {{x: number, y: number}} bottomRight
 */
function isInSight({ left, top, right, bottom }, topLeft, bottomRight) {
  return right >= topLeft.x && left <= bottomRight.x && bottom >= topLeft.y && top <= bottomRight.y;
}

/**
 * Draw outlines in lines that show on light and dark, and those too small for lines as dots: a file may hold a hundred
 * thousand cells, all in sight at once.
 * @param {CanvasRenderingContext2D} context
 * @param {ToScreen} toScreen
 * @param {Outline[]} outlines
 */
function drawOutlines(context, toScreen, outlines) {
  const origin = toScreen(0, 0);
  const scale = toScreen(1, 0).x - origin.x;
  context.save();
  context.translate(origin.x, origin.y);
  context.scale(scale, scale);
  context.lineJoin = "round";
  for (const each of outlines) {
    if (!each.points.length && sizeOf(each.box) * scale < DOT_MOST_PX) drawDot(context, each, DOT_LEAST_PX / scale);
    else drawLines(context, each, scale);
  }
  context.restore();
  for (const { box, points, name, color, at } of outlines) {
    const isLarge = (box.right - box.left) * scale > NAME_LEAST_PX;
    if (name && (points.length || isLarge)) drawName(context, toScreen(at[0], at[1]), name, color);
  }
}

/** @param {Outline["box"]} box */
function sizeOf({ left, top, right, bottom }) {
  return Math.max(right - left, bottom - top);
}

/**
 * @param {CanvasRenderingContext2D} context
 * @param {Outline} outline
 * @param {number} least the least side of the dot in level-0 px
 */
function drawDot(context, { box, color }, least) {
  context.fillStyle = color;
  context.fillRect(box.left, box.top, Math.max(box.right - box.left, least), Math.max(box.bottom - box.top, least));
}

/**
 * @param {CanvasRenderingContext2D} context
 * @param {Outline} outline
 * @param {number} scale
 */
function drawLines(context, { path, points, color }, scale) {
  const marks = new Path2D();
  for (const [x, y] of points) {
    marks.moveTo(x + 4 / scale, y);
    marks.arc(x, y, 4 / scale, 0, 2 * Math.PI);
  }
  for (const [style, width] of /** @type {[string, number][]} */ ([["rgb(255 255 255 / 0.8)", 4], [color, 2]])) {
    context.strokeStyle = style;
    context.lineWidth = width / scale;
    context.stroke(path);
    if (points.length) context.stroke(marks);
  }
}

/**
 * @param {CanvasRenderingContext2D} context
 * @param {{x: number, y: number}} at
 * @param {string} name
 * @param {string} color
 */
function drawName(context, { x, y }, name, color) {
  context.font = "600 12px system-ui, sans-serif";
  context.lineWidth = 4;
  context.strokeStyle = "rgb(255 255 255 / 0.9)";
  context.strokeText(name, x + 6, y - 6);
  context.fillStyle = color;
  context.fillText(name, x + 6, y - 6);
}
