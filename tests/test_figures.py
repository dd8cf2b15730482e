"""Pictures of reductions: what they draw, not how it looks."""

import sys

import numpy as np
import pytest

from zoo.errors import ConfigError
from zoo.explore.figures import curves_figure, explained_figure, scatter, side_by_side, vip_figure
from zoo.explore.probe import Curve
from zoo.explore.projection import Reduction, pca, pls
from zoo.metrics import Array
from zoo.record.drawing import figure_pixels, style_of


def reductions() -> tuple[list[Reduction], Array]:
    rng = np.random.default_rng(0)
    numbers = np.arange(60) % 3
    x = rng.normal(size=(60, 5)) + rng.normal(size=(3, 5))[numbers]
    labels = np.array(["a", "b", "$c"])[numbers]
    return [pca(x, labels, components=3), pls(x, labels, components=3)], labels


def test_pca_stands_beside_pls_with_one_legend() -> None:
    both, labels = reductions()
    figure = side_by_side(both, labels)
    assert [axes.get_title() for axes in figure.axes] == ["pca", "pls"]
    assert all(len(axes.collections) == 3 for axes in figure.axes)
    legends = [axes.get_legend() for axes in figure.axes]
    assert legends[0] is None
    assert [text.get_text() for text in legends[1].get_texts()] == [r"\$c", "a", "b"]
    assert figure.axes[0].get_xlabel().startswith("component 1 (")
    assert figure_pixels(figure).shape[2] == 3


def test_the_axes_of_selected_features_have_their_names() -> None:
    both, labels = reductions()
    figure = side_by_side(both, labels, features={"pls": ["hue", "a$b"]})
    assert figure.axes[0].get_xlabel().startswith("component 1 (")
    assert figure.axes[1].get_xlabel().startswith("hue (")
    assert figure.axes[1].get_ylabel().startswith(r"a\$b (")
    assert figure_pixels(figure).shape[2] == 3


@pytest.mark.parametrize(("label", "shown"), [("_x", " _x"), ("$_", r"\$_"), ("y" * 5000, "y" * 39 + "…")])
def test_every_label_stands_in_the_legend(label: str, shown: str) -> None:
    both, labels = reductions()
    figure = side_by_side(both, np.where(labels == "a", label, labels))
    legend = figure.axes[1].get_legend()
    assert legend is not None
    assert shown in [text.get_text() for text in legend.get_texts()]
    assert figure_pixels(figure).shape[2] == 3


def test_no_picture_imports_pyplot() -> None:
    both, _ = reductions()
    before = "matplotlib.pyplot" in sys.modules
    figure_pixels(explained_figure(both))
    assert ("matplotlib.pyplot" in sys.modules) == before


def test_numbers_get_a_bar_of_colors_and_no_labels_one_color() -> None:
    both, _ = reductions()
    assert len(side_by_side(both[:1], np.arange(60) / 7).axes) == 2
    assert len(side_by_side(both[:1]).axes[0].collections) == 1


def test_every_class_has_a_color_and_marker_of_its_own_up_to_eighty() -> None:
    assert len({style_of(number) for number in range(80)}) == 80


def test_a_legend_names_the_largest_of_many_classes() -> None:
    from matplotlib.figure import Figure

    axes = Figure().add_subplot()
    labels = np.concatenate([[f"l{number:02}"] * (number + 1) for number in range(20)])
    scatter(axes, np.zeros((len(labels), 2)), labels)
    legend = axes.get_legend()
    assert legend is not None
    assert legend.get_title().get_text() == "16 of 20 labels"
    assert [text.get_text() for text in legend.get_texts()] == [f"l{number:02}" for number in range(4, 20)]


def test_explained_variance_is_drawn_as_it_adds_up() -> None:
    both, _ = reductions()
    (axes,) = explained_figure(both).axes
    assert [line.get_label() for line in axes.lines] == ["pca: x", "pca: y", "pls: x", "pls: y"]
    assert axes.lines[0].get_ydata() == pytest.approx(both[0].explained_x.cumsum())


def test_probe_curves_have_their_errors_and_the_baseline() -> None:
    curve = Curve("accuracy", (1, 2), np.array([[0.5, 0.9], [0.7, 0.9]]))
    (axes,) = curves_figure({"pca": curve, "pls": curve}, baseline=0.4).axes
    assert len(axes.containers) == 2
    assert axes.get_ylabel() == "held-out accuracy"
    assert axes.lines[-1].get_ydata() == [0.4, 0.4]


def test_the_largest_vip_scores_stand_on_top_and_those_below_one_are_gray() -> None:
    vip = np.array([0.5, 1.5, 1.2, 0.1])
    (axes,) = vip_figure(vip, ["a", "b", "c", "d"], bars=3).axes
    assert [bar.get_width() for bar in axes.patches] == [0.5, 1.2, 1.5]
    assert [tick.get_text() for tick in axes.get_yticklabels()] == ["a", "c", "b"]
    assert axes.patches[0].get_facecolor() != axes.patches[1].get_facecolor()
    assert axes.get_xlabel() == "VIP (3 of 4 features)"


def test_one_component_makes_no_picture() -> None:
    both, labels = reductions()
    small = both[0]._replace(scores=both[0].scores[:, :1])
    with pytest.raises(ConfigError, match="pca has 1 component, but a picture needs 2"):
        side_by_side([small], labels)
