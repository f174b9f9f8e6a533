"""`POST /v1/rerank`, answered: a document is as relevant as the share of the query's words that it has."""

from collections.abc import Mapping
from typing import Any

from demo.answers.shapes import Refused, Reply, model_of, whole_number
from demo.answers.tokens import count

_MOST_RANKED = 1_000_000


def rerank(body: Mapping[str, Any]) -> Reply:
    """Rank documents, the best first, in the form of Jina's and Cohere's answers.

    Raises:
        Refused: the request breaks a rule that their APIs have too.
    """
    model, query = model_of(body), body.get("query")
    if not isinstance(query, str) or not query:
        raise Refused("'query' must be a text.", param="query")
    texts = _texts(body.get("documents"))
    top_n = whole_number(body, "top_n", least=1, most=_MOST_RANKED) or len(texts)
    words = set(query.lower().split())
    scores = [len(words & set(text.lower().split())) / len(words) for text in texts]
    best = sorted(range(len(texts)), key=lambda index: (-scores[index], index))[:top_n]
    told = body.get("return_documents") is True
    results = [
        {"index": index, "relevance_score": scores[index]} | ({"document": {"text": texts[index]}} if told else {})
        for index in best
    ]
    tokens = count(query) * len(texts) + sum(map(count, texts))
    return Reply({"model": model, "results": results, "usage": {"total_tokens": tokens}})


def _texts(given: object) -> list[str]:
    documents = given if isinstance(given, list) else []
    found = [item.get("text") if isinstance(item, dict) else item for item in documents]
    texts = [text for text in found if isinstance(text, str)]
    if not texts or len(texts) < len(found):
        raise Refused("'documents' must be a list of texts, or of objects with a text.", param="documents")
    return texts
