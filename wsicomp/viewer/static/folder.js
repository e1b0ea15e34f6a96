/**
 * Shows the slides of a folder.
 * @param {import("./session.js").Session} session
 * @param {HTMLElement} stage
 */
export function startFolder(session, stage) {
  void [session, stage];
}
