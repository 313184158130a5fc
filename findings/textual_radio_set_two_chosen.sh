#!/usr/bin/env bash
# A RadioSet of Textual in which the program and a key choose in the same moment: the program sets another button's
# value to True, and Enter toggles the button that was chosen, before the messages of either are handled.
#
# One would guess: a set of radio buttons has exactly one chosen, whatever the order; the later choice wins.
# What happens: two stay chosen for good. For the first message the set unsets the old button; for the second, which says
# that the old button was unset, it sets that button again, since a chosen one must not be clicked off. By then it is no
# longer the chosen one. Setting the second button's value to True afterwards does nothing, since it is True.
set -euo pipefail
version=8.2.8
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/python" -m pip install --quiet --disable-pip-version-check "textual==$version"
cat > "$folder/two.py" <<'PYTHON'
import asyncio
from textual.app import App
from textual.widgets import RadioButton, RadioSet


class Sets(App):
    def compose(self):
        yield RadioSet(RadioButton("one", value=True), RadioButton("two"), RadioButton("three"))


async def chosen(order):
    app = Sets()
    async with app.run_test() as pilot:
        await pilot.pause()
        group = app.query_one(RadioSet)
        one, two, three = app.query(RadioButton)
        group.focus()
        await pilot.pause()
        for step in order:
            if step == "enter":
                group.action_toggle_button()
            elif step == "wait":
                await pilot.pause()
            else:
                two.value = True
        await pilot.pause()
        await pilot.pause()
        return [str(button.label) for button in (one, two, three) if button.value]


for order in (["set two", "wait", "enter"], ["set two", "enter"], ["set two", "enter", "wait", "set two"]):
    print(", ".join(order), "->", " and ".join(asyncio.run(chosen(order))))
PYTHON
"$folder/env/bin/python" --version
echo "textual $("$folder/env/bin/python" -c 'import textual; print(textual.__version__)')"
seen=$("$folder/env/bin/python" "$folder/two.py")
echo "$seen"
expected='set two, wait, enter -> two
set two, enter -> one and two
set two, enter, wait, set two -> one and two'
[ "$seen" = "$expected" ] || { echo "this is no longer what was seen"; exit 1; }
