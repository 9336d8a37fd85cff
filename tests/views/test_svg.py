"""The still picture."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pytest

from nbmlops.views.states import _LOOKS, HUES
from nbmlops.views.svg import graph_svg

if TYPE_CHECKING:
    from nbmlops.pipeline.model import Pipeline

SVG = "{http://www.w3.org/2000/svg}"


def texts(drawing: str, tag: str) -> list[str]:
    """Return the text of every element of one kind."""
    return [element.text or "" for element in ET.fromstring(drawing).iter(f"{SVG}{tag}")]


def luminance(colour: str) -> float:
    """Return the relative luminance of ``#rrggbb`` as WCAG 2 defines it."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(a: str, b: str) -> float:
    """Return the contrast of two colours, from 1 to 21."""
    low, high = sorted((luminance(a), luminance(b)))
    return (high + 0.05) / (low + 0.05)


def test_each_stage_is_a_box_with_its_name_and_state(pipeline: Pipeline) -> None:
    """Name, state as a word and seconds stand in the box."""
    drawing = graph_svg(pipeline, {"load": "reused", "train": "timed-out"}, seconds={"load": 4.2})
    assert {"load", "reused", "4.2 s", "train", "timed out", "evaluate", "cell 4"} <= set(texts(drawing, "text"))


def test_edges_tell_what_they_carry(pipeline: Pipeline) -> None:
    """An edge's title names its artifacts; one without any is dashed and says so."""
    drawing = graph_svg(pipeline)
    assert {"load → train: rows", "train → evaluate: model", "load → evaluate: test", "evaluate → audit: order only"} <= set(texts(drawing, "title"))
    assert drawing.count('class="line"') == 4
    assert drawing.count('stroke-dasharray="2 5"') == 1


def test_it_can_be_heard(pipeline: Pipeline) -> None:
    """It is an image with a title and a description that tell every stage."""
    root = ET.fromstring(graph_svg(pipeline, dict.fromkeys(pipeline.stages, "ran")))
    assert root.get("role") == "img"
    assert root[0].text == root.get("aria-label") == "Pipeline of 4 stages: 4 ran"
    assert root[1].text == "load: ran; train after load: ran; evaluate after train, load: ran; audit after evaluate: ran"


def test_no_two_states_share_a_shape() -> None:
    """Who sees no colours can tell the states apart."""
    marks = [look.mark for look in _LOOKS.values()]
    assert len(set(marks)) == len(marks)


@pytest.mark.parametrize("hue", HUES)
def test_words_can_be_read_on_light_and_dark_cards(hue: str) -> None:
    """Every hue has the contrast that small text needs."""
    light, dark = HUES[hue]
    assert contrast(light, "#ffffff") >= 4.5
    assert contrast(dark, "#1c2128") >= 4.5


def test_parameters_are_drawn_where_asked(pipeline: Pipeline) -> None:
    """The parameters are a box of their own with an edge to each stage that uses one."""
    assert "parameters → train: C" in texts(graph_svg(pipeline, parameters=True), "title")
    assert "parameters" not in texts(graph_svg(pipeline), "text")


def test_a_state_that_is_not_known_is_shown_by_its_word(pipeline: Pipeline) -> None:
    """A word from elsewhere is not taken for success."""
    drawing = graph_svg(pipeline, {"load": "perhaps"})
    assert "perhaps" in texts(drawing, "text")
    assert 'class="h-grey"' in drawing


def test_a_cyclic_pipeline_can_be_drawn(pipeline_of) -> None:  # noqa: ANN001
    """`graph` shows a pipeline whose cycle is an error."""
    cyclic = pipeline_of("", "%%mlstage a --after b\nx = 1\n", "%%mlstage b\ny = x\n")
    assert cyclic.errors
    assert {"a", "b"} <= set(texts(graph_svg(cyclic), "text"))


def test_an_empty_pipeline_can_be_drawn(pipeline_of) -> None:  # noqa: ANN001
    """A notebook without stages gives a picture that says so."""
    assert texts(graph_svg(pipeline_of("x = 1")), "title") == ["Pipeline of 0 stages"]


def test_views_load_the_standard_library_alone() -> None:
    """Looking at something loads no store, no shell and no library."""
    code = (
        "import sys, nbmlops.views.html, nbmlops.views.mermaid, nbmlops.views.svg, nbmlops.views.text\n"
        "from sys import stdlib_module_names as known\n"
        "print({name.split('.')[0] for name in sys.modules} - set(known) - {'nbmlops', '__main__'})\n"
        "print(sorted(name for name in sys.modules if name.startswith(('nbmlops.store', 'nbmlops.session'))))"
    )
    found = subprocess.run(
        [sys.executable, "-I", "-S", "-c", f"import sys; sys.path[:0] = {sys.path!r}\n{code}"], capture_output=True, text=True, check=True
    )
    assert found.stdout.split("\n")[:2] == ["set()", "[]"]
