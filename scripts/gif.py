#!/usr/bin/env python3
"""Makes an animated GIF of a folder of pictures that are named by their time in milliseconds: gif.py FOLDER OUT.gif"""

import sys
from pathlib import Path

from PIL import Image

WIDTH = 720
# Ten pictures a second show the motion, at a size that a page of documentation can carry.
STEP_MS = 100


def main(folder, out):
    paths = sorted(Path(folder).glob("*.png"), key=lambda path: int(path.stem))
    if not paths:
        sys.exit(f"error: there are no pictures in {folder}")
    chosen = [paths[0]]
    for path in paths:
        if int(path.stem) - int(chosen[-1].stem) >= STEP_MS:
            chosen.append(path)
    pictures = []
    for path in chosen:
        picture = Image.open(path).convert("RGB")
        picture = picture.resize((WIDTH, round(WIDTH * picture.height / picture.width)), Image.Resampling.LANCZOS)
        pictures.append(picture)
    # One palette for all: colours do not flicker, and what stands still costs nothing.
    palette = pictures[-1].quantize(128, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    pictures = [picture.quantize(palette=palette, dither=Image.Dither.NONE) for picture in pictures]
    times = [int(path.stem) for path in chosen]
    durations = [later - now for now, later in zip(times, times[1:])] + [1500]
    pictures[0].save(out, save_all=True, append_images=pictures[1:], duration=durations, loop=0, optimize=True, disposal=1)
    print(f"{out}: {len(pictures)} pictures, {Path(out).stat().st_size // 1024} KiB")


if __name__ == "__main__":
    main(*sys.argv[1:]) if len(sys.argv) == 3 else sys.exit(__doc__)
