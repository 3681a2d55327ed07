// Follows a run: what is there already, and then what happens, until it has ended.

const EVERY = 700; // milliseconds between two looks
const SLOWEST = 15000;
const FIELDS = ["number", "kind", "session", "place", "at", "seconds", "prompt", "completion", "cached", "failed", "label"];

/**
 * Follows the run whose glances are at the address `at`.
 *
 * `onGlances(glances)` is given those that are new, in order; times are in seconds since the run was asked for.
 * `onState(state)` is told after each look: `{status, done, elapsed, created_at}`; `failed` says why it cannot be seen now.
 * Gives a function that stops it.
 */
export function follow(at, { onGlances, onState }) {
  let after = -1;
  let wait = EVERY;
  let timer = 0;
  let ended = false; // nothing more will happen
  let stopped = false; // nobody wants to know
  let looking = false;

  async function look() {
    if (looking || stopped || ended) return;
    looking = true;
    clearTimeout(timer);
    let again = EVERY;
    try {
      const address = new URL(at, location.href);
      address.searchParams.set("after", String(after));
      const answer = await fetch(address, { headers: { Accept: "application/json" } });
      if (answer.status >= 400 && answer.status < 500 && answer.status !== 429) ended = true; // it is gone, or we are
      if (!answer.ok) throw new Error(`the server answered with ${answer.status}`);
      const seen = await answer.json();
      if (stopped) return;
      const glances = seen.glances.map((row) => Object.fromEntries(FIELDS.map((name, index) => [name, row[index]])));
      if (glances.length) after = glances.at(-1).number;
      wait = EVERY;
      if (glances.length) onGlances(glances);
      onState(seen);
      if (seen.more) again = 0;
      else if (seen.done) ended = true;
    } catch (error) {
      if (stopped) return;
      onState({ failed: error.message });
      wait = again = Math.min(SLOWEST, wait * 2);
    } finally {
      looking = false;
    }
    if (!stopped && !ended && !document.hidden) timer = setTimeout(look, again);
  }

  function seen() {
    if (!document.hidden) look();
  }

  document.addEventListener("visibilitychange", seen);
  look();
  return () => {
    stopped = true;
    clearTimeout(timer);
    document.removeEventListener("visibilitychange", seen);
  };
}
