"""A question answered from documents, watched by Custodes.

Needs `pip install openai opentelemetry-instrumentation-genai-openai 'custodes-sdk[otel]'`, a Custodes server
(`custodes up --dev`) and `OPENAI_API_KEY`, or `OPENAI_BASE_URL` for a server of your own.
"""

from __future__ import annotations

import sys

from openai import OpenAI

import custodes_sdk

DOCUMENTS = [
    "The warehouse opens at nine in the morning and closes at six.",
    "Parcels that arrive after five are sorted the next day.",
]


def main(question: str) -> None:
    """Answer one question and say what the user thought of it."""
    custodes_sdk.init(service="warehouse-bot", deployment="warehouse-bot-v1")
    client = OpenAI()
    with custodes_sdk.context(session="s-1", user="u-42", documents=DOCUMENTS, attributes={"group": "en"}) as place:
        answer = client.chat.completions.create(
            model="gpt-4o-mini",
            messages=[
                {"role": "system", "content": "Answer from these documents:\n" + "\n".join(DOCUMENTS)},
                {"role": "user", "content": question},
            ],
        )
    print(answer.choices[0].message.content)
    custodes_sdk.feedback(place.trace_id, label="helpful", value=1.0, user="u-42")


if __name__ == "__main__":
    main(" ".join(sys.argv[1:]) or "When does the warehouse open?")
