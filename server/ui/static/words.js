// How numbers and kinds are written. The server writes them in the same way: see server/ui/rendering.py.

/** A length of time, in the unit that fits it. */
export function duration(seconds) {
  if (seconds < 1) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 60) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  const minutes = Math.floor(whole / 60);
  const two = (value) => String(value).padStart(2, "0");
  if (minutes < 60) return `${minutes} min ${two(whole % 60)} s`;
  return `${Math.floor(minutes / 60)} h ${two(minutes % 60)} min`;
}

/** A number with its thousands apart. */
export function number(value) {
  return value.toLocaleString("en-US");
}

/** Which part of a whole it is. */
export function share(part, whole) {
  return whole ? `${Math.round((100 * part) / whole)} %` : "–";
}

/** Each kind of node: its class, the sign of its mark, and what it is called. */
export const KINDS = {
  session_opened: { mark: "session", sign: "?", name: "Session" },
  code_written: { mark: "code", sign: ">", name: "Turn" },
  model_called: { mark: "call", sign: "~", name: "Call" },
  calls: { mark: "call", sign: "≈", name: "Calls" },
  code_ran: { mark: "ran", sign: "=", name: "Observation" },
  step_done: { mark: "step", sign: "→", name: "Step" },
  tool_ran: { mark: "tool", sign: "#", name: "Tool" },
  concluded: { mark: "end", sign: "!", name: "Concluded" },
};

/** What a node is, in one line. */
export function title(node) {
  const { name } = KINDS[node.kind];
  if (node.kind === "calls") {
    const failed = node.failures ? `, ${number(node.failures)} failed` : "";
    return `${number(node.children.length)} calls${failed}, ${duration(node.seconds)}`;
  }
  const numbered = node.kind === "code_written" || node.kind === "step_done";
  return [numbered ? `${name} ${node.place}` : name, node.label].filter(Boolean).join(": ");
}
