// The playground: asks /v1 as any client does, and shows the answer beside what is done for it.

import { Attachment, size } from "./attachment.js";
import { curl, input, python } from "./commands.js";
import { copy } from "./copying.js";
import { readable } from "./readable.js";
import { Recursion } from "./recursion.js";
import { Refused, ask, cancel } from "./responses.js";
import { Turn, runPage } from "./turn.js";

const at = (id) => document.getElementById(id);
const form = at("ask");
const question = at("question");
const model = form.dataset.model;
const limit = Number(form.dataset.limit);
const authenticated = "authenticated" in form.dataset;
const attachment = new Attachment(form, { limit, onProblem: problem });
const recursion = new Recursion(at("recursion"), { say: tell });

let previous = null; // the response that the next question continues
let asking = null; // { id, stopped }, while a question is being answered

function problem(sentence) {
  at("problem").hidden = !sentence;
  at("problem").textContent = sentence;
}

function tell(state) {
  at("state").textContent = state;
}

function busy(yes) {
  at("send").disabled = at("anew").disabled = yes;
  at("stop").disabled = !yes;
}

async function submit() {
  if (asking || !question.value.trim()) return;
  problem("");
  asking = { id: null, stopped: false };
  busy(true);
  try {
    await answer(asking);
  } catch (error) {
    problem(readable(error.message));
  } finally {
    asking = null;
    busy(false);
    question.focus({ preventScroll: true });
  }
}

async function answer(asked) {
  const { file } = attachment;
  const said = question.value.trim();
  const body = JSON.stringify({
    model,
    background: true,
    stream: true,
    ...(previous && { previous_response_id: previous }),
    input: file ? input(await attachment.text(), said) : said,
  });
  const bytes = new Blob([body]).size;
  if (bytes > limit) throw new Error(`The request would have ${size(bytes)}; this server takes ${size(limit)} at most.`);
  write({ origin: location.origin, model, question: said, file: file?.name ?? null, previous, authenticated });
  const attached = file && `${readable(file.name)}, ${size(file.size)}`;
  const turn = new Turn(at("conversation"), said, attached);
  const begun = performance.now();
  at("welcome").hidden = true;
  at("anew").hidden = false;
  tell("Asking");
  try {
    for await (const event of ask(body, (lost) => tell(lost ? "The connection is lost" : "The connection is there again"))) {
      if (asked.id === null && event.response) start(asked, event.response.id);
      const changed = turn.on(event);
      if (changed) tell(changed);
      if (event.response && event.response.status === "completed") previous = asked.id;
    }
    turn.took((performance.now() - begun) / 1000);
    question.value = "";
    attachment.clear();
  } catch (error) {
    const sentence = error instanceof TypeError ? "The server cannot be reached." : error.message;
    turn.breaks(sentence);
    throw error instanceof Refused ? error : new Error(sentence);
  }
}

function start(asked, id) {
  asked.id = id;
  at("nothing").hidden = true;
  at("recursion").hidden = at("run").hidden = false;
  const page = runPage(id);
  at("run").href = page;
  recursion.show(page);
  if (asked.stopped) stop();
}

async function stop() {
  if (!asking) return;
  asking.stopped = true;
  at("stop").disabled = true;
  if (asking.id === null) return; // it is stopped as soon as it has a name
  try {
    await cancel(asking.id);
  } catch (error) {
    problem(readable(error.message));
    at("stop").disabled = false;
  }
}

function write(asked) {
  at("code").hidden = false;
  at("curl").textContent = curl(asked);
  at("python").textContent = python(asked);
}

function anew() {
  previous = null;
  at("conversation").replaceChildren();
  at("welcome").hidden = at("nothing").hidden = false;
  at("anew").hidden = at("recursion").hidden = at("run").hidden = at("code").hidden = true;
  recursion.clear();
  problem("");
  tell("A new conversation");
  question.focus();
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  submit();
});
question.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
  event.preventDefault();
  submit();
});
at("stop").addEventListener("click", stop);
at("anew").addEventListener("click", anew);
for (const button of document.querySelectorAll(".copy")) {
  button.addEventListener("click", async () => {
    try {
      await copy(at(button.dataset.of).textContent);
      button.textContent = "Copied";
    } catch (error) {
      button.textContent = "Not copied";
      problem(error.message);
    }
    setTimeout(() => (button.textContent = "Copy"), 1500);
  });
}
