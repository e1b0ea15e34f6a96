/**
 * The address of a place: the page's fragment "#x,y,zoom,view" says what is in sight, so that a link leads there.
 */

import { VIEWS } from "./panes.js";

/** @typedef {import("./panes.js").Panes} Panes */

const STILL_MS = 400;

/**
 * Go where the address says, and keep it up to date.
 * @param {Panes} panes
 */
export function startPlace(panes) {
  let timer = 0;
  let written = location.hash;
  const write = () => {
    if (!panes.place) return;
    const { x, y, scale } = panes.target;
    written = `#${Math.round(x)},${Math.round(y)},${Number(scale.toPrecision(4))},${panes.view}`;
    history.replaceState(null, "", written);
  };
  const later = () => {
    clearTimeout(timer);
    timer = window.setTimeout(write, STILL_MS);
  };
  const read = () => {
    const found = parsePlace(location.hash);
    if (!found || location.hash === written) return;
    if (found.view !== panes.view) panes.setView(found.view);
    panes.moveTo(found, true);
  };
  panes.addEventListener("view", later);
  panes.addEventListener("mode", later);
  addEventListener("hashchange", read);
}

/**
 * Return the place that a fragment names, or null.
 * @param {string} fragment
 * @returns {(import("./pane.js").Place & {view: import("./panes.js").View}) | null}
 */
export function parsePlace(fragment) {
  const [x, y, scale, view] = fragment.replace("#", "").split(",");
  const place = { x: Number(x), y: Number(y), scale: Number(scale) };
  const isNumeric = fragment.length > 1 && Object.values(place).every(Number.isFinite) && place.scale > 0;
  const known = VIEWS.find((each) => each === view);
  return isNumeric && known ? { ...place, view: known } : null;
}
