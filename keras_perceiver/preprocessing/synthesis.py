"""Performances as sound."""

import os
import shutil
import subprocess
import tempfile
import wave

import numpy as np

from keras_perceiver.preprocessing.midi_files import as_midi

SAMPLE_RATE = 44_100
# A day of samples would not fit the memory.
MAX_SOUND_SECONDS = 3600
# Where Debian's package fluid-soundfont-gm puts it.
SOUNDFONT = "/usr/share/sounds/sf2/FluidR3_GM.sf2"
# Strengths of the tones of a string: the keynote, its octave, and so on.
OVERTONES = (1.0, 0.4, 0.2, 0.1)


def synthesize(midi, sample_rate=SAMPLE_RATE):
    """A performance as plain tones, which fade as those of a piano do.

    It needs no program and no sounds of instruments; with those, `render` sounds
    better. Drums are silent.

    Args:
        midi: a `pretty_midi.PrettyMIDI` or the path of a MIDI file, of at most an
            hour.
        sample_rate: samples a second.

    Returns:
        Float32 `[samples]`, the loudest of them 1 or -1; empty without an instrument.

    Raises:
        FileNotFoundError: no such file.
        ValueError: a broken file, or a performance that is too long.

    Example:
    >>> from keras_perceiver.preprocessing import decode_midi
    >>> synthesize(decode_midi([376, 60, 305, 188]), sample_rate=8000).shape
    (12000,)
    """
    midi = _checked(midi)
    # Not its own normalization: that divides silence by 0.
    samples = midi.synthesize(sample_rate, _string, normalize=False)
    loudest = np.abs(samples).max(initial=0)
    return (samples / (loudest or 1)).astype("float32")


def render(midi, path, soundfont=SOUNDFONT):
    """Write a performance as a WAV file with the program `fluidsynth`.

    Args:
        midi: a `pretty_midi.PrettyMIDI` or the path of a MIDI file, of at most an
            hour.
        path: of the WAV file.
        soundfont: path of an SF2 or SF3 file with the sounds of instruments.

    Returns:
        `path`.

    Raises:
        FileNotFoundError: the program, the soundfont, or the MIDI file is missing.
        ValueError: a broken MIDI file, or a performance that is too long.
        RuntimeError: the program failed; its message is in the error.
    """
    midi = _checked(midi)
    program = find_fluidsynth(soundfont)
    with tempfile.TemporaryDirectory() as folder:
        # Names of our own: the program reads one with a leading "-" as an option.
        source, target = (os.path.join(folder, x) for x in ("source.mid", "target.wav"))
        midi.write(source)
        options = ["-n", "-i", "-F", target, "-r", str(SAMPLE_RATE)]
        result = subprocess.run(
            [program, *options, os.path.abspath(soundfont), source],
            capture_output=True,
            text=True,
            errors="replace",
            stdin=subprocess.DEVNULL,
            timeout=MAX_SOUND_SECONDS,  # it is many times faster than the music
        )
        # It reports success whatever happens.
        if result.returncode != 0 or not os.path.isfile(target):
            raise RuntimeError(f"{program} failed: {result.stderr.strip()[-1000:]}")
        shutil.move(target, path)
    return path


def find_fluidsynth(soundfont=SOUNDFONT):
    """The path of the program `fluidsynth`.

    Raises:
        FileNotFoundError: it is missing, or the soundfont.
    """
    program = shutil.which("fluidsynth")
    if program is None or not os.path.isfile(soundfont):
        missing = "fluidsynth" if program is None else soundfont
        raise FileNotFoundError(
            "`render` needs the program fluidsynth and a soundfont. On Debian: apt install "
            f"fluidsynth fluid-soundfont-gm; `synthesize` needs neither. Missing: {missing}"
        )
    return program


def write_wav(path, samples, sample_rate=SAMPLE_RATE):
    """Write samples as a WAV file of 16 bits.

    Args:
        path: of the file.
        samples: floats `[samples]` or `[samples, channels]` in [-1, 1]; what is
            beyond is clipped.
        sample_rate: samples a second.

    Returns:
        `path`.

    Raises:
        ValueError: samples that are no such floats, or not finite.

    Example:
    >>> file = os.path.join(tempfile.mkdtemp(), "tone.wav")
    >>> write_wav(file, np.sin(np.arange(8000) / 3), sample_rate=8000) == file
    True
    """
    samples = np.asarray(samples)
    if samples.dtype.kind != "f" or samples.ndim not in (1, 2) or 0 in samples.shape[1:]:
        raise ValueError(
            "`samples` must be floats [samples] or [samples, channels]. Received: "
            f"shape={samples.shape}, dtype={samples.dtype}"
        )
    if not np.isfinite(samples).all():
        raise ValueError("`samples` must be finite. Received: NaN or infinity")
    scale = np.iinfo("int16").max
    frames = np.rint(np.clip(samples, -1, 1) * scale).astype("<i2")
    with wave.open(os.fspath(path), "wb") as file:
        file.setnchannels(1 if samples.ndim == 1 else samples.shape[1])
        file.setsampwidth(frames.itemsize)
        file.setframerate(sample_rate)
        file.writeframes(frames.tobytes())
    return path


def _checked(midi):
    midi = as_midi(midi)
    if midi.get_end_time() > MAX_SOUND_SECONDS:
        raise ValueError(
            f"`midi` must not be longer than {MAX_SOUND_SECONDS} s. Received: "
            f"{midi.get_end_time():.0f} s"
        )
    return midi


def _string(phase):
    """A periodic wave with overtones."""
    return sum(x * np.sin((i + 1) * phase) for i, x in enumerate(OVERTONES))
