// The graph of kernels on a canvas: drawn as a whole for each change of view, what is out of sight left out.
function drawGraph() {
  const canvas = byId("graph");
  if (!canvas) return;
  const { nodes, edges, ends, width, height, node_width: boxWidth, node_height: boxHeight } = data.graph;
  const context = canvas.getContext("2d"), pointers = new Map(), labels = new Map();
  const after = nodes.map(() => []), before = nodes.map(() => []);
  ends.forEach(([source, target]) => { after[source].push(target); before[target].push(source); });
  const allEdges = new Path2D(), edgePaths = edges.map(pathOf);
  for (const path of edgePaths) allEdges.addPath(path);
  let view = { scale: 1, x: 0, y: 0 }, colours = {}, colourBy = "time", isAsked = false, hasMoved = false;

  function pathOf(points) {
    const path = new Path2D();
    points.forEach(([x, y], place) => {
      if (place === 0) { path.moveTo(x, y); return; }
      const [fromX, fromY] = points[place - 1], middle = (fromY + y) / 2;
      if (y > fromY && x !== fromX) path.bezierCurveTo(fromX, middle, x, middle, x, y);
      else path.lineTo(x, y);
    });
    return path;
  }

  function readColours() {
    const style = getComputedStyle(root), read = (name) => style.getPropertyValue(`--${name}`).trim();
    for (const name of ["compute", "memory", "overhead", "host", "other", "ink", "soft", "line", "accent", "ground"]) colours[name] = read(name);
    colours.low = read("heat-low").split(",").map(Number);
    colours.high = read("heat-high").split(",").map(Number);
    colours.heats = data.kernels.map((kernel) => heat(kernel.heat));
  }

  function heat(share) {
    const mixed = colours.low.map((low, place) => Math.round(low + (colours.high[place] - low) * share));
    const linear = mixed.map((part) => (part / 255 <= 0.04045 ? part / 255 / 12.92 : ((part / 255 + 0.055) / 1.055) ** 2.4));
    const light = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]; // of WCAG: black and white contrast alike at 0.18
    return [`rgb(${mixed})`, light > 0.18 ? "#000000" : "#ffffff"];
  }

  function ask() {
    if (isAsked) return;
    isAsked = true;
    requestAnimationFrame(() => { isAsked = false; draw(); });
  }

  function draw() {
    const ratio = devicePixelRatio || 1, wide = canvas.clientWidth, tall = canvas.clientHeight;
    if (canvas.width !== Math.round(wide * ratio) || canvas.height !== Math.round(tall * ratio)) {
      canvas.width = Math.round(wide * ratio);
      canvas.height = Math.round(tall * ratio);
    }
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, wide, tall);
    context.setTransform(ratio * view.scale, 0, 0, ratio * view.scale, ratio * view.x, ratio * view.y);
    context.lineWidth = 1 / Math.max(view.scale, 0.35);
    context.strokeStyle = colours.soft;
    context.stroke(allEdges);
    if (chosen !== null) {
      context.strokeStyle = colours.accent;
      context.lineWidth = 2.5 / Math.max(view.scale, 0.35);
      ends.forEach(([source, target], place) => { if (source === chosen || target === chosen) context.stroke(edgePaths[place]); });
    }
    const left = -view.x / view.scale - boxWidth, top = -view.y / view.scale - boxHeight;
    const right = left + wide / view.scale + 2 * boxWidth, bottom = top + tall / view.scale + 2 * boxHeight;
    nodes.forEach(([x, y], number) => { if (x > left && x < right && y > top && y < bottom) drawNode(number, x, y); });
  }

  function drawNode(number, x, y) {
    const kernel = data.kernels[number], left = x - boxWidth / 2, top = y - boxHeight / 2;
    const [fill, ink] = colourBy === "time" ? colours.heats[number] : [colours[kernel.bound], colours.ground];
    context.fillStyle = fill;
    context.fillRect(left, top, boxWidth, boxHeight);
    context.fillStyle = colours[kernel.bound];
    if (colourBy === "time") context.fillRect(left, top, 7, boxHeight);
    context.strokeStyle = number === chosen ? colours.accent : colours.line;
    context.lineWidth = number === chosen ? 3 / view.scale : 1;
    context.strokeRect(left, top, boxWidth, boxHeight);
    if (view.scale < 0.42) return; // letters would be smaller than 5 pixels
    context.fillStyle = ink;
    context.font = "600 12px system-ui, sans-serif";
    context.fillText(shortened(kernel.label, boxWidth - 20), left + 13, top + 17);
    context.font = "11px system-ui, sans-serif";
    context.fillText(shortened(`${number + 1}. ${kernel.time}  ${kernel.name.slice(0, 60)}`, boxWidth - 20), left + 13, top + 33);
  }

  function shortened(text, most) {
    const key = `${context.font}|${text}`;
    if (!labels.has(key)) {
      let end = text.length;
      while (end > 1 && context.measureText(end < text.length ? `${text.slice(0, end)}…` : text).width > most) end -= 1;
      labels.set(key, end < text.length ? `${text.slice(0, end)}…` : text);
    }
    return labels.get(key);
  }

  function fit() {
    const scale = Math.min(canvas.clientWidth / (width + 60), canvas.clientHeight / (height + 60), 1.4);
    view = { scale, x: (canvas.clientWidth - width * scale) / 2, y: (canvas.clientHeight - height * scale) / 2 };
    ask();
  }

  function zoom(factor, x = canvas.clientWidth / 2, y = canvas.clientHeight / 2) {
    const scale = Math.min(Math.max(view.scale * factor, 0.01), 4), by = scale / view.scale;
    view = { scale, x: x - (x - view.x) * by, y: y - (y - view.y) * by };
    ask();
  }

  function nodeAt(event) {
    const box = canvas.getBoundingClientRect();
    const x = (event.clientX - box.left - view.x) / view.scale, y = (event.clientY - box.top - view.y) / view.scale;
    return nodes.findIndex(([cx, cy]) => Math.abs(x - cx) <= boxWidth / 2 && Math.abs(y - cy) <= boxHeight / 2);
  }

  function show(number) { // moves the view where the chosen kernel is out of sight
    if (number !== null) {
      const [x, y] = nodes[number], wide = canvas.clientWidth, tall = canvas.clientHeight;
      const atX = x * view.scale + view.x, atY = y * view.scale + view.y;
      if (atX < 30 || atX > wide - 30) view.x += wide / 2 - atX;
      if (atY < 20 || atY > tall - 20) view.y += tall / 2 - atY;
    }
    ask();
  }

  canvas.addEventListener("pointerdown", (event) => {
    pointers.set(event.pointerId, event);
    hasMoved = pointers.size > 1;
    canvas.setPointerCapture(event.pointerId);
  });
  canvas.addEventListener("pointermove", (event) => {
    const last = pointers.get(event.pointerId);
    if (!last) {
      const over = nodeAt(event);
      canvas.style.cursor = over < 0 ? "grab" : "pointer";
      showTip(over < 0 ? "" : `${over + 1}. ${data.kernels[over].name.slice(0, 120)}: ${data.kernels[over].time}, ${data.kernels[over].bound}`, event);
      return;
    }
    const others = [...pointers.values()].filter((item) => item.pointerId !== event.pointerId);
    if (others.length) {
      const box = canvas.getBoundingClientRect(), [other] = others;
      const span = (point) => Math.hypot(point.clientX - other.clientX, point.clientY - other.clientY) || 1;
      zoom(span(event) / span(last), (event.clientX + other.clientX) / 2 - box.left, (event.clientY + other.clientY) / 2 - box.top);
    } else {
      if (!hasMoved && Math.hypot(event.clientX - last.clientX, event.clientY - last.clientY) < 4) return;
      hasMoved = true;
      view.x += event.clientX - last.clientX;
      view.y += event.clientY - last.clientY;
      ask();
    }
    pointers.set(event.pointerId, event);
  });
  canvas.addEventListener("pointerup", (event) => {
    pointers.delete(event.pointerId);
    if (hasMoved) return;
    const number = nodeAt(event);
    choose(number < 0 ? null : number);
  });
  canvas.addEventListener("pointercancel", (event) => pointers.delete(event.pointerId));
  canvas.addEventListener("pointerleave", () => showTip("", null));
  canvas.addEventListener("wheel", (event) => {
    if (!event.ctrlKey && !event.metaKey) return; // the wheel alone scrolls the page
    event.preventDefault();
    const box = canvas.getBoundingClientRect();
    zoom(Math.exp(-event.deltaY / 300), event.clientX - box.left, event.clientY - box.top);
  }, { passive: false });
  canvas.addEventListener("keydown", (event) => {
    const along = { ArrowDown: after, ArrowUp: before }[event.key], by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (by) step(by);
    else if (along && chosen === null) step(1);
    else if (along && along[chosen].length) choose(along[chosen][0]);
    else if (event.key === "+" || event.key === "=") zoom(1.25);
    else if (event.key === "-") zoom(0.8);
    else if (event.key === "0") fit();
    else if (!along) return;
    event.preventDefault();
  });
  byId("graph-in").addEventListener("click", () => zoom(1.25));
  byId("graph-out").addEventListener("click", () => zoom(0.8));
  byId("graph-fit").addEventListener("click", fit);
  byId("graph-colour").addEventListener("change", (event) => { colourBy = event.target.value; ask(); });
  onChoose.push(show);
  onTheme.push(() => { readColours(); ask(); });
  new ResizeObserver(ask).observe(canvas);
  readColours();
  fit();
  return { view: () => view, draw, nodeAt };
}
const graphView = drawGraph();
