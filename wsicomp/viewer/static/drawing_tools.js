/**
 * The tools of the drawing: what mouse, pen and finger do on the panes.
 *
 * `select` chooses shapes by a click and moves corners by dragging; all else pans as ever. `rectangle` is dragged from
 * corner to corner. `polygon` takes a point a click; dragging pans there too, so that an outline may be larger than
 * the view.
 */

import { faultOf, opened } from "./rings.js";
import { contains, rectangle, spanned, vertexNear, within, withVertexAt } from "./shapes.js";

/** @typedef {import("./panes.js").Panes} Panes */
/** @typedef {import("./panes.js").PointerReport} PointerReport */
/** @typedef {import("./rings.js").Point} Point */
/** @typedef {import("./shapes.js").Polygon} Polygon */
/** @typedef {import("./shapes.js").Vertex} Vertex */
/** @typedef {"select" | "rectangle" | "polygon"} Tool */

const CLICK_PX = 5;
const REACH_PX = { mouse: 8, pen: 10, touch: 20 };
const DOUBLE_MS = 400;
const LEAST_SIDE_PX = 4;

/** The tool in use and what is being drawn with it. It sends `tool` when another one is chosen. */
export class DrawingTools extends EventTarget {
  /**
   * @param {Panes} panes
   * @param {import("./drawn_shapes.js").DrawnShapes} drawing
   * @param {(polygon: Polygon) => void} onDrawn takes what was drawn
   * @param {(text: string) => void} say
   */
  constructor(panes, drawing, onDrawn, say) {
    super();
    this.panes = panes;
    this.drawing = drawing;
    this.onDrawn = onDrawn;
    this.say = say;
    /** @type {Tool} */
    this.tool = "select";
    /** @type {Point[]} the points of the polygon under way */
    this.points = [];
    /** @type {Point | null} the place of the pointer while a polygon is under way */
    this.pointer = null;
    /** @type {Point | null} the first corner of the rectangle under way */
    this.corner = null;
    /** @type {Vertex | null} the corner that is dragged */
    this.vertex = null;
    /** The pointer that draws; others are let be. */
    this.pointerId = -1;
    /** @type {{x: number, y: number, time: number} | null} where the pointer went down */
    this.press = null;
    /** @type {{x: number, y: number, time: number} | null} the last click */
    this.click = null;
    drawing.addEventListener("change", () => this.#grasp());
  }

  /** @param {Tool} tool */
  choose(tool) {
    this.#drop();
    this.tool = tool;
    this.#grasp();
    this.dispatchEvent(new Event("tool"));
  }

  /** True while something is being drawn. */
  get isDrawing() {
    return this.points.length > 0 || this.corner !== null || this.vertex !== null;
  }

  /** The outline under way, with the place of the pointer as its last point. */
  get begun() {
    if (this.corner && this.pointer) {
      const [ring] = rectangle(spanned(this.corner, this.pointer));
      return [...ring, ring[0]];
    }
    return this.pointer && this.points.length ? [...this.points, this.pointer] : this.points;
  }

  /** Give up what is being drawn; with nothing under way, go back to selecting. */
  cancel() {
    if (this.isDrawing) {
      this.#drop();
      this.say("Nothing was drawn.");
    } else {
      this.choose("select");
    }
  }

  /** Close the polygon under way. */
  close() {
    const ring = opened(this.points);
    if (!this.points.length) return;
    const fault = faultOf(ring);
    if (fault) {
      const advice = ring.length < 3 ? "click more points" : "take points back with Backspace";
      this.say(`The outline cannot be closed: ${fault}; ${advice}.`);
      return;
    }
    this.#finish([ring]);
  }

  /** Take the last point of the polygon under way back. */
  takeBack() {
    this.points.pop();
    this.panes.redraw();
  }

  /** Take the pointer where a tool has use for it. */
  #grasp() {
    const isNeeded = this.tool !== "select" || this.drawing.shapes.length > 0;
    this.panes.stage.dataset.tool = this.tool;
    this.panes.capture(isNeeded ? (report) => this.#take(report) : null);
  }

  /**
   * @param {PointerReport} report
   * @returns {boolean} whether the picture must not pan
   */
  #take(report) {
    if (report.type === "double") return this.tool === "polygon";
    const event = /** @type {PointerEvent} */ (report.original);
    if (report.type === "down") {
      if (!event.isPrimary || event.button !== 0) return false;
      this.pointerId = event.pointerId;
      this.press = { ...report.screen, time: event.timeStamp };
    }
    const isHover = report.type === "move" && this.press === null;
    if (!isHover && event.pointerId !== this.pointerId) return false;
    const isTaken = this.#use(report, event);
    if (report.type === "up" || report.type === "cancel") {
      this.press = null;
      this.pointerId = -1;
    }
    return isTaken;
  }

  /**
   * @param {PointerReport} report
   * @param {PointerEvent} event
   */
  #use(report, event) {
    const place = within([report.x, report.y], this.panes.slide);
    if (this.tool === "rectangle") return this.#useRectangle(report.type, place, event);
    if (this.tool === "polygon") return this.#usePolygon(report, place, event);
    return this.#useSelect(report, place, event);
  }

  /**
   * @param {PointerReport["type"]} type
   * @param {Point} place
   * @param {PointerEvent} event
   */
  #useRectangle(type, place, event) {
    if (type === "down") {
      hold(event);
      this.corner = place;
    }
    if (!this.corner) return false;
    this.pointer = place;
    if (type === "up") {
      const bounds = spanned(this.corner, place);
      this.corner = null;
      this.pointer = null;
      const isSmall = Math.min(bounds.width, bounds.height) * this.panes.scale < LEAST_SIDE_PX;
      if (isSmall || !bounds.width || !bounds.height) this.say("Drag a rectangle from corner to corner.");
      else this.#finish(rectangle(bounds));
    }
    if (type === "cancel") this.#drop();
    this.panes.redraw();
    return true;
  }

  /**
   * @param {PointerReport} report
   * @param {Point} place
   * @param {PointerEvent} event
   */
  #usePolygon(report, place, event) {
    if (report.type === "down") return this.#isSecond(report.screen, event);
    if (report.type === "move") {
      this.pointer = place;
      if (this.points.length) this.panes.redraw();
      return false;
    }
    if (report.type !== "up" || !this.#isClick(report.screen)) return false;
    if (this.#isSecond(report.screen, event)) {
      this.close();
      return true;
    }
    this.click = { ...report.screen, time: event.timeStamp };
    if (this.points.length > 2 && this.#isAt(this.points[0], report, event)) this.close();
    else this.points.push(place);
    this.panes.redraw();
    return false;
  }

  /**
   * @param {PointerReport} report
   * @param {Point} place
   * @param {PointerEvent} event
   */
  #useSelect(report, place, event) {
    const shape = this.drawing.selectedShape;
    if (report.type === "down" && shape) {
      this.vertex = vertexNear(shape, [report.x, report.y], reach(event) / this.panes.scale);
      if (this.vertex) hold(event);
    }
    if (this.vertex && shape) {
      if (report.type === "move") this.drawing.preview(withVertexAt(shape, this.vertex, place));
      if (report.type === "up") this.#release();
      if (report.type === "cancel") this.#drop();
      return true;
    }
    if (report.type === "up" && this.#isClick(report.screen)) this.#selectAt([report.x, report.y]);
    return false;
  }

  /** Let the dragged corner go where it is, unless the outline would cross itself. */
  #release() {
    const moved = this.drawing.draft;
    const fault = moved ? moved.polygons.flat().map(faultOf).find(Boolean) : "";
    this.vertex = null;
    if (fault) this.say(`The corner stays where it was: ${fault}.`);
    if (moved && !fault) this.drawing.replace(moved);
    else this.drawing.preview(null);
  }

  /** @param {Point} point */
  #selectAt(point) {
    const under = this.drawing.shapes.flatMap((shape, index) => (contains(shape, point) ? [index] : []));
    // A click where shapes lie on each other takes the next one below.
    const at = under.indexOf(this.drawing.selected);
    this.drawing.select(under.at(at > 0 ? at - 1 : -1) ?? -1);
  }

  /** @param {Polygon} polygon */
  #finish(polygon) {
    this.#drop();
    this.onDrawn(polygon);
    this.choose("select");
  }

  #drop() {
    this.points = [];
    this.pointer = null;
    this.corner = null;
    this.click = null;
    if (this.vertex) {
      this.vertex = null;
      this.drawing.preview(null);
    }
    this.panes.redraw();
  }

  /** @param {{x: number, y: number}} screen */
  #isClick(screen) {
    return this.press !== null && Math.hypot(screen.x - this.press.x, screen.y - this.press.y) < CLICK_PX;
  }

  /**
   * Return whether a press is the second of a double click.
   * @param {{x: number, y: number}} screen
   * @param {PointerEvent} event
   */
  #isSecond(screen, event) {
    const before = this.click;
    if (!before || event.timeStamp - before.time > DOUBLE_MS) return false;
    return Math.hypot(screen.x - before.x, screen.y - before.y) < reach(event);
  }

  /**
   * @param {Point} point
   * @param {PointerReport} report
   * @param {PointerEvent} event
   */
  #isAt([x, y], report, event) {
    return Math.hypot(report.x - x, report.y - y) * this.panes.scale < reach(event);
  }
}

/**
 * Return how far from a corner a press still means it, in screen px.
 * @param {PointerEvent} event
 */
function reach(event) {
  return event.pointerType === "touch" || event.pointerType === "pen" ? REACH_PX[event.pointerType] : REACH_PX.mouse;
}

/**
 * Follow a pointer where it leaves the pane.
 * @param {PointerEvent} event
 */
function hold(event) {
  if (event.target instanceof Element) event.target.setPointerCapture(event.pointerId);
}
