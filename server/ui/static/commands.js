// What was just asked, as commands: whoever copies them gets the same from a terminal and from a program.

/**
 * @typedef {object} Asked
 * @property {string} origin of this server
 * @property {string} model
 * @property {string} question
 * @property {string | null} file its name, where one was attached
 * @property {string | null} previous the response that is continued
 * @property {boolean} authenticated whether a key is asked for
 */

/**
 * What asks `question` about `text`: two messages. In one, the question would be a part of the context, and the first
 * that a search for its words finds.
 */
export function input(text, question) {
  return [text, question].map((content) => ({ role: "user", content }));
}

/** A word for the shell, whatever is in it. */
function shellWord(text) {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

/** @param {Asked} asked */
export function curl(asked) {
  const { file, model, question, previous } = asked;
  const key = asked.authenticated ? ' -H "Authorization: Bearer $RANTS_API_KEY"' : "";
  const send = `curl ${shellWord(`${asked.origin}/v1/responses`)}${key} \\\n  -H 'Content-Type: application/json'`;
  const more = previous ? { previous_response_id: previous } : {};
  if (file === null) return `${send} \\\n  -d ${shellWord(JSON.stringify({ model, ...more, input: question }))}`;
  // Every JSON text is one of jq's language, too: a backslash stands before what JSON escapes, and never before a (.
  const head = Object.entries({ model, ...more }).map(([name, value]) => `${name}: ${JSON.stringify(value)}`);
  const body = `{${head.join(", ")}, input: [$text, $question | {role: "user", content: .}]}`;
  const words = ["jq -n", `--rawfile text ${shellWord(file)}`, `--arg question ${shellWord(question)}`, shellWord(body)];
  return `${words.join(" \\\n  ")} |\n${send} -d @-`;
}

/** @param {Asked} asked */
export function python(asked) {
  const { file, model, question, previous } = asked;
  // A JSON text is a literal of Python, too.
  const literal = JSON.stringify;
  const key = asked.authenticated ? 'os.environ["RANTS_API_KEY"]' : '"any"';
  const lines = asked.authenticated ? ["import os", ""] : [];
  lines.push("from openai import OpenAI", "");
  lines.push(`client = OpenAI(base_url=${literal(`${asked.origin}/v1`)}, api_key=${key})`);
  lines.push(`question = ${literal(question)}`);
  let said = "question";
  if (file !== null) {
    lines.push(`text = open(${literal(file)}, encoding="utf-8", newline="").read()`);
    said = '[{"role": "user", "content": said} for said in (text, question)]';
  }
  lines.push("stream = client.responses.create(");
  lines.push(`    model=${literal(model)},`);
  if (previous) lines.push(`    previous_response_id=${literal(previous)},`);
  lines.push(`    input=${said},`, "    stream=True,", ")");
  lines.push("for event in stream:", '    if event.type == "response.output_text.delta":');
  lines.push('        print(event.delta, end="", flush=True)');
  return lines.join("\n");
}
