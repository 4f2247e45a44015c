// The layer model whose figures are shown.
byId("model").addEventListener("change", (event) => {
  for (const part of document.querySelectorAll("[data-model]")) part.hidden = part.dataset.model !== event.target.value;
});
