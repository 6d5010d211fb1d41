"""Continue texts with TensorFlow alone, without keras_perceiver.

    keras-perceiver export runs/causal_lm --output=served
    python examples/serve_generation.py served "The Python language" "An expression"

For a `CausalLM` of bytes. Prints what may follow each text; then what is likeliest to
follow the first, piece by piece, as a server that streams sends it.
"""

import codecs
import os
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf  # noqa: TID253 (that is what this program shows)

SPECIAL = 6  # ids before those of the bytes


def encode(texts):
    """Token ids and mask of texts, padded on the left."""
    rows = [np.frombuffer(text.encode(), "uint8").astype("int32") for text in texts]
    longest = max(map(len, rows))
    ids, mask = np.zeros((2, len(rows), longest), "int32")
    for i, row in enumerate(rows):
        ids[i, longest - len(row) :] = row + SPECIAL
        mask[i, longest - len(row) :] = 1
    return {"token_ids": ids, "padding_mask": mask}


def to_bytes(ids):
    """What token ids stand for."""
    return bytes(i - SPECIAL for i in ids if i >= SPECIAL)


def continuations(model, texts, count, seed):
    """What may follow each text: one call for all."""
    numbers = {"max_new_tokens": tf.constant(count), "seed": tf.constant(seed)}
    out = model.generate({**encode(texts), **numbers})
    return [to_bytes(ids).decode(errors="replace") for ids in out["token_ids"].numpy()]


def likeliest(model, text, count):
    """What is likeliest to follow a text, piece by piece: a call for each token."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")  # of whole characters
    state = model.prefill(encode([text]))
    for _ in range(count):
        ids = tf.argmax(state.pop("logits"), axis=-1, output_type="int32")
        yield decoder.decode(to_bytes(ids.numpy()))
        state = model.decode_step({"token_ids": ids, **state})
    yield decoder.decode(b"", final=True)


def main(path, *texts):
    """Print the continuations."""
    model = tf.saved_model.load(path)
    for text, more in zip(texts, continuations(model, texts, 64, seed=0), strict=True):
        print(f"{text}|{more}")
    print(f"{texts[0]}|", end="")
    for piece in likeliest(model, texts[0], 64):
        print(piece, end="", flush=True)
    print()
    if "keras_perceiver" in sys.modules:
        raise RuntimeError("keras_perceiver should not be needed.")


if __name__ == "__main__":
    main(*sys.argv[1:])
