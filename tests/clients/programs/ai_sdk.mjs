// The AI SDK with two tools on a folder: node ai_sdk.mjs BASE_URL chat|responses whole|stream FOLDER PROMPT
// Prints a JSON line for each call it executes, and one for the final text.
import { createOpenAI } from "@ai-sdk/openai";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { generateText, isStepCount, streamText, tool } from "ai";
import { readFile, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { z } from "zod";

const [baseURL, api, way, folder, prompt] = process.argv.slice(2);
const options = { name: "rants", baseURL, apiKey: "any" };
const model = api === "chat" ? createOpenAICompatible(options)("rants-one") : createOpenAI(options)("rants-one");

const inFolder = (path) => join(folder, basename(path));
const say = (line) => console.log(JSON.stringify(line));

const tools = {
  read_file: tool({
    description: "Reads a file.",
    inputSchema: z.object({ path: z.string() }),
    execute: async ({ path }) => {
      say({ call: "read_file", path });
      return await readFile(inFolder(path), "utf8");
    },
  }),
  write_file: tool({
    description: "Writes a file.",
    inputSchema: z.object({ path: z.string(), content: z.string() }),
    execute: async ({ path, content }) => {
      say({ call: "write_file", path });
      await writeFile(inFolder(path), content);
      return `${path} is written.`;
    },
  }),
};

const asked = { model, tools, prompt, stopWhen: isStepCount(6) };
let text = "";
if (way === "stream") {
  const result = streamText({ ...asked, onError: ({ error }) => { throw error; } });
  for await (const delta of result.textStream) text += delta;
} else {
  const { steps } = await generateText(asked);
  text = steps.map((step) => step.text).join("");
}
say({ text });
