"""The benchmarks' models are the presets they name, without dropout."""

import concurrent.futures
import importlib
import pathlib

import keras
import numpy as np
import pytest

import keras_perceiver as kp

pytestmark = pytest.mark.one_backend
BENCHMARKS = pathlib.Path(__file__).parents[2] / "benchmarks"
NAMES = sorted(path.stem for path in BENCHMARKS.glob("bench_*.py"))


@pytest.fixture(autouse=True)
def path(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)


def jobs(benchmark):
    return importlib.import_module(benchmark).JOBS


def facts(make, length):
    """Weights, arithmetic, and what neither shows, without allocating weights."""

    def build():
        with keras.StatelessScope(initialize_variables=False):
            model = make()
            encoder = model.encoder.name
            layers = model._flatten_layers()
            attentions = [x for x in layers if isinstance(x, kp.layers.Attention)]
            return {
                "weights": {
                    w.path.removeprefix(f"{encoder}/"): tuple(w.shape)
                    for w in model.weights
                    if "seed" not in w.path
                },
                "flops": kp.models.flops(model, executed=True, length=length),
                "heads": [x.num_heads for x in attentions],
                "dropout": {x.dropout for x in attentions},
                "query_residual": model.query_residual,
            }

    with concurrent.futures.ThreadPoolExecutor(1) as executor:
        return executor.submit(build).result()


@pytest.mark.parametrize("benchmark", NAMES)
def test_models_are_those_of_the_presets(benchmark):
    for job in jobs(benchmark):
        ours = facts(job.model, job.length)
        preset = facts(
            lambda job=job: kp.presets.load(job.preset, load_weights=False), job.length
        )
        assert ours.pop("dropout") == {0}
        del preset["dropout"]
        assert ours == preset, job.name


@pytest.mark.parametrize("benchmark", NAMES)
def test_names_in_a_job_are_names_of_arms(benchmark):
    arms = importlib.import_module("arms").arms(benchmark)
    for job in jobs(benchmark):
        assert {*job.aims, *job.compile_aims, *job.left_out} <= set(arms), job.name


def test_text_batches_mask_some_tokens_and_are_the_same_in_every_process():
    IGNORED = importlib.import_module("jobs").IGNORED
    for job in jobs("bench_text"):
        inputs, labels = job.data()
        again, same_labels = job.data()
        np.testing.assert_array_equal(labels, same_labels)
        masked = labels != IGNORED
        assert 0.1 < masked.mean() < 0.2
        assert set(inputs["token_ids"][masked]) == {3}
        for key, value in inputs.items():
            assert value.shape == labels.shape == (job.batch, job.length)
            np.testing.assert_array_equal(value, again[key])
        ids = np.where(masked, labels, inputs["token_ids"])
        assert ids.min() >= 0
        assert ids.max() < job.vocab_size


def test_the_reference_takes_every_weight_and_no_other():
    reference_torch = importlib.import_module("reference_torch")
    model = reference_torch.Decoder(4, 6)
    weights = {
        name.replace(".", "/")
        .replace("weight", "gamma" if "norm" in name else "kernel")
        .replace("bias", "beta" if "norm" in name else "bias"): p.detach().numpy().T
        for name, p in model.named_parameters()
    }
    reference_torch.load(model, weights)
    with pytest.raises(ValueError, match="without a place: \\['other'\\]"):
        reference_torch.load(model, {**weights, "other": np.ones(3)})
    del weights["cross_attention/mlp_in/bias"]
    with pytest.raises(KeyError, match="cross_attention/mlp_in/bias"):
        reference_torch.load(model, weights)


def test_flops_count_branches_and_loops_as_they_run():
    """By hand: a product of 2x3 and 3x4 is 48; three in a scan; one of two branches."""
    import jax
    import jax.numpy as jnp

    jaxpr_flops = importlib.import_module("flop_count").jaxpr_flops
    x, y = jnp.ones((2, 3)), jnp.ones((3, 4))

    def scanned(x, y):
        return jax.lax.scan(lambda carry, _: (carry, x @ y), 0, None, length=3)[1]

    def chosen(x, y):
        return jax.lax.cond(x[0, 0] > 0, lambda: x @ y, lambda: -(x @ y))

    for function, expected in ((jnp.matmul, 48), (scanned, 3 * 48), (chosen, 48)):
        assert jaxpr_flops(jax.make_jaxpr(function)(x, y).jaxpr) == expected
