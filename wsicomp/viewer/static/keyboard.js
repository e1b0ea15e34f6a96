/**
 * The keys of the page, and the dialog that lists them.
 */

import { button, byId, make } from "./dom.js";

/** @typedef {import("./panes.js").Panes} Panes */
/** @typedef {{keys: string[], shown: string, says: string, run: (event: KeyboardEvent) => void}} Shortcut */

const PAN = 0.12;
const FAR = 0.6;
const ZOOM_STEP = 1.6;

/**
 * Listen to the keys.
 * @param {Panes} panes
 * @param {{togglePanel: () => void}} actions
 * @param {{shown: string, says: string}[]} others what the list says of keys that others listen to
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
  /** @param {number} right @param {number} down */
  const pan = (right, down) => (/** @type {KeyboardEvent} */ event) => {
    const step = event.shiftKey ? FAR : PAN;
    panes.panBy(right * step, down * step);
  };
  return [
    { keys: ["ArrowLeft"], shown: "\u2190", says: "pan left; with Shift farther", run: pan(-1, 0) },
    { keys: ["ArrowRight"], shown: "\u2192", says: "pan right", run: pan(1, 0) },
    { keys: ["ArrowUp"], shown: "\u2191", says: "pan up", run: pan(0, -1) },
    { keys: ["ArrowDown"], shown: "\u2193", says: "pan down", run: pan(0, 1) },
    { keys: ["+", "="], shown: "+", says: "zoom in", run: () => panes.zoomBy(ZOOM_STEP) },
    { keys: ["-", "_"], shown: "-", says: "zoom out", run: () => panes.zoomBy(1 / ZOOM_STEP) },
    { keys: ["0"], shown: "0", says: "show the whole slide", run: () => panes.fit() },
    { keys: ["1"], shown: "1", says: "one to one: a pixel of level 0 is one of the screen", run: () => panes.zoomTo(1) },
    { keys: ["s"], shown: "s", says: "side by side", run: () => panes.setView("side") },
    { keys: ["c"], shown: "c", says: "curtain", run: () => panes.setView("curtain") },
    { keys: [",", "<"], shown: ",", says: "move the curtain left", run: () => panes.setCurtain(panes.curtain - 0.05) },
    { keys: [".", ">"], shown: ".", says: "move the curtain right", run: () => panes.setCurtain(panes.curtain + 0.05) },
    { keys: ["b"], shown: "b", says: "blink", run: () => panes.setView("blink") },
    { keys: [" ", "x"], shown: "Space or x", says: "in blink, show the other slide", run: () => blink(panes) },
    { keys: ["d"], shown: "d", says: "difference", run: () => panes.setView("difference") },
    { keys: ["["], shown: "[", says: "amplify the difference half as much", run: () => panes.setAmplification(panes.amplification / 2) },
    { keys: ["]"], shown: "]", says: "amplify the difference twice as much", run: () => panes.setAmplification(panes.amplification * 2) },
    { keys: ["i"], shown: "i", says: "a single slide", run: () => panes.setView("single") },
    { keys: ["n"], shown: "n", says: "the next slide, in views of one or two", run: () => next(panes) },
    { keys: ["g"], shown: "g", says: "go to a pixel of level 0", run: () => byId("go-to").focus() },
    { keys: ["l"], shown: "l", says: "hide or show all layers", run: () => panes.setLayersVisible(!panes.layersVisible) },
    { keys: ["p"], shown: "p", says: "hide or show the panel", run: togglePanel },
    { keys: ["?"], shown: "?", says: "show these keys", run: help },
  ];
}

/** @param {Panes} panes */
function blink(panes) {
  if (panes.view === "blink") panes.blink();
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
 * True where the key means something to what has the focus: a text, a list, a slider, a button.
 * @param {KeyboardEvent} event
 */
function isTaken({ target, key }) {
  if (!(target instanceof HTMLElement)) return false;
  if (target.closest("dialog")) return key !== "?";
  if (target.isContentEditable || target.matches("textarea, select, input:not([type=checkbox], [type=radio], [type=range])")) {
    return true;
  }
  if (target.matches("input[type=radio], input[type=range]")) return key.startsWith("Arrow") || key === " ";
  return key === " " && target.matches("button, summary, a, input, [role=tab]");
}

/**
 * @param {HTMLDialogElement} dialog
 * @param {{shown: string, says: string}[]} shortcuts
 */
function fillHelp(dialog, shortcuts) {
  const list = make("dl", {});
  for (const { shown, says } of shortcuts) {
    list.append(make("div", {}, make("dt", {}, make("kbd", {}, shown)), make("dd", {}, says)));
  }
  const close = button("Close", () => dialog.close(), { class: "main" });
  dialog.append(make("h2", { id: "help-title" }, "Keys"), list, close);
}
