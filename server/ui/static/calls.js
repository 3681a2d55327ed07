// A group of calls, summed up: it is no event, so the page makes it itself.

import { duration, number, share, title } from "./words.js";

const MOST = 10; // that are named

/** The elements that show a group. */
export function summary(group) {
  const heading = document.createElement("h2");
  heading.id = "node-title";
  heading.textContent = title(group);
  const facts = document.createElement("dl");
  facts.className = "facts";
  for (const [name, value] of [
    ["Tokens read", number(group.prompt)],
    ["Cached", share(group.cached, group.prompt)],
    ["Tokens written", number(group.completion)],
    ["Work in it", duration(group.children.reduce((sum, call) => sum + call.seconds, 0))],
  ]) {
    const fact = document.createElement("div");
    const term = document.createElement("dt");
    const told = document.createElement("dd");
    term.textContent = name;
    told.textContent = value;
    fact.append(term, told);
    facts.append(fact);
  }
  const slowest = [...group.children].sort((one, other) => other.seconds - one.seconds).slice(0, MOST);
  const failed = group.children.filter((call) => call.failed).slice(0, MOST);
  return [heading, facts, ...list("Failed", failed), ...list("Slowest", slowest)];
}

function list(name, calls) {
  if (!calls.length) return [];
  const heading = document.createElement("h3");
  heading.textContent = name;
  const items = document.createElement("ul");
  items.className = "places";
  for (const call of calls) {
    const item = document.createElement("li");
    const link = document.createElement("a");
    const time = document.createElement("span");
    link.href = `#n${call.number}`;
    link.textContent = call.label || `Call ${call.number}`;
    time.className = "quiet small";
    time.textContent = ` ${duration(call.seconds)}`;
    item.append(link, time);
    items.append(item);
  }
  return [heading, items];
}
