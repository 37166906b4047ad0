// The page of `itn explore`: sliders, a photograph, answers. Gradio calls it with `element`, `props`, `server`.
const page = props.page;
const state = { token: null, busy: false, again: false };
const make = (tag, attributes = {}, ...children) => {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
};
const short = value => String(Number(value.toPrecision(4)));
const position = (slider, value) => slider.logarithmic ? Math.log(value) : value;
const fraction = (slider, value) => {
  const [low, high] = [slider.low, slider.high].map(end => position(slider, end));
  return (position(slider, value) - low) / (high - low);
};
const niceStep = span => {
  const power = 10 ** Math.floor(Math.log10(span / 1000));
  return [1, 2, 5, 10].map(n => n * power).find(step => step >= span / 1000 * 0.999);
};

const root = element.querySelector(".itn");
root.append(make("h1", {}, page.title));
const drop = make("label", { class: "drop", tabindex: "0" });
const input = make("input", { type: "file", accept: "image/*,.heic,.heif", hidden: "" });
const hint = make("span", {}, "Drop a photograph here, or click to choose one");
drop.append(input, hint);
const picture = make("img", { alt: "", hidden: "" });
const frame = make("div", { class: "picture" }, picture);
const top5 = make("ol", { class: "top", "aria-live": "polite" });
const status = make("p", { class: "note", role: "status" });
const failure = make("p", { class: "failure", role: "alert" });
const surround = make("p", { class: "note" });
const reset = make("button", { type: "button" }, "All to their identity");
const view = make("section", { class: "view" }, make("div", {}, drop, failure),
  make("div", { class: "now" }, frame, top5), make("div", {}, status, surround, reset));
const bank = make("section", { class: "bank" });
root.append(make("div", { class: "sides" }, view, bank));
const notes = make("section", { class: "notes" });
for (const line of page.notes) notes.append(make("p", { class: "note" }, line));
root.append(notes);

// Sliders
const controls = new Map();
const values = () => Object.fromEntries([...controls].map(([name, each]) => [name, each.value]));
const addSlider = (slider, parent) => {
  const last = slider.values.length - 1;
  const ends = last > 0 ? [0, last] : [position(slider, slider.low), position(slider, slider.high)];
  const step = last > 0 ? 1 : slider.logarithmic ? (ends[1] - ends[0]) / 1000 : niceStep(ends[1] - ends[0]);
  const id = "slider-" + slider.name.replace(/\W/g, "-");
  const range = make("input", { type: "range", id, min: ends[0], max: ends[1], step: last > 0 ? 1 : "any" });
  const number = make("input", { type: "number", "aria-label": slider.name + ", as a number", step: "any",
    min: slider.low, max: slider.high });
  const search = make("button", { type: "button", title: "Find where the answer changes along " + slider.name },
    "changes?");
  const marks = make("div", { class: "marks", "aria-hidden": "true" });
  const found = make("p", { class: "note found" });
  const label = make("label", { for: id, title: slider.meaning }, make("b", {}, slider.name), " ",
    make("span", {}, slider.unit));
  const control = { slider, value: slider.identity, marks, found };
  const show = () => {
    number.value = short(control.value);
    range.value = last > 0 ? slider.values.indexOf(control.value) : position(slider, control.value);
    row.classList.toggle("moved", control.value !== slider.identity);
  };
  control.set = value => { control.value = value; show(); };
  range.addEventListener("input", () => {
    const raw = Number(range.value);
    if (last > 0) control.value = slider.values[raw];
    else {
      const near = Math.abs(raw - position(slider, slider.identity)) < step * 0.75;
      const value = slider.logarithmic ? Number(Math.exp(raw).toPrecision(3)) : Math.round(raw / step) * step;
      const rounded = Number(value.toPrecision(6));
      control.value = near ? slider.identity : Math.min(slider.high, Math.max(slider.low, rounded));
    }
    number.value = short(control.value);
    row.classList.toggle("moved", control.value !== slider.identity);
    moved(control);
  });
  range.addEventListener("dblclick", () => { control.set(slider.identity); moved(control); });
  number.addEventListener("change", () => {
    const raw = Number(number.value);
    const valid = number.value !== "" && raw >= slider.low && raw <= slider.high;
    if (valid && (last <= 0 || slider.values.includes(raw))) control.value = raw;
    show();
    moved(control);
  });
  search.addEventListener("click", () => changes(control, search));
  const row = make("div", { class: "slider", "data-name": slider.name }, label, number, search,
    make("div", { class: "track" }, range, marks), found);
  parent.append(row);
  controls.set(slider.name, control);
  show();
};
for (const group of page.groups) {
  const sliders = make("div", { class: "group" }, make("h2", {}, group.title));
  for (const slider of group.sliders) addSlider(slider, sliders);
  bank.append(sliders);
}

// Marks are of the other sliders as they were: they go when another one moves, and stay when this one does
const clearMarks = except => {
  for (const control of controls.values()) {
    if (control === except) continue;
    control.marks.replaceChildren();
    control.found.textContent = "";
  }
};
const moved = control => { clearMarks(control); refresh(); };
const fail = text => { failure.textContent = text; };

const ask = async (question, request) => {
  try {
    return await server[question](request);
  } catch (error) {
    return { error: "The command has ended, or cannot be reached: start it again." };
  }
};
const refresh = async () => {
  if (state.token === null) return;
  if (state.busy) { state.again = true; return; }
  state.busy = true;
  do {
    state.again = false;
    const token = state.token;
    const answer = await ask("answer", { token, values: values() });
    if (token === state.token) draw(answer);
  } while (state.again);
  state.busy = false;
};
const draw = answer => {
  fail(answer.error ?? "");
  if (answer.error) return;
  picture.src = answer.picture;
  picture.hidden = false;
  picture.alt = "the image as the classifier sees it, " + answer.top[0][0];
  picture.classList.toggle("small", Math.max(answer.width, answer.height) <= 64);
  top5.replaceChildren(...answer.top.map(([name, softmax]) => {
    const bar = make("span", { class: "bar" });
    bar.style.width = (100 * softmax).toFixed(2) + "%";
    const share = make("span", { class: "share" }, (100 * softmax).toFixed(1) + " %");
    return make("li", {}, make("span", { class: "name" }, name), share, bar);
  }));
  status.textContent = "softmax, which is no probability of being right; computed in "
    + Math.max(1, Math.round(1000 * answer.seconds)) + " ms";
};
const changes = async (control, button) => {
  if (state.token === null) { fail("Drop a photograph first."); return; }
  button.disabled = true;
  button.textContent = "searching";
  const asked = JSON.stringify(values());
  const found = await ask("changes", { token: state.token, name: control.slider.name, values: values() });
  button.disabled = false;
  button.textContent = "changes?";
  fail(found.error ?? "");
  if (found.error) return;
  if (asked !== JSON.stringify(values())) {
    control.found.textContent = "A slider was moved meanwhile: search again.";
    return;
  }
  control.marks.replaceChildren(...found.marks.map(mark => {
    const tick = make("i", { class: mark.nearest ? "nearest" : "", "data-value": mark.value, title: mark.text });
    tick.style.left = (100 * fraction(control.slider, mark.value)).toFixed(3) + "%";
    return tick;
  }));
  control.found.textContent = found.text;
};

// The photograph is read here and sent as text, so that nothing of it is written to a disk
const load = async file => {
  if (!file) return;
  fail("");
  hint.textContent = "Reading " + file.name;
  const address = await new Promise((done, failed) => {
    const reader = new FileReader();
    reader.onload = () => done(reader.result);
    reader.onerror = () => failed(reader.error);
    reader.readAsDataURL(file);
  }).catch(() => null);
  if (address === null) { hint.textContent = "Drop a photograph here, or click to choose one"; fail("The browser cannot read this file."); return; }
  const taken = await ask("photograph", { data: address.slice(address.indexOf(",") + 1) });
  hint.textContent = "Drop another photograph here, or click to choose one";
  if (taken.error) { fail(taken.error); return; }
  state.token = taken.token;
  surround.textContent = taken.surround;
  clearMarks(null);
  await refresh();
};
input.addEventListener("change", () => { load(input.files[0]); input.value = ""; });
drop.addEventListener("keydown", event => { if (event.key === "Enter" || event.key === " ") input.click(); });
for (const kind of ["dragenter", "dragover"]) {
  root.addEventListener(kind, event => { event.preventDefault(); drop.classList.add("over"); });
}
root.addEventListener("dragleave", () => drop.classList.remove("over"));
root.addEventListener("drop", event => {
  event.preventDefault();
  drop.classList.remove("over");
  load(event.dataTransfer.files[0]);
});
reset.addEventListener("click", () => {
  for (const control of controls.values()) control.set(control.slider.identity);
  clearMarks(null);
  refresh();
});
