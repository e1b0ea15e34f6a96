/**
 * What stands on the pictures: the scale bar, the pixel under the pointer, a cross at the same place of the other
 * pictures, a word while tiles are on their way, and the whole slide in small.
 */

import { make } from "./dom.js";
import { scaleBar } from "./measures.js";
import { say } from "./messages.js";

/** @typedef {import("./panes.js").Panes} Panes */

const MOST_BAR_PX = 140;

/**
 * Put the scale bar and the position of the pointer on the stage.
 * @param {Panes} panes
 */
export function startScaleBar(panes) {
  const bar = make("span", { class: "bar", "aria-hidden": "true" });
  const length = make("span", { class: "length" });
  const position = make("span", { class: "position" });
  const element = make("div", { id: "scale" }, make("span", { class: "ruler" }, length, bar), position);
  panes.stage.append(element);
  panes.addEventListener("view", () => {
    if (!panes.place) return;
    const { px, text } = scaleBar(panes.slide, panes.scale, Math.min(MOST_BAR_PX, panes.lead.width / 3));
    bar.style.width = `${px}px`;
    length.textContent = text;
  });
  panes.addEventListener("cursor", () => {
    const { cursor, slide } = panes;
    const isInside = cursor && cursor.x >= 0 && cursor.y >= 0 && cursor.x < slide.width && cursor.y < slide.height;
    position.textContent = isInside ? `x ${Math.floor(cursor.x)}, y ${Math.floor(cursor.y)}` : "";
  });
}

/**
 * Mark on the other pictures the place under the pointer.
 * @param {Panes} panes
 */
export function startCross(panes) {
  const crosses = panes.panes.map((pane) => {
    const cross = make("span", { class: "cross", "aria-hidden": "true", hidden: true });
    pane.picture.append(cross);
    return { pane, cross };
  });
  const write = () => {
    const { cursor, view } = panes;
    for (const { pane, cross } of crosses) {
      cross.hidden = !cursor || view !== "side" || !pane.isShown || !pane.isOpen || pane === cursor.pane;
      if (cross.hidden || !cursor) continue;
      const { x, y } = pane.toScreen(cursor.x, cursor.y);
      cross.style.translate = `${x}px ${y}px`;
    }
  };
  panes.addEventListener("cursor", write);
  panes.addEventListener("mode", write);
}

/**
 * Say while tiles are on their way, and when some did not come.
 * @param {Panes} panes
 */
export function startProgress(panes) {
  const note = make("div", { id: "busy" }, "Loading \u2026");
  panes.stage.append(note);
  const write = () => {
    note.classList.toggle("shown", !panes.isLoaded);
    panes.stage.setAttribute("aria-busy", String(!panes.isLoaded));
  };
  for (const name of ["loaded", "mode"]) panes.addEventListener(name, write);
  panes.addEventListener("failed", () => say("Some tiles could not be loaded."));
}

/**
 * Put the whole slide in small on the stage, with a frame round what is in sight; a click goes there.
 * @param {Panes} panes
 */
export function startMinimap(panes) {
  const { id, width, height } = panes.slide;
  const image = make("img", { alt: "", draggable: "false" });
  const frame = make("span", { class: "frame" });
  const element = make("div", { id: "minimap", "aria-hidden": "true" }, image, frame);
  image.addEventListener("error", () => (element.hidden = true));
  image.src = `thumbnail/${id}`;
  panes.stage.append(element);
  panes.addEventListener("view", () => {
    if (!panes.place) return;
    const region = panes.viewRegion();
    frame.style.left = `${(region.x / width) * 100}%`;
    frame.style.top = `${(region.y / height) * 100}%`;
    frame.style.width = `${(region.width / width) * 100}%`;
    frame.style.height = `${(region.height / height) * 100}%`;
    element.classList.toggle("all", region.width >= width * 0.98 && region.height >= height * 0.98);
  });
  /** @param {PointerEvent} event */
  const go = (event) => {
    const box = image.getBoundingClientRect();
    const { scale } = panes.target;
    const x = ((event.clientX - box.left) / box.width) * width;
    const y = ((event.clientY - box.top) / box.height) * height;
    panes.moveTo({ x, y, scale }, event.type === "pointermove");
  };
  element.addEventListener("pointerdown", (event) => {
    element.setPointerCapture(event.pointerId);
    go(event);
  });
  element.addEventListener("pointermove", (event) => element.hasPointerCapture(event.pointerId) && go(event));
}
