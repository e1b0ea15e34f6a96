/**
 * Rings of points: what they enclose, whether they cross themselves, and how they are cut. Pure functions.
 */

/** @typedef {readonly [number, number]} Point x and y, in level-0 px */
/** @typedef {readonly Point[]} Ring its last point joins the first, which is not repeated */
/** @typedef {{readonly width: number, readonly height: number}} Size in level-0 px */

/**
 * @typedef {object} Edge
 * @property {Point} from
 * @property {Point} to
 * @property {number} index of its first point in the ring
 * @property {number} left
 * @property {number} right
 * @property {number} top
 * @property {number} bottom
 */

/** Comparing so many pairs of edges takes about a tenth of a second. */
const MOST_COMPARISONS = 20_000_000;

/**
 * Return twice the area within a ring: positive where it runs clockwise on the screen.
 * @param {Ring} ring
 */
export function doubledArea(ring) {
  // Taken from the first point: products of large coordinates would lose what small rings have.
  const [[left, top]] = ring;
  let sum = 0;
  ring.forEach(([x, y], index) => {
    const [nextX, nextY] = ring[(index + 1) % ring.length];
    sum += (x - left) * (nextY - top) - (nextX - left) * (y - top);
  });
  return sum;
}

/**
 * Return whether a ray from a point crosses a ring an odd number of times.
 * @param {Ring} ring
 * @param {Point} point
 */
export function isInside(ring, [x, y]) {
  let inside = false;
  ring.forEach(([x1, y1], index) => {
    const [x2, y2] = ring[(index + 1) % ring.length];
    if (y1 > y !== y2 > y && x < x1 + ((y - y1) * (x2 - x1)) / (y2 - y1)) inside = !inside;
  });
  return inside;
}

/**
 * Return a ring as it is kept: without repeated points, and without the first point at its end.
 * @param {readonly Point[]} points
 * @returns {Ring}
 */
export function opened(points) {
  /** @param {Point} a @param {Point} b */
  const same = (a, b) => a[0] === b[0] && a[1] === b[1];
  const ring = points.filter((point, index) => index === 0 || !same(point, points[index - 1]));
  while (ring.length > 1 && same(ring[0], ring[ring.length - 1])) ring.pop();
  return ring;
}

/**
 * Return a ring as files have it: the first point stands at the end again.
 * @param {Ring} ring
 * @returns {Point[]}
 */
export function closed(ring) {
  return [...ring, ring[0]];
}

/**
 * Say why a ring encloses nothing, or nothing certain; "" if it is sound.
 *
 * A ring that crosses itself is read in two ways by programs: wherever it winds around, or every other part.
 * @param {Ring} ring
 */
export function faultOf(ring) {
  if (ring.length < 3) return `${ring.length} points, expected at least 3`;
  const found = crossing(ring);
  if (found === undefined) return "too many edges beside each other to look for crossings";
  return found ? `it crosses itself near ${Math.round(found[0])}, ${Math.round(found[1])}` : "";
}

/**
 * Return a point of a ring where it crosses or touches itself: null if it does not, undefined if it has too
 * many edges to tell.
 * @param {Ring} ring
 * @returns {Point|null|undefined}
 */
export function crossing(ring) {
  const edges = ring.map((from, index) => edgeBetween(from, ring[(index + 1) % ring.length], index));
  edges.sort((a, b) => a.left - b.left);
  let comparisons = 0;
  /** @type {Edge[]} edges that reach as far right as the one at hand begins */
  const open = [];
  for (const edge of edges) {
    comparisons += open.length;
    if (comparisons > MOST_COMPARISONS) return undefined;
    let kept = 0;
    for (const other of open) {
      if (other.right < edge.left) continue;
      open[kept] = other;
      kept += 1;
      const isBeside = other.bottom < edge.top || other.top > edge.bottom;
      if (!isBeside && meets(edge, other, ring.length)) return edge.from;
    }
    open.length = kept;
    open.push(edge);
  }
  return null;
}

/**
 * Return an edge of a ring with its bounds.
 * @param {Point} from
 * @param {Point} to
 * @param {number} index of its first point
 * @returns {Edge}
 */
function edgeBetween(from, to, index) {
  const [left, right] = [Math.min(from[0], to[0]), Math.max(from[0], to[0])];
  const [top, bottom] = [Math.min(from[1], to[1]), Math.max(from[1], to[1])];
  return { from, to, index, left, right, top, bottom };
}

/**
 * Return whether two edges of a ring share a point that they should not.
 * @param {Edge} one
 * @param {Edge} other
 * @param {number} count of the ring's edges
 */
function meets(one, other, count) {
  const [a, b] = one.index < other.index ? [one, other] : [other, one];
  const isNext = b.index === a.index + 1;
  const isLast = a.index === 0 && b.index === count - 1;
  if (isNext && isLast) return false;
  // Neighbours share an end. They lie on each other where the second runs back along the first.
  if (isNext) return runsBack(a.from, a.to, b.to);
  if (isLast) return runsBack(b.from, b.to, a.to);
  const [p, q, r, s] = [a.from, a.to, b.from, b.to];
  const [d1, d2, d3, d4] = [turn(p, q, r), turn(p, q, s), turn(r, s, p), turn(r, s, q)];
  if (d1 * d2 < 0 && d3 * d4 < 0) return true;
  return (
    (d1 === 0 && lies(p, q, r)) ||
    (d2 === 0 && lies(p, q, s)) ||
    (d3 === 0 && lies(r, s, p)) ||
    (d4 === 0 && lies(r, s, q))
  );
}

/**
 * Return on which side of the line from `a` to `b` a point lies: -1, 0 or 1.
 * @param {Point} a @param {Point} b @param {Point} point
 */
function turn(a, b, point) {
  return Math.sign((b[0] - a[0]) * (point[1] - a[1]) - (b[1] - a[1]) * (point[0] - a[0]));
}

/**
 * Return whether a point of the line through `a` and `b` lies between them.
 * @param {Point} a @param {Point} b @param {Point} point
 */
function lies(a, b, point) {
  return (
    Math.min(a[0], b[0]) <= point[0] &&
    point[0] <= Math.max(a[0], b[0]) &&
    Math.min(a[1], b[1]) <= point[1] &&
    point[1] <= Math.max(a[1], b[1])
  );
}

/**
 * Return whether an edge from `b` to `c` runs back along the edge from `a` to `b`.
 * @param {Point} a @param {Point} b @param {Point} c
 */
function runsBack(a, b, c) {
  const along = (b[0] - a[0]) * (c[0] - b[0]) + (b[1] - a[1]) * (c[1] - b[1]);
  return turn(a, b, c) === 0 && along < 0;
}

/**
 * Return a ring cut off at the slide's edges; with fewer than 3 points nothing of it is left.
 *
 * Source: Sutherland and Hodgman, "Reentrant polygon clipping", 1974.
 * @param {Ring} ring
 * @param {Size} size
 * @returns {Ring}
 */
export function cutAtEdges(ring, { width, height }) {
  /** @type {[number, number, number][]} axis, sign, limit: kept is what has sign * coordinate <= limit */
  const sides = [
    [0, -1, 0],
    [0, 1, width],
    [1, -1, 0],
    [1, 1, height],
  ];
  let kept = ring;
  for (const [axis, sign, limit] of sides) {
    /** @type {Point[]} */
    const next = [];
    kept.forEach((point, index) => {
      const previous = kept[(index + kept.length - 1) % kept.length];
      const [before, here] = [limit - sign * previous[axis], limit - sign * point[axis]];
      if (before < 0 !== here < 0) {
        const part = before / (before - here);
        const x = previous[0] + (point[0] - previous[0]) * part;
        const y = previous[1] + (point[1] - previous[1]) * part;
        next.push(axis === 0 ? [sign * limit + 0, y] : [x, sign * limit + 0]);
      }
      if (here >= 0) next.push(point);
    });
    kept = next;
  }
  return opened(kept);
}
