"""A llama of half a megabyte with random weights: real to every tool that loads it, and talking gibberish.

vocabulary   control signs | 256 bytes | beginnings of words | words
spoken       words, and the end; bytes and beginnings only when a grammar asks for them
"""

import os
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

import gguf
import numpy as np

CONTEXT_TOKENS = 8_192
_WIDTH = 64
_LAYERS = 2
_HEADS = 4
_FEED_FORWARD = 160
_SEED = 20_260_131
_WORD_BREAK = "\u2581"  # SentencePiece's sign for a space
_CONTROL = ("<unk>", "<s>", "</s>", "<|system|>", "<|developer|>", "<|user|>", "<|assistant|>", "<|tool|>")
_END = 2

# One column of the residual stream is the same for each token: the output layer reads it as a bias.
_BIAS_COLUMN = 0
_BIAS = 2.0
_SPOKEN, _UNSPOKEN, _LAST_WORD = 0.0, -4.0, 0.42

_WORDS = Path(__file__).with_name("words.txt").read_text().split()
_SIGNS = (".", ",", "!", "?")

# The turn's sign is one token: words there would be forced upon a grammar, and fail it.
_CHAT_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}<|{{ message['role'] }}|>{{ message['content'] }}{{ eos_token }}"
    "{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


@dataclass(frozen=True, slots=True)
class Vocabulary:
    tokens: tuple[str, ...]
    types: tuple[int, ...]
    scores: tuple[float, ...]
    biases: tuple[float, ...]


def vocabulary() -> Vocabulary:
    words = [_WORD_BREAK + word for word in _WORDS] + list(_SIGNS)
    # A word is merged from its beginnings, so each must be there; the shorter is merged first.
    starts = {start for word in words for start in accumulate(word)} - set(words)
    signs = [chr(code) for code in range(0x20, 0x7F) if chr(code) not in starts]
    pieces = sorted(starts | (set(signs) - set(words)), key=lambda piece: (len(piece), piece))
    rows = [(name, gguf.TokenType.CONTROL, 0.0, _UNSPOKEN) for name in _CONTROL]
    rows[_END] = (_CONTROL[_END], gguf.TokenType.CONTROL, 0.0, _LAST_WORD)
    rows += [(f"<0x{byte:02X}>", gguf.TokenType.BYTE, 0.0, _UNSPOKEN) for byte in range(256)]
    rows += [(piece, gguf.TokenType.NORMAL, -float(len(piece)), _UNSPOKEN) for piece in pieces]
    rows += [(word, gguf.TokenType.NORMAL, -float(len(word)), _SPOKEN) for word in words]
    tokens, types, scores, biases = zip(*rows, strict=True)
    return Vocabulary(tokens, types, scores, biases)


def write_model(path: Path) -> None:
    """Write the model file, whole or not at all; the same weights each time."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(f".{os.getpid()}.part")
    writer = gguf.GGUFWriter(unfinished, "llama")
    words = vocabulary()
    _describe(writer, words)
    for name, weights in _tensors(words).items():
        writer.add_tensor(name, weights)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    unfinished.replace(path)


def _describe(writer: gguf.GGUFWriter, words: Vocabulary) -> None:
    writer.add_name("ShareAI tiny llama")
    writer.add_description("Random weights, for demonstrations and tests: its answers mean nothing.")
    writer.add_license("apache-2.0")
    writer.add_context_length(CONTEXT_TOKENS)
    writer.add_embedding_length(_WIDTH)
    writer.add_block_count(_LAYERS)
    writer.add_feed_forward_length(_FEED_FORWARD)
    writer.add_head_count(_HEADS)
    writer.add_head_count_kv(_HEADS)
    writer.add_rope_dimension_count(_WIDTH // _HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(len(words.tokens))
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_F16)
    writer.add_tokenizer_model("llama")
    writer.add_token_list(list(words.tokens))
    writer.add_token_scores(list(words.scores))
    writer.add_token_types(list(words.types))
    writer.add_unk_token_id(0)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(_END)
    writer.add_chat_template(_CHAT_TEMPLATE)


def _tensors(words: Vocabulary) -> dict[str, np.ndarray]:
    draw = np.random.default_rng(_SEED)

    def matrix(rows: int, columns: int, scale: float) -> np.ndarray:
        return (draw.standard_normal((rows, columns)) * scale).astype(np.float16)

    def ones() -> np.ndarray:
        return np.ones(_WIDTH, dtype=np.float32)

    read = matrix(len(words.tokens), _WIDTH, 1.0)
    read[:, _BIAS_COLUMN] = _BIAS
    spoken = matrix(len(words.tokens), _WIDTH, 0.2)
    spoken[:, _BIAS_COLUMN] = words.biases
    tensors = {"token_embd.weight": read, "output_norm.weight": ones(), "output.weight": spoken}
    for layer in range(_LAYERS):
        block = f"blk.{layer}"
        for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
            tensors[f"{block}.{name}.weight"] = matrix(_WIDTH, _WIDTH, 0.1)
        for name in ("ffn_gate", "ffn_up"):
            tensors[f"{block}.{name}.weight"] = matrix(_FEED_FORWARD, _WIDTH, 0.1)
        tensors[f"{block}.ffn_down.weight"] = matrix(_WIDTH, _FEED_FORWARD, 0.1)
        for name in ("attn_norm", "ffn_norm"):
            tensors[f"{block}.{name}.weight"] = ones()
        for name in ("attn_output", "ffn_down"):
            tensors[f"{block}.{name}.weight"][_BIAS_COLUMN, :] = 0
    return tensors
