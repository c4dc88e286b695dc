"use strict";
// Everything that comes from elsewhere is inserted as text: textContent, never as HTML.

const $ = (id) => document.getElementById(id);
const memory = {
  read(name) { try { return JSON.parse(sessionStorage.getItem(name)); } catch { return null; } },
  write(name, value) { try { sessionStorage.setItem(name, JSON.stringify(value)); } catch { /* it is full, or not allowed */ } },
};
let token = "";
let address = "";
let base = ""; // the folder of the project
let version = null;
let state = {};
let problem = null;
let samples = null; // not known yet
let swagger = null;
let shownRequest = 0; // the number of the newest in the table
let sending = null; // the name of the request under way
let unshown = null; // the sample file whose body the form cannot hold
let isTouched = false; // the person, or a request before, has filled the form
let answeredFor = null; // the generation after whose load the last request was sent

function make(tag, text, ...classes) {
  const made = document.createElement(tag);
  if (text !== undefined) made.textContent = text;
  if (classes.length) made.classList.add(...classes);
  return made;
}

function fill(parent, ...children) {
  parent.replaceChildren(...children.filter((child) => child !== null));
}

// one for all: making one takes longer than all else about a row
const time = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
const clock = (at) => time.format(at * 1000);
const seconds = (value) => (value < 1 ? `${Math.round(value * 1000)} ms` : `${value.toFixed(1)} s`);
const milliseconds = (value) => (value < 10 ? `${Number(value).toFixed(1)} ms` : seconds(value / 1000));
function bytes(size) {
  if (size < 10000) return `${size} B`;
  return size < 1e6 ? `${(size / 1e3).toFixed(1)} kB` : `${(size / 1e6).toFixed(1)} MB`;
}

function shortPath(path) {
  const rest = path.startsWith(base) ? path.slice(base.length) : "";
  return base && /^[\\/]./.test(rest) ? rest.slice(1) : path;
}

function placeLink(text, path, line, column) {
  const link = make("a", text);
  const slashed = path.replaceAll("\\", "/");
  const encoded = slashed.split("/").map(encodeURIComponent).join("/").replace(/^([A-Za-z])%3A/, "$1:");
  link.href = `vscode://file${encoded.startsWith("/") ? "" : "/"}${encoded}:${line || 1}:${column || 1}`;
  return link;
}

// --- status

const COLOURS = { ready: "good", kept: "good", "not ready": "bad", stopped: "bad", starting: "warn" };

function showStatus(status) {
  state = status;
  $("state").textContent = status.state;
  $("state").className = COLOURS[status.state] || "";
  const generation = status.generation && status.state !== "starting" ? `generation ${status.generation}` : "";
  $("since").textContent = [generation, status.at ? `since ${clock(status.at)}` : ""].filter(Boolean).join(", ");
  $("where").textContent = status.url ? `POST ${status.url}` : "";
  document.title = `${status.state} – azmlinfsrv`;
  showReloads(status.reloads);
}

function showReloads(reloads) {
  $("reloads").hidden = !reloads.length;
  if (!reloads.length) return;
  const space = "http://www.w3.org/2000/svg";
  const chart = document.createElementNS(space, "svg");
  chart.setAttribute("viewBox", "0 0 300 40");
  chart.setAttribute("preserveAspectRatio", "none");
  chart.setAttribute("role", "img");
  const most = Math.max(...reloads.map((each) => each.seconds), 0.001);
  reloads.forEach((each, index) => {
    const bar = document.createElementNS(space, "rect");
    const height = Math.max(2, (each.seconds / most) * 38);
    const place = { x: index * 10 + 1, y: 40 - height, width: 8, height };
    for (const [name, value] of Object.entries(place)) bar.setAttribute(name, value);
    bar.setAttribute("class", each.ok ? "bar-good" : "bar-bad");
    const title = document.createElementNS(space, "title");
    title.textContent = `${clock(each.at)}: ${each.ok ? "ready" : "not ready"} after ${seconds(each.seconds)}`;
    bar.append(title);
    chart.append(bar);
  });
  const last = reloads.at(-1);
  const text = `last load ${seconds(last.seconds)}, longest of the last ${reloads.length}: ${seconds(most)}`;
  chart.setAttribute("aria-label", `Times of the last loads: ${text}`);
  fill($("chart"), chart);
  $("chart-text").textContent = text;
}

// --- problem

function showProblem(found) {
  problem = found;
  $("no-problem").hidden = found !== null;
  if (found === null) {
    fill($("problem-shown"));
    return;
  }
  const error = found.error;
  fill(
    $("problem-shown"),
    headlineOf(found),
    restOfMessage(error),
    excerptOf(error),
    framesOf(error),
    error.hidden ? make("p", `${error.raised_in ? `raised in ${error.raised_in}, ` : ""}${error.hidden} library frames hidden`, "dim") : null,
    ...error.causes.map(causeOf),
    error.hint ? make("p", `hint: ${error.hint}`, "hint") : null,
    requestOf(error),
  );
}

function headlineOf(found) {
  const error = found.error;
  const line = make("p", undefined, "headline", error.severity === "error" ? "bad" : "warn");
  const place = found.headline.indexOf(`:${error.line}:${error.column}: `);
  if (error.path === null || place < 0) {
    line.textContent = found.headline;
    return line;
  }
  const end = place + `:${error.line}:${error.column}:`.length;
  line.append(placeLink(found.headline.slice(0, end), error.path, error.line, error.column), found.headline.slice(end));
  return line;
}

function restOfMessage(error) {
  const lines = error.message.split("\n").filter((line) => line.trim()).slice(1);
  return lines.length ? make("pre", lines.slice(0, 12).join("\n")) : null;
}

function excerptOf(error) {
  const excerpt = error.excerpt;
  if (!excerpt) return null;
  const shown = make("pre");
  shown.tabIndex = 0;
  shown.setAttribute("aria-label", "Source");
  const digits = String(excerpt.lines.at(-1)[0]).length;
  for (const [number, text] of excerpt.lines) {
    const here = number === excerpt.line;
    shown.append(`${here ? ">" : " "} ${String(number).padStart(digits)} | `);
    if (!here) {
      shown.append(text, "\n");
      continue;
    }
    const characters = Array.from(text); // columns count characters, not UTF-16 units
    const [start, end] = [excerpt.column - 1, excerpt.end_column - 1];
    shown.append(characters.slice(0, start).join(""));
    shown.append(make("mark", characters.slice(start, end).join("")), `${characters.slice(end).join("")}\n`);
  }
  return shown;
}

function framesOf(error) {
  if (!error.frames.length) return null;
  const list = make("ul", undefined, "frames");
  for (const frame of error.frames) {
    const item = make("li");
    item.append(placeLink(`${shortPath(frame.path)}:${frame.line}`, frame.path, frame.line, frame.column));
    item.append(frame.function ? ` in ${frame.function}` : "", frame.source ? `: ${frame.source}` : "");
    list.append(item);
  }
  return list;
}

function causeOf(cause) {
  const line = make("p");
  line.append(make("span", `${cause.relation}: `, "dim"), cause.message ? `${cause.type}: ${cause.message}` : cause.type);
  if (cause.path) line.append(" at ", placeLink(`${shortPath(cause.path)}:${cause.line}`, cause.path, cause.line, 1));
  return line;
}

function requestOf(error) {
  const request = error.request;
  if (!request) return null;
  const status = error.status ? ` → ${error.status}` : "";
  const text = `request: ${request.method} ${request.path} ${request.content_type || "no content type"} ${bytes(request.size)}${status}`;
  const line = make("p", text, "dim");
  if (new TextEncoder().encode(request.body).length !== request.size) return line;
  const button = make("button", "Fill in this request");
  button.type = "button";
  button.addEventListener("click", () => fillIn({ ...request, target: request.path, headers: "" }));
  line.append(" ", button);
  return line;
}

// --- requests and notes

function rowsOf(request) {
  const rows = make("tbody");
  const row = make("tr");
  row.append(make("td", clock(request.at)), make("td", `${request.method} ${request.target}`));
  row.append(make("td", request.status, request.status < 400 ? "good" : "bad"));
  row.append(make("td", milliseconds(request.milliseconds)), make("td", bytes(request.size)));
  rows.append(row);
  if (request.headline) {
    const error = make("td", request.headline, "error-of", request.status >= 400 ? "bad" : "warn");
    error.colSpan = 5;
    const second = make("tr");
    second.append(error);
    rows.append(second);
  }
  return rows;
}

function showRequests(requests) {
  const table = $("requests");
  table.tHead.after(...requests.filter((each) => each.number > shownRequest).map(rowsOf));
  while (table.tBodies.length > requests.length) table.lastElementChild.remove();
  shownRequest = requests.length ? requests[0].number : 0;
}

function showNotes(notes) {
  $("no-notes").hidden = notes.length > 0;
  fill($("notes"), ...notes.map((each) => make("li", `${clock(each.at)} ${each.text}`)));
}

// --- what the page's own server is asked

async function ask(path, form) {
  const facts = { headers: { "X-Azmlinfsrv-Token": token } };
  if (form !== undefined) {
    facts.method = "POST";
    facts.headers["Content-Type"] = "application/json";
    facts.body = JSON.stringify(form);
  }
  try {
    return await (await fetch(path, facts)).json();
  } catch {
    return { problem: "the page's server cannot be reached" };
  }
}

// --- try it

function formNow() {
  return {
    method: $("method").value,
    target: $("target").value,
    content_type: $("content-type").value,
    headers: $("headers").value,
    body: unshown ? null : $("body").value,
    path: unshown ? unshown.path : null,
  };
}

function fillIn(request) {
  if (![...$("method").options].some((each) => each.value === request.method)) $("method").append(make("option", request.method));
  $("method").value = request.method;
  $("target").value = request.target;
  $("content-type").value = request.content_type;
  $("headers").value = request.headers;
  unshown = request.body === null ? request : null;
  $("body").value = unshown ? "" : request.body;
  $("body-note").textContent = unshown
    ? `The body of ${unshown.name} is sent from its file (${bytes(unshown.size)}); write here to send something else.`
    : ["Ctrl+Enter sends.", ...(request.notes || [])].join(" ");
  isTouched = true;
}

function schemaExample() {
  const example = swagger?.components?.schemas?.ServiceInput?.example;
  return example === undefined || (typeof example === "object" && !Object.keys(example).length) ? null : example;
}

function choices() {
  const found = (samples || []).filter((each) => !each.problem).map((each) => ({ label: each.name, request: each }));
  const last = memory.read("last request");
  if (last) found.push({ label: "the last request", request: last });
  const example = schemaExample();
  if (example !== null) {
    const body = JSON.stringify(example, null, 2);
    const request = { method: "POST", target: "/score", content_type: "application/json", headers: "", body };
    found.push({ label: "the schema's example", request });
  }
  return found;
}

function offerChoices() {
  const found = choices();
  const first = make("option", found.length ? "choose…" : "nothing to fill from");
  first.value = "";
  fill($("fill"), first, ...found.map((each, index) => {
    const option = make("option", each.label);
    option.value = index;
    return option;
  }));
  if (!isTouched && found.length) {
    fillIn(found[0].request);
    $("fill").value = "0";
  }
}

async function fetchChoices() {
  samples = (await ask("samples")).samples || [];
  offerChoices();
  if (!samples.length || $("document").open) await fetchDocument();
}

async function send() {
  if (sending) return;
  const form = formNow();
  sending = crypto.randomUUID?.() ?? `${Date.now()} ${Math.random()}`;
  const name = sending;
  memory.write("last request", form.body === null ? null : form);
  answeredFor = state.generation;
  isTouched = true;
  $("cancel").hidden = false;
  $("answer").setAttribute("aria-busy", "true");
  $("answer-line").textContent = "waiting for the answer…";
  $("answer-line").className = "dim";
  const answer = await ask("try", { ...form, id: name });
  sending = null;
  $("cancel").hidden = true;
  $("answer").setAttribute("aria-busy", "false");
  showAnswer(answer);
  if ($("again").checked && answeredFor !== state.generation && isReady()) send();
}

async function cancel() {
  const name = sending;
  const answer = await ask("cancel", { id: name });
  if (!answer.cancelled && sending === name) setTimeout(cancel, 100); // it is not under way yet
}

function showAnswer(answer) {
  const words = [];
  if (answer.problem) {
    words.push(`no answer: ${answer.problem.replace(/^no answer: /, "")}`);
  } else {
    words.push(`${answer.status}`, bytes(answer.size), answer.content_type || "no content type");
    if (answer.run_ms !== null) words.push(`run() ${milliseconds(answer.run_ms)}`);
    words.push(`in all ${milliseconds(answer.milliseconds)}`);
    if (answer.kind === "binary") words.push("no text");
    if (answer.is_cut) words.push("only the first part is shown");
  }
  $("answer-line").textContent = words.join(" · ");
  $("answer-line").className = answer.problem || answer.status >= 400 ? "bad" : "good";
  fill($("answer-notes"), ...(answer.notes || []).map((note) => make("li", `note: ${note}`, "warn")));
  showDifference(answer.difference);
  $("image").hidden = answer.kind !== "image";
  if (answer.kind === "image") $("image").src = answer.image;
  else $("image").removeAttribute("src");
  $("answer-text").hidden = answer.text === undefined;
  $("answer-text").textContent = answer.text ?? "";
}

function showDifference(difference) {
  if (!difference) fill($("difference"));
  else if (!difference.length) fill($("difference"), make("p", "the same answer as before", "dim"));
  else {
    const list = make("ul");
    list.append(...difference.map((line) => make("li", line)));
    fill($("difference"), make("p", "changed:", "warn"), list);
  }
}

const isReady = () => state.state === "ready" || state.state === "kept";

function sendAgain() {
  if ($("again").checked && !sending && isReady() && answeredFor !== null && answeredFor !== state.generation) send();
}

function quoted(text) {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

function asCurl() {
  const form = formNow();
  const words = ["curl"];
  if (form.method !== "POST") words.push("-X", form.method);
  words.push(quoted(`http://${address}${form.target}`));
  const headers = form.headers.split("\n").map((line) => line.trim()).filter(Boolean);
  if (form.content_type) headers.unshift(`Content-Type: ${form.content_type}`);
  for (const header of headers) words.push("-H", quoted(header));
  if (form.body === null) words.push("--data-binary", quoted(`@${form.path}`));
  else if (form.body || form.method === "POST") words.push("--data-raw", quoted(form.body));
  return words.join(" ");
}

async function copyCurl() {
  const command = asCurl();
  $("curl-text").value = command;
  $("curl-text").hidden = $("curl-label").hidden = false;
  try {
    await navigator.clipboard.writeText(command);
    $("form-note").textContent = "the command line is copied";
  } catch {
    $("curl-text").select();
    $("form-note").textContent = "copy the command line from below";
  }
}

async function keepSample() {
  const name = $("sample-name").value.trim();
  const kept = await ask("keep", { ...formNow(), name });
  $("form-note").textContent = kept.problem || `kept as ${kept.path}`;
  if (!kept.problem) await fetchChoices();
}

// --- the document

async function fetchDocument() {
  const found = await ask("swagger");
  swagger = found.document || null;
  offerChoices();
  showDocument(found.problem);
}

function resolved(schema) {
  const name = schema?.$ref?.split("/").at(-1);
  return name ? swagger.components?.schemas?.[name] ?? schema : schema;
}

function showDocument(why) {
  const shown = $("document-shown");
  if (swagger === null) {
    fill(shown, make("p", why || "there is no document of version 3", "dim"));
    return;
  }
  const parts = [make("p", `${swagger.info?.title ?? ""} ${swagger.info?.version ?? ""}`)];
  for (const [path, methods] of Object.entries(swagger.paths || {})) {
    for (const [method, facts] of Object.entries(methods)) {
      if (facts === null || typeof facts !== "object" || Array.isArray(facts)) continue;
      parts.push(make("h3", `${method.toUpperCase()} ${path}`), make("p", facts.description || facts.summary || "", "dim"));
      parts.push(...parametersOf(facts), ...schemaOf("Body", contentOf(facts.requestBody), path === "/score"));
      for (const [status, answer] of Object.entries(facts.responses || {})) {
        parts.push(make("p", `${status}: ${answer.description || ""}`), ...schemaOf("Answer", contentOf(answer), false));
      }
    }
  }
  fill(shown, ...parts);
}

const contentOf = (part) => Object.values(part?.content || {})[0];

function parametersOf(facts) {
  if (!facts.parameters?.length) return [];
  const list = make("ul");
  for (const each of facts.parameters) {
    const facts = [`${each.name}: ${typeOf(resolved(each.schema))}, in the ${each.in}`, each.required ? ", required" : ""];
    list.append(make("li", `${facts.join("")}${each.description ? `. ${each.description}` : ""}`));
  }
  return [make("h4", "Parameters"), list];
}

function schemaOf(title, content, isInput) {
  const schema = resolved(content?.schema);
  if (!schema) return [];
  const parts = [make("h4", title)];
  if (schema.properties) {
    const list = make("ul");
    for (const [name, each] of Object.entries(schema.properties)) list.append(make("li", `${name}: ${typeOf(resolved(each))}`));
    parts.push(list);
  } else parts.push(make("p", typeOf(schema)));
  const example = content.example ?? schema.example;
  const isEmpty = example === undefined || (typeof example === "object" && !Object.keys(Object(example)).length);
  const sample = isInput && isEmpty ? (samples || []).find((each) => each.body) : null;
  if (sample) parts.push(make("p", `example (${sample.name})`, "dim"), make("pre", sample.body));
  else if (!isEmpty) parts.push(make("p", "example", "dim"), make("pre", JSON.stringify(example, null, 2)));
  return parts;
}

function typeOf(schema) {
  if (!schema) return "anything";
  const items = schema.items ? ` of ${typeOf(resolved(schema.items))}` : "";
  return `${schema.type ?? "anything"}${items}${schema.format ? ` (${schema.format})` : ""}`;
}

// --- what comes

function hello(facts) {
  if (version !== null && version !== facts.version) return location.reload();
  const isNew = token !== facts.token;
  [version, token, address, base] = [facts.version, facts.token, facts.address, facts.base];
  $("connection").textContent = `connected to ${facts.base}`;
  $("connection").className = "dim";
  if (isNew) {
    [swagger, answeredFor, shownRequest] = [null, null, 0];
    for (const rows of [...$("requests").tBodies]) rows.remove();
    fetchChoices();
  }
}

function news(sections) {
  const loaded = state.generation;
  if ("problem" in sections) showProblem(sections.problem);
  if ("status" in sections) showStatus(sections.status);
  if ("requests" in sections) showRequests(sections.requests);
  if ("notes" in sections) showNotes(sections.notes);
  if ("status" in sections && isReady() && loaded !== state.generation) {
    if ($("document").open || (samples && !samples.length)) fetchDocument();
    sendAgain();
  }
}

function connect() {
  const source = new EventSource("events");
  source.addEventListener("hello", (event) => hello(JSON.parse(event.data)));
  source.addEventListener("news", (event) => news(JSON.parse(event.data)));
  source.addEventListener("error", () => {
    $("connection").textContent = "the tool has ended or cannot be reached; trying again";
    $("connection").className = "bad";
    $("state").textContent = "stopped";
    $("state").className = "bad";
    $("since").textContent = "";
    if (source.readyState === EventSource.CLOSED) setTimeout(connect, 1000);
  });
}

$("form").addEventListener("submit", (event) => { event.preventDefault(); send(); });
$("form").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) { event.preventDefault(); send(); }
  else if (event.key === "Enter" && event.target.id === "sample-name") { event.preventDefault(); keepSample(); }
});
$("body").addEventListener("input", () => {
  isTouched = true;
  if (unshown) { unshown = null; $("body-note").textContent = "Ctrl+Enter sends."; }
});
$("fill").addEventListener("change", () => { const found = choices()[$("fill").value]; if (found) fillIn(found.request); });
$("cancel").addEventListener("click", cancel);
$("curl").addEventListener("click", copyCurl);
$("keep").addEventListener("click", keepSample);
$("document").addEventListener("toggle", () => { if ($("document").open) fetchDocument(); });
$("again").checked = memory.read("again") === true;
$("again").addEventListener("change", () => memory.write("again", $("again").checked));
connect();
