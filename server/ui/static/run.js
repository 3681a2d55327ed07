// The page of one run: its tree, its time line, and the details of what is chosen, which the address's hash names.

import { summary } from "./calls.js";
import { Details } from "./details.js";
import { follow } from "./follow.js";
import { Model } from "./model.js";
import { localTimes } from "./times.js";
import { Timeline } from "./timeline.js";
import { Tree } from "./tree.js";
import { duration, number, share, title } from "./words.js";

const byId = (id) => document.getElementById(id);
const run = byId("run");
const newest = byId("newest");
const model = new Model();
const line = new Timeline(byId("line"), { model, onSelect: choose });
const tree = new Tree(byId("tree"), { model, onSelect: choose });
const details = new Details(byId("details"), { address, say });

const live = run.dataset.done !== "true";
let wanted = null; // the number of a node that is not there yet
let stale = false;
let current = null; // the node that is open, and as which event
let opened = null;

function address(path) {
  const found = new URL(run.dataset.at, location.href);
  found.pathname += `/${path}`;
  return found.href;
}

function say(text) {
  byId("said").textContent = text;
}

/** A person has chosen a node: they want to stay there. */
function choose(node) {
  newest.checked = false;
  open(node);
  say(title(node));
  byId("details").scrollIntoView({ block: "nearest" });
}

function open(node) {
  current = node;
  opened = node.number;
  if (node.number === null) {
    tree.select(node);
    line.select(node);
    details.put(...(node.kind === "calls" ? summary(node) : []));
    history.replaceState(null, "", location.pathname + location.search);
    return;
  }
  tree.select(node);
  line.select(node);
  details.show(node.number);
  if (location.hash !== `#n${node.number}`) history.replaceState(null, "", `#n${node.number}`);
}

function fromHash() {
  const found = /^#n(\d+)$/.exec(location.hash);
  if (!found) return;
  const node = model.numbers.get(Number(found[1]));
  wanted = node ? null : Number(found[1]);
  if (!node) return;
  newest.checked = false;
  open(node);
}

function facts(elapsed) {
  const calls = model.events.filter((event) => event.kind === "model_called");
  const turns = model.events.filter((event) => event.kind === "code_written").length;
  const failed = calls.filter((event) => event.failed).length;
  byId("fact-calls").textContent = number(calls.length) + (failed ? ` (${number(failed)} failed)` : "");
  byId("fact-turns").textContent = number(turns);
  byId("fact-seconds").textContent = duration(elapsed);
  if (!live) return; // the server has told what it cost
  const sum = (name) => model.events.reduce((all, event) => all + event[name], 0);
  byId("fact-prompt").textContent = number(sum("prompt"));
  byId("fact-completion").textContent = number(sum("completion"));
  byId("fact-cached").textContent = share(sum("cached"), sum("prompt"));
}

async function ended(state) {
  say(`The run has ended: ${state.status}.`);
  const answer = await fetch(address("head"));
  if (!answer.ok) return;
  const template = document.createElement("template");
  template.innerHTML = await answer.text(); // made by the server, which escapes
  byId("head").replaceChildren(template.content);
  localTimes(byId("head"));
  byId("follow").hidden = true;
}

function onGlances(glances) {
  model.add(glances);
  stale = true;
}

async function onState(state) {
  byId("trouble").hidden = !state.failed;
  if (state.failed) {
    byId("trouble").textContent = `This page may be old: ${state.failed}. It tries again.`;
    return;
  }
  if (state.more) return; // what follows is on its way
  if (stale) {
    stale = false;
    tree.update();
    if (wanted !== null) fromHash();
    if (newest.checked && model.newest) open(model.newest);
    else if (current && current.number !== opened) open(current); // a tool that was at work has ended
  }
  byId("nothing").hidden = model.events.length > 0;
  byId("tree").hidden = !model.events.length;
  line.update(state.elapsed);
  if (state.done && live) await ended(state);
  else {
    // A run in the background is kept as queued until it ends.
    const status = state.status === "queued" && model.events.length ? "in_progress" : state.status;
    byId("status").className = `state ${status}`;
    byId("status").textContent = status.replaceAll("_", " ");
  }
  facts(state.elapsed);
}

byId("follow").hidden = !live;
newest.checked = live && !location.hash;
newest.addEventListener("change", () => {
  if (newest.checked && model.newest) open(model.newest);
});
addEventListener("hashchange", fromHash);
fromHash();
follow(address("glances"), { onGlances, onState });
