"""Takes the pictures in the documentation from the running app: python docs/pictures.py"""

from __future__ import annotations

import asyncio
import os
import re
import tempfile
from pathlib import Path

from springtui.app import SpringApp
from springtui.screens.lab import LabScreen

HERE = Path(__file__).parent
SIZE = (120, 40)
SECONDS = 12.0


async def picture_of_the_lab(home: Path) -> str:
    """An SVG of the lab some seconds after it was opened, with both workers alive."""
    app = SpringApp(home)
    async with app.run_test(size=SIZE) as pilot:
        await pilot.pause(SECONDS)
        lab = app.screen
        assert isinstance(lab, LabScreen)
        picture = app.export_screenshot(title="springtui")
        await asyncio.to_thread(lab.stop_runs)
        for process in lab.laboratory.leaving:
            await asyncio.to_thread(process.wait, 20)
    return picture


def main() -> None:
    """Write every picture beside this file."""
    os.environ["SPRINGTUI_TOUR"] = "off"
    with tempfile.TemporaryDirectory() as folder:
        picture = asyncio.run(picture_of_the_lab(Path(folder) / "home"))
    # the font is named and not fetched: a README should load nothing from elsewhere
    (HERE / "lab.svg").write_text(re.sub(r"@font-face \{.*?\}\s*", "", picture, flags=re.DOTALL), "utf-8")


if __name__ == "__main__":
    main()
