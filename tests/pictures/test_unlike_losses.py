"""Curves of unlike sizes stay readable, and pictures name what they show."""

import numpy as np
import pytest

from balancebench.pictures.classes import Panel as ClassPanel
from balancebench.pictures.classes import more_names
from balancebench.pictures.generator_curves import curve_panels
from balancebench.pictures.lines import Line, Panel, Strokes, axis_scale, line_chart


def line(*values, name="loss"):
    return Line(row=name, name=name, values_SE=np.array([values], dtype=float))


@pytest.mark.parametrize(
    ("lines", "scale"),
    [
        ([line(2.0, 1.0), line(8.0, 5.0)], "linear"),
        ([line(0.1, 0.05), line(8.0, 5.0)], "log"),
        ([line(0.1, np.nan, 0.05), line(8.0, 5.0)], "log"),
        ([line(0.1, -0.05), line(8.0, 5.0)], "symlog"),
        ([line(0.0, 0.1, 0.1), line(8.0, 5.0, 5.0)], "symlog"),
        ([line(0.0, 0.0), line(0.0, 0.0)], "linear"),
        ([line(np.nan), line(1.0)], "linear"),
        ([], "linear"),
    ],
)
def test_the_axis_is_logarithmic_where_losses_are_unlike(lines, scale):
    assert axis_scale(lines) == scale


@pytest.mark.parametrize("scale", ["log", "symlog"])
def test_small_values_keep_their_digits_on_the_axis_that_was_asked_for(scale):
    lines = [line(4e-6, 2e-6, name="small"), line(800.0, 500.0, name="large")]
    strokes = {"small": Strokes(colour="red"), "large": Strokes(colour="blue")}
    chart = line_chart([Panel(title="", format="~g", lines=lines, scale=scale)], strokes, "", "", 460).to_dict()
    assert [point["mean"] for point in chart["data"]["values"] if point["row"] == "small"] == [4e-6, 2e-6]
    scales = [layer["encoding"]["y"].get("scale", {}) for layer in chart["hconcat"][0]["layer"]]
    assert scale in [of_layer.get("type") for of_layer in scales]


def test_losses_of_a_generator_that_are_unlike_have_panels_of_their_own_by_name():
    curves = {
        "generator loss": [np.array([12.0, 6.0])],
        "discriminator loss": [np.array([0.2, 0.1])],
        "fid": [np.array([90.0, 40.0])],
    }
    assert [panel.title for panel in curve_panels(curves)] == ["generator loss", "discriminator loss", "fid"]
    curves["discriminator loss"] = [np.array([4.0, 3.0])]
    assert [panel.title for panel in curve_panels(curves)] == ["loss", "fid"]


def test_many_unlike_losses_share_a_logarithmic_panel():
    curves = {f"curves {index} loss": [np.array([10.0**index])] for index in range(5)}
    (panel,) = curve_panels(curves)
    assert (panel.title, panel.scale, len(panel.lines)) == ("loss", "log", 5)


def test_shares_stay_on_one_plain_axis():
    (panel,) = curve_panels({"share of all": [np.array([0.01])], "share of the lowest": [np.array([0.9])]})
    assert (panel.title, panel.scale) == ("share", "linear")


def test_the_picture_of_the_training_loss_names_it(run_suite):
    from balancebench.pictures.epochs import epochs_orders

    finished = run_suite()
    (order,) = epochs_orders(finished.scene)
    assert ">training loss<" in order.draw().content.decode()


def test_the_heading_of_classes_says_who_the_others_of_a_panel_are():
    counts_K = np.ones(2)
    few = ClassPanel(balancers=("a", "b"), before_K=counts_K, after={})
    many = ClassPanel(balancers=("none", "focal", "ldam_drw", "crt"), before_K=counts_K, after={})
    assert more_names([few]) == []
    assert more_names([few, many]) == ["2 more with none; focal: ldam_drw, crt"]
    crowd = ClassPanel(balancers=tuple(f"balancer_{index}" for index in range(20)), before_K=counts_K, after={})
    assert all(len(text) <= 90 for text in more_names([crowd]))
