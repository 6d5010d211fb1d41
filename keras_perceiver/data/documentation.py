"""CPython's own documentation, which comes with Python: `pydoc_data.topics`."""

import itertools
import re
import textwrap

import numpy as np

from keras_perceiver.data.text import LabelledTexts, TextData, check_fraction

PROSE, CODE = LABELS = ["prose", "code"]
# A paragraph at least this long is not in two topics by chance.
LONG_PARAGRAPH = 40
MIN_PASSAGE_BYTES = 20
# An example is set deeper than the paragraph before it, which ends in a colon; lists are
# set less deep, notes have sentences.
CODE_INDENTATION = 3
CODE_START = re.compile(r">>> |\(Pdb\) |[^\n]*::=")
LIST_ITEM = re.compile(r"(\*|\d+\.|\[\d+\]) ")
SENTENCE = re.compile(r"\.[)\"]*$")
TABLE = re.compile(r"\+[-=]|===")


def topics(test_fraction: float = 0.2, seed: int = 0) -> TextData:
    """CPython's documentation of the language: some 330,000 characters on 70 topics.

    The text is that of the running Python. Whole topics are held out. Some topics
    repeat parts of others: what a longer topic has is left out of a shorter one, so
    nothing is trained on and held out at once.

    Args:
        test_fraction: fraction of the characters held out, at most.
        seed: of the split.

    Returns:
        A `TextData` of strings, one a topic.

    Example:
    >>> data = topics()
    >>> len(data.train) > len(data.test) > 0
    True
    """
    return TextData(
        *(
            ["\n\n".join(text for _, text in topic) + "\n" for topic in part]
            for part in _split(_unique_topics(), test_fraction, seed)
        )
    )


def topic_passages(
    test_fraction: float = 0.2, seed: int = 0, max_bytes: int = 128
) -> TextData:
    """Passages of CPython's documentation: is it prose, or code?

    Code is what the documentation sets as a literal block: examples, sessions of the
    interpreter and the debugger, grammar. Prose is sentences. Tables, headings and
    signatures are neither, and left out. Paragraphs lose their indentation, and are cut
    into passages of whole lines. There is far more prose: as many passages of it as of
    code are drawn, so that a guess is right half the time. Whole topics are held out,
    and no passage is on both sides.

    Args:
        test_fraction: fraction of the characters held out, at most, before the draw.
        seed: of the split and the draw.
        max_bytes: longest passage, in bytes of UTF-8.

    Returns:
        A `TextData` of `(text, label)`.

    Example:
    >>> topic_passages().labels
    ['prose', 'code']
    """
    rng = np.random.default_rng(seed)
    seen, parts = set(), []
    for part in _split(_unique_topics(), test_fraction, seed):
        passages = {PROSE: [], CODE: []}
        for label, paragraph in itertools.chain(*part):
            if label is not None:
                new = [x for x in _passages(paragraph, max_bytes) if x not in seen]
                passages[label] += new
                seen.update(new)
        count = min(map(len, passages.values()))
        texts = [
            texts[i]
            for texts in passages.values()
            for i in np.sort(rng.choice(len(texts), count, replace=False))
        ]
        parts.append(LabelledTexts(texts, np.repeat(np.arange(len(LABELS)), count)))
    return TextData(*parts, LABELS)


def _unique_topics():
    """Topics as lists of (label, paragraph), each long paragraph once."""
    from pydoc_data.topics import topics as texts

    seen, kept = set(), []
    for text in sorted(texts.values(), key=lambda text: (-len(text), text)):
        topic, new = [], set()
        for label, paragraph in _labelled(text):
            words = " ".join(paragraph.split())
            if words not in seen:
                topic.append((label, paragraph))
            if len(words) >= LONG_PARAGRAPH and words not in seen:
                new.add(words)
        seen |= new
        if new:
            kept.append(topic)
    return kept


def _labelled(text):
    """Paragraphs of a topic with their labels; None for what is neither."""
    before, code_depth = "", None
    for paragraph in re.split(r"\n(?: *\n)+", text.strip("\n")):
        start = paragraph.lstrip(" ")
        depth = len(paragraph) - len(start)
        sentence = SENTENCE.search(start) is not None and not CODE_START.match(start)
        if code_depth is not None and (depth < code_depth or sentence):
            code_depth = None
        if code_depth is None and (
            CODE_START.match(start)
            or (
                before.endswith(":")
                and depth >= len(before) - len(before.lstrip(" ")) + CODE_INDENTATION
                and not sentence
                and not LIST_ITEM.match(start)
            )
        ):
            code_depth = depth
        if TABLE.match(start):
            label = None
        elif code_depth is not None:
            label = CODE
        else:
            label, before = PROSE if sentence or start.endswith(":") else None, paragraph
        yield label, paragraph


def _passages(paragraph, max_bytes):
    """Pieces of a paragraph: as many whole lines as fit, without indentation."""
    passages = [""]
    for line in textwrap.dedent(paragraph).split("\n"):
        longer = f"{passages[-1]}\n{line}".lstrip("\n")
        if len(longer.encode()) <= max_bytes:
            passages[-1] = longer
        else:
            passages.append(line)
    return [x for x in passages if MIN_PASSAGE_BYTES <= len(x.encode()) <= max_bytes]


def _split(topics, test_fraction, seed):
    """Topics to train on, and topics drawn for as long as they fit into the fraction."""
    check_fraction(test_fraction)
    # With the empty line after each paragraph.
    sizes = [sum(len(text) + 2 for _, text in topic) for topic in topics]
    room, held_out = test_fraction * sum(sizes), set()
    for i in np.random.default_rng(seed).permutation(len(topics)):
        if sizes[i] <= room:
            held_out.add(i)
            room -= sizes[i]
    train = [topic for i, topic in enumerate(topics) if i not in held_out]
    return train, [topic for i, topic in enumerate(topics) if i in held_out]
