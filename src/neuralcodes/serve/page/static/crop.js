// Drawing a region: it and the four numbers always say the same.
"use strict";

(() => {
  const stage = document.querySelector("#stage");
  const region = document.querySelector("#region");
  const corner = region.querySelector(".corner");
  const says = document.querySelector("#region-says");
  const fields = ["left", "top", "width", "height"].map((name) => document.getElementById(name));
  const LEAST = 2; // percent
  const box = { left: 0, top: 0, width: 0, height: 0 };

  function show() {
    for (const [number, name] of ["left", "top", "width", "height"].entries()) {
      region.style[name] = `${box[name]}%`;
      fields[number].value = Math.round(box[name] * 10) / 10;
    }
    region.hidden = false;
  }

  function set(left, top, width, height) {
    box.width = Math.min(Math.max(width, LEAST), 100);
    box.height = Math.min(Math.max(height, LEAST), 100);
    box.left = Math.min(Math.max(left, 0), 100 - box.width);
    box.top = Math.min(Math.max(top, 0), 100 - box.height);
    show();
  }

  function fromFields() {
    const [left, top, width, height] = fields.map((field) => Number(field.value) || 0);
    set(left, top, width, height);
  }

  function at(event) {
    const place = stage.getBoundingClientRect();
    return [
      Math.min(Math.max(100 * (event.clientX - place.left) / place.width, 0), 100),
      Math.min(Math.max(100 * (event.clientY - place.top) / place.height, 0), 100),
    ];
  }

  // as large as the window lets it be, small pictures too
  const image = stage.querySelector("img");
  function fit() {
    if (!image.naturalWidth) return;
    const ratio = image.naturalWidth / image.naturalHeight;
    const room = stage.parentElement.clientWidth - (innerWidth > 896 ? 262 : 0); // beside the numbers
    image.style.width = `${Math.min(room, 0.66 * innerHeight * ratio)}px`;
  }
  image.addEventListener("load", fit);
  addEventListener("resize", fit);
  fit();

  let drag = null;
  stage.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    const [x, y] = at(event);
    if (event.target === corner) drag = { how: "size", x: box.left, y: box.top };
    else if (event.target === region) drag = { how: "move", x: x - box.left, y: y - box.top };
    else drag = { how: "size", x, y };
    stage.setPointerCapture(event.pointerId);
    region.focus({ preventScroll: true });
    event.preventDefault();
  });
  stage.addEventListener("pointermove", (event) => {
    if (!drag) return;
    const [x, y] = at(event);
    if (drag.how === "move") set(x - drag.x, y - drag.y, box.width, box.height);
    else set(Math.min(x, drag.x), Math.min(y, drag.y), Math.abs(x - drag.x), Math.abs(y - drag.y));
  });
  for (const over of ["pointerup", "pointercancel"]) stage.addEventListener(over, () => { drag = null; });

  region.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (event.key === "Enter") { region.closest(".crop").querySelector("form").requestSubmit(); return; }
    if (!step) return;
    event.preventDefault();
    const [x, y] = step;
    if (event.shiftKey) set(box.left, box.top, box.width + x, box.height + y);
    else set(box.left + x, box.top + y, box.width, box.height);
    says.textContent = fields.map((field) => `${field.name} ${field.value} %`).join(", ");
  });
  fields.forEach((field) => field.addEventListener("input", fromFields));
  fromFields();
})();
