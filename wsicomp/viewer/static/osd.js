/**
 * OpenSeadragon as a module: the page loads it before, as a classic script.
 */

/** @type {typeof import("openseadragon")} */
export const OpenSeadragon = /** @type {any} */ (globalThis).OpenSeadragon;

// OpenSeadragon adds an inline style, which the page's policy forbids, unless it finds one so marked. This is none to
// the browser: it is of no HTML.
const mark = document.createElementNS("urn:wsicomp", "style");
mark.setAttribute("data-openseadragon-mobile-css", "");
document.head.append(mark);
