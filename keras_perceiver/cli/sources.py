"""Data as the command line names them: functions of `keras_perceiver.data`."""

from jsonargparse.typing import class_from_function  # noqa: TID253

from keras_perceiver import data


class Images:
    """Labelled images to train on, and held out."""


class Texts:
    """Texts to train on, and held out."""


class Performances:
    """MIDI files of piano performances to train on, and held out."""


class MovingFrames:
    """Pairs of frames and their optical flow to train on, and held out."""


class Sounds:
    """Labelled clips of sound to train on, and held out."""


class PointSets:
    """Labelled sets of points to train on, and held out."""


class Examples:
    """Examples of several kinds of inputs to train on, and held out."""


# For each kind, name to class; the first is the default, which needs no files where there
# is such a source.
SOURCES = {
    kind: {
        function.__name__: class_from_function(function, kind, name=function.__name__)
        for function in functions
    }
    for kind, functions in (
        (Images, (data.digits, data.image_folder, data.tfds)),
        (
            Texts,
            (
                data.topics,
                data.topic_passages,
                data.text_files,
                data.table,
                data.tfds_text,
                data.wikitext103,
                data.bookcorpus,
                data.bookcorpusopen,
                data.enwik8,
            ),
        ),
        (Performances, (data.midi_folder, data.maestro, data.giantmidi, data.exercises)),
        (Sounds, (data.notes, data.audio_folder)),
        (PointSets, (data.digit_points, data.point_folder)),
        (Examples, (data.digit_tones, data.array_file)),
        (
            MovingFrames,
            (data.moved_photographs, data.sintel, data.kitti_flow, data.flying_chairs),
        ),
    )
}
