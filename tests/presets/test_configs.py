"""S2: configs of every public class survive JSON, old keys and new ones."""

import inspect
import json

import pytest

import keras_perceiver as kp
from keras_perceiver.layers.configured import argument_names
from test_contracts import CASES

RECORDS = {
    "AttentionSpec": [kp.layers.AttentionSpec],
    "FlowPreprocessor": [lambda: kp.preprocessing.FlowPreprocessor((5, 4), 3, 10.0)],
    "ImagePreprocessor": [
        lambda: kp.preprocessing.ImagePreprocessor((5, 4, 3), (0, 0.5, 1))
    ],
}
MAKERS = {**{n: [case.make for case in cases] for n, cases in CASES.items()}, **RECORDS}
pytestmark = pytest.mark.one_backend


def as_json(value):
    return json.loads(json.dumps(value))


@pytest.mark.parametrize("name", MAKERS)
def test_configs_round_trip_with_old_and_unknown_keys(name):
    for make in MAKERS[name]:
        instance = make()
        cls = type(instance)
        config = as_json(instance.get_config())
        assert as_json(cls.from_config(config).get_config()) == config
        with pytest.raises((ValueError, TypeError), match="num_heds"):
            cls.from_config({**config, "num_heds": 3})
        parameters = inspect.signature(cls.__init__).parameters
        for key in argument_names(cls):
            if parameters[key].default is not inspect.Parameter.empty:
                older = {k: v for k, v in config.items() if k != key}
                try:
                    again = cls.from_config(older)
                except ValueError as error:
                    # The default alone may not go with the other arguments.
                    assert key in str(error)
                    continue
                assert set(as_json(again.get_config())) == set(config)
