/**
 * Outlines as plain data, and what is asked of them. Pure functions: nothing here knows the page.
 *
 * Points are in pixels of level 0 of the slide that is drawn on. Shapes are never changed in place: whoever
 * changes one makes another, so that a list of shapes is all that undoing needs.
 */

import { doubledArea, isInside } from "./rings.js";

/** @typedef {import("./rings.js").Point} Point */
/** @typedef {import("./rings.js").Ring} Ring */
/** @typedef {import("./rings.js").Size} Size */
/** @typedef {readonly Ring[]} Polygon its outline, then its holes */
/** @typedef {readonly [number, number, number]} Color red, green, blue, 0 to 255 */
/** @typedef {{readonly x: number, readonly y: number, readonly width: number, readonly height: number}} Bounds */
/**
 * @typedef {object} Shape
 * @property {string} name as the person calls it; may be empty
 * @property {string} className the class, which decides the recipe; empty: no class
 * @property {Color} color
 * @property {readonly Polygon[]} polygons one or more
 */
/** @typedef {{polygon: number, ring: number, point: number}} Vertex where a point of a shape is found */

/**
 * Return the corners of a rectangle, clockwise from the upper left.
 * @param {Bounds} bounds
 * @returns {Polygon}
 */
export function rectangle({ x, y, width, height }) {
  return [
    [
      [x, y],
      [x + width, y],
      [x + width, y + height],
      [x, y + height],
    ],
  ];
}

/**
 * Return the rectangle of which two points are opposite corners.
 * @param {Point} one
 * @param {Point} other
 * @returns {Bounds}
 */
export function spanned([x1, y1], [x2, y2]) {
  return { x: Math.min(x1, x2), y: Math.min(y1, y2), width: Math.abs(x2 - x1), height: Math.abs(y2 - y1) };
}

/**
 * Return whether a shape is one upright rectangle.
 * @param {Shape} shape
 */
export function isRectangle(shape) {
  const [polygon, ...others] = shape.polygons;
  if (others.length || polygon.length !== 1 || polygon[0].length !== 4) return false;
  const [a, b, c, d] = polygon[0];
  const across = a[1] === b[1] && b[0] === c[0] && c[1] === d[1] && d[0] === a[0];
  const down = a[0] === b[0] && b[1] === c[1] && c[0] === d[0] && d[1] === a[1];
  return across || down;
}

/**
 * Return the smallest upright rectangle around a shape.
 * @param {Pick<Shape, 'polygons'>} shape
 * @returns {Bounds}
 */
export function boundsOf(shape) {
  let [left, top, right, bottom] = [Infinity, Infinity, -Infinity, -Infinity];
  for (const [outline] of shape.polygons) {
    for (const [x, y] of outline) {
      [left, right] = [Math.min(left, x), Math.max(right, x)];
      [top, bottom] = [Math.min(top, y), Math.max(bottom, y)];
    }
  }
  return { x: left, y: top, width: right - left, height: bottom - top };
}

/**
 * Return the area of a shape without its holes, in square level-0 px.
 * @param {Pick<Shape, 'polygons'>} shape
 */
export function areaOf(shape) {
  let area = 0;
  for (const [outline, ...holes] of shape.polygons) {
    area += Math.abs(doubledArea(outline));
    for (const hole of holes) area -= Math.abs(doubledArea(hole));
  }
  return Math.max(0, area / 2);
}

/**
 * Return an area in words: in mm2 or um2, or in px where the slide does not say its mpp.
 * @param {number} area in square level-0 px
 * @param {number|null} mpp um per level-0 px
 */
export function areaText(area, mpp) {
  if (mpp === null) return `${Math.round(area).toLocaleString("en")} px`;
  const um2 = area * mpp * mpp;
  const [figure, unit] = um2 < 10_000 ? [um2, "µm²"] : [um2 / 1e6, "mm²"];
  const digits = { minimumSignificantDigits: 3, maximumSignificantDigits: 3 };
  return `${figure.toLocaleString("en", digits)} ${unit}`;
}

/**
 * Return how many points a shape has.
 * @param {Pick<Shape, 'polygons'>} shape
 */
export function pointCount(shape) {
  return shape.polygons.reduce((sum, rings) => rings.reduce((all, ring) => all + ring.length, sum), 0);
}

/**
 * Return a point moved into the slide, in whole pixels.
 * @param {Point} point
 * @param {Size} size
 * @returns {Point}
 */
export function within([x, y], { width, height }) {
  return [Math.min(Math.max(Math.round(x), 0), width), Math.min(Math.max(Math.round(y), 0), height)];
}

/**
 * Return a shape with one of its points elsewhere. A rectangle stays one: its other corners follow.
 * @param {Shape} shape
 * @param {Vertex} vertex
 * @param {Point} to
 * @returns {Shape}
 */
export function withVertexAt(shape, vertex, to) {
  if (isRectangle(shape)) {
    const opposite = shape.polygons[0][0][(vertex.point + 2) % 4];
    return { ...shape, polygons: [rectangle(spanned(opposite, to))] };
  }
  return {
    ...shape,
    polygons: shape.polygons.map((rings, polygon) =>
      rings.map((ring, index) =>
        polygon === vertex.polygon && index === vertex.ring ? ring.with(vertex.point, to) : ring,
      ),
    ),
  };
}

/**
 * Return a shape moved by so many pixels, as far as the slide goes.
 * @param {Shape} shape
 * @param {number} dx
 * @param {number} dy
 * @param {Size} size
 * @returns {Shape}
 */
export function moved(shape, dx, dy, size) {
  const { x, y, width, height } = boundsOf(shape);
  const byX = Math.min(Math.max(dx, -x), size.width - x - width);
  const byY = Math.min(Math.max(dy, -y), size.height - y - height);
  return mapped(shape, ([px, py]) => [px + byX, py + byY]);
}

/**
 * Return a shape that is wider and higher by so many pixels, its upper left kept; at least 1 px a side.
 * @param {Shape} shape
 * @param {number} dx
 * @param {number} dy
 * @param {Size} size
 * @returns {Shape}
 */
export function resized(shape, dx, dy, size) {
  const { x, y, width, height } = boundsOf(shape);
  const byX = Math.min(Math.max(width + dx, 1), size.width - x) / width;
  const byY = Math.min(Math.max(height + dy, 1), size.height - y) / height;
  /** @param {number} value */
  const hundredth = (value) => Math.round(value * 100) / 100;
  return mapped(shape, ([px, py]) => [hundredth(x + (px - x) * byX), hundredth(y + (py - y) * byY)]);
}

/**
 * Return a shape with each of its points changed.
 * @param {Shape} shape
 * @param {(point: Point) => Point} change
 * @returns {Shape}
 */
function mapped(shape, change) {
  return { ...shape, polygons: shape.polygons.map((rings) => rings.map((ring) => ring.map(change))) };
}

/**
 * Return whether a point lies in a shape, and not in a hole of it.
 * @param {Shape} shape
 * @param {Point} point
 */
export function contains(shape, point) {
  return shape.polygons.some(
    ([outline, ...holes]) => isInside(outline, point) && !holes.some((hole) => isInside(hole, point)),
  );
}

/**
 * Return the point of a shape that is nearest to another, within a distance.
 * @param {Shape} shape
 * @param {Point} point
 * @param {number} most the distance, in level-0 px
 * @returns {Vertex|null}
 */
export function vertexNear(shape, point, most) {
  /** @type {Vertex|null} */
  let nearest = null;
  let least = most;
  shape.polygons.forEach((rings, polygon) =>
    rings.forEach((ring, index) =>
      ring.forEach(([x, y], which) => {
        const distance = Math.hypot(x - point[0], y - point[1]);
        if (distance <= least) [nearest, least] = [{ polygon, ring: index, point: which }, distance];
      }),
    ),
  );
  return nearest;
}
