/**
 * Shapes to GeoJSON as QuPath writes it, and back. Pure functions: nothing here knows the page.
 *
 * What comes in is not trusted: its size, its numbers and its counts are looked at first. What goes out is
 * what `--roi` and `--mask` take and QuPath imports: a FeatureCollection of annotations, in pixels of level 0.
 *
 * Source: RFC 7946; QuPath's GsonTools and QuPathTypeAdapters.
 */

import { isRecord, labelled } from "./annotation_labels.js";
import { closed, cutAtEdges, faultOf, opened } from "./rings.js";
import { boundsOf, pointCount } from "./shapes.js";

/** @typedef {import("./rings.js").Point} Point */
/** @typedef {import("./shapes.js").Polygon} Polygon */
/** @typedef {import("./rings.js").Ring} Ring */
/** @typedef {import("./shapes.js").Shape} Shape */
/** @typedef {import("./rings.js").Size} Size */
/** @typedef {{shapes: Shape[], notes: string[]}} Imported `notes`: what was left out or changed, in words */

export const MOST_BYTES = 1_000_000;
export const MOST_SHAPES = 2_000;
export const MOST_POINTS = 100_000;
const MOST_DEPTH = 32;
const TEXT_OR_NO_NUMBER = /"(?:[^"\\]|\\.)*"|-?\b(?:NaN|Infinity)\b/g;

/** What is wrong with a file of annotations, in words for whoever gave it. */
export class GeoJsonError extends Error {}

/**
 * Return the shapes of GeoJSON: annotations with an area, of every class.
 *
 * Points and lines are left out, and outlines are cut at the slide's edges; notes say so.
 * @param {string} text
 * @param {Size} size of the slide
 * @returns {Imported}
 * @throws {GeoJsonError} it is too large, is no GeoJSON, has nothing with an area or lies off the slide
 */
export function importText(text, size) {
  const bytes = byteCount(text);
  if (bytes > MOST_BYTES) {
    const advice = "simplify the outlines, or give the file on the command line (--annotations)";
    throw new GeoJsonError(`${megabytes(bytes)}, expected at most ${megabytes(MOST_BYTES)}; ${advice}`);
  }
  /** @type {unknown} */
  let content;
  try {
    content = parsed(text.replace(/^\uFEFF/, ""));
  } catch {
    throw new GeoJsonError("not JSON; expected annotations as QuPath exports them (GeoJSON)");
  }
  return importContent(content, size);
}

/**
 * Return the values of JSON in which QuPath may have written measurements that are no numbers: they become null.
 * @param {string} text
 * @returns {unknown}
 * @throws {SyntaxError}
 */
function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return JSON.parse(text.replace(TEXT_OR_NO_NUMBER, (found) => (found.startsWith('"') ? found : "null")));
  }
}

/**
 * Return the shapes of parsed GeoJSON, as `importText` does.
 * @param {unknown} content
 * @param {Size} size of the slide
 * @returns {Imported}
 * @throws {GeoJsonError}
 */
export function importContent(content, size) {
  const found = new Found(size);
  found.add(content, {}, 0);
  return found.result();
}

/** Shapes as they are found, and what has to be said of them. */
class Found {
  /** @param {Size} size of the slide */
  constructor(size) {
    this.size = size;
    /** @type {Shape[]} */
    this.shapes = [];
    this.points = 0;
    this.withoutArea = 0;
    this.outside = 0;
    this.cut = 0;
  }

  /**
   * Add what an object of GeoJSON holds.
   * @param {unknown} content
   * @param {Record<string, unknown>} properties of the feature to which it belongs
   * @param {number} depth
   */
  add(content, properties, depth) {
    if (depth > MOST_DEPTH) throw new GeoJsonError(`objects in each other ${depth} deep, at most ${MOST_DEPTH}`);
    if (Array.isArray(content)) {
      for (const each of content) this.add(each, properties, depth + 1);
      return;
    }
    const object = record(content, 'an object with a "type"');
    if (object.type === "FeatureCollection") {
      this.add(list(object.features, '"features"'), {}, depth + 1);
    } else if (object.type === "Feature") {
      const own = object.properties ? record(object.properties, 'an object as "properties"') : {};
      if (object.geometry) this.addShape(object.geometry, own, depth + 1);
      if (own.childObjects) this.add(list(own.childObjects, '"childObjects"'), {}, depth + 1);
    } else {
      this.addShape(content, properties, depth + 1);
    }
  }

  /**
   * Add a geometry as one shape.
   * @param {unknown} geometry
   * @param {Record<string, unknown>} properties
   * @param {number} depth
   */
  addShape(geometry, properties, depth) {
    const polygons = polygonsOf(geometry, depth);
    if (!polygons.length) {
      this.withoutArea += 1;
      return;
    }
    this.points += pointCount({ polygons });
    if (this.points > MOST_POINTS) {
      throw new GeoJsonError(`over ${MOST_POINTS.toLocaleString("en")} points; simplify the outlines`);
    }
    const shape = this.placed({ ...labelled(properties), polygons });
    if (shape) this.shapes.push(shape);
    if (this.shapes.length > MOST_SHAPES) {
      throw new GeoJsonError(`over ${MOST_SHAPES.toLocaleString("en")} annotations; import the large ones alone`);
    }
  }

  /**
   * Return a shape cut at the slide's edges, null if it lies off the slide or encloses nothing.
   * @param {Shape} shape
   * @returns {Shape|null}
   */
  placed(shape) {
    const { x, y, width, height } = boundsOf(shape);
    const reachesOut = x < 0 || y < 0 || x + width > this.size.width || y + height > this.size.height;
    let polygons = shape.polygons;
    if (reachesOut) {
      const isFar = x < -1 || y < -1 || x + width > this.size.width + 1 || y + height > this.size.height + 1;
      polygons = polygons.map((rings) => cutPolygon(rings, this.size)).filter((rings) => rings.length);
      if (polygons.length) this.cut += isFar ? 1 : 0;
      else this.outside += 1;
    }
    return polygons.length ? { ...shape, polygons } : null;
  }

  /** @returns {Imported} */
  result() {
    const { width, height } = this.size;
    if (!this.shapes.length && this.outside) {
      const advice = "import annotations of this slide, in pixels of level 0";
      throw new GeoJsonError(`all outlines lie outside the slide of ${width} x ${height} px; ${advice}`);
    }
    if (!this.shapes.length) {
      throw new GeoJsonError("nothing with an area; expected annotations as Polygon or MultiPolygon");
    }
    const crossed = this.shapes.filter(crossesItself).length;
    const notes = [
      [this.withoutArea, "points or lines, which have no area, were left out"],
      [this.outside, "outlines outside the slide were left out"],
      [this.cut, "outlines were cut at the slide's edges"],
      [crossed, "outlines cross themselves: programs read such outlines differently"],
    ];
    return { shapes: this.shapes, notes: notes.filter(([count]) => count).map((each) => each.join(" ")) };
  }
}

/**
 * Return a polygon cut at the slide's edges; nothing is left of one outside.
 * @param {Polygon} rings
 * @param {Size} size
 * @returns {Polygon}
 */
function cutPolygon([outline, ...holes], size) {
  const cut = [outline, ...holes].map((ring) => cutAtEdges(ring, size));
  return cut[0].length < 3 ? [] : [cut[0], ...cut.slice(1).filter((ring) => ring.length > 2)];
}

/**
 * Return whether an outline of a shape, or a hole in it, crosses itself.
 * @param {Shape} shape
 */
export function crossesItself(shape) {
  return shape.polygons.some((rings) => rings.some((ring) => faultOf(ring) !== ""));
}

/**
 * Return the polygons of a geometry; none for points and lines.
 * @param {unknown} geometry
 * @param {number} depth
 * @returns {Polygon[]}
 */
function polygonsOf(geometry, depth) {
  if (depth > MOST_DEPTH) throw new GeoJsonError(`geometries in each other ${depth} deep, at most ${MOST_DEPTH}`);
  const { type, coordinates, geometries } = record(geometry, 'a geometry with a "type"');
  if (type === "GeometryCollection") {
    return list(geometries, '"geometries"').flatMap((each) => polygonsOf(each, depth + 1));
  }
  if (type === "Polygon") return polygon(coordinates);
  if (type === "MultiPolygon") return list(coordinates, "coordinates").flatMap(polygon);
  if (["Point", "MultiPoint", "LineString", "MultiLineString"].includes(String(type))) return [];
  throw new GeoJsonError(`a geometry of type ${quoted(type)}, expected Polygon or MultiPolygon`);
}

/**
 * Return a polygon in a list; an empty list if its outline has fewer than three points.
 * @param {unknown} coordinates
 * @returns {Polygon[]}
 */
function polygon(coordinates) {
  const [outline, ...holes] = list(coordinates, "coordinates").map(ring);
  if (!outline || outline.length < 3) return [];
  return [[outline, ...holes.filter((hole) => hole.length > 2)]];
}

/**
 * Return a ring of GeoJSON, whether or not its last point repeats the first.
 * @param {unknown} points
 * @returns {Ring}
 */
function ring(points) {
  return opened(
    list(points, "a ring").map((point) => {
      const [x, y] = list(point, "a point");
      if (typeof x !== "number" || typeof y !== "number" || !Number.isFinite(x) || !Number.isFinite(y)) {
        throw new GeoJsonError("a point that is not two finite numbers");
      }
      return /** @type {Point} */ ([x, y]);
    }),
  );
}

/**
 * Return shapes as a FeatureCollection of QuPath's annotations.
 * @param {readonly Shape[]} shapes
 */
export function featureCollection(shapes) {
  return { type: "FeatureCollection", features: shapes.map(feature) };
}

/**
 * Return a shape as an annotation of QuPath.
 * @param {Shape} shape
 */
function feature({ name, className, color, polygons }) {
  const rings = polygons.map((each) => each.map(closed));
  const geometry =
    rings.length === 1 ? { type: "Polygon", coordinates: rings[0] } : { type: "MultiPolygon", coordinates: rings };
  /** @type {Record<string, unknown>} */
  const properties = { objectType: "annotation" };
  if (name) properties.name = name;
  if (className) properties.classification = { name: className, color };
  else properties.color = color;
  return { type: "Feature", geometry, properties };
}

/**
 * Return the text of a file with these shapes.
 * @param {readonly Shape[]} shapes
 */
export function exportText(shapes) {
  return `${JSON.stringify(featureCollection(shapes))}\n`;
}

/**
 * Return the bytes of a text in UTF-8.
 * @param {string} text
 */
export function byteCount(text) {
  return new TextEncoder().encode(text).length;
}

/**
 * Return a count of bytes in MB.
 * @param {number} bytes
 */
export function megabytes(bytes) {
  return `${(bytes / 1e6).toFixed(1)} MB`;
}

/** @param {unknown} value @returns {string} */
function quoted(value) {
  return JSON.stringify(String(value).slice(0, 40));
}

/** @param {unknown} value @param {string} expected @returns {Record<string, unknown>} */
function record(value, expected) {
  if (!isRecord(value)) throw new GeoJsonError(`not GeoJSON: expected ${expected}`);
  return value;
}

/** @param {unknown} value @param {string} what @returns {unknown[]} */
function list(value, what) {
  if (!Array.isArray(value)) throw new GeoJsonError(`not GeoJSON: expected a list for ${what}`);
  return value;
}
