/**
 * All pictures of the page, moved as one. Coordinates are level-0 pixels of the first slide everywhere.
 */

import { prefersLessMotion } from "./dom.js";
import { Pane } from "./pane.js";

/** @typedef {import("./session.js").Slide} Slide */
/** @typedef {import("./session.js").Region} Region */
/** @typedef {import("./pane.js").Place} Place */
/** @typedef {import("./layers.js").Layer} Layer */
/** @typedef {"side" | "curtain" | "blink" | "difference" | "single"} View */
/**
 * What a tool that takes the pointer is told. `x` and `y` are level-0 px of the first slide, `screen` CSS px of the pane.
 * @typedef {object} PointerReport
 * @property {"down" | "move" | "up" | "cancel" | "double"} type
 * @property {number} x
 * @property {number} y
 * @property {{x: number, y: number}} screen
 * @property {Pane} pane
 * @property {PointerEvent | MouseEvent} original
 */

/** @type {View[]} */
export const VIEWS = ["side", "curtain", "blink", "difference", "single"];
export const MOST_BESIDE = 4;
const POINTER_TYPES = /** @type {const} */ ({
  pointerdown: "down",
  pointermove: "move",
  pointerup: "up",
  pointercancel: "cancel",
  dblclick: "double",
});

/**
 * The panes of a session. It sends `view` after every motion (and when the view is another), `mode` when another view or
 * another slide is chosen, `stack` when the curtain moves or another picture is up, `layout` when the pictures' sizes may
 * have changed, `cursor` when the pointer moves, `amplification`, and `loaded` and `failed` of tiles.
 */
export class Panes extends EventTarget {
  /**
   * @param {HTMLElement} stage what the panes stand in
   * @param {import("./session.js").Session} session with at least one slide
   */
  constructor(stage, session) {
    super();
    this.stage = stage;
    this.session = session;
    const frameWidth = session.slides[0].width;
    this.panes = session.slides.map((slide) => new Pane(frameWidth, slide.title || slide.name));
    this.difference = new Pane(frameWidth, "Difference");
    /** The pane of the first slide: all coordinates are its slide's. */
    this.reference = this.panes[0];
    this.lead = this.reference;
    /** @type {View} */
    this.view = session.slides.length > 1 ? "side" : "single";
    this.first = 0;
    this.second = Math.min(1, session.slides.length - 1);
    /** Which of two stacked pictures `blink` shows. */
    this.isSecondUp = false;
    /** Where the bar of `curtain` stands, from 0 to 1. */
    this.curtain = 0.5;
    this.amplification = 8;
    this.icc = false;
    this.exact = false;
    /** @type {Set<Layer>} */
    this.layers = new Set();
    this.layersVisible = true;
    /** @type {{x: number, y: number, pane: Pane} | null} the level-0 pixel under the pointer */
    this.cursor = null;
    /** @type {((report: PointerReport) => boolean) | null} */
    this.captor = null;
    /** @type {Place | null} where all pictures are */
    this.place = null;
    const sizes = new ResizeObserver(() => this.#measure());
    // Another screen can have other pixels though the picture keeps its size in CSS px.
    addEventListener("resize", () => this.#measure());
    for (const pane of [...this.panes, this.difference]) {
      this.#adopt(pane);
      sizes.observe(pane.picture);
    }
  }

  /** The panes in sight, in order. */
  get shown() {
    if (this.view === "difference") return [this.difference];
    if (this.view === "single") return [this.panes[this.first]];
    if (this.view === "side") return this.panes.slice(0, MOST_BESIDE);
    return [this.panes[this.first], this.panes[this.second]];
  }

  /** The slide that coordinates are of. */
  get slide() {
    return this.session.slides[0];
  }

  /** Screen px a level-0 pixel, as it is now. */
  get scale() {
    return this.place?.scale ?? 1;
  }

  /**
   * Show the panes of a view.
   * @param {View} view
   */
  setView(view) {
    const isPair = view !== "single";
    this.view = isPair && this.panes.length < 2 ? "single" : view;
    this.#arrange();
  }

  /**
   * Choose the two slides that curtain, blink and difference compare; `single` shows the first.
   * @param {number} first index of the slide
   * @param {number} second
   */
  choose(first, second) {
    if (first === second) [first, second] = [this.second, this.first];
    const isChanged = first !== this.first || second !== this.second;
    this.#settle();
    [this.first, this.second] = [first, second];
    if (isChanged && this.difference.slide) this.#openDifference();
    this.#arrange();
  }

  /** Show the other of two stacked pictures. */
  blink() {
    this.isSecondUp = !this.isSecondUp;
    this.#stack();
  }

  /** @param {number} share of the width, 0 to 1 */
  setCurtain(share) {
    this.curtain = Math.min(1, Math.max(0, share));
    this.#stack();
  }

  /** @param {number} factor 1 to 32 */
  setAmplification(factor) {
    this.amplification = Math.min(32, Math.max(1, factor));
    this.difference.stand.style.filter = `brightness(${this.amplification})`;
    this.dispatchEvent(new Event("amplification"));
  }

  /**
   * Load tiles with colour profiles applied, or exactly as they are decoded.
   * @param {{icc: boolean, exact: boolean}} choice
   */
  setPixels({ icc, exact }) {
    [this.icc, this.exact] = [icc, exact];
    this.reload();
  }

  /** Load all tiles again. */
  reload() {
    this.#settle();
    this.panes.forEach((pane, index) => pane.slide && this.#open(index));
    if (this.difference.slide) this.#openDifference();
    this.dispatchEvent(new Event("mode"));
  }

  /**
   * Return where a level-0 pixel is on a pane, in CSS px from the picture's top left corner.
   * @param {number} x
   * @param {number} y
   */
  toScreen(x, y) {
    return this.lead.toScreen(x, y);
  }

  /**
   * Return the level-0 pixel at a place of a pane.
   * @param {number} x CSS px from the picture's left edge
   * @param {number} y
   */
  toSlide(x, y) {
    return this.lead.toSlide(x, y);
  }

  /**
   * Return the region in sight, in level-0 px and within the slide, and how many screen px its width is.
   * @returns {Region & {px: number}}
   */
  viewRegion() {
    const { width, height } = this.slide;
    const topLeft = this.lead.toSlide(0, 0);
    const bottomRight = this.lead.toSlide(this.lead.width, this.lead.height);
    const x = clamp(Math.floor(topLeft.x), 0, width - 1);
    const y = clamp(Math.floor(topLeft.y), 0, height - 1);
    const right = clamp(Math.ceil(bottomRight.x), x + 1, width);
    const bottom = clamp(Math.ceil(bottomRight.y), y + 1, height);
    const px = Math.max(1, Math.round((right - x) * this.lead.place.scale));
    return { x, y, width: right - x, height: bottom - y, px };
  }

  /**
   * Bring a level-0 pixel to the middle.
   * @param {number} x
   * @param {number} y
   * @param {number} [width] level-0 px that shall be in sight from left to right
   */
  goTo(x, y, width) {
    this.moveTo({ x, y, scale: width ? this.lead.width / width : this.target.scale });
  }

  /**
   * Go to a place.
   * @param {Place} place
   * @param {boolean} [atOnce]
   */
  moveTo({ x, y, scale }, atOnce = false) {
    const fit = this.lead.fitScale();
    const place = { x, y, scale: clamp(scale, fit / 2, 32) };
    if (atOnce || !this.lead.isOpen || prefersLessMotion()) this.#placeAll(place);
    else this.lead.moveTo(place);
  }

  /** Where the motion under way ends. */
  get target() {
    if (this.lead.isOpen) return this.lead.target;
    return this.place ?? this.#fitPlace();
  }

  /** @param {number} factor */
  zoomBy(factor) {
    const target = this.target;
    this.moveTo({ ...target, scale: target.scale * factor });
  }

  /** @param {number} scale screen px a level-0 px */
  zoomTo(scale) {
    this.moveTo({ ...this.target, scale });
  }

  /**
   * Pan by shares of what is in sight.
   * @param {number} right
   * @param {number} down
   */
  panBy(right, down) {
    const { x, y, scale } = this.target;
    this.moveTo({ x: x + (right * this.lead.width) / scale, y: y + (down * this.lead.height) / scale, scale });
  }

  /** Show the whole slide. */
  fit(atOnce = false) {
    this.moveTo(this.#fitPlace(), atOnce);
  }

  /**
   * Draw something over every picture from now on.
   * @param {Layer} layer
   * @param {boolean} [isBelow] under all layers there are, instead of above
   */
  addLayer(layer, isBelow = false) {
    this.layers = new Set(isBelow ? [layer, ...this.layers] : [...this.layers, layer]);
    this.redraw();
  }

  /** @param {Layer} layer */
  removeLayer(layer) {
    this.layers.delete(layer);
    this.redraw();
  }

  /**
   * Show or hide all layers at once.
   * @param {boolean} visible
   */
  setLayersVisible(visible) {
    this.layersVisible = visible;
    this.redraw();
    this.dispatchEvent(new Event("mode"));
  }

  /** Draw the layers again: what one shows has changed. */
  redraw() {
    for (const pane of this.shown) this.#draw(pane);
  }

  /**
   * Give the pointer to a tool, or back to the pictures with null. What the tool does not return true for pans and zooms
   * as ever; the wheel always zooms.
   * @param {((report: PointerReport) => boolean) | null} captor
   */
  capture(captor) {
    this.captor = captor;
    this.stage.classList.toggle("captured", captor !== null);
  }

  /** True once every picture in sight is complete. */
  get isLoaded() {
    return this.place !== null && this.shown.every((pane) => pane.isLoaded);
  }

  /** Resolve once every picture in sight is complete. */
  async whenLoaded() {
    while (!this.isLoaded) {
      await new Promise((resolve) => this.addEventListener("loaded", resolve, { once: true }));
    }
  }

  /**
   * Build the first view: of the whole slide, or of a place.
   * @param {(Place & {view: View}) | null} [place]
   */
  start(place = null) {
    if (place) {
      const { width, height } = this.slide;
      this.place = { x: clamp(place.x, 0, width), y: clamp(place.y, 0, height), scale: clamp(place.scale, 1e-3, 32) };
      this.view = place.view;
    }
    this.setAmplification(this.amplification);
    this.setView(this.view);
  }

  /** @param {Pane} pane */
  #adopt(pane) {
    this.stage.append(pane.element);
    pane.onOpen = () => this.#welcome(pane);
    pane.addEventListener("press", () => this.#takeLead(pane));
    pane.addEventListener("motion", () => this.#follow(pane));
    pane.addEventListener("draw", () => this.#draw(pane));
    pane.addEventListener("loaded", () => this.dispatchEvent(new Event("loaded")));
    pane.addEventListener("failed", () => this.dispatchEvent(new Event("failed")));
    for (const type of /** @type {(keyof typeof POINTER_TYPES)[]} */ (Object.keys(POINTER_TYPES))) {
      pane.picture.addEventListener(type, (event) => this.#report(POINTER_TYPES[type], pane, event), true);
    }
    pane.picture.addEventListener("pointermove", (event) => this.#setCursor(pane, event));
    pane.picture.addEventListener("pointerleave", () => this.#setCursor(pane, null));
  }

  /** @param {Pane} pane */
  #takeLead(pane) {
    if (pane.isShown) this.lead = pane;
  }

  /** @param {Pane} pane */
  #follow(pane) {
    if (pane !== this.lead || !this.place || !pane.width) return;
    this.place = pane.place;
    for (const other of this.shown) if (other !== pane) other.moveTo(this.place, true);
    this.dispatchEvent(new Event("view"));
  }

  /** @param {Place} place */
  #placeAll(place) {
    this.place = place;
    for (const pane of this.shown) pane.moveTo(place, true);
    this.dispatchEvent(new Event("view"));
  }

  /** @param {Pane} pane whose tiles are known now */
  #welcome(pane) {
    pane.measure();
    if (!pane.width) return;
    this.place ??= this.#fitPlace(pane);
    pane.moveTo(this.place, true);
    this.dispatchEvent(new Event("view"));
  }

  #fitPlace(pane = this.lead) {
    const { width, height } = this.slide;
    return { x: width / 2, y: height / 2, scale: pane.fitScale() };
  }

  #arrange() {
    const kept = this.#kept;
    const shown = this.shown;
    this.stage.dataset.view = this.view;
    this.stage.dataset.count = String(shown.length);
    for (const pane of [...this.panes, this.difference]) {
      pane.isShown = shown.includes(pane);
      pane.element.hidden = !pane.isShown;
      pane.element.style.order = String(shown.indexOf(pane));
    }
    if (!shown.includes(this.lead)) this.lead = shown[0];
    this.#stack();
    for (const pane of shown) this.#openIfNew(pane);
    this.dispatchEvent(new Event("mode"));
    this.#measure(kept);
  }

  /** Cut or hide the second of two stacked pictures. */
  #stack() {
    for (const pane of this.panes) {
      pane.picture.style.clipPath = "";
      pane.element.classList.remove("under", "second");
    }
    const second = this.panes[this.second];
    if (this.view === "curtain") {
      second.picture.style.clipPath = `inset(0 0 0 ${this.curtain * 100}%)`;
      second.element.classList.add("second");
    }
    if (this.view === "blink") {
      second.element.classList.add("second");
      this.panes[this.isSecondUp ? this.first : this.second].element.classList.add("under");
    }
    this.dispatchEvent(new Event("stack"));
  }

  /** @param {Pane} pane */
  #openIfNew(pane) {
    if (pane.slide) return;
    if (pane === this.difference) this.#openDifference();
    else this.#open(this.panes.indexOf(pane));
  }

  /** @param {number} index */
  #open(index) {
    const slide = this.session.slides[index];
    const query = `form=${this.exact ? "exact" : "auto"}&icc=${this.icc && slide.icc ? 1 : 0}`;
    this.panes[index].open(slide, (level, column, row) => `tiles/${slide.id}/${level}/${column}/${row}?${query}`);
  }

  #openDifference() {
    const [a, b] = [this.session.slides[this.first], this.session.slides[this.second]];
    this.difference.open(a, (level, column, row) => `difference/${a.id}/${b.id}/${level}/${column}/${row}`);
  }

  /**
   * What stays when sizes change: the place, or that the whole slide is in sight; null before there is a place.
   * @returns {Place | "whole" | null}
   */
  get #kept() {
    if (!this.place) return null;
    const isFitted = Math.abs(this.target.scale / this.lead.fitScale() - 1) < 0.01;
    return isFitted ? "whole" : this.target;
  }

  /** Take the goal of a motion under way as the place: pictures that are opened anew do not move on. */
  #settle() {
    if (this.place) this.place = this.target;
  }

  #measure(kept = this.#kept) {
    for (const pane of this.shown) pane.measure();
    const goal = kept ?? (this.lead.isOpen ? "whole" : null); // there was no room yet when its tiles came
    if (goal && this.lead.width) this.#placeAll(goal === "whole" ? this.#fitPlace() : goal);
    this.redraw();
    this.dispatchEvent(new Event("layout"));
  }

  /** @param {Pane} pane */
  #draw(pane) {
    if (pane.isShown && this.place) pane.drawLayers(this.layersVisible ? this.layers : []);
  }

  /**
   * @param {PointerReport["type"]} type
   * @param {Pane} pane
   * @param {PointerEvent | MouseEvent} original
   */
  #report(type, pane, original) {
    if (!this.captor || !this.place) return;
    const screen = inPicture(pane, original);
    if (this.captor({ type, ...pane.toSlide(screen.x, screen.y), screen, pane, original })) original.stopPropagation();
  }

  /**
   * @param {Pane} pane
   * @param {PointerEvent | null} event
   */
  #setCursor(pane, event) {
    if (!this.place) return;
    const at = event && inPicture(pane, event);
    this.cursor = at && { ...pane.toSlide(at.x, at.y), pane };
    this.dispatchEvent(new Event("cursor"));
  }
}

/**
 * @param {Pane} pane
 * @param {MouseEvent} event
 */
function inPicture(pane, event) {
  const box = pane.picture.getBoundingClientRect();
  return { x: event.clientX - box.left, y: event.clientY - box.top };
}

/**
 * @param {number} value
 * @param {number} least
 * @param {number} most
 */
function clamp(value, least, most) {
  return Math.min(Math.max(value, least), most);
}
