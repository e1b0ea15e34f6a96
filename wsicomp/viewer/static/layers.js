/**
 * Layers over the pictures: what every one of them must have, and its row in the panel.
 */

import { make } from "./dom.js";

/**
 * @typedef {object} Layer
 * @property {string} name
 * @property {boolean} visible
 * @property {number} opacity 0 to 1
 * @property {import("./pane.js").Draw} draw on one pane: `context` is in CSS px of the picture, `toScreen(x, y)` places
 *   level-0 px of the first slide in it; alpha is set to the layer's opacity
 */

/**
 * Return a layer to give to `panes.addLayer`.
 * @param {string} name
 * @param {import("./pane.js").Draw} draw
 * @param {{visible?: boolean, opacity?: number}} [start]
 * @returns {Layer}
 */
export function makeLayer(name, draw, { visible = true, opacity = 1 } = {}) {
  return { name, visible, opacity, draw };
}

/**
 * Return a layer's row in the panel: its switch and its opacity.
 * @param {import("./panes.js").Panes} panes
 * @param {Layer} layer
 * @param {() => void} [onSwitch] what else happens when it is switched
 * @param {string} [color] of its swatch
 */
export function layerRow(panes, layer, onSwitch, color) {
  const box = make("input", { type: "checkbox", role: "switch" });
  box.checked = layer.visible;
  const slider = make("input", { type: "range", min: 5, max: 100, "aria-label": `Opacity of: ${layer.name}` });
  slider.value = String(Math.round(layer.opacity * 100));
  slider.disabled = !layer.visible;
  box.addEventListener("change", () => {
    layer.visible = box.checked;
    slider.disabled = !box.checked;
    onSwitch?.();
    panes.redraw();
  });
  slider.addEventListener("input", () => {
    layer.opacity = Number(slider.value) / 100;
    panes.redraw();
  });
  const label = make("label", {}, box);
  if (color) {
    const swatch = make("span", { class: "swatch" });
    swatch.style.background = color;
    label.append(swatch);
  }
  label.append(layer.name);
  return make("div", { class: "layer-row" }, label, slider);
}
