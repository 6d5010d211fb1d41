"""A performance as a picture."""

import math

from keras_perceiver.preprocessing.midi_files import as_midi

OCTAVE = 12
MAX_INCHES = 40  # of the width: what is longer is drawn closer together


def plot_piano_roll(midi, path):
    """Draw the notes of a performance over time into a PNG file.

    Args:
        midi: a `pretty_midi.PrettyMIDI` or the path of a MIDI file.
        path: of the PNG file.

    Returns:
        `path`.

    Raises:
        FileNotFoundError: no such MIDI file.
        ValueError: no note, or a broken MIDI file.

    Example:
    >>> import os, tempfile
    >>> from keras_perceiver.preprocessing import decode_midi
    >>> file = os.path.join(tempfile.mkdtemp(), "roll.png")
    >>> plot_piano_roll(decode_midi([376, 60, 305, 188]), file) == file
    True
    """
    import pretty_midi
    from matplotlib.collections import PolyCollection
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    notes = [note for x in as_midi(midi).instruments for note in x.notes]
    if not notes:
        raise ValueError("`midi` must hold at least one note. Received none.")
    notes.sort(key=lambda note: note.velocity)  # loud ones in front
    end = max(note.end for note in notes)
    low, high = (f(note.pitch for note in notes) for f in (min, max))
    # Whole octaves, from C to C.
    low, high = OCTAVE * (low // OCTAVE), OCTAVE * math.ceil((high + 1) / OCTAVE)

    width = min(max(8, 3 + end / 3), MAX_INCHES)
    height = 2 + (high - low) / OCTAVE * 0.8
    figure = Figure(figsize=(width, height), layout="constrained")
    axis = figure.subplots()
    for pitch in range(low, high + 1):
        if "#" in pretty_midi.note_number_to_name(pitch):
            axis.axhspan(pitch - 0.5, pitch + 0.5, color="0.95", linewidth=0)
    boxes = [
        [(x.start, y - 0.4), (x.end, y - 0.4), (x.end, y + 0.4), (x.start, y + 0.4)]
        for x in notes
        for y in [x.pitch]
    ]
    colours = PolyCollection(
        boxes, array=[x.velocity for x in notes], cmap="viridis_r", edgecolors="white"
    )
    colours.set_linewidth(0.4)
    colours.set_clim(0, 127)
    axis.add_collection(colours)
    axis.set_xlim(0, end)
    axis.set_ylim(low - 0.5, high + 0.5)
    ticks = range(low, high + 1, OCTAVE)
    axis.set_yticks(ticks, [pretty_midi.note_number_to_name(x) for x in ticks])
    axis.xaxis.set_major_locator(MaxNLocator(nbins=int(width)))
    axis.set_xlabel("time (s)")
    axis.set_ylabel("pitch (grey: black keys)")
    axis.set_axisbelow(True)
    axis.grid(axis="y", alpha=0.3)
    figure.colorbar(colours, ax=axis, pad=0.01, label="velocity (loudness)")
    plural = "" if len(notes) == 1 else "s"
    axis.set_title(f"{len(notes)} note{plural} in {end:.1f} s")
    figure.savefig(path, dpi=120)
    return path
