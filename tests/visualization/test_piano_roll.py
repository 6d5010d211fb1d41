"""A piano roll shows each note where it is."""

from pathlib import Path

import numpy as np
import pretty_midi
import pytest

from keras_perceiver.preprocessing import decode_midi
from keras_perceiver.visualization import plot_piano_roll

pytestmark = pytest.mark.one_backend
PROMPT = Path(__file__).parents[1] / "golden" / "midi" / "audio_prompt_1.mid"


@pytest.fixture
def figures(monkeypatch):
    """The figures that are drawn."""
    from matplotlib.figure import Figure

    drawn, save = [], Figure.savefig

    def savefig(figure, *args, **kwargs):
        drawn.append(figure)
        return save(figure, *args, **kwargs)

    monkeypatch.setattr(Figure, "savefig", savefig)
    return drawn


def test_notes_are_where_they_are(tmp_path, figures):
    midi = decode_midi([376, 60, 305, 188, 366, 63, 355, 191])
    assert plot_piano_roll(midi, tmp_path / "roll.png") == tmp_path / "roll.png"
    axis, colour_bar = figures[0].axes
    (notes,) = axis.collections
    boxes = [path.get_extents().extents.tolist() for path in notes.get_paths()]
    np.testing.assert_allclose(boxes, [[0.5, 62.6, 1.5, 63.4], [0, 59.6, 0.5, 60.4]])
    assert notes.get_array().tolist() == [40, 80]  # velocities, the loudest in front
    assert axis.get_title() == "2 notes in 1.5 s"
    assert axis.get_xlabel() == "time (s)" and axis.get_xlim() == (0, 1.5)
    assert [x.get_text() for x in axis.get_yticklabels()] == ["C4", "C5"]
    assert colour_bar.get_ylabel() == "velocity (loudness)"


def test_a_real_performance_is_a_picture(tmp_path):
    from PIL import Image

    plot_piano_roll(str(PROMPT), tmp_path / "roll.png")
    with Image.open(tmp_path / "roll.png") as image:
        pixels = np.asarray(image.convert("L"))
    assert min(pixels.shape) > 500 and pixels.std() > 5


def test_all_pitches_and_a_long_time_fit(tmp_path, figures):
    midi = decode_midi([387, 0, 127, *[355] * 1000, 128, 255])
    plot_piano_roll(midi, tmp_path / "roll.png")
    assert figures[0].get_size_inches().max() <= 40
    low, high = figures[0].axes[0].get_ylim()
    assert low < 0 and high > 127


def test_what_cannot_be_drawn_is_refused(tmp_path):
    with pytest.raises(ValueError, match="`midi` must hold at least one note"):
        plot_piano_roll(pretty_midi.PrettyMIDI(), tmp_path / "roll.png")
    (tmp_path / "broken.mid").write_bytes(PROMPT.read_bytes()[:100])
    with pytest.raises(ValueError, match="broken.mid is not a complete MIDI file"):
        plot_piano_roll(tmp_path / "broken.mid", tmp_path / "roll.png")
    assert not (tmp_path / "roll.png").exists()
