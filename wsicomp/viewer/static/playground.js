/**
 * Fills the panel "Codecs".
 * @param {import("./panes.js").Panes} panes
 * @param {import("./session.js").Session} session
 * @param {HTMLElement} panel
 */
export function startPlayground(panes, session, panel) {
  void [panes, session, panel];
}
