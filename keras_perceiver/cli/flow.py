"""`keras-perceiver flow`."""

import itertools
import pathlib

import keras

from keras_perceiver.cli.errors import user_errors
from keras_perceiver.cli.models import load, refuse
from keras_perceiver.cli.options import Parser, documented
from keras_perceiver.cli.use import MODEL_HELP
from keras_perceiver.models import OpticalFlow
from keras_perceiver.preprocessing import frame_rate, read_frames, write_flo
from keras_perceiver.visualization import flow_image, write_flow_video
from keras_perceiver.visualization.flow import FULL_COLOUR


def flow(argv):
    """Write the optical flow between two images, or along a video."""
    parser = Parser.of(
        "flow",
        "Optical flow between two images, or along a video.",
        "MODEL --frames FIRST SECOND | --video=FILE --output=FILE [OPTIONS]",
    )
    parser.add_argument("model", help=MODEL_HELP)
    parser.add_argument("--frames", nargs=2, help="Two image files.")
    parser.add_argument("--video", type=str | None, help="A video file.")
    parser.add_argument(
        "--output",
        required=True,
        help="File to write. Of two images: .flo, the vectors in Middlebury's format, or "
        "an image, their colours. Of a video: one with each frame and its flow beside it.",
    )
    parser.add_argument(
        "--overwrite", type=bool, default=False, help="Replace a file that is there."
    )
    parser.add_argument(
        "--max_flow",
        type=float,
        default=FULL_COLOUR,
        help=documented(flow_image)["max_flow"],
    )
    options = parser.options(argv)
    with user_errors():
        if (options.frames is None) == (options.video is None):
            raise ValueError(
                "flow needs either --frames or --video. Received: "
                f"frames={options.frames}, video={options.video}"
            )
        output = pathlib.Path(options.output)
        if output.exists() and not options.overwrite:
            raise ValueError(
                f"--output must be a new file, or give --overwrite=true. Received: {output}"
            )
        model = load(options.model)
        if not isinstance(model, OpticalFlow):
            refuse(model, "an optical flow model", "MODEL")
        write = _write_pair if options.video is None else _write_video
        print(f"{write(model, options)}: {output}")


def _write_pair(model, options):
    from PIL import Image

    vectors = model.estimate(options.frames, verbose=0)
    if pathlib.Path(options.output).suffix == ".flo":
        write_flo(options.output, vectors)
        return "vectors in pixels"
    Image.fromarray(flow_image(vectors, options.max_flow)).save(options.output)
    return f"colours, full at {options.max_flow:g} pixels"


def _write_video(model, options):
    progress = keras.utils.Progbar(None, unit_name="frame")

    def estimates():
        for pair in itertools.pairwise(read_frames(options.video)):
            yield pair[0], model.estimate(pair, verbose=0)
            progress.add(1)

    rate = frame_rate(options.video)
    write_flow_video(options.output, estimates(), rate, options.max_flow)
    return "\nframes and colours"
