// What every page has: its data, the switch between light and dark, and the text beside the pointer.
const byId = (id) => document.getElementById(id);
const data = byId("data") ? JSON.parse(byId("data").textContent) : null;
const onTheme = []; // called when the colours have changed
const root = document.documentElement;

function isDark() {
  return root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
}

function showTheme() {
  byId("theme").textContent = isDark() ? "light" : "dark";
  byId("theme").setAttribute("aria-pressed", String(isDark()));
  byId("theme").setAttribute("aria-label", isDark() ? "Use light colours" : "Use dark colours");
  for (const change of onTheme) change();
}

byId("theme").addEventListener("click", () => {
  root.dataset.theme = isDark() ? "light" : "dark";
  showTheme();
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", showTheme);

function showTip(text, event) {
  const tip = byId("tip");
  tip.hidden = !text;
  if (!text) return;
  tip.textContent = text;
  const beside = event.clientX + 14, below = event.clientY + 14;
  tip.style.left = `${Math.max(4, Math.min(beside, innerWidth - tip.offsetWidth - 8))}px`;
  tip.style.top = `${below + tip.offsetHeight > innerHeight ? event.clientY - tip.offsetHeight - 8 : below}px`;
}

document.addEventListener("pointermove", (event) => {
  if (event.target.id === "graph") return; // it has no elements of its own to point at
  showTip(event.target.dataset ? event.target.dataset.tip : "", event);
});

function seconds(value) {
  // As annette.units.format_seconds writes it.
  const units = [[1, "s"], [1e-3, "ms"], [1e-6, "us"], [1e-9, "ns"]];
  if (value === 0) return "0 s";
  const [scale, unit] = units.find(([size]) => Math.abs(value) >= 0.9995 * size) || units[3];
  const scaled = value / scale, size = Math.abs(scaled);
  return `${scaled.toFixed(size >= 99.95 ? 0 : size >= 9.995 ? 1 : 2)} ${unit}`;
}
showTheme();
