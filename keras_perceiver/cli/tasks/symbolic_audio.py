"""`fit symbolic-audio`, and `generate` of performances."""

import pathlib
from typing import Literal

from jsonargparse.typing import PositiveInt  # noqa: TID253 (imported by tasks only)

from keras_perceiver.cli.causal import CausalTask
from keras_perceiver.cli.options import documented, option_class
from keras_perceiver.cli.sources import Performances
from keras_perceiver.data import midi_batches, midi_tokens
from keras_perceiver.files import atomic_files
from keras_perceiver.models import SymbolicAudioLM
from keras_perceiver.preprocessing import MidiPreprocessor
from keras_perceiver.preprocessing.synthesis import (
    SOUNDFONT,
    find_fluidsynth,
    render,
    synthesize,
    write_wav,
)
from keras_perceiver.visualization import plot_piano_roll

EventOptions = option_class("EventOptions", midi_tokens, skip=("files", "workers"))


class SymbolicAudioTask(CausalTask):
    """How does a performance go on?"""

    description = "Train a model that continues piano performances, Perceiver AR."
    model_class = SymbolicAudioLM
    preprocessor_class = MidiPreprocessor
    preprocessor_skip = ()
    data = Performances
    corpus_options = EventOptions
    batches = staticmethod(midi_batches)
    token = predicted = "event"

    def tokens(self, records, model, chosen):  # noqa: D102 (inherited)
        return midi_tokens(records, chosen.cache)

    def model(self, chosen):  # noqa: D102 (inherited)
        preprocessor = self.preprocessor(chosen, chosen.model.max_length)
        return self.build(chosen.model, preprocessor=preprocessor)

    def smoke(self, output):  # noqa: D102 (inherited)
        data = {"data": "exercises", "data.folder": f"{output}-exercises"}
        return {**super().smoke(output), **data}

    def add_generation_options(self, parser):  # noqa: D102 (inherited)
        parser.add_argument(
            "--files", nargs="+", required=True, help="MIDI files to continue."
        )
        parser.add_argument(
            "--output",
            required=True,
            help="Folder to write: for each file a MIDI file of its name.",
        )
        parser.add_argument(
            "--overwrite",
            type=bool,
            default=False,
            help="Replace files of the same names in the folder.",
        )
        parser.add_argument(
            "--max_prompt",
            type=PositiveInt | None,
            default=None,
            help="Events that are read of each file, from its start. None: all, of which "
            "there must be no more than the model's max_length.",
        )
        super().add_generation_options(parser)
        parser.add_argument(
            "--wav",
            type=Literal["none", "plain", "fluidsynth"],
            default="none",
            help="Write sound too: of plain tones, or by the program fluidsynth.",
        )
        parser.add_argument(
            "--soundfont", default=SOUNDFONT, help=documented(render)["soundfont"]
        )
        parser.add_argument(
            "--piano_roll", type=bool, default=False, help="Write pictures too."
        )

    def generate(self, model, chosen):  # noqa: D102 (inherited)
        names, output = _names(chosen), pathlib.Path(chosen.output)
        if chosen.wav == "fluidsynth":
            find_fluidsynth(chosen.soundfont)
        if chosen.max_prompt is not None:
            if chosen.max_prompt > model.max_length:
                raise ValueError(
                    "--max_prompt must not exceed the model's max_length, "
                    f"{model.max_length}. Received: {chosen.max_prompt}"
                )
            model.preprocessor = MidiPreprocessor(chosen.max_prompt, truncate=True)
        with atomic_files(output) as folder:
            options = self.chosen_generation(chosen)
            performances = model.generate(chosen.files, **options)
            for name, midi in zip(names, performances, strict=True):
                _write(midi, pathlib.Path(folder, name), chosen)
        for name, midi in zip(names, performances, strict=True):
            notes = len(midi.instruments[0].notes)
            path = output / f"{name}.mid"
            print(f"{path!s:40} {notes:,} notes, {midi.get_end_time():.1f} s")


def _names(chosen):
    """Names of what is written, without suffix; a ValueError if it is there already."""
    names = [pathlib.Path(path).stem for path in chosen.files]
    if len(set(names)) < len(names):
        raise ValueError(f"--files must have different names. Received: {names}")
    suffixes = {".mid": True, ".wav": chosen.wav != "none", ".png": chosen.piano_roll}
    files = [
        name + suffix for name in names for suffix, wanted in suffixes.items() if wanted
    ]
    there = [name for name in files if pathlib.Path(chosen.output, name).exists()]
    if there and not chosen.overwrite:
        raise ValueError(
            "--output must be a folder without files of these names, or give "
            f"--overwrite=true. Received: {chosen.output} with {there}"
        )
    return names


def _write(midi, path, chosen):
    """A performance as files, `path` without suffix; one without notes as MIDI alone."""
    midi.write(f"{path}.mid")
    if not midi.instruments[0].notes:
        return
    if chosen.wav == "plain":
        write_wav(f"{path}.wav", synthesize(midi))
    if chosen.wav == "fluidsynth":
        render(midi, f"{path}.wav", chosen.soundfont)
    if chosen.piano_roll:
        plot_piano_roll(midi, f"{path}.png")


TASK = SymbolicAudioTask()
