// Tables can be sorted by a click on a heading; all is readable without this.
for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0], heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.textContent = head.textContent;
    head.replaceChildren(button);
    button.addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
      const value = row => row.cells[column].dataset.n ?? row.cells[column].textContent.trim();
      const order = new Intl.Collator("en", {numeric: true});
      heads.forEach(each => each.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", down > 0 ? "ascending" : "descending");
      body.append(...[...body.rows].sort((a, b) => down * order.compare(value(a), value(b))));
    });
  });
}
