"""`keras-perceiver predict | fill-mask | generate | export | presets`."""

from keras_perceiver import export as formats
from keras_perceiver import presets as catalogue
from keras_perceiver.cli import tasks
from keras_perceiver.cli.causal import CausalTask
from keras_perceiver.cli.errors import user_errors
from keras_perceiver.cli.models import MODEL, add_model, load, refuse
from keras_perceiver.cli.options import Parser, documented
from keras_perceiver.export.generation import Generation
from keras_perceiver.models import MaskedLM

# Options of an export that generates, and their types.
GENERATION = {"num_latents": int, "sampler": str, "stop_ids": list[int]}
MODEL_HELP = f"{MODEL[0].upper()}{MODEL[1:]}."


def predict(argv):
    """Print the classes of inputs of any kind."""
    parser = Parser.of("predict", "Classes of inputs.", "INPUT... [OPTIONS]")
    parser.add_argument(
        "inputs",
        nargs="*",
        metavar="INPUT",
        help="For a text classifier the texts themselves; for others files: images, WAV "
        "files, sets of points (.npy); for an autoencoder with a label arrays by name, "
        "an entry for each example (.npz).",
    )
    parser.add_argument(
        "--files",
        nargs="+",
        default=[],
        help="Files: those, or UTF-8 texts.",
    )
    parser.add_argument("--model", default="digits", help=MODEL_HELP)
    parser.add_argument("--top_k", type=int, default=1, help="Classes to print of each.")
    options = parser.options(argv)
    with user_errors():
        if not options.inputs and not options.files:
            raise ValueError("predict needs at least one INPUT, or --files. Received none")
        model = load(options.model)
        task = tasks.of_model(model)
        names, classes = task.predict(model, options.inputs, options.files, options.top_k)
    for name, found in zip(names, classes, strict=True):
        print(name, *(f"{one['label']} ({one['score']:.1%})" for one in found), sep="\t")


def fill_mask(argv):
    """Print texts with their masks filled in."""
    parser = Parser.of(
        "fill-mask", "Texts with their masks filled in.", "TEXT... --model=MODEL [OPTIONS]"
    )
    parser.add_argument(
        "texts",
        nargs="+",
        metavar="TEXT",
        help="A text with [MASK] once for each token that is missing; with bytes as "
        "tokens, for each byte.",
    )
    parser.add_argument("--model", required=True, help=MODEL_HELP)
    parser.add_argument("--top_k", type=int, default=3, help="Fillings of each text.")
    options = parser.options(argv)
    with user_errors():
        model = load(options.model)
        if not isinstance(model, MaskedLM):
            refuse(model, "a masked language model")
        fillings = model.fill_mask(options.texts, options.top_k)
    for filled in fillings:
        for one in filled:
            print(f"{one['score']:.1%}", one["text"], sep="\t")


def generate(argv):
    """Continue texts or performances."""
    parser = Parser.of(
        "generate",
        "Continue texts, or piano performances in MIDI files.",
        "MODEL [OPTIONS]",
    )
    named = add_model(parser, argv)
    with user_errors():
        model = load(named)
        task = tasks.of_model(model)
        if not isinstance(task, CausalTask):
            refuse(model, "a causal language model or one of symbolic audio", "MODEL")
        task.add_generation_options(parser)
    options = parser.options(argv)
    with user_errors():
        task.generate(model, parser.instantiate(options))


def export(argv):
    """Write a SavedModel."""
    parser = Parser.of(
        "export", "Write a TensorFlow SavedModel.", "MODEL --output=FOLDER [OPTIONS]"
    )
    parser.add_argument("model", help=MODEL_HELP)
    parser.add_argument("--output", required=True, help="Folder to write.")
    texts = documented(Generation)
    for name, kind in GENERATION.items():
        text = f"Of models that generate: {texts[name]} None: as in Python."
        parser.add_argument(f"--{name}", type=kind | None, help=text)
    options = parser.options(argv)
    chosen = {name: options[name] for name in GENERATION if options[name] is not None}
    with user_errors():
        formats.saved_model(load(options.model), options.output, **chosen)
    print(f"SavedModel written and verified: {options.output}")


def presets(argv):
    """Print the names of presets."""
    Parser.of("presets", "List the models that load by name.", "").options(argv)
    for name in catalogue.list():
        print(name)
