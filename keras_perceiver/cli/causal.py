"""What tasks have in common whose models continue something."""

import dataclasses
import inspect

from jsonargparse.typing import (  # noqa: TID253 (imported by tasks only)
    OpenUnitInterval,
    PositiveFloat,
    PositiveInt,
)

from keras_perceiver import generation
from keras_perceiver.cli.errors import quiet_start
from keras_perceiver.cli.options import option_class
from keras_perceiver.cli.sequences import TokenTask
from keras_perceiver.generation import samplers
from keras_perceiver.layers import PerceiverAR

SAMPLER = inspect.signature(generation.stream).parameters["sampler"].default
SAMPLER_HELP = (
    "How the next token is chosen: `greedy` or `top_k`; with the package keras-nlp also "
    "`top_p`, `random`, `beam` or `contrastive`."
)
# Options that are arguments of samplers: name to argument, type and help.
SAMPLER_OPTIONS = {
    "temperature": (
        "temperature",
        PositiveFloat,
        "Below 1 for likelier tokens, above 1 for more",
    ),
    "top_k": ("k", PositiveInt, "How many tokens are candidates, the likeliest ones"),
    "top_p": (
        "p",
        OpenUnitInterval,
        "How probable all candidates are together, the likeliest ones",
    ),
}


class CausalTask(TokenTask):
    """What comes next?"""

    model_sources = (PerceiverAR,)
    ahead = 1

    def smoke(self, output):  # noqa: D102 (inherited)
        sizes = {"max_length": 128, "max_latents": 16, "channels": 32, "num_layers": 1}
        heads = {"attention.num_heads": 8, "attention.heads_at_once": None}
        return {
            **{f"model.{name}": value for name, value in {**sizes, **heads}.items()},
            "model.preprocessor.max_length": None,
            "min_length": None,
            "cache": None,
        }

    def generation_options(self):
        """Dataclass of how the model continues something."""
        method = self.model_class.generate
        # Those of the method are what it continues, and what is asked for otherwise.
        skip = ("self", "prompts", "midi", "stop")
        skip += ("model", "token_ids", "padding_mask", "stop_ids", "chunk")
        options = {
            name: (kind | None, None, f"{text}. None: as the sampler has it.")
            for name, (_, kind, text) in SAMPLER_OPTIONS.items()
        }
        return option_class(
            "GenerationOptions",
            method,
            generation.stream,
            skip=skip,
            sampler=(str, SAMPLER, SAMPLER_HELP),
            **options,
        )

    def add_generation_options(self, parser):
        """Options of `generate`."""
        parser.add_class_arguments(self.generation_options())

    def chosen_generation(self, chosen):
        """Arguments of the model's `generate` that the options say."""
        names = [field.name for field in dataclasses.fields(self.generation_options())]
        options = {name: chosen[name] for name in names if name not in SAMPLER_OPTIONS}
        return {**options, "sampler": _sampler(chosen)}

    def generate(self, model, chosen):
        """Continue what the options say, and show or write it."""
        raise NotImplementedError


def _sampler(chosen):
    """The sampler that the options name, by its name if nothing else is said of it."""
    with quiet_start():  # keras-nlp imports TensorFlow
        sampler = samplers.get(chosen.sampler)
    given = {name: chosen[name] for name in SAMPLER_OPTIONS if chosen[name] is not None}
    if not given:
        return chosen.sampler
    sampler = getattr(sampler, "sampler", sampler)  # keras-nlp's own
    arguments = {SAMPLER_OPTIONS[name][0]: value for name, value in given.items()}
    for name, argument in zip(given, arguments, strict=True):
        if not hasattr(sampler, argument):
            raise ValueError(
                f"--{name} is no option of --sampler={chosen.sampler}. "
                f"Received: {name}={given[name]}"
            )
    return type(sampler)(**arguments)
