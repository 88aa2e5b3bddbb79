"use strict";
// One request per photograph; everything else happens here.

const $ = (id) => document.getElementById(id);
const MAX_SIDE = 768;
const TYPES = { uint8: Uint8Array, int8: Int8Array, int32: Int32Array, float32: Float32Array };
const state = { file: null, answer: null, task: 0, address: null, asking: null, probe: null };

function element(name, attributes = {}, ...children) {
  const node = Object.assign(document.createElement(name), attributes);
  node.append(...children);
  return node;
}

function headers() {
  const token = sessionStorage.getItem("token");
  return token ? { Authorization: `Bearer ${token}` } : {};
}

async function ask(file) {
  state.file = file;
  state.asking?.abort();
  const asking = (state.asking = new AbortController());
  $("result").setAttribute("aria-busy", "true");
  $("timing").textContent = "asking …";
  const began = performance.now();
  try {
    const query = `pictures=true&values=true&max_side=${MAX_SIDE}`;
    const response = await fetch(`predict?${query}`, {
      method: "POST", body: file, headers: headers(), signal: asking.signal,
    });
    const answer = await response.json();
    if (!response.ok) throw Object.assign(new Error(answer.error), { status: response.status });
    show(file, answer, performance.now() - began);
  } catch (error) {
    if (error.name !== "AbortError") fail(error);
  }
  if (state.asking === asking) $("result").setAttribute("aria-busy", "false");
}

function fail(error) {
  $("timing").textContent = "";
  const status = error.status ? `${error.status}: ` : "";
  const text = error instanceof TypeError ? "the server does not answer" : error.message;
  $("error").textContent = status + text;
  $("error").hidden = false;
  $("access").hidden = error.status !== 401;
  if (error.status === 401) $("token").focus();
}

function show(file, answer, roundTrip) {
  for (const task of answer.tasks) if (task.values) task.numbers = decoded(task.values);
  const before = state.answer?.tasks[state.task]?.name;
  state.answer = answer;
  state.probe = null;
  $("error").hidden = $("access").hidden = true;
  $("drop").classList.add("small");
  $("result").hidden = false;
  $("model").textContent = `· ${answer.model}`;
  if (state.address) URL.revokeObjectURL(state.address);
  $("photograph").src = state.address = URL.createObjectURL(file);
  const { decode, queue, model, render } = answer.milliseconds;
  $("timing").textContent =
    `model ${model.toFixed(0)} ms · reading ${decode.toFixed(0)} · waiting ${queue.toFixed(0)}` +
    ` · drawing ${render.toFixed(0)} · round trip ${roundTrip.toFixed(0)} ms`;
  const { width, height } = answer.photograph;
  $("stage").style.aspectRatio = `${width} / ${height}`;
  $("view").style.maxWidth = `min(100%, ${((60 * width) / height).toFixed(2)}vh)`;
  list(answer.tasks);
  choose(Math.max(0, answer.tasks.findIndex((task) => task.name === before)));
}

function decoded({ dtype, scale, shape, data }) {
  const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
  return { values: new TYPES[dtype](bytes.buffer), scale, shape };
}

function list(tasks) {
  const choices = tasks.map((task, index) => {
    const input = element("input", { type: "radio", name: "task", value: index });
    input.addEventListener("change", () => choose(index));
    const shown = task.picture
      ? element("img", { src: task.picture, alt: "" })
      : element("div", { className: "words" }, task.classes?.[0]?.name ?? "");
    return element("label", {}, input, shown, element("span", {}, task.name));
  });
  $("tasks").replaceChildren($("tasks").firstElementChild, ...choices);
}

function choose(index) {
  state.task = index;
  const task = state.answer.tasks[index];
  document.querySelectorAll("#tasks input")[index].checked = true;
  $("title").textContent = $("shown").textContent = task.name;
  $("picture").hidden = $("edge").hidden = $("slide").hidden = !task.picture;
  $("picture").alt = `Prediction of ${task.name}`;
  if (task.picture) $("picture").src = task.picture;
  $("legend").replaceChildren(...legend(task));
  split();
  read();
}

function legend(task) {
  const percent = (share) => (share < 0.001 ? "< 0.1 %" : `${(100 * share).toFixed(1)} %`);
  if (task.classes) {
    const row = ({ name, color, share, probability }) => {
      const line = element("li");
      line.dataset.name = name;
      if (color) {
        const swatch = element("span", { className: "swatch" });
        swatch.style.backgroundColor = color;
        line.append(swatch);
      }
      line.append(element("span", {}, name));
      if (probability !== undefined) line.append(element("meter", { value: probability }));
      const number = element("span", { className: "number" }, percent(share ?? probability));
      line.append(number);
      return line;
    };
    return [element("ul", {}, ...task.classes.map(row))];
  }
  const units = task.units ? ` ${task.units}` : "";
  const number = (value) => (value === null ? "-" : value.toFixed(2) + units);
  const [low, high] = task.bar && !task.units ? [0, 1] : [task.min, task.max];
  const parts = task.bar
    ? [element("img", { src: task.bar, alt: "" }),
       element("p", { className: "ends" }, element("span", {}, number(low)), element("span", {}, number(high)))]
    : [];
  if (task.kind === "normals") {
    const axes = [["#ff7f7f", "red: x, to the right"], ["#7fff7f", "green: y, up"],
                  ["#7f7fff", "blue: z, to the camera"]];
    parts.push(element("ul", {}, ...axes.map(([color, words]) => {
      const swatch = element("span", { className: "swatch" });
      swatch.style.backgroundColor = color;
      return element("li", {}, swatch, words);
    })));
  } else {
    parts.push(element("p", { className: "quiet" },
      `from ${number(task.min)} to ${number(task.max)}, mean ${number(task.mean)}`));
  }
  return parts;
}

function split() {
  const percent = $("split").value;
  $("picture").style.clipPath = `inset(0 0 0 ${percent}%)`;
  $("edge").style.left = `${percent}%`;
}

// What the task says at the probe, in words.
function read() {
  const task = state.answer?.tasks[state.task];
  for (const line of document.querySelectorAll("#legend li")) line.classList.remove("here");
  $("mark").hidden = !state.probe;
  if (!state.probe || !task?.numbers) {
    $("readout").textContent = task?.numbers ? "Point at the picture to read its values." : "";
    return;
  }
  const { values, scale, shape: [channels, height, width] } = task.numbers;
  const [x, y] = [state.probe.x * width, state.probe.y * height].map(Math.floor);
  const at = [...Array(channels).keys()].map((c) => values[(c * height + y) * width + x] * scale);
  $("mark").style.left = `${100 * state.probe.x}%`;
  $("mark").style.top = `${100 * state.probe.y}%`;
  const photograph = state.answer.photograph;
  const place = `${Math.floor(state.probe.x * photograph.width)}, ${Math.floor(state.probe.y * photograph.height)}`;
  $("readout").textContent = `${place}: ${words(task, at)}`;
}

function words(task, at) {
  if (task.classes) {
    const found = task.classes.find(({ index }) => index === at[0]);
    for (const line of document.querySelectorAll("#legend li"))
      line.classList.toggle("here", line.dataset.name === found?.name);
    return found?.name ?? `class ${at[0]}`;
  }
  if (at.length > 1) return `(${at.map((value) => value.toFixed(2)).join(", ")})`;
  return at[0].toFixed(task.units ? 2 : 3) + (task.units ? ` ${task.units}` : "");
}

function probe(x, y) {
  const within = (value) => Math.min(Math.max(value, 0), 0.9999);
  state.probe = { x: within(x), y: within(y) };
  read();
}

$("stage").addEventListener("pointermove", (event) => {
  const box = $("stage").getBoundingClientRect();
  const x = (event.clientX - box.left) / box.width;
  probe(x, (event.clientY - box.top) / box.height);
  if (event.buttons & 1) {
    $("split").value = 100 * x;
    split();
  }
});
$("stage").addEventListener("keydown", (event) => {
  const step = event.shiftKey ? 0.1 : 0.01;
  const [dx, dy] = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key] ?? [0, 0];
  if (!dx && !dy) return;
  event.preventDefault();
  const { x, y } = state.probe ?? { x: 0.5, y: 0.5 };
  probe(x + dx * step, y + dy * step);
});
$("split").addEventListener("input", split);
$("file").addEventListener("change", () => {
  if ($("file").files.length) ask($("file").files[0]);
  $("file").value = "";
});
$("access").addEventListener("submit", (event) => {
  event.preventDefault();
  sessionStorage.setItem("token", $("token").value);
  if (state.file) ask(state.file);
});
addEventListener("paste", (event) => {
  if (event.clipboardData?.files.length) ask(event.clipboardData.files[0]);
});
for (const name of ["dragover", "dragleave", "drop"]) {
  addEventListener(name, (event) => {
    event.preventDefault();
    $("drop").classList.toggle("over", name === "dragover");
    if (name === "drop" && event.dataTransfer.files.length) ask(event.dataTransfer.files[0]);
  });
}
