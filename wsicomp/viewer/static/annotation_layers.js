/**
 * Outlines from files of annotations, with their names.
 */

import { make } from "./dom.js";
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
      for (const each of outlines) {
        if (isInSight(each.box, topLeft, bottomRight)) drawOutline(context, toScreen, each);
      }
    });
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
  const name = String(properties.name ?? kind.name ?? "");
  return [{ path: pathOf(rings), points, name, color, at, box: boxOf([...rings.flat(), ...points]) }];
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

/** @param {unknown} found */
function colorOf(found) {
  const isTriple = Array.isArray(found) && found.length >= 3 && found.every(Number.isInteger);
  return isTriple ? `rgb(${found.slice(0, 3).join(" ")})` : COLOR;
}

/**
 * Draw an outline in lines that show on light and dark.
 * @param {CanvasRenderingContext2D} context
 * @param {ToScreen} toScreen
 * @param {Outline} outline
 */
function drawOutline(context, toScreen, { path, points, name, color, at, box }) {
  const origin = toScreen(0, 0);
  const scale = toScreen(1, 0).x - origin.x;
  const marks = new Path2D();
  for (const [x, y] of points) {
    marks.moveTo(x + 4 / scale, y);
    marks.arc(x, y, 4 / scale, 0, 2 * Math.PI);
  }
  context.save();
  context.translate(origin.x, origin.y);
  context.scale(scale, scale);
  context.lineJoin = "round";
  for (const [style, width] of /** @type {[string, number][]} */ ([["rgb(255 255 255 / 0.8)", 4], [color, 2]])) {
    context.strokeStyle = style;
    context.lineWidth = width / scale;
    context.stroke(path);
    context.stroke(marks);
  }
  context.restore();
  const isLarge = (box.right - box.left) * scale > NAME_LEAST_PX;
  if (name && (points.length || isLarge)) drawName(context, toScreen(at[0], at[1]), name, color);
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
