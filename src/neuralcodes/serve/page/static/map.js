// The map: points on a canvas; pictures themselves once they are few. The list beside it holds the
// same pictures as links, for keyboards and screen readers.
"use strict";

(() => {
  const box = document.querySelector("#map");
  if (!box) return;
  const canvas = box.querySelector("canvas");
  const pen = canvas.getContext("2d");
  const tip = document.querySelector("#tip");
  const says = document.querySelector("#map-says");
  const list = document.querySelector("#middle");
  const PICTURES = 60; // as many in sight are drawn as pictures
  const LISTED = 12;
  const CACHE = 400; // pictures kept
  let points = null;
  let view = { x: 0, y: 0, scale: 1 };
  let shown = new Set([0, 1, 2, 3, 4, 5, 6]);
  const pictures = new Map();
  let colours = [];
  let drawing = false;

  const root = box.dataset.root; // what addresses of this collection begin with
  const picture = (id) => `${root}/api/v1/images/${id}/thumbnail`;

  function style() {
    const known = getComputedStyle(document.documentElement);
    const of = (name) => known.getPropertyValue(name).trim();
    colours = [...[0, 1, 2, 3, 4, 5].map((n) => of(`--s${n}`)), of("--rest")];
    if (!document.querySelector(".legend")) colours[6] = colours[0];
    colours.ring = of("--ink");
  }

  async function load() {
    const answer = await fetch(box.dataset.points);
    if (!answer.ok) throw new Error(answer.status);
    const data = await answer.arrayBuffer();
    const count = new DataView(data).getUint32(0, true);
    const wide = (bytes) => Math.ceil(bytes / 8) * 8;
    let at = 8;
    const x = new Float32Array(data, at, count); at += wide(4 * count);
    const y = new Float32Array(data, at, count); at += wide(4 * count);
    const id = new Float64Array(data, at, count); at += 8 * count;
    const label = new Uint8Array(data, at, count);
    points = { count, x, y, id, label };
  }

  const size = () => canvas.getBoundingClientRect();
  const unit = () => 0.45 * Math.min(size().width, size().height) * view.scale;

  function screen(n) {
    const { width, height } = size();
    return [width / 2 + (points.x[n] - view.x) * unit(), height / 2 - (points.y[n] - view.y) * unit()];
  }

  function inSight() {
    const { width, height } = size();
    const found = [];
    for (let n = 0; n < points.count; n += 1) {
      if (!shown.has(points.label[n])) continue;
      const [x, y] = screen(n);
      if (x > -20 && y > -20 && x < width + 20 && y < height + 20) found.push([n, x, y]);
    }
    return found;
  }

  function loaded(id) {
    if (!pictures.has(id)) {
      const image = new Image();
      image.onload = draw;
      image.src = picture(id);
      pictures.set(id, image);
      if (pictures.size > CACHE) pictures.delete(pictures.keys().next().value);
    }
    const image = pictures.get(id);
    return image.complete && image.naturalWidth ? image : null;
  }

  function paint() {
    drawing = false;
    const { width, height } = size();
    const dense = window.devicePixelRatio || 1;
    if (canvas.width !== Math.round(width * dense)) canvas.width = Math.round(width * dense);
    if (canvas.height !== Math.round(height * dense)) canvas.height = Math.round(height * dense);
    pen.setTransform(dense, 0, 0, dense, 0, 0);
    pen.clearRect(0, 0, width, height);
    const seen = inSight();
    const large = seen.length <= PICTURES ? 64 : 0;
    const radius = seen.length > 20000 ? 1.5 : seen.length > 2000 ? 2.5 : 4;
    pen.globalAlpha = seen.length > 5000 ? 0.6 : 0.85;
    for (const [n, x, y] of seen) {
      pen.fillStyle = colours[points.label[n]];
      const image = large ? loaded(points.id[n]) : null;
      if (image) {
        const shrink = large / Math.max(image.naturalWidth, image.naturalHeight);
        const w = image.naturalWidth * shrink, h = image.naturalHeight * shrink;
        pen.globalAlpha = 1;
        pen.fillRect(x - w / 2 - 3, y - h / 2 - 3, w + 6, h + 6);
        pen.drawImage(image, x - w / 2, y - h / 2, w, h);
      } else {
        pen.beginPath();
        pen.arc(x, y, radius, 0, 7);
        pen.fill();
      }
    }
    pen.globalAlpha = 1;
    const own = Number(box.dataset.at);
    for (const [n, x, y] of seen) {
      if (points.id[n] !== own) continue;
      pen.strokeStyle = colours.ring;
      pen.lineWidth = 3;
      pen.beginPath();
      pen.arc(x, y, large ? 44 : radius + 6, 0, 7);
      pen.stroke();
    }
    clearTimeout(paint.later);
    paint.later = setTimeout(() => listMiddle(seen), 250);
  }

  function draw() {
    if (!drawing && points) { drawing = true; requestAnimationFrame(paint); }
  }

  function listMiddle(seen) {
    const { width, height } = size();
    const far = ([, x, y]) => (x - width / 2) ** 2 + (y - height / 2) ** 2;
    const near = [...seen].sort((one, other) => far(one) - far(other)).slice(0, LISTED);
    says.textContent = `${seen.length.toLocaleString("en")} of ${points.count.toLocaleString("en")} pictures in sight.`;
    list.replaceChildren(...near.map(([n]) => {
      const item = document.createElement("li");
      const link = document.createElement("a");
      const image = document.createElement("img");
      link.href = `${root}/?id=${points.id[n]}`;
      image.src = picture(points.id[n]);
      image.alt = `Search by picture ${points.id[n]}`;
      link.append(image);
      item.append(link);
      return item;
    }));
  }

  function zoom(by, x, y) {
    const place = size();
    const dx = (x ?? place.width / 2) - place.width / 2, dy = place.height / 2 - (y ?? place.height / 2);
    const before = unit();
    view.scale = Math.min(Math.max(view.scale * by, 0.5), 5000);
    view.x += dx / before - dx / unit();
    view.y += dy / before - dy / unit();
    draw();
  }

  function go(what) {
    const step = 0.15 * size().width / unit();
    const ways = { left: [-step, 0], right: [step, 0], up: [0, step], down: [0, -step] };
    if (what === "in") zoom(1.6);
    else if (what === "out") zoom(1 / 1.6);
    else if (what === "fit") { view = { x: 0, y: 0, scale: 1 }; draw(); }
    else { view.x += ways[what][0]; view.y += ways[what][1]; draw(); }
  }

  function nearest(event, reach) {
    const place = size();
    const x = event.clientX - place.left, y = event.clientY - place.top;
    let best = null, least = reach ** 2;
    const seen = inSight();
    const within = seen.length <= PICTURES ? 32 ** 2 : least;
    for (const [n, px, py] of seen) {
      const apart = (px - x) ** 2 + (py - y) ** 2;
      if (apart <= Math.max(least, best === null ? within : 0)) { best = n; least = apart; }
    }
    return best;
  }

  const fingers = new Map();
  let travelled = 0;
  canvas.addEventListener("pointerdown", (event) => {
    fingers.set(event.pointerId, event);
    travelled = fingers.size > 1 ? 99 : 0;
    canvas.setPointerCapture(event.pointerId);
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!points) return;
    const before = fingers.get(event.pointerId);
    if (!before) { hover(event); return; }
    tip.hidden = true;
    if (fingers.size === 2) {
      const [other] = [...fingers.values()].filter((one) => one.pointerId !== event.pointerId);
      const apart = (one) => Math.hypot(one.clientX - other.clientX, one.clientY - other.clientY);
      const place = size();
      zoom(apart(event) / (apart(before) || 1), (event.clientX + other.clientX) / 2 - place.left, (event.clientY + other.clientY) / 2 - place.top);
    } else {
      const dx = event.clientX - before.clientX, dy = event.clientY - before.clientY;
      travelled += Math.abs(dx) + Math.abs(dy);
      view.x -= dx / unit();
      view.y += dy / unit();
      draw();
    }
    fingers.set(event.pointerId, event);
  });
  canvas.addEventListener("pointerup", (event) => {
    fingers.delete(event.pointerId);
    if (travelled > 6 || event.button !== 0 || !points) return;
    const n = nearest(event, 14);
    if (n !== null) location.href = `${root}/?id=${points.id[n]}`;
  });
  canvas.addEventListener("pointercancel", (event) => fingers.delete(event.pointerId));
  canvas.addEventListener("pointerleave", () => { tip.hidden = true; });
  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    const place = size();
    zoom(Math.exp(-event.deltaY / 300), event.clientX - place.left, event.clientY - place.top);
  }, { passive: false });

  function hover(event) {
    const n = event.pointerType === "touch" ? null : nearest(event, 14);
    tip.hidden = n === null;
    if (n === null) return;
    const place = size();
    const x = event.clientX - place.left, y = event.clientY - place.top;
    tip.style.left = `${x > place.width / 2 ? Math.max(0, x - 150) : x + 16}px`;
    tip.style.top = `${y > place.height / 2 ? Math.max(0, y - 160) : y + 16}px`;
    const url = picture(points.id[n]);
    const image = tip.querySelector("img");
    if (!image.src.endsWith(url)) image.src = url;
  }

  box.addEventListener("go", (event) => go(event.detail));
  box.addEventListener("click", (event) => {
    const button = event.target.closest("[data-map]");
    if (button) go(button.dataset.map);
  });
  document.querySelectorAll("[data-label]").forEach((field) => field.addEventListener("change", () => {
    const label = Number(field.dataset.label);
    if (field.checked) shown.add(label); else shown.delete(label);
    draw();
  }));
  new ResizeObserver(draw).observe(canvas);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { style(); draw(); });

  style();
  says.textContent = "Loading…";
  load().then(() => {
    const own = points.id.indexOf(Number(box.dataset.at));
    if (own >= 0) view = { x: points.x[own], y: points.y[own], scale: 4 };
    draw();
  }, () => { says.textContent = "The map could not be loaded. Reload this page to try again."; });
})();
