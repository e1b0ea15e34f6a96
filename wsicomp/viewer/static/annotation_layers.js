/**
 * Outlines from files of annotations, with their names.
 */

import { make } from "./dom.js";
import { layerRow, makeLayer } from "./layers.js";
import { askJson } from "./server.js";

/** @typedef {import("./panes.js").Panes} Panes */
/** @typedef {(x: number, y: number) => {x: number, y: number}} ToScreen */
/** @typedef {{rings: number[][][], points: number[][], name: string, color: string, at: number[]}} Outline */

const COLOR = "#1e88e5";
const NAME_LEAST_PX = 24;

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
    const layer = makeLayer(name, (context, toScreen) => outlines.forEach((each) => drawOutline(context, toScreen, each)));
    panes.addLayer(layer);
    askJson(`annotations/${id}`)
      .then((collection) => {
        outlines = collection.features.flatMap(outlineOf);
        note.textContent = outlines.length === 1 ? "1 outline" : `${outlines.length} outlines`;
        panes.redraw();
      })
      .catch((error) => (note.textContent = error.message));
    return [layerRow(panes, layer), note];
  });
}

/**
 * Return a GeoJSON feature's outline as QuPath names and colours it; nothing for shapes that have none.
 * @param {any} feature
 * @returns {Outline[]}
 */
export function outlineOf(feature) {
  const { type, coordinates } = feature.geometry ?? {};
  const properties = feature.properties ?? {};
  /** @type {Record<string, () => number[][][]>} */
  const ringsOf = {
    Polygon: () => coordinates,
    MultiPolygon: () => coordinates.flat(),
    LineString: () => [coordinates],
    MultiLineString: () => coordinates,
  };
  const rings = ringsOf[type]?.() ?? [];
  const points = { Point: [coordinates], MultiPoint: coordinates }[/** @type {"Point"} */ (type)] ?? [];
  const at = rings[0]?.[0] ?? points[0];
  if (!at) return [];
  const kind = properties.classification ?? {};
  const color = colorOf(kind.color ?? properties.color);
  return [{ rings, points, name: String(properties.name ?? kind.name ?? ""), color, at }];
}

/** @param {unknown} found */
function colorOf(found) {
  const isTriple = Array.isArray(found) && found.length >= 3 && found.every(Number.isInteger);
  return isTriple ? `rgb(${found.slice(0, 3).join(" ")})` : COLOR;
}

/**
 * @param {CanvasRenderingContext2D} context
 * @param {ToScreen} toScreen
 * @param {Outline} outline
 */
function drawOutline(context, toScreen, { rings, points, name, color, at }) {
  const path = new Path2D();
  let widest = 0;
  for (const ring of rings) {
    const corners = ring.map(([x, y]) => toScreen(x, y));
    corners.forEach(({ x, y }, index) => (index ? path.lineTo(x, y) : path.moveTo(x, y)));
    const across = corners.map(({ x }) => x);
    widest = Math.max(widest, across.reduce((a, b) => Math.max(a, b), -Infinity) - across.reduce((a, b) => Math.min(a, b), Infinity));
  }
  for (const [x, y] of points) {
    const at = toScreen(x, y);
    path.moveTo(at.x + 4, at.y);
    path.arc(at.x, at.y, 4, 0, 2 * Math.PI);
  }
  strokeTwice(context, path, color);
  if (name && (points.length || widest > NAME_LEAST_PX)) drawName(context, toScreen(at[0], at[1]), name, color);
}

/**
 * Draw a line that shows on light and dark.
 * @param {CanvasRenderingContext2D} context
 * @param {Path2D} path
 * @param {string} color
 */
export function strokeTwice(context, path, color) {
  context.lineJoin = "round";
  for (const [style, width] of /** @type {[string, number][]} */ ([["rgb(255 255 255 / 0.8)", 4], [color, 2]])) {
    context.strokeStyle = style;
    context.lineWidth = width;
    context.stroke(path);
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
