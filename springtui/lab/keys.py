"""The lab's key bindings; each has an id by which the preferences can give it another key."""

from __future__ import annotations

from textual.binding import Binding, BindingType

KEYS: list[BindingType] = [
    Binding("space", "toggle_pause", "Pause", id="lab.pause", tooltip="pause or resume both", priority=True),
    Binding("r", "restart", "Restart", id="lab.restart", tooltip="start both anew with what the sliders ask for"),
    Binding(
        "g",
        "resume",
        "Resume",
        id="lab.resume",
        show=False,
        tooltip="go on with a run that broke off, from its checkpoint",
    ),
    Binding(
        "T",
        "try_settings",
        "Try",
        id="lab.try",
        tooltip="try other settings of this network in the background, for the advice; again cancels",
    ),
    Binding(
        "escape",
        "cancel_trial",
        "Cancel",
        id="lab.cancel_trial",
        show=False,
        tooltip="cancel the trial of other settings",
    ),
    Binding("m", "next_measure", "Measure", id="lab.measure", tooltip="next measure of separation"),
    Binding("n", "next_noise", "Noise", id="lab.noise", tooltip="next kind of noise"),
    Binding(
        "C",
        "next_chain",
        "Chain",
        id="lab.chain",
        tooltip="two hands, or the paper's chain with friction",
    ),
    Binding(
        "O",
        "toggle_going_on",
        "Go on",
        id="lab.going_on",
        tooltip="train and pull on beyond the map's time, or begin anew",
    ),
    Binding("v", "toggle_ruler", "View", id="lab.view", tooltip="springs or a folding ruler", show=False),
    Binding("p", "next_pulling", "Pull", id="lab.pull", tooltip="pull with friction: next way", show=False),
    Binding(
        "right_square_bracket",
        "next_group(1)",
        "Next tab",
        id="lab.next_tab",
        key_display="]",
        show=False,
        tooltip="next tab, where the terminal is small",
    ),
    Binding(
        "left_square_bracket",
        "next_group(-1)",
        "Previous tab",
        id="lab.previous_tab",
        key_display="[",
        show=False,
        tooltip="the tab before",
    ),
    Binding("down,j", "app.focus_next", "Next control", id="lab.next_control", show=False, tooltip="next control"),
    Binding(
        "up,k",
        "app.focus_previous",
        "Control before",
        id="lab.previous_control",
        show=False,
        tooltip="the control before",
    ),
    Binding(
        "shift+down,J",
        "scroll_words(1)",
        "Words down",
        id="lab.words_down",
        show=False,
        tooltip="scroll what is said below the sliders",
    ),
    Binding("shift+up,K", "scroll_words(-1)", "Words up", id="lab.words_up", show=False, tooltip="and back"),
]
