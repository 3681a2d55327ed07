// The list of sessions keeps itself up to date: the same URL is asked for the list alone, and what has changed is swapped.

import { localTimes } from "./times.js";

const EVERY = 2000; // milliseconds

const list = document.getElementById("sessions");
const news = document.getElementById("news");
const stale = document.getElementById("stale");
const firstPage = !new URLSearchParams(location.search).get("before");
let tag = list?.dataset.tag;
let timer;

/** Whether a swap would take away from the reader what they have marked. */
function marked() {
  const selection = getSelection();
  return !selection.isCollapsed && selection.containsNode(list, true);
}

/**
 * Puts the rows of `fresh` in the place of those of `body`. A row that is as it was stays, with its focus.
 * @returns {number} how many there are that were not there before
 */
function swapRows(body, fresh) {
  const before = new Map([...body.rows].map((row) => [row.id, row]));
  const focused = body.contains(document.activeElement) ? document.activeElement.closest("tr").id : null;
  let added = 0;
  let place = body.firstElementChild;
  for (const row of [...fresh.rows]) {
    const old = before.get(row.id);
    before.delete(row.id);
    if (old?.isEqualNode(row)) {
      // What stays in its order is not moved: to move an element takes its focus.
      if (old === place) place = place.nextElementSibling;
      else body.insertBefore(old, place);
      continue;
    }
    if (!old) {
      row.classList.add("fresh");
      row.addEventListener("animationend", () => row.removeAttribute("class"), { once: true });
      added += 1;
    }
    if (old === place) place = place.nextElementSibling;
    old?.remove();
    body.insertBefore(row, place);
  }
  for (const row of before.values()) row.remove();
  if (focused && !body.contains(document.activeElement)) {
    document.getElementById(focused)?.querySelector("a")?.focus({ preventScroll: true });
  }
  return added;
}

/** Shows the list that the server has sent. */
function show(html) {
  const sent = new DOMParser().parseFromString(html, "text/html");
  localTimes(sent);
  const body = list.querySelector("tbody");
  const fresh = sent.querySelector("tbody");
  let added = 0;
  if (body && fresh) {
    const work = list.querySelector(".at-work");
    const now = sent.querySelector(".at-work");
    if (!work.isEqualNode(now)) work.replaceWith(now);
    added = swapRows(body, fresh);
    const pager = list.querySelector(".pager");
    const next = sent.querySelector(".pager");
    if (pager && next) {
      if (!pager.isEqualNode(next) && !pager.contains(document.activeElement)) pager.replaceWith(next);
    } else if (next) list.append(next);
    else pager?.remove();
  } else {
    list.replaceChildren(...sent.body.childNodes);
    added = fresh ? fresh.rows.length : 0;
  }
  if (added && firstPage) news.textContent = added === 1 ? "A new session has come." : `${added} new sessions have come.`;
}

async function look() {
  clearTimeout(timer);
  if (document.visibilityState !== "visible") return;
  try {
    const answer = await fetch(location.href, { headers: { "x-part": "list", "if-none-match": tag } });
    if (answer.status === 401) return location.reload(); // the login is over
    stale.hidden = answer.ok || answer.status === 304;
    if (answer.ok && !marked()) {
      show(await answer.text());
      tag = answer.headers.get("etag");
    }
  } catch {
    stale.hidden = false; // the server is away, or the page is being left
  }
  timer = setTimeout(look, EVERY);
}

if (list) {
  document.addEventListener("visibilitychange", look);
  timer = setTimeout(look, EVERY);
}
