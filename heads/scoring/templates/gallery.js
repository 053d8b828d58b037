// Arrow keys walk: sideways from photograph to photograph, up and down from group to group.
const lists = [...document.querySelectorAll("ol")].map((list) => [...list.querySelectorAll("a")]);
const links = lists.flat();
document.getElementById("keys").hidden = false;
addEventListener("keydown", (event) => {
  const step = { ArrowLeft: -1, ArrowUp: -1, ArrowRight: 1, ArrowDown: 1 }[event.key];
  if (!step || event.ctrlKey || event.altKey || event.metaKey || event.shiftKey) return;
  const at = links.indexOf(document.activeElement);
  const sideways = event.key === "ArrowLeft" || event.key === "ArrowRight";
  if (at < 0 && !sideways) return; // nothing is chosen yet: the page scrolls
  const group = lists.findIndex((list) => list.includes(links[at]));
  const next = sideways ? links[at + step] : lists[group + step]?.[0];
  if (!next) return;
  event.preventDefault();
  next.focus();
});
