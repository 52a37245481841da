"""Agreement with the detections of the reference."""

from dataclasses import dataclass

# A reference detection counts as found when one of ours has its label and is this close.
MIN_SCORE = 0.35
MIN_IOU = 0.9
MAX_SCORE_DIFFERENCE = 0.05


@dataclass
class Parity:
    found: int
    expected: int
    missing: list  # (picture, label, score)

    @property
    def percent(self):
        return 100 * self.found / self.expected if self.expected else 0.0


def compare(reference, frames):
    """Compares frames {picture: Frame} with the reference {picture: [detection]}; each of ours counts once."""
    result = Parity(0, 0, [])
    for picture, expected in reference.items():
        frame = frames[picture]
        free = [(d["label"], d["score"], pixel_corners(d["box"], frame)) for d in frame.detections]
        for wanted in sorted(expected, key=lambda d: -d["score"]):
            if wanted["score"] < MIN_SCORE:
                continue
            result.expected += 1
            corners = clip(wanted["box_xyxy"], frame)
            close = [
                ours
                for ours in free
                if ours[0] == wanted["label"]
                and abs(ours[1] - wanted["score"]) <= MAX_SCORE_DIFFERENCE
                and iou(ours[2], corners) >= MIN_IOU
            ]
            if close:
                free.remove(max(close, key=lambda ours: iou(ours[2], corners)))
                result.found += 1
            else:
                result.missing.append((picture, wanted["label"], wanted["score"]))
    return result


def pixel_corners(box, frame):
    x, y, w, h = box
    return clip((x * frame.width, y * frame.height, (x + w) * frame.width, (y + h) * frame.height), frame)


def clip(corners, frame):
    """Boxes may reach beyond the picture; only the part inside is compared."""
    x1, y1, x2, y2 = corners
    return max(x1, 0.0), max(y1, 0.0), min(x2, frame.width), min(y2, frame.height)


def iou(a, b):
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    common = width * height
    return common / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - common)
