"""`keras-perceiver preprocess`."""

import pathlib

from keras_perceiver.cli.errors import CommandLineError, user_errors
from keras_perceiver.cli.options import Parser
from keras_perceiver.cli.sources import Texts
from keras_perceiver.cli.texts import CORPUS, TOKENIZER_HELP, CorpusOptions, make_tokenizer
from keras_perceiver.data import tokens

KINDS = ("text",)


def preprocess(argv):
    """Fill the cache of token ids."""
    if not argv or argv[0] not in KINDS:
        raise CommandLineError(
            f"preprocess needs a kind of data: {', '.join(KINDS)}. "
            f"Received: {argv[0] if argv else 'none'}"
        )
    parser = Parser.of(
        "preprocess text",
        "Tokenize a corpus once, for fit with the same --cache.",
        "--cache=FOLDER [OPTIONS]",
    )
    parser.add_data(Texts)
    parser.add_class_arguments(CorpusOptions)
    parser.add_argument("--tokenizer", default="bytes", help=TOKENIZER_HELP)
    options = parser.options(argv[1:])
    with user_errors():
        if options.cache is None:
            raise ValueError("required: --cache")
        chosen = parser.instantiate(options)
        tokenizer = make_tokenizer(chosen.tokenizer, chosen.data.train)
        corpus = {name: chosen[name] for name in CORPUS}
        counts = [
            len(tokens(documents, tokenizer, **corpus))
            for documents in (chosen.data.train, chosen.data.test)
        ]
    print(f"{counts[0]:,} tokens, {counts[1]:,} held out: {chosen.cache}")
    if tokenizer.FILE is not None and not pathlib.Path(chosen.tokenizer).is_file():
        # Trained just now: name it in place of training it again.
        path = pathlib.Path(chosen.cache, tokenizer.FILE)
        path.write_bytes(tokenizer.file_bytes())
        print(f"vocabulary: --tokenizer={path}")
