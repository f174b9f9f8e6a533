"""The cases: what is asked, how often, and what a whole answer is."""

from __future__ import annotations

from dataclasses import dataclass

from bench import answers, load


@dataclass(frozen=True, slots=True)
class Case:
    name: str
    streamed: bool
    requests: int  # of one round, for a gateway whose share is 1
    warm_up: int  # likewise: a compiler at run time (Node's) must have seen enough before it counts
    word: str = ""  # put into the prompt: it selects the upstream's answer

    def body(self, model: str) -> dict[str, object]:
        prompt = f"{self.word} Say a hundred words about the sea, and nothing else.".strip()
        messages = [
            {"role": "system", "content": "You are a friendly assistant who answers in plain words."},
            {"role": "user", "content": prompt},
        ]
        body = {"model": model, "messages": messages, "temperature": 0.7, "max_tokens": 256}
        return body | ({"stream": True} if self.streamed else {})

    @property
    def check(self) -> load.Check:
        return answers.stream_fault if self.streamed else answers.unary_fault


CASES = {
    case.name: case
    for case in (
        Case("unary", streamed=False, requests=4_000, warm_up=1_000),
        Case("stream", streamed=True, requests=800, warm_up=400),
        Case("paced", streamed=True, requests=112, warm_up=16, word=answers.PACED.decode()),
        Case("cache_hit", streamed=False, requests=4_000, warm_up=1_000),
        Case("governed", streamed=False, requests=4_000, warm_up=1_000),
        Case("tunnel", streamed=False, requests=4_000, warm_up=1_000),
    )
}
