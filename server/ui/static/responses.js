// A client of /v1/responses: asks in the background, and joins the stream again when the connection is lost.

import { eventsOf } from "./sse.js";

const WAITS = [500, 1000, 2000, 4000, 8000, 15000]; // milliseconds before each further try to join
const ENDS = new Set(["response.completed", "response.incomplete", "response.failed"]);

/** What the server has said against a request, in its own words. */
export class Refused extends Error {}

/**
 * Asks, and gives every event of the response until it has ended.
 *
 * @param {string} body the request, as JSON
 * @param {(lost: boolean) => void} onConnection is told that the connection is lost, and that it is there again
 * @returns {AsyncGenerator<object>}
 * @throws {Refused} the server does not take it, or no longer has it
 * @throws {TypeError} the server cannot be reached
 */
export async function* ask(body, onConnection) {
  let id = null;
  let last = -1;
  let tries = 0;
  let open = () => fetch("/v1/responses", { method: "POST", headers: { "Content-Type": "application/json" }, body });
  for (;;) {
    try {
      const answer = await open();
      if (!answer.ok) await refuse(answer);
      if (tries) onConnection(false);
      for await (const data of eventsOf(answer.body)) {
        const event = JSON.parse(data);
        tries = 0;
        last = event.sequence_number;
        id ??= event.response?.id;
        yield event;
        if (ENDS.has(event.type)) return;
      }
    } catch (error) {
      if (error instanceof Refused || id === null) throw error;
    }
    if (id === null) throw new Refused("The server ended the connection before it had taken the question.");
    if (tries === WAITS.length) throw new Refused("The connection is lost. The answer is still being written: see the run.");
    if (tries === 0) onConnection(true);
    await new Promise((resolve) => setTimeout(resolve, WAITS[tries]));
    tries += 1;
    open = () => fetch(`/v1/responses/${id}?stream=true&starting_after=${last}`);
  }
}

/** Stops the response `id`. @throws {Refused} it cannot be stopped */
export async function cancel(id) {
  const answer = await fetch(`/v1/responses/${id}/cancel`, { method: "POST" });
  if (!answer.ok) await refuse(answer);
}

async function refuse(answer) {
  let said = `The server answers with status ${answer.status}.`;
  if (answer.headers.get("content-type")?.startsWith("application/json")) {
    said = (await answer.json()).error?.message ?? said;
  }
  throw answer.status >= 500 ? new Error(said) : new Refused(said); // the former may pass
}
