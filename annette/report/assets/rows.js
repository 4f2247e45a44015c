// One kernel is chosen at a time; every figure, the table and the details show it.
const marks = data.kernels.map(() => []);
const onChoose = []; // called with the number of the chosen kernel, or null
let chosen = null;
for (const mark of document.querySelectorAll("[data-row]")) marks[Number(mark.dataset.row)].push(mark);

function choose(number) {
  if (chosen !== null) for (const mark of marks[chosen]) mark.classList.remove("chosen");
  chosen = number;
  byId("details").hidden = number === null;
  if (number !== null) {
    for (const mark of marks[number]) mark.classList.add("chosen");
    showDetails(number);
  }
  for (const change of onChoose) change(number);
}

function showDetails(number) {
  const kernel = data.kernels[number];
  byId("details-name").textContent = `${number + 1}. ${kernel.name}`;
  const facts = kernel.facts.flatMap(([name, value]) => [element("dt", name), element("dd", value)]);
  byId("details-facts").replaceChildren(...facts);
  const layers = kernel.layers.map(([name, kind]) => element("li", kind ? `${name}: ${kind}` : name));
  byId("details-layers").replaceChildren(...(layers.length ? layers : [element("li", "none: it moves a tensor")]));
}

function element(kind, text) {
  const made = document.createElement(kind);
  made.textContent = text;
  return made;
}

function step(by) {
  const last = data.kernels.length - 1;
  choose(chosen === null ? (by > 0 ? 0 : last) : Math.min(Math.max(chosen + by, 0), last));
}

document.addEventListener("click", (event) => {
  const mark = event.target.closest("[data-row]");
  if (mark) choose(Number(mark.dataset.row));
});
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && chosen !== null) choose(null);
});
byId("details-close").addEventListener("click", () => choose(null));
for (const figure of document.querySelectorAll("[data-choose]")) {
  figure.addEventListener("keydown", (event) => {
    const by = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (!by) return;
    event.preventDefault();
    step(by);
  });
}
