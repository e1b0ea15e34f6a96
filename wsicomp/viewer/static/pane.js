/**
 * One picture of the page: a slide, or the difference of two, with its title above and its layers on top.
 */

import { make, prefersLessMotion } from "./dom.js";
import { OpenSeadragon } from "./osd.js";
import { probe } from "./server.js";
import { SlideTileSource } from "./tile_source.js";

/** @typedef {import("./session.js").Slide} Slide */
/** @typedef {{x: number, y: number, scale: number}} Place centre in level-0 px of the first slide; screen px a level-0 px */
/** @typedef {{x: number, y: number}} Point */
/** @typedef {(context: CanvasRenderingContext2D, toScreen: (x: number, y: number) => Point, pane: Pane) => void} Draw */

const MOTION_S = 0.35;
const MOST_ENLARGED = 32;
const LEAST_OF_FIT = 0.5;
const MOST_TILES_KEPT = 400;
const KEPT_BYTES = 96e6;

/** A picture that pans and zooms; it sends `press`, `motion`, `draw`, `loaded` and `failed`. */
export class Pane extends EventTarget {
  /**
   * @param {number} frameWidth width of the first slide in level-0 px, what every pane's coordinates are based on
   * @param {string} label
   */
  constructor(frameWidth, label) {
    super();
    this.frameWidth = frameWidth;
    /** @type {Slide | null} the slide whose levels are shown; of a difference, the first one */
    this.slide = null;
    this.isShown = false;
    this.title = make("header", { class: "pane-title" });
    this.stand = make("div", { class: "stand" });
    this.overlay = make("canvas", { class: "overlay", "aria-hidden": "true" });
    this.picture = make("div", { class: "picture" }, this.stand, this.overlay);
    this.element = make("section", { class: "pane", "aria-label": label, hidden: true }, this.title, this.picture);
    /** @type {import("openseadragon").Viewer | null} */
    this.viewer = null;
    this.label = label;
    this.width = 0;
    this.height = 0;
    /** @type {() => void} what is to be done as soon as there is a viewer of some size */
    this.onOpen = () => undefined;
  }

  /**
   * Show a slide's tiles. The pane must be in the page.
   * @param {Slide} slide
   * @param {import("./tile_source.js").TileAddress} address
   */
  open(slide, address) {
    this.slide = slide;
    this.viewer ??= this.#makeViewer(slide);
    const width = (slide.width * slide.scale) / this.frameWidth;
    this.viewer.open(/** @type {any} */ ({ tileSource: new SlideTileSource(slide, address), x: 0, y: 0, width }));
  }

  /** True once there are tiles to move. */
  get isOpen() {
    return this.viewer !== null && this.viewer.world.getItemCount() > 0 && this.width > 0;
  }

  /** True once all tiles in sight are there. */
  get isLoaded() {
    return this.isOpen && this.viewer !== null && this.viewer.world.getItemAt(0).getFullyLoaded();
  }

  /** @returns {Place} where the picture is now, in the midst of a motion too */
  get place() {
    const viewport = this.#viewport;
    const centre = viewport.getCenter(true);
    return { x: centre.x * this.frameWidth, y: centre.y * this.frameWidth, scale: this.#toScale(viewport.getZoom(true)) };
  }

  /** @returns {Place} where the motion under way ends */
  get target() {
    const viewport = this.#viewport;
    const centre = viewport.getCenter(false);
    return { x: centre.x * this.frameWidth, y: centre.y * this.frameWidth, scale: this.#toScale(viewport.getZoom(false)) };
  }

  /**
   * Go to a place, at once or in one motion.
   * @param {Place} place
   * @param {boolean} [atOnce]
   */
  moveTo({ x, y, scale }, atOnce = false) {
    if (!this.viewer || !this.width) return;
    const still = atOnce || prefersLessMotion();
    const centre = new OpenSeadragon.Point(x / this.frameWidth, y / this.frameWidth);
    this.#viewport.zoomTo((scale * this.frameWidth) / this.width, /** @type {any} */ (null), still);
    this.#viewport.panTo(centre, still);
  }

  /**
   * Return where a level-0 pixel of the first slide is on this picture, in CSS px from its top left corner.
   * @param {number} x
   * @param {number} y
   */
  toScreen(x, y) {
    const place = this.place;
    return { x: (x - place.x) * place.scale + this.width / 2, y: (y - place.y) * place.scale + this.height / 2 };
  }

  /**
   * Return the level-0 pixel of the first slide at a place of this picture.
   * @param {number} x CSS px from the picture's left edge
   * @param {number} y CSS px from its top edge
   */
  toSlide(x, y) {
    const place = this.place;
    return { x: (x - this.width / 2) / place.scale + place.x, y: (y - this.height / 2) / place.scale + place.y };
  }

  /**
   * Measure the picture again: it was shown, or its window changed. Whoever calls it then moves it to its place. Where
   * there is no room for it, as above a keyboard on the screen, it keeps the size that it had.
   */
  measure() {
    const { clientWidth, clientHeight } = this.picture;
    if (!clientWidth || !clientHeight) return;
    this.width = clientWidth;
    this.height = clientHeight;
    if (!this.viewer) return;
    const ratio = window.devicePixelRatio || 1;
    this.overlay.width = Math.round(this.width * ratio);
    this.overlay.height = Math.round(this.height * ratio);
    const unit = this.frameWidth / this.width;
    const viewport = /** @type {any} */ (this.#viewport);
    viewport.resize(new OpenSeadragon.Point(this.width, this.height), false);
    this.viewer.forceRedraw();
    viewport.maxZoomLevel = MOST_ENLARGED * unit;
    viewport.minZoomLevel = LEAST_OF_FIT * this.fitScale() * unit;
  }

  /** Return the scale at which the whole slide is in sight. */
  fitScale() {
    if (!this.slide) return 1;
    const { width, height, scale } = this.slide;
    return 0.96 * Math.min(this.width / (width * scale), this.height / (height * scale));
  }

  /**
   * Draw layers over the picture.
   * @param {Iterable<{draw: Draw, visible: boolean, opacity: number}>} layers
   */
  drawLayers(layers) {
    const context = this.overlay.getContext("2d");
    if (!context || !this.width || !this.viewer) return;
    const ratio = window.devicePixelRatio || 1;
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, this.overlay.width, this.overlay.height);
    const { x: left, y: top, scale } = this.place;
    const [halfWidth, halfHeight] = [this.width / 2, this.height / 2];
    /** @param {number} x @param {number} y */
    const toScreen = (x, y) => ({ x: (x - left) * scale + halfWidth, y: (y - top) * scale + halfHeight });
    for (const layer of layers) {
      if (!layer.visible) continue;
      context.setTransform(ratio, 0, 0, ratio, 0, 0);
      context.save();
      context.globalAlpha = layer.opacity;
      layer.draw(context, toScreen, this);
      context.restore();
    }
  }

  get #viewport() {
    if (!this.viewer) throw new Error(`${this.label}: no slide is open`);
    return this.viewer.viewport;
  }

  /** @param {number} zoom */
  #toScale(zoom) {
    return (zoom * this.width) / this.frameWidth;
  }

  /** @param {Slide} slide whose tiles' size says how many can be kept */
  #makeViewer(slide) {
    const viewer = new OpenSeadragon.Viewer(/** @type {any} */ (viewerOptions(this.stand, slide)));
    /** @type {any} */ (viewer.drawer).minimumOverlapRequired = () => false;
    const canvas = /** @type {HTMLElement} */ (viewer.canvas);
    canvas.setAttribute("aria-label", `${this.label}: picture`);
    canvas.setAttribute("role", "application");
    viewer.addHandler("canvas-key", (event) => {
      event.preventDefaultAction = true;
    });
    for (const name of /** @type {const} */ (["canvas-press", "canvas-scroll", "canvas-pinch", "canvas-double-click"])) {
      viewer.addHandler(name, () => this.#send("press"));
    }
    viewer.addHandler("viewport-change", () => this.#send("motion"));
    viewer.addHandler("update-viewport", () => this.#send("draw"));
    viewer.addHandler("open", () => {
      this.onOpen();
      viewer.world.getItemAt(0).addHandler("fully-loaded-change", () => this.#send("loaded"));
    });
    viewer.addHandler("tile-load-failed", () => {
      void probe();
      this.#send("failed");
    });
    viewer.addHandler("tile-drawing", drawTileToTheGrid);
    return viewer;
  }

  /** @param {string} name */
  #send(name) {
    this.dispatchEvent(new Event(name));
  }
}

/**
 * @param {HTMLElement} element
 * @param {Slide} slide
 */
function viewerOptions(element, slide) {
  const largest = Math.max(...slide.levels.map((level) => level.tile_width * level.tile_height));
  return {
    element,
    drawer: "canvas",
    showNavigationControl: false,
    showNavigator: false,
    crossOriginPolicy: false,
    preserveViewport: true,
    autoResize: false,
    smoothTileEdgesMinZoom: Infinity,
    blendTime: 0,
    minZoomImageRatio: 0,
    maxZoomPixelRatio: Infinity,
    visibilityRatio: 0.1,
    constrainDuringPan: false,
    animationTime: prefersLessMotion() ? 0 : MOTION_S,
    springStiffness: 8,
    zoomPerScroll: 1.25,
    gestureSettingsMouse: { clickToZoom: false, dblClickToZoom: true, flickEnabled: false },
    gestureSettingsTouch: { clickToZoom: false, dblClickToZoom: true, flickEnabled: !prefersLessMotion() },
    gestureSettingsPen: { clickToZoom: false, dblClickToZoom: true },
    imageLoaderLimit: 8,
    maxTilesPerFrame: 8, // one by itself, which is slow where frames are: large screens, the amplified difference
    maxImageCacheCount: Math.min(MOST_TILES_KEPT, Math.ceil(KEPT_BYTES / (4 * largest))),
    tileRetryMax: 2,
    tileRetryDelay: 400,
    timeout: 60000,
  };
}

/**
 * Draw a tile with its edges on whole pixels of the screen, so that neighbours meet without a seam and 1:1 is exact:
 * OpenSeadragon by itself makes every tile a pixel larger. Level 0 enlarged shows its pixels as squares.
 * @param {any} event `tile-drawing`
 */
function drawTileToTheGrid({ context, tile, rendered, tiledImage }) {
  const ratio = OpenSeadragon.pixelDensityRatio;
  const left = Math.round(tile.position.x * ratio);
  const top = Math.round(tile.position.y * ratio);
  const width = Math.round((tile.position.x + tile.size.x) * ratio) - left;
  const height = Math.round((tile.position.y + tile.size.y) * ratio) - top;
  const sourceWidth = Math.min(tile.sourceBounds.width, rendered.canvas.width);
  const sourceHeight = Math.min(tile.sourceBounds.height, rendered.canvas.height);
  const isEnlarged = tile.level === tiledImage.source.maxLevel && width >= sourceWidth;
  context.imageSmoothingEnabled = !isEnlarged;
  context.imageSmoothingQuality = "medium";
  context.drawImage(rendered.canvas, 0, 0, sourceWidth, sourceHeight, left, top, width, height);
  context.globalAlpha = 0; // OpenSeadragon draws it once more, between the pixels
}
