/**
 * OpenSeadragon as a module: the page loads it before, as a classic script.
 */

/** @type {typeof import("openseadragon")} */
export const OpenSeadragon = /** @type {any} */ (globalThis).OpenSeadragon;
