/**
 * The keys of the page, and the dialog that lists them.
 */

import { button, byId, make } from "./dom.js";
import { announce, say } from "./messages.js";

/** @typedef {import("./panes.js").Panes} Panes */
/** @typedef {{keys: string[], shown: string[], says: string, run: (event: KeyboardEvent) => void}} Shortcut */

const PAN = 0.12;
const FAR = 0.6;
const ZOOM_STEP = 1.6;
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

/**
 * Listen to the keys.
 * @param {Panes} panes
 * @param {{togglePanel: () => void}} actions
 * @param {{shown: string[], says: string}[]} others what the list says of keys that others listen to
 * @returns {{help: () => void}} what opens the list of keys
 */
export function startKeyboard(panes, { togglePanel }, others) {
  const dialog = /** @type {HTMLDialogElement} */ (byId("help"));
  const help = () => (dialog.open ? dialog.close() : dialog.showModal());
  const shortcuts = allShortcuts(panes, togglePanel, help);
  fillHelp(dialog, [...shortcuts, ...others]);
  addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || isTaken(event)) return;
    const found = shortcuts.find(({ keys }) => keys.includes(event.key));
    if (!found) return;
    event.preventDefault();
    found.run(event);
  });
  return { help };
}

/**
 * Return all shortcuts, in the order of the list.
 * @param {Panes} panes
 * @param {() => void} togglePanel
 * @param {() => void} help
 * @returns {Shortcut[]}
 */
function allShortcuts(panes, togglePanel, help) {
  return [
    { keys: Object.keys(ARROWS), shown: ["\u2190", "\u2192", "\u2191", "\u2193"], says: "pan; with Shift farther", run: (event) => pan(panes, event) },
    { keys: ["+", "=", "-", "_"], shown: ["+", "-"], says: "zoom", run: ({ key }) => panes.zoomBy("+=".includes(key) ? ZOOM_STEP : 1 / ZOOM_STEP) },
    { keys: ["0"], shown: ["0"], says: "the whole slide", run: () => panes.fit() },
    { keys: ["1"], shown: ["1"], says: "one to one", run: () => panes.zoomTo(1) },
    { keys: ["g"], shown: ["g"], says: "go to a pixel of level 0", run: () => byId("go-to").focus() },
    { keys: ["s"], shown: ["s"], says: "side by side", run: () => showPair(panes, "side") },
    { keys: ["c"], shown: ["c"], says: "curtain", run: () => showPair(panes, "curtain") },
    { keys: [",", "."], shown: [",", "."], says: "move the curtain", run: ({ key }) => panes.setCurtain(panes.curtain + (key === "," ? -0.05 : 0.05)) },
    { keys: ["b"], shown: ["b"], says: "blink", run: () => showPair(panes, "blink") },
    { keys: [" ", "x"], shown: ["Space", "x"], says: "blink: show the other", run: () => blink(panes) },
    { keys: ["d"], shown: ["d"], says: "difference", run: () => showPair(panes, "difference") },
    { keys: ["[", "]"], shown: ["[", "]"], says: "amplify it less, more", run: ({ key }) => panes.setAmplification(panes.amplification * (key === "[" ? 0.5 : 2)) },
    { keys: ["i"], shown: ["i"], says: "a single slide", run: () => panes.setView("single") },
    { keys: ["n"], shown: ["n"], says: "the next slide", run: () => next(panes) },
    { keys: ["l"], shown: ["l"], says: "hide or show all layers", run: () => panes.setLayersVisible(!panes.layersVisible) },
    { keys: ["p"], shown: ["p"], says: "hide or show the panel", run: togglePanel },
    { keys: ["?"], shown: ["?"], says: "these keys", run: help },
  ];
}

/**
 * @param {Panes} panes
 * @param {KeyboardEvent} event
 */
function pan(panes, { key, shiftKey }) {
  const [right, down] = ARROWS[/** @type {keyof typeof ARROWS} */ (key)];
  const step = shiftKey ? FAR : PAN;
  panes.panBy(right * step, down * step);
}

/** @param {Panes} panes */
function blink(panes) {
  if (panes.view !== "blink") return;
  panes.blink();
  announce(`Shown: ${panes.shown[panes.isSecondUp ? 1 : 0].label}`);
}

/** @param {Panes} panes */
function next(panes) {
  const { first, second, view } = panes;
  const count = panes.panes.length;
  if (view === "side" || count < 2) return;
  if (view === "single") return panes.choose((first + 1) % count, second);
  let other = (second + 1) % count;
  if (other === first) other = (other + 1) % count;
  panes.choose(first, other);
}

/**
 * True where the key means something to what has the focus: a text, a list, a slider, a button, a panel that scrolls.
 * @param {KeyboardEvent} event
 */
function isTaken({ target, key }) {
  if (!(target instanceof HTMLElement)) return false;
  if (target.closest("dialog")) return key !== "?";
  if (target.isContentEditable || target.matches("textarea, select, input:not([type=checkbox], [type=radio], [type=range])")) {
    return true;
  }
  const scrolls = key.startsWith("Arrow") || key === " ";
  if (scrolls && target.matches("input[type=radio], input[type=range], [role=tabpanel], .worst")) return true;
  return key === " " && target.matches("button, summary, a, input, [role=tab]");
}

/**
 * @param {HTMLDialogElement} dialog
 * @param {{shown: string[], says: string}[]} shortcuts
 */
function fillHelp(dialog, shortcuts) {
  const list = make("dl", {});
  for (const { shown, says } of shortcuts) {
    list.append(make("div", {}, make("dt", {}, ...shown.map((key) => make("kbd", {}, key))), make("dd", {}, says)));
  }
  const close = button("Close", () => dialog.close(), { class: "main" });
  dialog.append(make("h2", { id: "help-title" }, "Keys"), list, close);
}

/**
 * Show two slides, or say that there is only one.
 * @param {Panes} panes
 * @param {import("./panes.js").View} view
 */
function showPair(panes, view) {
  if (panes.panes.length < 2) say("There is only one slide: give a second one to compare it with.");
  else panes.setView(view);
}
