/**
 * The bar at the top: which view, which zoom, where to go.
 */

import { button, byId, make } from "./dom.js";
import { zoomText } from "./measures.js";
import { say } from "./messages.js";
import { VIEWS } from "./panes.js";
import { nativePower } from "./session.js";

/** @typedef {import("./panes.js").Panes} Panes */

const VIEW_NAMES = { side: "Side by side", curtain: "Curtain", blink: "Blink", difference: "Difference", single: "Single" };
const VIEW_KEYS = { side: "s", curtain: "c", blink: "b", difference: "d", single: "i" };
const POWERS = [5, 10, 20, 40];
const ZOOM_STEP = 1.6;

/**
 * Fill the bar.
 * @param {Panes} panes
 * @param {{help: () => void, togglePanel: () => void}} actions
 */
export function buildControls(panes, { help, togglePanel }) {
  byId("views").append(...viewChoices(panes));
  byId("tools").append(...zoomTools(panes), goToForm(panes));
  byId("switches").append(
    button("Panel", togglePanel, {
      id: "panel-switch",
      "aria-controls": "side",
      "aria-expanded": "true",
      "aria-keyshortcuts": "p",
      title: "Panel (p)",
    }),
    button("?", help, { "aria-label": "Keys and help", "aria-keyshortcuts": "?", title: "Keys (?)" }),
  );
}

/** @param {Panes} panes */
function viewChoices(panes) {
  if (panes.panes.length < 2) return [];
  const choices = VIEWS.map((view) => {
    const input = make("input", { type: "radio", name: "view", value: view, "aria-keyshortcuts": VIEW_KEYS[view] });
    input.addEventListener("change", () => panes.setView(view));
    const title = `${VIEW_NAMES[view]} (${VIEW_KEYS[view]})`;
    return { view, input, label: make("label", { title }, input, make("span", {}, VIEW_NAMES[view])) };
  });
  panes.addEventListener("mode", () => {
    for (const { view, input } of choices) input.checked = view === panes.view;
  });
  return choices.map(({ label }) => label);
}

/** @param {Panes} panes */
function zoomTools(panes) {
  const shown = make("output", { id: "zoom", "aria-label": "Zoom" });
  const power = nativePower(panes.slide);
  if (power === null) shown.title = "The slide does not say how large its pixels are (mpp unknown): 100 % is one to one.";
  const powers = POWERS.map((wanted) => {
    const title = power === null ? "mpp unknown" : `Magnification ${wanted}x`;
    const tool = button(`${wanted}x`, () => power && panes.zoomTo(wanted / power), { class: "power", title });
    tool.disabled = power === null;
    return { wanted, tool };
  });
  panes.addEventListener("view", () => {
    shown.value = panes.place ? zoomText(panes.slide, panes.scale) : "";
    for (const { wanted, tool } of powers) {
      tool.classList.toggle("on", power !== null && Math.abs((panes.scale * power) / wanted - 1) < 0.005);
    }
  });
  return [
    button("\u2212", () => panes.zoomBy(1 / ZOOM_STEP), { "aria-label": "Zoom out", title: "Zoom out (-)" }),
    shown,
    button("+", () => panes.zoomBy(ZOOM_STEP), { "aria-label": "Zoom in", title: "Zoom in (+)" }),
    button("Fit", () => panes.fit(), { title: "The whole slide (0)" }),
    button("1:1", () => panes.zoomTo(1), { title: "A pixel of the slide is one of the screen (1)" }),
    ...powers.map(({ tool }) => tool),
  ];
}

/** @param {Panes} panes */
function goToForm(panes) {
  const { width, height } = panes.slide;
  const label = `Go to a pixel of level 0: x, y (up to ${width - 1}, ${height - 1})`;
  const input = make("input", { id: "go-to", type: "text", inputmode: "numeric", placeholder: "Go to x, y", "aria-label": label });
  input.title = `${label} (g)`;
  input.autocomplete = "off";
  const form = make("form", { class: "go-to" }, input);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const [x, y, across] = input.value.split(/[\s,;]+/).filter(Boolean).map(Number);
    const isInside = x >= 0 && y >= 0 && x < width && y < height;
    if (!isInside) return say(`Give x and y in pixels of level 0, such as "${width >> 1}, ${height >> 1}".`);
    panes.goTo(x, y, across > 0 ? across : undefined);
    input.blur();
  });
  input.addEventListener("keydown", (event) => event.key === "Escape" && input.blur());
  return form;
}
