/**
 * The frame of the page: the panel at the side with its tabs.
 */

import { byId, make } from "./dom.js";

const TABS = [
  ["layers", "Layers"],
  ["draw", "Draw"],
  ["codecs", "Codecs"],
];

/**
 * Build the tabs of the panel.
 * @returns {{layers: HTMLElement, draw: HTMLElement, codecs: HTMLElement, open: (name: string) => void}} panels to fill,
 *   and what opens one of them by its name
 */
export function buildTabs() {
  const list = byId("tabs");
  const tabs = TABS.map(([name, text]) =>
    make("button", { type: "button", role: "tab", id: `tab-${name}`, "aria-controls": `panel-${name}` }, text),
  );
  list.append(...tabs);
  /** @param {number} index */
  const select = (index) => {
    TABS.forEach(([name], other) => {
      tabs[other].setAttribute("aria-selected", String(other === index));
      tabs[other].tabIndex = other === index ? 0 : -1;
      byId(`panel-${name}`).hidden = other !== index;
    });
  };
  tabs.forEach((tab, index) => tab.addEventListener("click", () => select(index)));
  list.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    event.stopPropagation();
    const next = (tabs.findIndex((tab) => tab.tabIndex === 0) + step + tabs.length) % tabs.length;
    select(next);
    tabs[next].focus();
  });
  select(0);
  return {
    layers: byId("panel-layers"),
    draw: byId("panel-draw"),
    codecs: byId("panel-codecs"),
    open: (name) => select(TABS.findIndex(([other]) => other === name)),
  };
}
