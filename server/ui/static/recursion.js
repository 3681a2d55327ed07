// What is done for a question, as it happens: the tree, the time line, and the details of what is chosen.

import { summary } from "./calls.js";
import { Details } from "./details.js";
import { follow } from "./follow.js";
import { Model } from "./model.js";
import { Timeline } from "./timeline.js";
import { Tree } from "./tree.js";
import { title } from "./words.js";

/** One run at a time, in the element `root`; `say(text)` tells a reader of the screen what has happened. */
export class Recursion {
  constructor(root, { say }) {
    this._root = root;
    this._say = say;
    this._stop = () => {};
  }

  /** Shows the run whose page is at `page`, from its beginning to its end. */
  show(page) {
    this.clear();
    const parts = ["line", "tree", "details"].map((name) => {
      const part = document.createElement("div");
      part.className = `recursion-${name}`;
      this._root.append(part);
      return part;
    });
    parts[2].className += " details-pane";
    const address = (path) => {
      const found = new URL(page, location.href);
      found.pathname += `/${path}`;
      return found.href;
    };
    const model = new Model();
    const details = new Details(parts[2], { address, say: this._say });
    const choose = (node) => {
      tree.select(node);
      line.select(node);
      if (node.number !== null) details.show(node.number);
      else if (node.kind === "calls") details.put(...summary(node));
      this._say(title(node));
    };
    const line = new Timeline(parts[0], { model, onSelect: choose });
    const tree = new Tree(parts[1], { model, onSelect: choose });
    this._stop = follow(address("glances"), {
      onGlances: (glances) => {
        model.add(glances);
        tree.update();
      },
      onState: (state) => {
        if (!state.failed) line.update(state.elapsed);
      },
    });
  }

  /** Shows nothing any more. */
  clear() {
    this._stop();
    this._stop = () => {};
    this._root.replaceChildren();
  }
}
