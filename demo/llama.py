"""A real llama.cpp server with a tiny random model, in this process and on loopback only.

    python -m demo.llama --port 9103 --data-dir var

Serves chat (streamed too, with usage), completions, embeddings, JSON schemas and the model list. It talks
gibberish, and tools are never called: the model cannot.
"""

import argparse
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import xllamacpp

from demo.tinymodel import CONTEXT_TOKENS, write_model

MODEL_ID = "shareai/tiny-llama"
MODEL_FILE = "tiny-llama-1.gguf"  # the number changes with the weights, so that an older file is not kept
_HOST = "127.0.0.1"
_SLOTS = 4
_USUAL_TOKENS = 256  # the length of an answer whose request says none


def model_path(data_dir: Path) -> Path:
    """Where the model file is; written when it is missing."""
    path = data_dir / "models" / MODEL_FILE
    if not path.exists():
        write_model(path)
    return path


@contextmanager
def running_llama(
    data_dir: Path, *, port: int = 0, model_id: str = MODEL_ID, keys: Sequence[str] = ()
) -> Iterator[str]:
    """Serve the tiny model while the block runs.

    Args:
        port: 0 takes a free one.
        keys: the keys to accept; without one, none is asked for.

    Returns:
        the base URL, which ends in `/v1`.

    Raises:
        RuntimeError: the server cannot start, for instance because the port is taken.
    """
    server = xllamacpp.Server(_parameters(model_path(data_dir), port, model_id, keys))
    try:
        yield f"{server.listening_address}/v1"
    finally:
        del server  # its end stops the threads


def _parameters(path: Path, port: int, model_id: str, keys: Sequence[str]) -> xllamacpp.CommonParams:
    wanted = xllamacpp.CommonParams()
    wanted.model.path = str(path)
    wanted.model_alias = {model_id}
    wanted.hostnames = [_HOST]
    wanted.port = port
    wanted.api_keys = list(keys)
    wanted.n_ctx = _SLOTS * CONTEXT_TOKENS
    wanted.n_parallel = _SLOTS
    wanted.n_predict = _USUAL_TOKENS
    wanted.cpuparams.n_threads = 1  # more would only wait for each other in a model this small
    wanted.n_threads_http = 2 * _SLOTS
    wanted.cache_ram_mib = 8
    wanted.embedding = True
    wanted.pooling_type = xllamacpp.llama_pooling_type.LLAMA_POOLING_TYPE_MEAN
    wanted.ui = False
    wanted.verbosity = 0
    return wanted


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve until SIGTERM or SIGINT; the line `ready <base URL>` says that it does."""
    parser = argparse.ArgumentParser(prog="demo.llama", description="A llama.cpp server with a tiny model.")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--data-dir", type=Path, default=Path("var"))
    parser.add_argument("--model-id", default=MODEL_ID)
    parser.add_argument("--key", action="append", default=[], help="a key to accept; may be repeated")
    given = parser.parse_args(arguments)
    stopped = threading.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, lambda *_: stopped.set())
    with running_llama(given.data_dir, port=given.port, model_id=given.model_id, keys=given.key) as base_url:
        sys.stdout.write(f"ready {base_url} {given.model_id}\n")
        sys.stdout.flush()
        stopped.wait()


if __name__ == "__main__":
    main()
