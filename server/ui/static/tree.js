// The tree of a run. Only the rows that can be seen are in the page: there may be many thousands.

import { KINDS, duration, number, title } from "./words.js";

const ROW = 28; // pixels
const SPARE = 8; // rows above and below those that are seen

/** A list of rows in a box that scrolls. The box keeps the focus; `aria-activedescendant` tells where in it one is. */
export class Tree {
  /**
   * @param {HTMLElement} root where it is drawn; it scrolls
   * @param {{model: import("./model.js").Model, onSelect: (node: object) => void, label?: string}} options
   *   `onSelect` is told which node a person has chosen
   */
  constructor(root, { model, onSelect, label = "What the run did" }) {
    this._root = root;
    this._model = model;
    this._onSelect = onSelect;
    this._rows = [];
    this._places = new Map(); // of nodes among the rows
    this._drawn = new Map();
    this._cursor = null;
    this._selected = null;
    this._sizer = document.createElement("div");
    this._sizer.className = "tree-rows";
    this._sizer.setAttribute("role", "presentation");
    root.classList.add("tree");
    root.setAttribute("role", "tree");
    root.setAttribute("aria-label", label);
    root.tabIndex = 0;
    root.append(this._sizer);
    root.addEventListener("scroll", () => this._soon(), { passive: true });
    root.addEventListener("keydown", (event) => this._key(event));
    root.addEventListener("click", (event) => this._click(event));
    root.addEventListener("focus", () => {
      if (!this._cursor && this._rows.length) this._move(0);
    });
    new ResizeObserver(() => this._soon()).observe(root);
  }

  /** Draws what the model has got; what was seen stays where it is. */
  update() {
    const first = Math.floor(this._root.scrollTop / ROW);
    const anchor = this._rows[first];
    this._list();
    if (anchor && this._places.has(anchor) && this._places.get(anchor) !== first) {
      this._root.scrollTop += (this._places.get(anchor) - first) * ROW;
    }
    for (const row of this._drawn.values()) row.stale = true;
    this._draw();
  }

  /** Chooses a node without telling anybody, opens all that is above it, and shows it. */
  select(node) {
    for (let above = node.parent; above; above = above.parent) above.open = true;
    this._selected = this._cursor = node;
    this._list();
    this._show(node);
    this._redraw();
  }

  _list() {
    const rows = [];
    const walk = (parent) => {
      const count = parent.children.length;
      for (let index = 0; index < count; index += 1) {
        const node = parent.children[index];
        node.posinset = index + 1;
        rows.push(node);
        if (node.open && node.children.length) walk(node);
      }
    };
    walk(this._model.root);
    this._rows = rows;
    this._places = new Map(rows.map((node, index) => [node, index]));
    this._sizer.style.height = `${rows.length * ROW}px`;
  }

  _soon() {
    if (this._frame) return;
    this._frame = requestAnimationFrame(() => {
      this._frame = 0;
      this._draw();
    });
  }

  _redraw() {
    for (const row of this._drawn.values()) row.stale = true;
    this._draw();
  }

  _draw() {
    const first = Math.max(0, Math.floor(this._root.scrollTop / ROW) - SPARE);
    const last = Math.min(this._rows.length, Math.ceil((this._root.scrollTop + this._root.clientHeight) / ROW) + SPARE);
    const wanted = new Set(this._rows.slice(first, last));
    if (this._cursor && this._places.has(this._cursor)) wanted.add(this._cursor); // what has the focus must be there
    const free = [];
    for (const [node, row] of this._drawn) {
      if (!wanted.has(node) || !this._places.has(node)) {
        this._drawn.delete(node);
        free.push(row);
      }
    }
    for (const node of wanted) {
      let row = this._drawn.get(node);
      if (!row) {
        row = free.pop() || this._row();
        row.stale = true;
        this._drawn.set(node, row);
      }
      const place = this._places.get(node);
      if (row.place !== place) {
        row.place = place;
        row.element.style.transform = `translateY(${place * ROW}px)`;
      }
      if (row.stale) this._fill(row, node);
    }
    for (const row of free) row.element.remove();
    const at = this._cursor && this._drawn.get(this._cursor);
    if (at) this._root.setAttribute("aria-activedescendant", at.element.id);
    else this._root.removeAttribute("aria-activedescendant");
  }

  _row() {
    const element = document.createElement("div");
    element.className = "row";
    element.id = `row-${(Tree.rows = (Tree.rows || 0) + 1)}`;
    element.setAttribute("role", "treeitem");
    const parts = {};
    for (const name of ["twist", "mark", "label", "tokens", "time"]) {
      parts[name] = document.createElement("span");
      parts[name].className = name;
      element.append(parts[name]);
    }
    parts.twist.setAttribute("aria-hidden", "true");
    parts.mark.setAttribute("aria-hidden", "true");
    this._sizer.append(element);
    return { element, parts, place: -1, stale: true };
  }

  _fill(row, node) {
    const { element, parts } = row;
    const { mark, sign } = KINDS[node.kind];
    const depth = node.depth;
    row.stale = false;
    element.node = node;
    element.className = `row${node.failed ? " failed" : ""}${node.running ? " running" : ""}`;
    element.classList.toggle("chosen", node === this._selected);
    element.classList.toggle("cursor", node === this._cursor);
    element.style.setProperty("--depth", String(Math.min(depth, 12)));
    element.setAttribute("aria-level", String(depth + 1));
    element.setAttribute("aria-posinset", String(node.posinset));
    element.setAttribute("aria-setsize", String(node.parent.children.length));
    element.setAttribute("aria-selected", String(node === this._selected));
    if (node.children.length) element.setAttribute("aria-expanded", String(node.open));
    else element.removeAttribute("aria-expanded");
    parts.twist.textContent = node.children.length ? (node.open ? "▾" : "▸") : "";
    parts.mark.className = `mark ${mark}`;
    parts.mark.textContent = node.failed ? "×" : sign;
    parts.label.textContent = (node.failed ? "Failed. " : "") + title(node);
    const tokens = node.prompt + node.completion;
    parts.tokens.textContent = tokens ? `${number(tokens)} tok` : "";
    const timed = node.kind !== "session_opened" && node.kind !== "calls";
    parts.time.textContent = node.running ? "…" : timed ? duration(node.seconds) : "";
  }

  _show(node) {
    const top = this._places.get(node) * ROW;
    const height = this._root.clientHeight;
    const at = this._root.scrollTop;
    if (top < at) this._root.scrollTop = Math.max(0, top - ROW);
    else if (top + 2 * ROW > at + height) this._root.scrollTop = top - height + 2 * ROW;
  }

  _move(place) {
    const node = this._rows[Math.max(0, Math.min(this._rows.length - 1, place))];
    if (!node) return;
    this._cursor = node;
    this._show(node);
    this._redraw();
  }

  _toggle(node, open) {
    node.open = open;
    this.update();
  }

  _choose(node) {
    this._selected = this._cursor = node;
    this._redraw();
    this._onSelect(node);
  }

  _click(event) {
    const row = event.target.closest(".row");
    if (!row) return;
    const node = row.node;
    if (event.target.closest(".twist") && node.children.length) {
      this._cursor = node;
      this._toggle(node, !node.open);
    } else this._choose(node);
  }

  _key(event) {
    if (event.altKey || event.ctrlKey || event.metaKey || !this._rows.length) return;
    const node = this._cursor || this._rows[0];
    const place = this._places.get(node) ?? 0;
    const page = Math.max(1, Math.floor(this._root.clientHeight / ROW) - 1);
    const moves = { ArrowDown: place + 1, ArrowUp: place - 1, Home: 0, End: Infinity, PageDown: place + page, PageUp: place - page };
    if (event.key in moves) this._move(moves[event.key]);
    else if (event.key === "ArrowRight" && node.children.length) {
      if (node.open) this._move(place + 1);
      else this._toggle(node, true);
    } else if (event.key === "ArrowLeft") {
      if (node.open && node.children.length) this._toggle(node, false);
      else if (node.parent.parent) this._move(this._places.get(node.parent));
    } else if (event.key === "Enter" || event.key === " ") this._choose(node);
    else return;
    event.preventDefault();
  }
}
