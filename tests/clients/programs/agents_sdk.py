# /// script
# requires-python = ">=3.13"
# dependencies = ["openai-agents==0.24.0"]
# ///
"""The OpenAI Agents SDK with two tools on a folder: agents_sdk.py BASE_URL chat|responses whole|stream FOLDER PROMPT.

Prints a JSON line for each call it executes, and one for the final text.
"""

import asyncio
import json
import sys
from pathlib import Path

from agents import (
    Agent,
    OpenAIChatCompletionsModel,
    OpenAIResponsesModel,
    Runner,
    function_tool,
    set_tracing_disabled,
)
from openai import AsyncOpenAI

base_url, api, way, folder, prompt = sys.argv[1:]


def in_folder(path: str) -> Path:
    """Where a file is; nothing beyond the folder can be named."""
    return Path(folder) / Path(path).name


def say(**line: str) -> None:
    """Tell the test, in one write: tools may run in threads."""
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


@function_tool
def read_file(path: str) -> str:
    """Reads a file."""
    say(call="read_file", path=path)
    return in_folder(path).read_bytes().decode()


@function_tool
def write_file(path: str, content: str) -> str:
    """Writes a file."""
    say(call="write_file", path=path)
    in_folder(path).write_bytes(content.encode())
    return f"{path} is written."


async def main() -> None:
    """Ask once."""
    set_tracing_disabled(True)
    kind = OpenAIChatCompletionsModel if api == "chat" else OpenAIResponsesModel
    model = kind("rants-one", AsyncOpenAI(base_url=base_url, api_key="any"))
    agent = Agent("files", model=model, tools=[read_file, write_file])
    if way == "stream":
        result = Runner.run_streamed(agent, prompt)
        async for _ in result.stream_events():
            pass
    else:
        result = await Runner.run(agent, prompt)
    say(text=result.final_output)


asyncio.run(main())
