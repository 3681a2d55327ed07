// The text file that a question is about: chosen, or dropped anywhere on the form.

import { readable } from "./readable.js";

const UNITS = ["bytes", "kB", "MB", "GB"];

/** A number of bytes, in the unit that fits it. */
export function size(bytes) {
  let unit = 0;
  let value = bytes;
  while (value >= 1000 && unit < UNITS.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return `${unit && value < 100 ? value.toFixed(1) : Math.round(value)} ${UNITS[unit]}`;
}

/** The form's file. `limit` is how many bytes a request may have; `onProblem(sentence)` is told what is wrong with one. */
export class Attachment {
  constructor(form, { limit, onProblem }) {
    this.file = null;
    this._limit = limit;
    this._onProblem = onProblem;
    this._zone = form.querySelector("#zone");
    this._chosen = form.querySelector("#file");
    this._shown = form.querySelector("#attached");
    this._name = form.querySelector("#attached-name");
    this._chosen.addEventListener("change", () => this._take(this._chosen.files));
    form.querySelector("#remove").addEventListener("click", () => {
      this.clear();
      this._chosen.focus();
    });
    for (const kind of ["dragenter", "dragover"]) {
      form.addEventListener(kind, (event) => {
        if (!event.dataTransfer.types.includes("Files")) return;
        event.preventDefault();
        this._zone.classList.add("over");
      });
    }
    form.addEventListener("dragleave", (event) => {
      if (!form.contains(event.relatedTarget)) this._zone.classList.remove("over");
    });
    form.addEventListener("drop", (event) => {
      this._zone.classList.remove("over");
      if (!event.dataTransfer.files.length) return;
      event.preventDefault();
      this._take(event.dataTransfer.files);
    });
  }

  /** What the file says. @throws {Error} it is no text; the message is a sentence */
  async text() {
    const bytes = await this.file.arrayBuffer();
    try {
      return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
    } catch {
      throw new Error(`${readable(this.file.name)} is no text in UTF-8.`);
    }
  }

  /** No file any more. */
  clear() {
    this.file = null;
    this._chosen.value = "";
    this._shown.hidden = true;
    this._zone.hidden = false;
  }

  _take(files) {
    if (files.length > 1) {
      this._onProblem("Attach one file; join several into one first.");
      return;
    }
    const [file] = files;
    if (!file) return;
    if (file.size > this._limit) {
      this.clear();
      this._onProblem(`${readable(file.name)} has ${size(file.size)}; this server takes ${size(this._limit)} at most.`);
      return;
    }
    this._onProblem("");
    this.file = file;
    this._name.textContent = `${readable(file.name)}, ${size(file.size)}`;
    this._shown.hidden = false;
    this._zone.hidden = true;
  }
}
