/**
 * Tables that sort by a column whose head is clicked.
 */

/** Make every head with `data-sort` a button that sorts its table. */
export function startSorting() {
  for (const head of document.querySelectorAll("th[data-sort]")) {
    if (!(head instanceof HTMLTableCellElement)) continue;
    head.tabIndex = 0;
    head.addEventListener("click", () => sort(head));
    head.addEventListener("keydown", ({ key }) => key === "Enter" && sort(head));
  }
}

/** @param {HTMLTableCellElement} head */
function sort(head) {
  const table = head.closest("table");
  if (!table) return;
  const isDown = head.ariaSort === "ascending";
  for (const other of table.querySelectorAll("th[data-sort]")) other.ariaSort = "none";
  head.ariaSort = isDown ? "descending" : "ascending";
  const value = (/** @type {HTMLTableRowElement} */ row) => {
    const cell = row.cells[head.cellIndex];
    return cell?.dataset.v ?? cell?.textContent?.trim() ?? "";
  };
  const body = table.tBodies[0];
  body.append(
    ...[...body.rows].sort((one, other) => {
      const [first, second] = [value(one), value(other)];
      if (first === "" || second === "") return Number(first === "") - Number(second === "");
      const apart = Number(first) - Number(second);
      return (Number.isNaN(apart) ? first.localeCompare(second) : apart) * (isDown ? -1 : 1);
    }),
  );
}
