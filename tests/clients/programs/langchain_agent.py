# /// script
# requires-python = ">=3.13"
# dependencies = ["langchain==1.5.2", "langchain-openai==1.7.4"]
# ///
"""A LangChain agent with two tools on a folder: langchain_agent.py BASE_URL chat|responses whole|stream FOLDER PROMPT.

Prints a JSON line for each call it executes, and one for the final text.
"""

import json
import sys
from pathlib import Path

from langchain.agents import create_agent
from langchain_core.messages import AIMessage
from langchain_openai import ChatOpenAI

base_url, api, way, folder, prompt = sys.argv[1:]


def in_folder(path: str) -> Path:
    """Where a file is; nothing beyond the folder can be named."""
    return Path(folder) / Path(path).name


def say(**line: str) -> None:
    """Tell the test, in one write: tools may run in threads."""
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


def read_file(path: str) -> str:
    """Reads a file."""
    say(call="read_file", path=path)
    return in_folder(path).read_bytes().decode()


def write_file(path: str, content: str) -> str:
    """Writes a file."""
    say(call="write_file", path=path)
    in_folder(path).write_bytes(content.encode())
    return f"{path} is written."


model = ChatOpenAI(
    model="rants-one",
    base_url=base_url,
    api_key="any",
    use_responses_api=api == "responses",
    streaming=way == "stream",
)
agent = create_agent(model, [read_file, write_file])
asked = {"messages": [{"role": "user", "content": prompt}]}
if way == "stream":
    text = ""
    for chunk, _ in agent.stream(asked, stream_mode="messages"):
        text += chunk.text if isinstance(chunk, AIMessage) else ""
else:
    text = agent.invoke(asked)["messages"][-1].text
say(text=text)
