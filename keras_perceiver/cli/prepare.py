"""`keras-perceiver preprocess`."""

import pathlib

from jsonargparse.typing import PositiveInt  # noqa: TID253 (imported by the command only)

from keras_perceiver.cli.errors import CommandLineError, user_errors
from keras_perceiver.cli.options import Parser
from keras_perceiver.cli.sources import Performances, Texts
from keras_perceiver.cli.tasks.symbolic_audio import EventOptions
from keras_perceiver.cli.texts import CORPUS, TOKENIZER_HELP, CorpusOptions, make_tokenizer
from keras_perceiver.data import midi_tokens, tokens
from keras_perceiver.files import atomic_files


def preprocess(argv):
    """Fill the cache of token ids."""
    kinds = {"text": _text, "midi": _midi}
    if not argv or argv[0] not in kinds:
        raise CommandLineError(
            f"preprocess needs a kind of data: {', '.join(kinds)}. "
            f"Received: {argv[0] if argv else 'none'}"
        )
    kinds[argv[0]](argv[1:])


def _text(argv):
    parser = _parser("text", "Tokenize a corpus once", Texts, CorpusOptions)
    parser.add_argument("--tokenizer", default="bytes", help=TOKENIZER_HELP)
    chosen = _chosen(parser, argv)
    with user_errors():
        tokenizer = make_tokenizer(chosen.tokenizer, chosen.data.train)
        if tokenizer.FILE is not None and not pathlib.Path(chosen.tokenizer).is_file():
            # Trained just now: name it in place of training it again, also where the work
            # that follows is interrupted.
            with atomic_files(chosen.cache) as folder:
                pathlib.Path(folder, tokenizer.FILE).write_bytes(tokenizer.file_bytes())
            vocabulary = pathlib.Path(chosen.cache, tokenizer.FILE)
            print(f"vocabulary: --tokenizer={vocabulary}", flush=True)
        corpus = {name: chosen[name] for name in CORPUS}
        counts = [
            len(tokens(documents, tokenizer, **corpus, workers=chosen.workers))
            for documents in (chosen.data.train, chosen.data.test)
        ]
    print(f"{counts[0]:,} tokens, {counts[1]:,} held out: {chosen.cache}")


def _midi(argv):
    parser = _parser("midi", "Encode performances once", Performances, EventOptions)
    chosen = _chosen(parser, argv)
    with user_errors():
        counts = [
            len(midi_tokens(files, chosen.cache, chosen.workers))
            for files in (chosen.data.train, chosen.data.test)
        ]
    print(f"{counts[0]:,} events, {counts[1]:,} held out: {chosen.cache}")


def _parser(kind, what, data, corpus_options):
    parser = Parser.of(
        f"preprocess {kind}",
        f"{what}, for fit with the same --cache.",
        "--cache=FOLDER [OPTIONS]",
    )
    parser.add_data(data)
    parser.add_class_arguments(corpus_options)
    parser.add_argument(
        "--workers",
        type=PositiveInt,
        default=1,
        help="Processes that work at the same time. What is interrupted goes on where it "
        "was when the same command is given again.",
    )
    return parser


def _chosen(parser, argv):
    options = parser.options(argv)
    if options.cache is None:
        raise CommandLineError("required: --cache")
    with user_errors():
        return parser.instantiate(options)
