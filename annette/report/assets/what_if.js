// Other clocks, bandwidths and arrays: between simulated factors each kernel is interpolated, as
// annette.report.what_if.interpolate_s does it.
function cellOf(factors, value) {
  let place = factors.findIndex((factor) => factor > value) - 1;
  place = place < -1 ? factors.length - 2 : Math.min(Math.max(place, 0), factors.length - 2);
  const low = factors[place], high = factors[place + 1];
  return [place, (1 / low - 1 / value) / (1 / low - 1 / high)];
}

function interpolate(grid, clock, bandwidth, array) {
  const rows = grid.arrays.find((item) => item.factor === array).seconds;
  const [i, u] = cellOf(grid.factors, clock), [j, v] = cellOf(grid.factors, bandwidth);
  const kinds = rows.map((cells) => (1 - u) * ((1 - v) * cells[i][j] + v * cells[i][j + 1])
    + u * ((1 - v) * cells[i + 1][j] + v * cells[i + 1][j + 1]));
  return grid.kinds.map((kind) => kinds[kind]);
}

function startWhatIf() {
  const grid = data.what_if;
  if (!grid || !byId("what-if")) return;
  const now = interpolate(grid, 1, 1, 1), sum = (values) => values.reduce((total, value) => total + value, 0);

  function update() {
    const clock = 2 ** Number(byId("clock").value), bandwidth = 2 ** Number(byId("bandwidth").value);
    const then = interpolate(grid, clock, bandwidth, Number(byId("array").value));
    const faster = sum(then) > 0 ? sum(now) / sum(then) : 1;
    for (const [name, value] of [["clock", clock], ["bandwidth", bandwidth]]) {
      byId(`${name}-value`).textContent = `${value.toFixed(2)}x`;
      byId(name).setAttribute("aria-valuetext", `${value.toFixed(2)} times`);
    }
    byId("what-if-latency").textContent = seconds(sum(then));
    byId("what-if-speed").textContent = `${faster.toFixed(2)}x as fast as it is`;
    byId("what-if-estimate").textContent = seconds(data.latency_s / faster);
    const order = then.map((_, number) => number).sort((a, b) => then[b] - then[a] || a - b).slice(0, grid.most);
    byId("what-if-kernels").tBodies[0].replaceChildren(...order.map((number) => {
      const row = document.createElement("tr"), name = element("td", grid.names[number]);
      name.className = "text";
      row.append(name, ...[seconds(now[number]), seconds(then[number]), `${(now[number] / then[number]).toFixed(2)}x`].map((text) => element("td", text)));
      return row;
    }));
  }

  for (const name of ["clock", "bandwidth", "array"]) byId(name).addEventListener("input", update);
  byId("what-if-reset").addEventListener("click", () => {
    byId("clock").value = byId("bandwidth").value = "0";
    byId("array").value = [...byId("array").options].find((option) => Number(option.value) === 1).value;
    update();
  });
  update();
}
startWhatIf();
