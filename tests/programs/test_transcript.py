"""Transcripts, their digests, and reading messages in chat form."""

import pytest

from programs.errors import InvalidRequest
from programs.transcript import EMPTY, Message, ToolCall, Transcript, Usage, chain, estimate_tokens


def say(*contents: str) -> Transcript:
    return Transcript(messages=tuple(Message(role="user", content=content) for content in contents))


def test_conversations_share_digests_for_as_long_as_they_are_alike() -> None:
    one, other = say("a", "b", "c").prefixes, say("a", "b", "x", "c").prefixes
    assert one[:2] == other[:2]
    assert not set(one[2:]) & set(other[2:])


def test_digest_tells_roles_and_borders_apart() -> None:
    user, assistant = Message(role="user", content="a"), Message(role="assistant", content="a")
    digests = {next(chain([user])), next(chain([assistant])), say("ab").prefixes[-1], say("a", "b").prefixes[-1], EMPTY}
    assert len(digests) == 5


def test_chain_goes_on_from_a_digest() -> None:
    whole = say("a", "b", "c")
    assert tuple(chain(whole.messages[1:], whole.prefixes[0])) == whole.prefixes[1:]


def test_appending_leaves_the_transcript_as_it_was() -> None:
    before = say("a")
    assert len(before.prefixes) == 1
    after = before.append(Message(role="assistant", content="b"))
    assert (len(before), len(after)) == (len(before.prefixes), len(after.prefixes)) == (1, 2)
    assert after.prefixes[0] == before.prefixes[0]


def test_a_message_in_chat_form_is_read_whole() -> None:
    arguments = '{"b":1,  "a":2}'
    call = {"id": "call_1", "type": "function", "function": {"name": "read", "arguments": arguments}}
    called = Message.read({"role": "assistant", "content": None, "tool_calls": [call]})
    assert called == Message(role="assistant", tool_calls=(ToolCall(id="call_1", name="read", arguments=arguments),))
    result = Message.read({"role": "tool", "content": "42", "tool_call_id": "call_1"})
    assert result == Message(role="tool", content="42", tool_call_id="call_1")


def test_null_and_multipart_content_are_text() -> None:
    assert Message.read({"role": "assistant", "content": None}).content == ""
    parts = [{"type": "text", "text": "a"}, {"type": "input_text", "text": "b"}, {"type": "refusal", "refusal": "c"}]
    assert Message.read({"role": "user", "content": parts}).content == "abc"


def test_an_image_is_refused_by_its_place_where_nobody_can_see_it() -> None:
    image = {"type": "image_url", "image_url": {"url": "https://example.org/cat.png"}}
    said = {"role": "user", "content": [{"type": "text", "text": "see"}, image]}
    with pytest.raises(InvalidRequest) as caught:
        Message.read(said, param="messages[3]", sees=False)
    assert caught.value.param == "messages[3].content[1]"
    seen = Message.read(said)
    assert (seen.content, seen.images) == ("see", ("https://example.org/cat.png",))


def test_tool_calls_are_kept_as_they_were_written() -> None:
    call = ToolCall(id="c", name="f", arguments="{ not json")
    message = Message(role="assistant", tool_calls=(call,))
    assert Message.model_validate_json(message.said()) == message


def test_usage_adds_up() -> None:
    total = Usage(prompt=1, completion=2, cached=3) + Usage(prompt=10, completion=20, cached=30, estimated=True)
    assert total == Usage(prompt=11, completion=22, cached=33, estimated=True)


def test_tokens_are_estimated_from_bytes() -> None:
    assert [estimate_tokens(text) for text in ("", "abcd", "abcde", "ééé")] == [0, 1, 2, 2]


def test_what_was_asked_is_what_the_user_said_last() -> None:
    transcript = Transcript(
        messages=(Message(role="user", content="First?"), Message(role="assistant", content="Yes."))
    )
    assert (transcript.asks, transcript.asked) == (0, "First?")
    further = transcript.append(Message(role="user", content="Second?"), Message(role="assistant", content="No."))
    assert (further.asks, further.asked) == (2, "Second?")


def test_where_no_user_has_spoken_nothing_was_asked() -> None:
    transcript = Transcript(messages=(Message(role="system", content="Be kind."),))
    assert (transcript.asks, transcript.asked) == (-1, "")
