/**
 * The panel "Layers": what can be drawn over the pictures, and how the pictures are decoded.
 */

import { annotationRows } from "./annotation_layers.js";
import { make } from "./dom.js";
import { outcomeRows } from "./outcome_layers.js";
import { tissueRows } from "./tissue_layers.js";
import { worstRows } from "./worst_list.js";

/** @typedef {import("./panes.js").Panes} Panes */

/**
 * Fill the panel.
 * @param {Panes} panes
 * @param {HTMLElement} panel
 */
export function startLayers(panes, panel) {
  const hidden = make("p", { class: "note", role: "status" });
  panes.addEventListener("mode", () => {
    hidden.textContent = panes.layersVisible ? "" : "All layers are hidden (l shows them).";
  });
  panel.append(
    hidden,
    ...group("Tissue", tissueRows(panes)),
    ...group("Tiles", outcomeRows(panes)),
    ...group("Least like their source", worstRows(panes)),
    ...group("Annotations", annotationRows(panes)),
    ...group("Pixels", pixelRows(panes)),
    ...group("Label and macro", associatedRows(panes)),
  );
}

/**
 * @param {string} title
 * @param {Node[]} rows
 */
function group(title, rows) {
  return rows.length ? [make("section", { class: "group" }, make("h3", {}, title), ...rows)] : [];
}

/**
 * Return the images that a file holds beside the slide, each shown once it is opened.
 * @param {Panes} panes
 */
function associatedRows(panes) {
  return panes.session.slides.flatMap(({ id, title, associated }) =>
    associated.map((name) => {
      const image = make("img", { alt: `${name} of ${title}`, loading: "lazy", src: `associated/${id}/${encodeURIComponent(name)}` });
      return make("details", {}, make("summary", {}, `${title}: ${name}`), image);
    }),
  );
}

/** @param {Panes} panes */
function pixelRows(panes) {
  const write = () => panes.setPixels({ icc: icc.checked, exact: exact.checked });
  const icc = make("input", { type: "checkbox", role: "switch" });
  icc.disabled = !panes.session.slides.some((slide) => slide.icc);
  const exact = make("input", { type: "checkbox", role: "switch" });
  for (const box of [icc, exact]) box.addEventListener("change", write);
  const iccNote = icc.disabled
    ? "No slide here carries a colour profile."
    : "Colours as the scanner's profile says. The difference is always of the stored values.";
  return [
    make("div", { class: "layer-row" }, make("label", {}, icc, " Apply ICC profiles")),
    make("p", { class: "note" }, iccNote),
    make("div", { class: "layer-row" }, make("label", {}, exact, " Exact pixels")),
    make("p", { class: "note" }, "Tiles that no browser decodes come as JPEG of quality 95; exact ones as PNG, slower."),
  ];
}
