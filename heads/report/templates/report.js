// Tables sort by the column whose heading is pressed; without this the page is complete as it is.
for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0];
  const headings = [...table.tHead.rows[0].cells];
  headings.forEach((heading, column) => {
    if (!heading.textContent || heading.querySelector("svg")) return;
    const button = document.createElement("button");
    button.type = "button";
    button.append(...heading.childNodes);
    heading.append(button);
    button.addEventListener("click", () => {
      const value = (row) => row.cells[column].dataset.value;
      const numeric = [...body.rows].some((row) => value(row) !== "" && !isNaN(value(row)));
      const falling = heading.ariaSort ? heading.ariaSort === "ascending" : numeric;
      headings.forEach((other) => other.removeAttribute("aria-sort"));
      heading.setAttribute("aria-sort", falling ? "descending" : "ascending");
      const rows = [...body.rows].sort((a, b) => {
        const [x, y] = [value(a), value(b)];
        if (x === "" || y === "") return (x === "") - (y === "");
        return (falling ? -1 : 1) * (numeric ? x - y : x.localeCompare(y));
      });
      body.append(...rows);
    });
  });
}
// Whatever is folded is printed too.
addEventListener("beforeprint", () => {
  document.querySelectorAll("details").forEach((details) => (details.open = true));
});
