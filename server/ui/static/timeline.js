// The time line of a run, in SVG: a few paths, however many bars there are. What the pointer is on is found by data.

import { gaps, layOut } from "./lanes.js";
import { KINDS, duration, number, title } from "./words.js";

const SVG = "http://www.w3.org/2000/svg";
const GUTTER = 40; // pixels on the left, for the brackets of the sessions
const AXIS = 22;
const ROOM = 280; // pixels that bars should not exceed
const NEAR = 3; // pixels beside a bar that are still meant for it
const CLASSES = { step_done: "step", code_written: "code", code_ran: "ran", concluded: "end", tool_ran: "tool", model_called: "call" };

/** Draws when what happened. The wheel zooms where Ctrl is held or the line has the focus; dragging moves it. */
export class Timeline {
  /**
   * @param {HTMLElement} root where it is drawn
   * @param {{model: import("./model.js").Model, onSelect: (node: object) => void}} options
   */
  constructor(root, { model, onSelect }) {
    this._root = root;
    this._model = model;
    this._onSelect = onSelect;
    this._now = 0;
    this._view = null; // seconds, or null for all of it
    this._selected = null;
    this._pointers = new Map();
    this._build();
    new ResizeObserver(() => this._soon()).observe(this._box);
  }

  /** Draws what the model has got by now, `elapsed` seconds after it was asked for. */
  update(elapsed) {
    this._now = Math.max(elapsed, lastOf(this._model));
    this._layout = layOut(this._model, { now: this._now, height: ROOM });
    this._describe();
    this._soon();
  }

  /** Marks a node as chosen, and moves it into view. */
  select(node) {
    this._selected = node;
    if (this._view) {
      const { start, end } = this._span();
      if (node.at > end || node.at + node.seconds < start) this._look(node.at - (end - start) / 2, end - start);
    }
    this._soon();
  }

  /** Shows a part `factor` times as long, around the share `around` of what is shown. */
  zoom(factor, around = 0.5) {
    const { start, end } = this._span();
    const length = (end - start) * factor;
    this._look(start + (end - start - length) * around, length);
  }

  /** Moves what is shown by a share of itself. */
  pan(share) {
    const { start, end } = this._span();
    this._look(start + (end - start) * share, end - start);
  }

  /** Shows all of it. */
  all() {
    this._view = null;
    this._soon();
  }

  _span() {
    return this._view || { start: 0, end: Math.max(this._now, 0.001) };
  }

  _look(start, length) {
    const whole = Math.max(this._now, 0.001);
    const kept = Math.min(whole, Math.max(length, whole / 1e5, 0.0005));
    const first = Math.max(0, Math.min(whole - kept, start));
    this._view = kept >= whole ? null : { start: first, end: first + kept };
    this._soon();
  }

  _build() {
    this._root.classList.add("timeline");
    const bar = document.createElement("div");
    bar.className = "timeline-tools";
    for (const [text, name, act] of [
      ["−", "Show more time", () => this.zoom(2)],
      ["+", "Show less time, in more detail", () => this.zoom(0.5)],
      ["All", "Show all of it", () => this.all()],
    ]) {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = text;
      button.setAttribute("aria-label", name);
      button.addEventListener("click", act);
      bar.append(button);
    }
    this._said = document.createElement("span");
    this._said.className = "timeline-said quiet small";
    bar.prepend(this._said);
    this._box = document.createElement("div");
    this._box.className = "timeline-box";
    this._box.tabIndex = 0;
    this._box.setAttribute("role", "group");
    this._box.setAttribute("aria-label", "Time line: plus and minus zoom, arrows move, 0 shows all; the tree below has each part");
    this._svg = element("svg", { role: "img", class: "timeline-svg" });
    this._paths = {};
    for (const kind of ["grid", "wait", "bracket", "step", "ran", "code", "end", "tool", "call", "failed", "chosen"]) {
      this._paths[kind] = element("path", { class: `bar ${kind}` });
      this._svg.append(this._paths[kind]);
    }
    this._labels = element("g", { class: "axis" });
    this._svg.append(this._labels);
    this._box.append(this._svg);
    this._root.append(bar, this._box);
    this._listen();
  }

  _listen() {
    const box = this._box;
    box.addEventListener("keydown", (event) => {
      const acts = {
        "+": () => this.zoom(0.5), "=": () => this.zoom(0.5), "-": () => this.zoom(2), 0: () => this.all(),
        ArrowLeft: () => this.pan(-0.2), ArrowRight: () => this.pan(0.2), Home: () => this.pan(-1e9), End: () => this.pan(1e9),
      };
      if (event.ctrlKey || event.metaKey || event.altKey || !acts[event.key]) return;
      event.preventDefault();
      acts[event.key]();
    });
    box.addEventListener("wheel", (event) => {
      const zooms = event.ctrlKey || document.activeElement === box;
      if (!zooms || (!event.deltaX && !event.deltaY)) return;
      event.preventDefault();
      if (Math.abs(event.deltaX) > Math.abs(event.deltaY)) this.pan(event.deltaX / this._width());
      else this.zoom(Math.exp(event.deltaY / (event.ctrlKey ? 120 : 400)), this._share(event.clientX));
    }, { passive: false });
    box.addEventListener("pointerdown", (event) => {
      this._pointers.set(event.pointerId, event);
      this._moved = false;
    });
    box.addEventListener("pointermove", (event) => this._drag(event));
    for (const kind of ["pointerup", "pointercancel"]) {
      box.addEventListener(kind, (event) => {
        const pressed = this._pointers.delete(event.pointerId);
        if (pressed && kind === "pointerup" && !this._moved) this._press(event);
      });
    }
    box.addEventListener("pointerleave", () => this._say(this._selected));
    box.addEventListener("focus", () => this._say(this._selected));
  }

  _drag(event) {
    const before = this._pointers.get(event.pointerId);
    if (!before) {
      const node = this._hit(event);
      this._box.classList.toggle("on", Boolean(node));
      this._say(node || this._selected);
      return;
    }
    const others = [...this._pointers.values()].filter((one) => one.pointerId !== event.pointerId);
    const by = event.clientX - before.clientX;
    if (Math.abs(by) > 2 && !this._box.hasPointerCapture(event.pointerId)) this._box.setPointerCapture(event.pointerId);
    if (Math.abs(by) <= 2 && !this._moved) return;
    this._moved = true;
    if (others.length) {
      const was = Math.abs(before.clientX - others[0].clientX) || 1;
      const is = Math.abs(event.clientX - others[0].clientX) || 1;
      this.zoom(was / is, this._share(others[0].clientX));
    } else this.pan(-by / this._width());
    this._pointers.set(event.pointerId, event);
  }

  _press(event) {
    const node = this._hit(event);
    if (node) this._onSelect(node);
  }

  _width() {
    return Math.max(1, this._box.clientWidth - GUTTER - 8);
  }

  _share(clientX) {
    return (clientX - this._box.getBoundingClientRect().left - GUTTER) / this._width();
  }

  _hit(event) {
    if (!this._layout) return null;
    const box = this._svg.getBoundingClientRect();
    const y = event.clientY - box.top - AXIS;
    const { start, end } = this._span();
    const second = (end - start) / this._width();
    const at = start + (event.clientX - box.left - GUTTER) * second;
    if (event.clientX - box.left < GUTTER) {
      const band = this._layout.bands.find((one) => y >= one.top && y <= one.bottom);
      return band ? band.node : null;
    }
    const lane = this._layout.lanes.find((one) => y >= one.top - 0.5 && y <= one.top + one.height + 0.5);
    if (!lane) return null;
    let low = 0;
    let high = lane.bars.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (lane.bars[middle].start <= at) low = middle + 1;
      else high = middle;
    }
    const near = [lane.bars[low - 1], lane.bars[low]].filter(Boolean);
    const far = (bar) => Math.max(bar.start - at, at - bar.end, 0);
    near.sort((one, other) => far(one) - far(other));
    return near.length && far(near[0]) <= NEAR * second ? near[0].node : null;
  }

  _say(node) {
    if (!node || !KINDS[node.kind]) {
      this._said.textContent = this._summary || "";
      return;
    }
    const tokens = node.prompt + node.completion;
    const when = `at ${duration(node.at)}, ${duration(node.seconds)}`;
    this._said.textContent = `${title(node)} · ${when}${tokens ? `, ${number(tokens)} tokens` : ""}`;
  }

  _describe() {
    const { bands, lanes } = this._layout;
    const calls = lanes.filter((lane) => lane.kind === "call");
    const count = calls.reduce((sum, lane) => sum + lane.bars.length, 0);
    const most = Math.max(0, ...bands.map((band) => band.lanes.filter((lane) => lane.kind === "call").length));
    const parts = [`${duration(this._now)}`, `${number(bands.length)} ${bands.length === 1 ? "session" : "sessions"}`];
    if (count) parts.push(`${number(count)} ${count === 1 ? "call" : "calls"}${most > 1 ? `, up to ${most} at once` : ""}`);
    this._summary = parts.join(" · ");
    this._svg.setAttribute("aria-label", `Time line: ${parts.join(", ")}`);
    this._say(this._selected);
  }

  _soon() {
    if (this._frame) return;
    this._frame = requestAnimationFrame(() => {
      this._frame = 0;
      this._draw();
    });
  }

  _draw() {
    if (!this._layout) return;
    const { bands, lanes } = this._layout;
    const width = this._box.clientWidth;
    const height = this._layout.height + AXIS;
    const { start, end } = this._span();
    const scale = this._width() / (end - start);
    const x = (at) => GUTTER + (at - start) * scale;
    this._svg.setAttribute("width", String(width));
    this._svg.setAttribute("height", String(height));
    const drawn = Object.fromEntries(Object.keys(this._paths).map((kind) => [kind, []]));
    const rectangle = (path, from, to, top, tall) => {
      const left = Math.max(GUTTER - 1, x(from));
      const right = Math.min(width, Math.max(x(to) - 0.5, x(from) + 1));
      if (right > left) path.push(`M${left.toFixed(1)} ${(top + AXIS).toFixed(1)}h${(right - left).toFixed(1)}v${tall.toFixed(1)}H${left.toFixed(1)}z`);
    };
    for (const lane of lanes) {
      let merged = null;
      for (const bar of lane.bars) {
        if (bar.end < start) continue;
        if (bar.start > end) break;
        const kind = bar.node.failed ? "failed" : CLASSES[bar.node.kind];
        // What falls on the same pixels is drawn once.
        if (merged && merged.kind === kind && x(bar.end) - x(merged.start) < 1) {
          merged.end = Math.max(merged.end, bar.end);
          continue;
        }
        if (merged) rectangle(drawn[merged.kind], merged.start, merged.end, lane.top, lane.height);
        merged = { kind, start: bar.start, end: bar.end };
      }
      if (merged) rectangle(drawn[merged.kind], merged.start, merged.end, lane.top, lane.height);
    }
    if (bands.length) this._waits(bands[0], drawn.wait, rectangle);
    for (const band of bands) {
      const left = Math.min(6 + band.depth * 7, GUTTER - 8);
      drawn.bracket.push(`M${left + 3} ${band.top + AXIS + 0.5}h-3V${band.bottom + AXIS - 0.5}h3`);
    }
    this._mark(drawn.chosen, x, width);
    this._axis(drawn.grid, start, end, x, height);
    for (const [kind, path] of Object.entries(this._paths)) path.setAttribute("d", drawn[kind].join(""));
  }

  // Time in which the run did nothing that is known: it waited for its turn, or for a model that is still at work.
  _waits(band, path, rectangle) {
    const lane = band.lanes.find((one) => one.kind === "turn") || band.lanes[0];
    if (!lane) return;
    for (const gap of gaps(band.lanes, this._now)) {
      if (gap.end - gap.start > this._now / 500) rectangle(path, gap.start, gap.end, lane.top + lane.height / 2 - 1, 2);
    }
  }

  _mark(path, x, width) {
    const node = this._selected;
    const lane = node && this._layout.lanes.find((one) => one.bars.some((bar) => bar.node === node));
    if (!lane) return;
    const bar = lane.bars.find((one) => one.node === node);
    const left = Math.max(GUTTER - 1, x(bar.start));
    const right = Math.min(width, Math.max(x(bar.end), left + 1));
    if (right <= left && x(bar.start) > width) return;
    const top = lane.top + AXIS;
    path.push(`M${left - 2} ${top - 2}H${right + 2}V${top + lane.height + 2}H${left - 2}z`);
  }

  _axis(path, start, end, x, height) {
    const step = tick((end - start) / Math.max(2, this._width() / 90));
    const digits = Math.max(0, Math.ceil(-Math.log10(step) - 1e-9));
    const texts = [];
    for (let at = Math.ceil(start / step) * step; at <= end; at += step) {
      path.push(`M${x(at).toFixed(1)} ${AXIS - 4}V${height}`);
      const text = element("text", { x: x(at).toFixed(1), y: "12" });
      text.textContent = `${at.toFixed(digits)} s`;
      texts.push(text);
    }
    this._labels.replaceChildren(...texts);
  }
}

function element(name, attributes) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

function lastOf(model) {
  return model.events.reduce((end, event) => Math.max(end, event.at + event.seconds), 0);
}

// A length of 1, 2 or 5 times a power of ten, and no shorter than `least`.
function tick(least) {
  const power = 10 ** Math.floor(Math.log10(least));
  return power * [1, 2, 5, 10].find((times) => times * power >= least);
}
