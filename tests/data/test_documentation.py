"""CPython's documentation as data: what is held out, and what is code."""

import pydoc_data.topics

import numpy as np
import pytest

import keras_perceiver as kp

pytestmark = pytest.mark.one_backend


def paragraphs(texts):
    return {" ".join(p.split()) for text in texts for p in text.split("\n\n")}


def test_topics_are_held_out_whole_and_by_seed():
    data = kp.data.topics()
    assert len(data.train) > 20 < len(data.train) + len(data.test) <= 100
    sizes = [sum(map(len, part)) for part in (data.train, data.test)]
    assert 0.15 < sizes[1] / sum(sizes) <= 0.2
    assert all(isinstance(text, str) for text in data.train) and data.labels is None
    assert kp.data.topics() == data
    assert kp.data.topics(seed=1).test != data.test
    assert len(kp.data.topics(test_fraction=0.5).test) > len(data.test)


def test_no_long_paragraph_is_on_both_sides():
    data = kp.data.topics()
    common = paragraphs(data.train) & paragraphs(data.test)
    assert max(map(len, common), default=0) < 40
    # The topics as they are do repeat each other.
    texts = list(pydoc_data.topics.topics.values())
    repeated = [p for p in paragraphs(texts) if len(p) >= 40]
    assert sum(p in " ".join(t.split()) for p in repeated for t in texts) > len(repeated)


A = "This paragraph is in the longest topic, and in no other topic."
B = "This paragraph is in two topics, of which the longest keeps it."
C = "This paragraph is the only one that is left of a short topic."


@pytest.fixture
def three_topics(monkeypatch):
    texts = {"short": f"Note:\n\n{C}\n\n{B}", "same": B, "long": f"{A}\n\n{B}\n\nNote:"}
    monkeypatch.setattr(pydoc_data.topics, "topics", texts)


def test_what_a_longer_topic_has_is_left_out_of_a_shorter_one(three_topics):
    data = kp.data.topics(test_fraction=0.5)
    assert data.train == [f"{A}\n\n{B}\n\nNote:\n"]
    assert data.test == [f"Note:\n\n{C}\n"]


def test_passages_are_balanced_short_and_on_one_side_only():
    data = kp.data.topic_passages()
    assert data.labels == ["prose", "code"]
    for part in (data.train, data.test):
        assert np.mean(part.labels) == 0.5
        assert all(20 <= len(text.encode()) <= 128 for text, _ in part)
        assert len(set(part.texts)) == len(part) >= 100
    assert not set(data.train.texts) & set(data.test.texts)
    assert data.train[0][1] == 0 and isinstance(data.train[0][1], int)
    again, other = kp.data.topic_passages(), kp.data.topic_passages(seed=1)
    assert again.test.texts == data.test.texts != other.test.texts


TOPIC = """\
The "assert" statement
**********************

Assertions are a convenient way to check that something holds in a program:

   assert_stmt ::= "assert" expression ["," expression]

The simple form is equivalent to

   >>> if __debug__:
   ...     check()

This is how it is used in a function that takes a list of numbers:

   def mean(numbers):
       assert numbers, "at least one number"

       return sum(numbers) / len(numbers)

   But this is a sentence that stands as deep as the code before it.

object.__call__(self[, arguments, more_arguments])

   Called when the instance is called as a function; see there for more.

* A list item that ends in a colon as if an example came after it:

     * but this is an item of a list in the list, and not an example

+------------+------------+
| a table of | two columns |
+------------+------------+
"""


def test_code_is_what_is_set_as_a_literal_block(monkeypatch):
    monkeypatch.setattr(pydoc_data.topics, "topics", {"a": TOPIC, "b": TOPIC[::-1]})
    data = kp.data.topic_passages(test_fraction=0.5, max_bytes=200)
    # The reversed topic has no code, and is therefore empty.
    part = max(data.train, data.test, key=len)
    code = [text for text, label in part if label == 1]
    assert code == [
        'assert_stmt ::= "assert" expression ["," expression]',
        ">>> if __debug__:\n...     check()",
        'def mean(numbers):\n    assert numbers, "at least one number"',
        "return sum(numbers) / len(numbers)",
    ]
    prose = {text for text, label in part if label == 0}
    assert prose < {
        "Assertions are a convenient way to check that something holds in a program:",
        "This is how it is used in a function that takes a list of numbers:",
        "But this is a sentence that stands as deep as the code before it.",
        "Called when the instance is called as a function; see there for more.",
        "* A list item that ends in a colon as if an example came after it:",
    }
    assert len(prose) == 4


@pytest.mark.parametrize("function", [kp.data.topics, kp.data.topic_passages])
def test_a_fraction_out_of_range_is_refused(function):
    with pytest.raises(ValueError, match="`test_fraction` must lie .*test_fraction=1"):
        function(test_fraction=1)
