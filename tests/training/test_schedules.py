"""Learning rates by step."""

import pytest

from keras_perceiver.training import warmup_cosine

pytestmark = pytest.mark.one_backend


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, [1, 0.8536, 0.5, 0]),
        ({"warmup_steps": 25}, [0, 1, 0.75, 0]),
        ({"constant_fraction": 0.5}, [1, 1, 1, 0]),
        ({"constant_fraction": 0.25, "final_fraction": 0.1}, [1, 1, 0.775, 0.1]),
        ({"constant_fraction": 1}, [1, 1, 1, 1]),
        ({"final_fraction": 1}, [1, 1, 1, 1]),
    ],
)
def test_rates_at_the_quarters(options, expected):
    schedule = warmup_cosine(1.0, 100, **options)
    last = 99.999 if options.get("constant_fraction") == 1 else 100
    rates = [float(schedule(step)) for step in (0, 25, 50, last)]
    assert rates == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"warmup_steps": 100}, "`warmup_steps` must lie between 0 and total_steps - 1"),
        ({"final_fraction": 2}, r"`final_fraction` must lie in \[0, 1\].*=2"),
        ({"constant_fraction": -1}, r"`constant_fraction` must lie in \[0, 1\].*=-1"),
        (
            {"warmup_steps": 5, "constant_fraction": 0.5},
            "`warmup_steps` and `constant_fraction` exclude each other.*: 5 and 0.5",
        ),
    ],
)
def test_refusals(options, match):
    with pytest.raises(ValueError, match=match):
        warmup_cosine(1.0, 100, **options)
