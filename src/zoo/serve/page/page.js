"use strict";
// Texts of users and models reach the page as text nodes and attributes alone, never as markup.

const SIZE = 26; // pixels of a cell of the picture
const MOST = 80; // tokens of a side that are drawn
const NAMESPACE = "http://www.w3.org/2000/svg";
const at = (id) => document.getElementById(id);
let health = null;
let asked = null;

function element(name, text, attributes = {}) {
  const made = document.createElement(name);
  made.textContent = text;
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

function drawn(name, attributes, text = "") {
  const made = document.createElementNS(NAMESPACE, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.textContent = text;
  return made;
}

const visible = (token) => token.replaceAll(" ", "␣");
const percent = (share) => (100 * share).toFixed(share < 0.1 ? 1 : 0) + " %";
const count = (number, noun) => number + " " + noun + (number === 1 ? "" : "s");

async function start() {
  try {
    health = await (await fetch("health")).json();
  } catch {
    return complain("The server does not answer; start it again, then reload this page.");
  }
  const kind = health.task === "labels" ? "finds a label" : "writes a sequence";
  at("about").textContent = health.runs.join(", ") + (health.runs.length > 1 ? ", together: " : ": ") + kind + " for each text.";
  document.title = health.runs.join(", ") + " – zoo serve";
  at("text").maxLength = health.limits.characters;
  at("beam-field").hidden = health.task === "labels";
  at("what").textContent = health.task === "labels" ? "label" : "output";
  at("score-title").hidden = health.task === "labels";
  for (const id of ["nbest", "beam"]) at(id).max = health.limits[id];
}

function question() {
  const values = { texts: [at("text").value], nbest: Number(at("nbest").value || 1) };
  if (health.task !== "labels" && at("beam").value) values.beam = Number(at("beam").value);
  if (health.attention) values.attention = true;
  return values;
}

async function predict(event) {
  event.preventDefault();
  if (health === null) await start();
  if (health === null) return;
  if (!at("text").value.trim()) return complain("Type a text first.", at("text"));
  if (asked) asked.abort();
  const mine = (asked = new AbortController());
  complain("");
  at("status").textContent = "Predicting.";
  const found = await answer(mine.signal);
  if (mine !== asked) return; // a newer question has taken its place
  if (found.error === undefined) return show(found.predictions[0]);
  hide();
  complain(found.error);
}

async function answer(signal) {
  const headers = { "Content-Type": "application/json" };
  try {
    return await (await fetch("predict", { method: "POST", headers, body: JSON.stringify(question()), signal })).json();
  } catch {
    return { error: "The server does not answer; is it still running?" };
  }
}

function complain(message, field = null) {
  at("problem").textContent = message;
  at("text").toggleAttribute("aria-invalid", false);
  if (message) at("status").textContent = "";
  if (field) {
    field.setAttribute("aria-invalid", "true");
    field.focus();
  }
}

function hide() {
  at("result").hidden = at("attention").hidden = true;
}

function outputs(found) {
  if (found.probabilities) {
    return Object.entries(found.probabilities).map(([text, probability]) => ({ text, probability }));
  }
  return found.nbest;
}

function show(found) {
  const all = outputs(found);
  at("outputs").replaceChildren(...all.map(row));
  at("outputs-caption").textContent = "for “" + found.input + "”";
  at("remarks").textContent = remarks(found);
  at("result").hidden = false;
  at("attention").hidden = !found.attention;
  if (found.attention) attend(found.attention);
  const noun = health.task === "labels" ? "label" : "output";
  at("status").textContent = count(all.length, noun) + ". Best: " + (all[0].text || "(nothing)") + ", probability " + percent(all[0].probability) + ".";
}

function row(output, number) {
  const made = document.createElement("tr");
  const share = element("td", "");
  const value = Math.min(1, output.probability);
  share.append(element("meter", "", { min: 0, max: 1, value, "aria-hidden": "true" }), percent(output.probability));
  made.append(element("td", number + 1, { class: "number" }), element("th", output.text || "(nothing)", { scope: "row", dir: "auto" }), share);
  if (output.score !== undefined) made.append(element("td", output.score.toFixed(3), { class: "number" }));
  return made;
}

function remarks(found) {
  const said = [];
  if (found.unknown) said.push("Unknown to the model: " + found.unknown.map((token) => "“" + visible(token) + "”").join(", ") + ".");
  if (found.cut_to) said.push("The text was cut to " + found.cut_to + " tokens.");
  return said.join(" ");
}

function attend({ source, target, weights }) {
  const columns = source.slice(0, MOST);
  const rows = target.slice(0, MOST);
  picture(columns, rows, weights);
  table(columns, rows, weights);
  const looks = rows.map((token, i) => {
    const best = weights[i].indexOf(Math.max(...weights[i]));
    return visible(token) + " at " + visible(source[best]);
  });
  const cut = columns.length < source.length || rows.length < target.length ? " The first " + MOST + " tokens are shown." : "";
  at("attention-said").textContent = "Looked at most: " + looks.join(", ") + "." + cut;
}

function picture(columns, rows, weights) {
  const left = 16 + 9 * Math.max(...rows.map((token) => visible(token).length));
  const top = 16 + 9 * Math.max(...columns.map((token) => visible(token).length));
  const upright = columns.every((token) => token.length < 3);
  const head = upright ? 28 : top;
  const [width, height] = [left + SIZE * columns.length, head + SIZE * rows.length];
  const parts = [];
  columns.forEach((token, j) => {
    const [x, y] = [left + SIZE * (j + 0.5), head - 8];
    const turn = upright ? { "text-anchor": "middle" } : { transform: `rotate(-90 ${x} ${y})`, dy: "0.3em" };
    parts.push(drawn("text", { x, y, ...turn }, visible(token)));
  });
  rows.forEach((token, i) => {
    const y = head + SIZE * i;
    parts.push(drawn("text", { x: left - 8, y: y + SIZE * 0.68, "text-anchor": "end" }, visible(token)));
    columns.forEach((_, j) => {
      const cell = { class: "cell", x: left + SIZE * j, y, width: SIZE, height: SIZE };
      parts.push(drawn("rect", { ...cell, "fill-opacity": weights[i][j] }));
    });
  });
  parts.push(drawn("rect", { class: "frame", x: left, y: head, width: SIZE * columns.length, height: SIZE * rows.length }));
  const image = at("picture");
  for (const [key, value] of Object.entries({ width: width + 1, height: height + 1 })) image.setAttribute(key, value);
  image.replaceChildren(...parts);
}

function table(columns, rows, weights) {
  const head = document.createElement("tr");
  head.append(element("td", ""), ...columns.map((token) => element("th", visible(token), { scope: "col" })));
  at("weights").tHead.replaceChildren(head);
  const body = rows.map((token, i) => {
    const made = document.createElement("tr");
    made.append(element("th", visible(token), { scope: "row" }));
    made.append(...columns.map((_, j) => element("td", Math.round(100 * weights[i][j]))));
    return made;
  });
  at("weights").tBodies[0].replaceChildren(...body);
}

at("form").addEventListener("submit", predict);
start();
