// A run as a tree of nodes, made from its glances. It grows: what has been added stays where it is.

/** How many calls of one turn are shown as they are; more are shown as one group. */
const GROUPED = 20;

/**
 * What one row of the tree, and one bar of the time line, is about.
 *
 * `number` is that of the event that it opens; null for a group of calls, whose `calls` it counts.
 */
class Node {
  constructor(kind, parent) {
    this.kind = kind;
    this.parent = parent;
    this.children = [];
    this.number = null;
    this.label = "";
    this.at = 0;
    this.seconds = 0;
    this.prompt = 0;
    this.completion = 0;
    this.cached = 0;
    this.failed = false;
    this.session = "";
    this.place = "";
    this.open = true;
  }

  /** How many are above it. */
  get depth() {
    let depth = -1;
    for (let node = this; node.parent; node = node.parent) depth += 1;
    return depth;
  }
}

/** The nodes of a run. `root` is above all of them and is not shown. */
export class Model {
  constructor() {
    this.root = new Node("run", null);
    this.numbers = new Map(); // of events, to their nodes
    this.events = []; // glances in order
    this.last = -1;
    this._sessions = new Map();
    this._loops = new Map();
    this._turns = new Map();
    this._tools = new Map();
    this._groups = new Map();
    this._steps = new Map();
  }

  /** Adds glances that are newer than those before; what is known already is left out. Gives how many were new. */
  add(glances) {
    let added = 0;
    for (const glance of glances) {
      if (glance.number <= this.last) continue;
      this.last = glance.number;
      this.events.push(glance);
      this._place(glance);
      added += 1;
    }
    return added;
  }

  /** The node that was added last. */
  get newest() {
    return this.numbers.get(this.last);
  }

  _place(glance) {
    const kind = glance.kind;
    if (kind === "session_opened") this._tell(this._session(glance.session), glance);
    else if (kind === "code_written") this._tell(this._turn(glance.session, glance.place), glance);
    else if (kind === "code_ran") this._tell(this._grow(this._turn(glance.session, glance.place), "code_ran"), glance);
    else if (kind === "model_called") this._call(glance);
    else if (kind === "concluded") this._tell(this._grow(this._session(glance.session), kind), glance);
    else if (kind === "step_done") {
      const step = this._grow(this._loop(glance.session), kind);
      this._steps.set(glance.session, step);
      this._tell(step, glance);
    } else this._tell(this._tool(glance.session, glance.place), glance);
  }

  _tell(node, glance) {
    const { kind, session, place, ...rest } = glance;
    if (kind === "tool_ran" && node.number !== null) delete rest.at;
    Object.assign(node, rest, { session, place, kind: kind === "tool_started" ? "tool_ran" : kind });
    node.running = kind === "tool_started";
    this.numbers.set(glance.number, node);
  }

  _grow(parent, kind) {
    const node = new Node(kind, parent);
    parent.children.push(node);
    return node;
  }

  // What the steps of a loop, and its explorations, hang on. A step after the first has `+` and its number.
  _loop(session) {
    const base = session.replace(/\+\d+$/, "");
    let loop = this._loops.get(base);
    if (loop) return loop;
    const cut = base.lastIndexOf("/");
    if (cut < 0) loop = this.root;
    else {
      const above = base.slice(0, cut);
      const opener = base.slice(cut + 1);
      const turn = /^(\d+)\./.exec(opener);
      loop = turn ? this._turn(above, turn[1]) : this._tool(above, opener);
    }
    this._loops.set(base, loop);
    return loop;
  }

  _session(session) {
    let node = this._sessions.get(session);
    if (!node) {
      node = this._grow(this._loop(session), "session_opened");
      node.session = session;
      this._sessions.set(session, node);
    }
    return node;
  }

  _turn(session, place) {
    const key = `${session} ${place}`;
    let node = this._turns.get(key);
    if (!node) {
      node = this._grow(this._session(session), "code_written");
      Object.assign(node, { session, place });
      this._turns.set(key, node);
    }
    return node;
  }

  _tool(session, place) {
    const key = `${session.replace(/\+\d+$/, "")} ${place}`;
    let node = this._tools.get(key);
    if (!node) {
      node = this._grow(this._steps.get(session) || this._loop(session), "tool_ran");
      Object.assign(node, { session, place });
      this._tools.set(key, node);
    }
    return node;
  }

  _call(glance) {
    const parent = glance.place === "0" ? this._loop(glance.session) : this._turn(glance.session, glance.place);
    let group = this._groups.get(parent);
    if (!group) {
      const alone = parent.children.filter((node) => node.kind === "model_called");
      if (alone.length < GROUPED) {
        this._tell(this._grow(parent, "model_called"), glance);
        return;
      }
      group = this._group(parent, alone);
    }
    const node = this._grow(group, "model_called");
    this._tell(node, glance);
    this._count(group, node);
  }

  _group(parent, calls) {
    const group = new Node("calls", parent);
    Object.assign(group, { open: false, session: calls[0].session, place: calls[0].place, at: calls[0].at, failures: 0 });
    const first = parent.children.indexOf(calls[0]);
    parent.children = parent.children.filter((node) => node.kind !== "model_called");
    parent.children.splice(first, 0, group);
    for (const call of calls) {
      call.parent = group;
      group.children.push(call);
      this._count(group, call);
    }
    this._groups.set(parent, group);
    return group;
  }

  _count(group, call) {
    const end = Math.max(group.at + group.seconds, call.at + call.seconds);
    group.at = Math.min(group.at, call.at);
    group.seconds = end - group.at;
    group.prompt += call.prompt;
    group.completion += call.completion;
    group.cached += call.cached;
    group.failures += call.failed ? 1 : 0;
  }
}
