// The Playground: one prompt to one model through /v1, streamed, or to several side by side, with what each took.
import { asCode, asComparison } from "./code.js";
import { Gateway, time } from "./gateway.js";
import { Lane } from "./lane.js";

const MOST_LANES = 4;
const FIGURES = ["temperature", "top_p", "max_tokens", "seed"];

const form = document.getElementById("playground");
if (form) start(form);

function start(form) {
  const said = form.dataset;
  const prompt = form.elements.prompt;
  const send = form.querySelector("[data-send]");
  const stop = form.querySelector("[data-stop]");
  const rows = form.querySelector("[data-model-rows]");
  const lanesBox = form.querySelector("[data-lanes]");
  const add = form.querySelector("[data-add-model]");
  const compared = form.querySelector("[data-compared]");
  const gateway = new Gateway(said.baseUrl, said.keyUrl, said.noAnswer);
  const lanes = [];
  let isRunning = false;
  let rounds = 0;

  // Null, and said at the field, for what is no JSON.
  function json(field, isFit) {
    let value = null;
    try {
      value = JSON.parse(field.value);
    } catch {
      value = null;
    }
    const isRight = value !== null && isFit(value);
    field.setCustomValidity(isRight ? "" : field.dataset.wrong);
    if (!isRight) {
      field.closest("details")?.setAttribute("open", "");
      field.reportValidity();
    }
    return isRight ? value : null;
  }

  // What all of them are asked beside model and messages; null when a field is wrong.
  function wishes() {
    const { tools, format, schema, stream } = form.elements;
    const wanted = {};
    for (const name of FIGURES) {
      if (!form.elements[name].reportValidity()) return null;
      if (form.elements[name].value !== "") wanted[name] = Number(form.elements[name].value);
    }
    if (tools.value.trim()) {
      wanted.tools = json(tools, (value) => Array.isArray(value) && value.length > 0);
      if (!wanted.tools) return null;
    }
    if (format.value === "json") wanted.response_format = { type: "json_object" };
    if (format.value === "schema") {
      const shape = json(schema, (value) => typeof value === "object" && !Array.isArray(value));
      if (!shape) return null;
      wanted.response_format = { type: "json_schema", json_schema: { name: "answer", strict: true, schema: shape } };
    }
    if (stream.checked) wanted.stream = true;
    return wanted;
  }

  function withSystem(history) {
    const system = form.elements.system.value.trim();
    return system ? [{ role: "system", content: system }, ...history] : history;
  }

  // ── lanes ────────────────────────────────────────────────────────────────────────────────────────────────

  function arrange() {
    const many = lanes.length > 1;
    lanesBox.toggleAttribute("data-many", many);
    for (const lane of lanes) {
      lane.heading.hidden = !many;
      lane.row.querySelector("[data-remove-model]").hidden = !many;
      lane.select.setAttribute("aria-label", `${said.modelLabel} ${lanes.indexOf(lane) + 1}`);
    }
    add.hidden = lanes.length >= MOST_LANES;
    compared.hidden = true;
  }

  function open(row, root) {
    const lane = new Lane(root, row.querySelector("select"), gateway, said);
    lane.row = row;
    lanes.push(lane);
    lane.select.addEventListener("change", () => lane.rename());
    row.querySelector("[data-remove-model]").addEventListener("click", () => {
      lane.stop();
      lanes.splice(lanes.indexOf(lane), 1);
      row.remove();
      root.remove();
      arrange();
      add.focus();
    });
    arrange();
    return lane;
  }

  function another() {
    const row = form.querySelector("template[data-row]").content.firstElementChild.cloneNode(true);
    const root = form.querySelector("template[data-lane]").content.firstElementChild.cloneNode(true);
    rows.append(row);
    lanesBox.append(root);
    const taken = new Set(lanes.map((lane) => lane.model));
    const select = row.querySelector("select");
    const free = [...select.options].find((option) => !taken.has(option.value));
    if (free) select.value = free.value;
    return open(row, root);
  }

  add.addEventListener("click", () => another().select.focus());

  // ── asking ───────────────────────────────────────────────────────────────────────────────────────────────

  async function go() {
    const text = prompt.value.trim();
    if (!text || isRunning) return;
    const wanted = wishes();
    if (!wanted) return;
    const bodyOf = (model, history) => ({ model, messages: withSystem(history), ...wanted });
    isRunning = true;
    prompt.value = "";
    send.hidden = true;
    stop.hidden = false;
    compared.hidden = true;
    const round = (rounds += 1);
    const outcomes = await Promise.all(lanes.map((lane) => lane.ask(text, bodyOf)));
    isRunning = false;
    send.hidden = false;
    stop.hidden = true;
    prompt.focus();
    if (outcomes.length < 2) return;
    const results = await Promise.all(outcomes.map(async (outcome) => ({ ...outcome, told: await outcome.told })));
    if (round === rounds && !isRunning) compare(results);
  }

  // ── what they took, side by side ─────────────────────────────────────────────────────────────────────────

  function compare(results) {
    const costs = results.map((result) => result.told?.cost_nanos).filter((cost) => cost !== undefined);
    const least = Math.min(...costs);
    const quickest = Math.min(...results.filter((result) => !result.error).map((result) => result.totalMs ?? Infinity));
    const body = compared.querySelector("tbody");
    body.replaceChildren(...results.map((result) => line(result, least, quickest)));
    compared.hidden = false;
    compared.scrollIntoView({ block: "nearest" });
  }

  function line({ model, told, error, totalMs, firstMs }, least, quickest) {
    const row = document.createElement("tr");
    const cell = (text, className = "") => row.append(Object.assign(document.createElement("td"), { textContent: text, className }));
    const badge = (text) => row.lastElementChild.append(" ", Object.assign(document.createElement("span"), { className: "badge-box tone-ok", textContent: text }));
    cell(model, "font-medium");
    cell(firstMs === undefined ? "–" : time(firstMs), "num");
    cell(error || totalMs === undefined ? "–" : time(totalMs), "num");
    if (!error && totalMs === quickest) badge(said.fastest);
    cell(told ? `${told.input_tokens} → ${told.output_tokens}` : "–", "num");
    cell(told ? told.cost_exact : "–", "num");
    if (told && !error && told.cost_nanos === least) badge(said.cheapest);
    cell(told ? difference(told.cost_nanos, least) : "–", "num");
    return row;
  }

  function difference(nanos, least) {
    if (nanos === least) return "–";
    const more = `+$${((nanos - least) / 1e9).toFixed(9).replace(/0{1,7}$/, "")}`;
    return least ? `${more} (×${(nanos / least).toPrecision(3)})` : more;
  }

  // ── the page ─────────────────────────────────────────────────────────────────────────────────────────────

  rows.querySelectorAll("[data-model-row]").forEach((row, index) => {
    open(row, lanesBox.querySelectorAll("[data-lane-root]")[index]);
  });
  form.elements.format.addEventListener("change", () => {
    form.querySelector("[data-schema]").hidden = form.elements.format.value !== "schema";
  });
  for (const field of [form.elements.tools, form.elements.schema]) {
    field.addEventListener("input", () => field.setCustomValidity(""));
  }
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    go();
  });
  prompt.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
      event.preventDefault();
      go();
    }
  });
  stop.addEventListener("click", () => lanes.forEach((lane) => lane.stop()));
  document.querySelector("[data-clear]").addEventListener("click", () => {
    rounds += 1;
    lanes.forEach((lane) => lane.clear());
    compared.hidden = true;
    prompt.focus();
  });
  document.querySelector("[data-show-code]").addEventListener("click", () => {
    const text = prompt.value.trim();
    const history = [...lanes[0].messages, ...(text ? [{ role: "user", content: text }] : [])];
    while (history.at(-1)?.role === "assistant") history.pop(); // what was answered is not part of the call
    const messages = withSystem(history.length ? history : [{ role: "user", content: "…" }]);
    const wanted = wishes() ?? {};
    const models = [...new Set(lanes.map((lane) => lane.model))];
    const { stream: _, ...still } = wanted;
    const shown = models.length > 1
      ? asComparison(said.shownUrl, { models, messages, ...still })
      : asCode(said.shownUrl, { model: models[0], messages, ...wanted });
    for (const [name, code] of Object.entries(shown)) {
      document.querySelector(`#play-code-${name} code`).textContent = code;
    }
  });
}
