// Tables are sorted by a click on the head of a column, and filtered by words.
function sortBy(table, column, isDescending) {
  const body = table.tBodies[0];
  const keyOf = (row) => {
    const cell = row.cells[column];
    return cell.dataset.v === undefined ? cell.textContent : Number(cell.dataset.v);
  };
  const rows = [...body.rows].map((row, place) => ({ row, place, key: keyOf(row) }));
  const compare = (a, b) => (typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b)));
  rows.sort((a, b) => (isDescending ? -1 : 1) * compare(a.key, b.key) || a.place - b.place);
  body.append(...rows.map((item) => item.row));
  [...table.tHead.rows[0].cells].forEach((head, place) => {
    if (place === column) head.setAttribute("aria-sort", isDescending ? "descending" : "ascending");
    else head.removeAttribute("aria-sort");
  });
}

for (const table of document.querySelectorAll("table.sortable")) {
  [...table.tHead.rows[0].cells].forEach((head, column) => {
    head.querySelector("button").addEventListener("click", () => {
      const now = head.getAttribute("aria-sort"), isText = head.classList.contains("text");
      sortBy(table, column, now ? now === "ascending" : !isText); // numbers: the largest first
    });
  });
}

for (const field of document.querySelectorAll("input[data-table]")) {
  field.addEventListener("input", () => {
    const words = field.value.toLowerCase().split(/\s+/).filter(Boolean), rows = [...byId(field.dataset.table).tBodies[0].rows];
    for (const row of rows) {
      const text = row.textContent.toLowerCase();
      row.hidden = !words.every((word) => text.includes(word));
    }
    byId("filter-count").textContent = words.length ? `${rows.filter((row) => !row.hidden).length} of ${rows.length}` : "";
  });
}
