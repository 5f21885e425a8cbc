// What the page does beyond links and forms: keys (from the table in the page), dropping and
// pasting pictures, and small comforts. Nothing here is needed to search.
"use strict";

const find = (selector, within = document) => within.querySelector(selector);
const all = (selector, within = document) => [...within.querySelectorAll(selector)];
const tell = (text) => { find("#told").textContent = text; };

// Keys

const keysOn = () => localStorage.getItem("keys") !== "off";

function cellOf(element) {
  return element && element.closest ? element.closest(".cell") : null;
}

function current() {
  return cellOf(document.activeElement) || find(".cell.last");
}

function focusCell(cell) {
  all(".cell.last").forEach((one) => one.classList.remove("last"));
  const link = find(".hit", cell);
  link.focus();
  cell.scrollIntoView({ block: "nearest" });
}

function move(way) {
  const cells = all(".cell");
  if (!cells.length) return false;
  const here = cells.indexOf(current());
  if (here < 0) { focusCell(cells[0]); return true; }
  const at = cells[here].getBoundingClientRect();
  const columns = cells.filter((cell) => Math.abs(cell.getBoundingClientRect().top - cells[0].getBoundingClientRect().top) < at.height / 2).length;
  const next = here + { LEFT: -1, RIGHT: 1, UP: -columns, DOWN: columns }[way];
  if (next < 0 || next >= cells.length) return true;
  focusCell(cells[next]);
  return true;
}

const actions = {
  click(selector) {
    const target = find(selector);
    if (!target) return false;
    target.click();
    return true;
  },
  focus(selector) {
    const target = find(selector);
    if (!target) return false;
    const box = target.closest("details");
    if (box) box.open = true;
    target.focus();
    return true;
  },
  hit(selector) {
    const cell = current() || find(".cell");
    const target = cell && find(selector, cell);
    if (!target) return false;
    target.click();
    return true;
  },
  move,
  tick(_, key) {
    const box = all(".copies input")[Number(key) - 1];
    if (!box) return false;
    box.click();
    box.focus();
    return true;
  },
  map(what) {
    const map = find("#map");
    // elsewhere the arrows scroll the page
    if (!map || (/left|right|up|down/.test(what) && !map.contains(document.activeElement))) return false;
    map.dispatchEvent(new CustomEvent("go", { detail: what }));
    return true;
  },
};

document.addEventListener("keydown", (event) => {
  if (event.defaultPrevented || event.ctrlKey || event.altKey || event.metaKey || !keysOn()) return;
  if (find("dialog[open]")) return; // an open one owns its keys
  const field = event.target.closest("input:not([type=checkbox]):not([type=file]), select, textarea, [role=application]");
  const arrow = event.key.startsWith("Arrow");
  if (field && !(field.closest("#map"))) return;
  if (arrow && event.target.closest("input, summary, .scroll")) return;
  const pressed = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  for (const row of all("#keys tr[data-do]")) {
    if (!JSON.parse(row.dataset.keys).includes(pressed)) continue;
    const [action, ...rest] = row.dataset.do.split(" ");
    if (actions[action](rest.join(" "), pressed)) { event.preventDefault(); return; }
  }
});

document.addEventListener("click", (event) => {
  const opener = event.target.closest("[data-open]");
  if (opener) document.getElementById(opener.dataset.open).showModal();
  if (event.target.closest("[data-reload]")) location.reload();
  if (event.target.closest("[data-back]")) history.back();
  if (event.target.matches("dialog")) event.target.close(); // the backdrop
});

// Pictures: chosen, dropped, pasted

function send(form, files) {
  const pictures = [...files].filter((file) => file.type.startsWith("image/"));
  if (!pictures.length) { tell("That is no picture."); return; }
  const carrier = new DataTransfer();
  pictures.forEach((file) => carrier.items.add(file));
  find("input[type=file]", form).files = carrier.files;
  submit(form);
}

function submit(form) {
  tell("Uploading…");
  document.body.setAttribute("aria-busy", "true");
  form.requestSubmit();
}

document.addEventListener("change", (event) => {
  const form = event.target.closest("[data-find]");
  if (form && event.target.type === "file" && event.target.files.length) submit(form);
  if (event.target.id === "keys-on") localStorage.setItem("keys", event.target.checked ? "on" : "off");
  if (event.target.closest("#sort")) counted();
});

const target = () => find("[data-find]");
let depth = 0;
const dragsFiles = (event) => event.dataTransfer && [...event.dataTransfer.types].includes("Files");

document.addEventListener("dragenter", (event) => {
  if (!dragsFiles(event) || !target()) return;
  depth += 1;
  find("#drop").hidden = false;
});
document.addEventListener("dragleave", (event) => {
  if (!dragsFiles(event) || !target()) return;
  depth -= 1;
  if (depth <= 0) { depth = 0; find("#drop").hidden = true; }
});
document.addEventListener("dragover", (event) => { if (dragsFiles(event)) event.preventDefault(); });
document.addEventListener("drop", (event) => {
  if (!dragsFiles(event)) return;
  event.preventDefault();
  depth = 0;
  find("#drop").hidden = true;
  if (target()) send(target(), event.dataTransfer.files);
});
document.addEventListener("paste", (event) => {
  if (!target() || !event.clipboardData || !event.clipboardData.files.length) return;
  event.preventDefault();
  send(target(), event.clipboardData.files);
});

// Sliders say their value, the button of a group its count

document.addEventListener("input", (event) => {
  const output = event.target.dataset && event.target.dataset.output;
  if (output) document.getElementById(output).textContent = event.target.value;
});

function counted() {
  const button = find("[data-count]");
  if (!button) return;
  const boxes = all(".copies input");
  const kept = boxes.filter((box) => box.checked).length;
  button.textContent = `Keep ${kept}, let ${boxes.length - kept} go`;
  button.disabled = kept === 0;
}

// A picture that cannot be shown keeps its place, its name and its links

document.addEventListener("error", (event) => {
  if (event.target.tagName === "IMG") event.target.classList.add("broken");
}, true);
all("img").forEach((one) => { // those that failed before this script came
  if (one.complete && !one.naturalWidth && one.loading !== "lazy") one.classList.add("broken");
});

// htmx: short addresses, open panels stay open, a server that is gone says so

document.addEventListener("htmx:configRequest", (event) => {
  const given = event.detail.parameters;
  for (const name of Object.keys(given)) if (given[name] === "") delete given[name];
  if (given.k === "24") delete given.k;
  if (given.order === "mixed") delete given.order;
});
let opened = [];
document.addEventListener("htmx:beforeSwap", (event) => {
  if (event.detail.xhr.status >= 400) event.detail.shouldSwap = true; // a page that says why
  opened = all("main details[open]").map((one) => one.id);
});
document.addEventListener("htmx:afterSwap", () => {
  opened.forEach((id) => { const box = id && document.getElementById(id); if (box) box.open = true; });
  find("#offline").hidden = true;
  const line = find("#results [role=status]");
  if (line) tell(line.textContent.replace(/\s+/g, " ").trim());
});
document.addEventListener("htmx:sendError", () => { find("#offline").hidden = false; });
window.addEventListener("popstate", () => { if (!window.htmx) location.reload(); });

// Coming back: the browser may bring the page from its memory

window.addEventListener("pageshow", () => {
  document.body.removeAttribute("aria-busy");
  tell("");
  all("[data-find]").forEach((form) => form.reset());
  const on = find("#keys-on");
  if (on) on.checked = keysOn();
  all("[data-back]").forEach((one) => { one.hidden = history.length < 2; });
  for (const section of all(".top [aria-current], .codes [aria-current]")) {
    const bar = section.closest("nav"); // scrollIntoView would also move where Tab goes on from
    bar.scrollLeft += section.getBoundingClientRect().right - bar.getBoundingClientRect().right + 16;
  }
  const place = location.hash && document.getElementById(location.hash.slice(1));
  if (place && place.classList.contains("cell")) {
    place.classList.add("last");
    find(".hit", place).focus({ preventScroll: true });
  }
  counted();
});
