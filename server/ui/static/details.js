// What was said in one node: a part of a page that the server makes, and what its buttons do.

import { copy } from "./copying.js";
import { localTimes } from "./times.js";

/** Shows nodes in the element `root`; `say(text)` tells a reader of the screen what has happened. */
export class Details {
  constructor(root, { address, say }) {
    this._root = root;
    this._address = address;
    this._say = say;
    this._number = null;
    root.addEventListener("click", (event) => this._click(event));
    root.addEventListener("toggle", (event) => this._fetch(event.target), true);
  }

  /** Shows event `number`. Where another is asked for meanwhile, this one is forgotten. */
  async show(number) {
    if (this._number === number) return;
    this._number = number;
    this._root.setAttribute("aria-busy", "true");
    let html = null;
    try {
      const answer = await fetch(this._address(`nodes/${number}`));
      html = answer.ok ? await answer.text() : null;
    } catch {
      html = null; // there is no connection
    }
    if (this._number !== number) return;
    this._root.removeAttribute("aria-busy");
    if (html === null) {
      this._number = null;
      this._note("This could not be read. Choose it again to try again.");
      return;
    }
    fill(this._root, html);
    this._root.scrollTop = 0;
    for (const part of this._root.querySelectorAll("div[data-fetch]")) this._fetch(part);
  }

  /** Shows nodes that the page has made itself. */
  put(...nodes) {
    this._number = null;
    this._root.replaceChildren(...nodes);
  }

  _note(text) {
    const note = document.createElement("p");
    note.className = "note bad";
    note.textContent = text;
    this._root.replaceChildren(note);
    this._say(text);
  }

  async _fetch(part) {
    const at = part.dataset.fetch;
    if (!at || (part.tagName === "DETAILS" && !part.open)) return;
    delete part.dataset.fetch;
    const into = part.querySelector('[role="status"]') || part;
    try {
      const answer = await fetch(at);
      if (answer.ok) fill(into, await answer.text());
      else into.textContent = "This is not known.";
    } catch {
      into.textContent = "The server cannot be reached.";
    }
  }

  async _click(event) {
    const button = event.target.closest("button");
    if (!button) return;
    if (button.dataset.copyLink) {
      const link = new URL(button.dataset.copyLink, location.href);
      await this._copy(link.href, "The link is copied.");
    } else if (button.dataset.copyFrom) {
      try {
        const answer = await fetch(button.dataset.copyFrom);
        if (answer.ok) await this._copy(await answer.text(), "The example is copied.");
        else this._tell(button, "There is no example of this.");
      } catch {
        this._tell(button, "The server cannot be reached.");
      }
    }
  }

  async _copy(text, said) {
    const button = document.activeElement;
    try {
      await copy(text);
      this._tell(button, said);
    } catch {
      this._tell(button, "It could not be copied.");
    }
  }

  _tell(button, text) {
    this._say(text);
    const acts = this._root.querySelector(".node-acts");
    if (!acts) return;
    let note = acts.querySelector(".copied");
    if (!note) {
      note = document.createElement("span");
      note.className = "copied quiet small";
      note.setAttribute("aria-hidden", "true"); // it has been said
      acts.append(note);
    }
    note.textContent = text;
    button?.focus?.();
  }
}

// The server has escaped whatever others wrote.
function fill(root, html) {
  const template = document.createElement("template");
  template.innerHTML = html;
  root.replaceChildren(template.content);
  localTimes(root);
}
