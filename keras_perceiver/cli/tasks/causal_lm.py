"""`fit causal-lm`, and `generate` of texts."""

import itertools

from keras_perceiver.cli.causal import CausalTask
from keras_perceiver.cli.texts import LanguageTask, read_text
from keras_perceiver.data import causal_batches, causal_stream
from keras_perceiver.models import CausalLM
from keras_perceiver.training import GeneratedSamples
from keras_perceiver.training.callbacks import printable

# A text that is to go on has no end, and stands at the right.
FIXED = {"add_special_tokens": False, "padding_side": "left"}
# Between continuations.
SEPARATOR = "-" * 40


class CausalLMTask(LanguageTask, CausalTask):
    """How does a text go on?"""

    description = "Train a causal language model, Perceiver AR."
    model_class = CausalLM
    batches = staticmethod(causal_batches)
    stream = staticmethod(causal_stream)
    samples_help = "Texts that the model continues after each epoch."
    preprocessor_skip = (*LanguageTask.preprocessor_skip, *FIXED)

    def model(self, chosen):  # noqa: D102 (inherited)
        tokenizer = self.tokenizer(chosen, self.origin(chosen))
        options = chosen.model
        preprocessor = self.preprocessor(chosen, options.max_length, tokenizer, **FIXED)
        vocab_size = options.vocab_size or tokenizer.vocab_size
        return self.build(options, preprocessor=preprocessor, vocab_size=vocab_size)

    def smoke(self, output):  # noqa: D102 (inherited)
        bytes_ = {"tokenizer": "bytes", "model.vocab_size": None}
        return {**super().smoke(output), "data": "topics", **bytes_}

    def samples(self, chosen, folder):  # noqa: D102 (inherited)
        return GeneratedSamples(chosen.samples, folder, seed=chosen.seed)

    def add_generation_options(self, parser):  # noqa: D102 (inherited)
        parser.add_argument(
            "--prompt", nargs="+", default=[], help="Texts to continue, each by itself."
        )
        parser.add_argument(
            "--files", nargs="+", default=[], help="UTF-8 files with a text each."
        )
        super().add_generation_options(parser)
        parser.add_argument(
            "--stop",
            nargs="+",
            default=[],
            help="Strings of one token each, as '.' or '[EOS]', after which a text ends.",
        )

    def generate(self, model, chosen):  # noqa: D102 (inherited)
        prompts = [*chosen.prompt, *map(read_text, chosen.files)]
        if not prompts:
            raise ValueError("generate needs --prompt or --files. Received neither")
        options = {**self.chosen_generation(chosen), "stop": chosen.stop}
        stripped = options.pop("strip_prompt")
        for i, prompt in enumerate(prompts):
            pieces = model.stream(prompt, **options)
            # What is wrong with the options shows at the first one: before any text.
            pieces = itertools.chain(["" if stripped else prompt, next(pieces)], pieces)
            if i > 0:
                print(SEPARATOR)
            for piece in pieces:
                print(printable(piece), end="", flush=True)
            print()


TASK = CausalLMTask()
