"""`Look`: what can be seen in an image."""

from __future__ import annotations

from typing import Any

import dspy


class Look(dspy.Signature):  # type: ignore[misc]
    """Look at the image and answer. Say what can be seen, with all text that matters, and nothing that cannot."""

    messages: list[dict[str, Any]] = dspy.InputField(
        desc="one message of the user's in OpenAI's chat form: the image, and what is asked about it"
    )
    answer: str = dspy.OutputField(desc="what can be seen")
