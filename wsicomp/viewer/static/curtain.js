/**
 * The bar of the curtain: left of it the first slide, right of it the second.
 */

import { make } from "./dom.js";

const STEP = 0.02;

/**
 * Put the bar on the stage.
 * @param {import("./panes.js").Panes} panes
 */
export function startCurtain(panes) {
  const bar = make("div", {
    id: "curtain",
    role: "slider",
    tabindex: 0,
    "aria-label": "Curtain: how much of the width is the first slide",
    "aria-orientation": "horizontal",
    "aria-valuemin": 0,
    "aria-valuemax": 100,
  });
  bar.append(make("span", { class: "grip", "aria-hidden": "true" }));
  panes.stage.append(bar);
  const write = () => {
    bar.hidden = panes.view !== "curtain";
    const box = panes.shown[0].picture;
    bar.style.left = `${panes.curtain * 100}%`;
    bar.style.top = `${box.offsetTop}px`;
    bar.setAttribute("aria-valuenow", String(Math.round(panes.curtain * 100)));
    bar.setAttribute("aria-valuetext", `${Math.round(panes.curtain * 100)} %`);
  };
  for (const name of ["mode", "stack", "layout"]) panes.addEventListener(name, write);
  bar.addEventListener("pointerdown", (event) => bar.setPointerCapture(event.pointerId));
  bar.addEventListener("pointermove", (event) => {
    if (!bar.hasPointerCapture(event.pointerId)) return;
    const box = panes.stage.getBoundingClientRect();
    panes.setCurtain((event.clientX - box.left) / box.width);
  });
  bar.addEventListener("keydown", (event) => {
    const steps = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1, PageDown: -5, PageUp: 5, Home: -50, End: 50 };
    const step = steps[/** @type {keyof typeof steps} */ (event.key)];
    if (!step) return;
    event.preventDefault();
    event.stopPropagation();
    panes.setCurtain(panes.curtain + step * STEP);
  });
}
