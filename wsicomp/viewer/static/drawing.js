/**
 * Fills the panel "Draw".
 * @param {import("./panes.js").Panes} panes
 * @param {import("./session.js").Session} session
 * @param {HTMLElement} panel
 */
export function startDrawing(panes, session, panel) {
  void [panes, session, panel];
}
