// One question of a conversation, and the answer as it is written.

import { duration, number } from "./words.js";
import { readable } from "./readable.js";

const STATES = {
  queued: "Waiting",
  in_progress: "In progress",
  completed: "Completed",
  incomplete: "Ended early",
  cancelled: "Stopped",
  failed: "Failed",
};

/** Where the run of the response `id` is shown. */
export function runPage(id) {
  return `/ui/runs/${encodeURIComponent(id)}`;
}

/** A turn at the end of the list `conversation`. */
export class Turn {
  constructor(conversation, question, attached) {
    const turn = document.createElement("li");
    turn.append(element("p", "asked", readable(question)));
    if (attached) turn.lastChild.append(element("span", "about", attached));
    this._answer = element("div", "said answer");
    this._answer.hidden = true;
    this._outcome = element("p", "outcome small");
    this._state = element("span", "state queued", "Asking");
    this._outcome.append(this._state);
    turn.append(this._answer, this._outcome);
    conversation.append(turn);
    turn.scrollIntoView({ block: "nearest" });
  }

  /** Takes in an event of the response. Gives what has changed, in a word, where that is worth being read aloud. */
  on(event) {
    switch (event.type) {
      case "response.queued":
      case "response.in_progress":
        return this._is(event.response.status);
      case "response.output_item.added":
        if (this._answer.textContent) this._answer.append("\n\n");
        return "";
      case "response.output_text.delta":
        return this._says(event.delta);
      case "response.completed":
      case "response.incomplete":
      case "response.failed":
        return this._ends(event.response);
      default:
        return "";
    }
  }

  /** What has gone wrong before there was an end. */
  breaks(sentence) {
    this._is("failed");
    this._outcome.append(element("span", "why", readable(sentence)));
  }

  _is(status) {
    const said = STATES[status];
    if (this._state.textContent === said) return "";
    this._state.className = `state ${status}`;
    this._state.textContent = said;
    return said;
  }

  _says(text) {
    const first = this._answer.hidden;
    this._answer.hidden = false;
    const below = this._answer.scrollHeight - this._answer.scrollTop - this._answer.clientHeight;
    this._answer.append(readable(text));
    if (below < 40) this._answer.scrollTop = this._answer.scrollHeight; // who reads further up is left there
    return first ? "The answer begins" : "";
  }

  _ends(response) {
    this._answer.normalize();
    const said = this._is(response.status);
    const why = response.error?.message ?? response.rants?.stopped_by ?? response.incomplete_details?.reason;
    if (why && why !== response.status) this._outcome.append(element("span", "why", readable(String(why))));
    const usage = response.usage;
    if (usage) {
      const { cached_tokens: cached } = usage.input_tokens_details;
      const read = `${number(usage.input_tokens)} tokens read${cached ? ` (${number(cached)} of them cached)` : ""}`;
      this._outcome.append(element("span", "quiet", `${read}, ${number(usage.output_tokens)} written`));
    }
    const run = element("a", "", "Run");
    run.href = runPage(response.id);
    this._outcome.append(run);
    return said;
  }

  /** How long it has taken. */
  took(seconds) {
    this._state.after(element("span", "quiet", duration(seconds)));
  }
}

function element(tag, classes, text = "") {
  const made = document.createElement(tag);
  if (classes) made.className = classes;
  made.append(text);
  return made;
}
