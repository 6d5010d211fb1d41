"""Does input keep up with training? Batches per second, and how long `fit` waits.

    python benchmarks/bench_input.py --out results.jsonl

Each pipeline is read without help (`none`), with threads, and with one and two worker
processes. Rounds take turns, so that other load on the machine falls on all alike. The
share of waiting is that of the time of `fit` which `next` takes: what runs in the
background meanwhile counts, so it is an upper bound.
"""

import argparse
import functools
import itertools
import json
import os
import pathlib
import statistics
import sys
import tempfile
import time

os.environ.setdefault("KERAS_BACKEND", "jax")

AHEAD = 8  # batches that are made ahead
ARMS = {"none": None, "threads": 0, "1 worker": 1, "2 workers": 2}
PHOTOGRAPHS = 64  # files


def images(folder, quick):
    """Photographs in files, cropped at random and mirrored; ImageNet's size."""
    import keras_perceiver as kp

    size, options = (16, {"num_bands": 2}) if quick else (224, {"num_bands": 64})
    data = _photographs(folder)
    encoder = kp.models.ImageEncoder(
        (size, size, 3), num_latents=16, latent_channels=64, **options
    )
    model = kp.models.ImageClassifier(encoder, num_classes=2)
    changes = kp.data.Augmentation(crop=0.08, flip=True)
    return model, kp.data.batches(data.train, model, 16, seed=0, augmentation=changes)


def masked_bytes(folder, quick):
    """Text in bytes, whole words masked: the small published model's training."""
    import keras_perceiver as kp

    length, channels = (32, 8) if quick else (512, 128)
    encoder = kp.models.TextEncoder(
        262, length, channels, num_latents=channels, latent_channels=channels
    )
    model = kp.models.MaskedLM(encoder)
    options = {"mask_selection_length": length // 4, "random_shift": True}
    return model, kp.data.masked_batches(_text(), model, 32, seed=0, **options)


def causal_bytes(folder, quick):
    """Text in bytes to be continued."""
    import keras_perceiver as kp

    model = _causal(kp.models.CausalLM, quick, vocab_size=262)
    return model, kp.data.causal_batches(_text(), model, 16, seed=0, random_shift=True)


def events(folder, quick):
    """Performances to be continued."""
    import numpy as np

    import keras_perceiver as kp

    model = _causal(kp.models.SymbolicAudioLM, quick)
    tokens = np.random.default_rng(0).integers(0, 389, 500_000).astype("uint16")
    return model, kp.data.midi_batches(tokens, model, 16, seed=0, min_length=16)


JOBS = {job.__name__: job for job in (images, masked_bytes, causal_bytes, events)}


def _causal(model, quick, **options):
    length, channels = (32, 32) if quick else (1024, 128)
    sizes = {"max_latents": length // 4, "num_layers": 2}
    return model(max_length=length, channels=channels, **sizes, **options)


def _photographs(folder):
    """Real ones, two classes of crops."""
    from PIL import Image
    from sklearn.datasets import load_sample_image

    import keras_perceiver as kp

    for name in ("china.jpg", "flower.jpg"):
        photograph = Image.fromarray(load_sample_image(name))
        (folder / name).mkdir()
        for i in range(PHOTOGRAPHS // 2):
            crop = photograph.crop((4 * i, i, 4 * i + 500, i + 375))
            crop.save(folder / name / f"{i}.jpg", quality=90)
    return kp.data.image_folder(str(folder))


@functools.cache
def _text():
    import keras_perceiver as kp

    texts = kp.data.topics().train
    return kp.data.tokens(texts, kp.preprocessing.ByteTokenizer())


def read(dataset, workers):
    """An endless iterator of batches."""
    import keras_perceiver as kp

    if workers is None:
        return (dataset[i] for i in itertools.count())
    return iter(kp.data.read_ahead(dataset, AHEAD, workers))


def timed(iterator, waits):
    """Its batches; notes in `waits` how many seconds `next` took for each."""
    while True:
        asked = time.perf_counter()
        batch = next(iterator)
        waits.append(time.perf_counter() - asked)
        yield batch


def speed(iterator, count):
    """Batches per second, without those that wait ready-made."""
    for _ in range(AHEAD):
        next(iterator)
    start = time.perf_counter()
    for _ in range(count):
        next(iterator)
    return count / (time.perf_counter() - start)


def measure_once(model, dataset, workers, options):
    """One round of one arm: name to number."""
    start = time.perf_counter()
    iterator = read(dataset, workers)
    next(iterator)
    found = {"first_s": time.perf_counter() - start}
    found["batches_per_s"] = speed(iterator, options.batches)
    waits = []
    start = time.perf_counter()
    model.fit(
        timed(iterator, waits), steps_per_epoch=options.steps, shuffle=False, verbose=0
    )
    # Of all of `fit`: JAX asks for batches long before the steps before them are done.
    seconds = time.perf_counter() - start
    found["step_s"], found["wait_share"] = seconds / options.steps, sum(waits) / seconds
    iterator.close()
    return found


def measure(job, options):
    """Results of one pipeline, a dictionary for each arm."""
    import keras

    import keras_perceiver as kp

    results = {arm: {"job": job, "arm": arm} for arm in options.arms}
    with tempfile.TemporaryDirectory() as folder:
        model, dataset = JOBS[job](pathlib.Path(folder), options.quick)
        text = job != "images"
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile("adam", kp.training.TokenCrossentropy() if text else loss)
        rounds = {arm: [] for arm in results}
        for turn in range(options.rounds + 1):
            for arm in results:
                found = measure_once(model, dataset, ARMS[arm], options)
                if turn:  # the first compiles
                    rounds[arm].append(found)
        for arm, result in results.items():
            result["n"] = options.rounds
            for name in rounds[arm][0]:
                result[name] = statistics.median(found[name] for found in rounds[arm])
    return list(results.values())


def table(results):
    """A Markdown table, speeds over that without help."""
    rows = ["| pipeline | arm | batches/s | ratio | first batch s | step s | waiting |"]
    rows.append("|---" * 7 + "|")
    for r in results:
        plain = next(x for x in results if x["job"] == r["job"])["batches_per_s"]
        rows.append(
            f"| {r['job']} | {r['arm']} | {r['batches_per_s']:.1f} "
            f"| {r['batches_per_s'] / plain:.2f} | {r['first_s']:.1f} "
            f"| {r['step_s']:.3f} | {r['wait_share']:.1%} |"
        )
    return "\n".join(rows)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", help="file for JSON lines; standard output without")
    parser.add_argument("--jobs", nargs="+", default=list(JOBS), choices=JOBS)
    parser.add_argument("--arms", nargs="+", default=list(ARMS), choices=ARMS)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--batches", type=int, default=24, help="timed a round")
    parser.add_argument("--steps", type=int, default=8, help="of `fit` a round")
    parser.add_argument("--quick", action="store_true", help="tiny: times mean nothing")
    options = parser.parse_args()
    if options.quick:
        options.rounds, options.batches, options.steps = 1, 2, 4
    results = []
    with open(options.out, "w") if options.out else sys.stdout as out:
        for job in options.jobs:
            for result in measure(job, options):
                results.append(result)
                print(json.dumps(result), file=out, flush=True)
        print(table(results), file=sys.stderr if out is sys.stdout else sys.stdout)


if __name__ == "__main__":
    main()
