"""What a way to run the model finds: average precision on COCO's pictures, and agreement with YOLOX's own demo."""

import sys
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "accuracy"))

import coco
import parity
from pipeline import Frame

STRIDES = (8, 16, 32)
PAD = 114


def preprocess(picture, width, height):
    """(input of 1×3×height×width, its pixels for each of the picture's), as in YOLOX's demo; the picture is BGR."""
    rows, columns = picture.shape[:2]
    ratio = min(height / rows, width / columns)
    scaled = cv2.resize(picture, (int(columns * ratio), int(rows * ratio)), interpolation=cv2.INTER_LINEAR)
    padded = np.full((height, width, 3), PAD, np.uint8)
    padded[: scaled.shape[0], : scaled.shape[1]] = scaled
    return np.ascontiguousarray(padded.transpose(2, 0, 1)[None], dtype=np.float32), ratio


def decode(output, width, height):
    """Boxes (left, top, right, bottom in pixels of the input) and scores of every class; `output` is anchors × values."""
    cells = [np.mgrid[: height // stride, : width // stride] for stride in STRIDES]
    grid = np.concatenate([np.stack((x.ravel(), y.ravel()), 1) for y, x in cells])
    stride = np.concatenate([np.full((y.size, 1), stride) for (y, _), stride in zip(cells, STRIDES, strict=True)])
    centre = (output[:, :2] + grid) * stride
    half = np.exp(output[:, 2:4]) * stride / 2
    return np.concatenate((centre - half, centre + half), 1), output[:, 4:5] * output[:, 5:]


def suppress(boxes, scores, threshold):
    """Indices of the boxes that stay, best first, as in YOLOX's demo (whose boxes are one pixel wider than they are)."""
    order = scores.argsort(kind="stable")[::-1]
    corners = boxes[order]
    first = np.maximum(corners[:, None, :2], corners[None, :, :2])
    common = np.maximum(0, np.minimum(corners[:, None, 2:], corners[None, :, 2:]) - first + 1).prod(2)
    areas = (corners[:, 2:] - corners[:, :2] + 1).prod(1)
    overlaps = common / (areas[:, None] + areas - common) > threshold
    alive = np.ones(len(order), bool)
    kept = []
    for place in range(len(order)):
        if alive[place]:
            kept.append(order[place])
            alive &= ~overlaps[place]
    return kept


class Judge:
    """The pictures of the data folder, ready for the model, and what is known about them."""

    def __init__(self, data, labels, reference, size):
        self.annotations = coco.Annotations(data / "coco-tiny" / "instances.json")
        self.labels, self.reference, self.size = labels, reference, size
        paths = {name: data / "coco-tiny" / "images" / name for name in self.annotations.pictures}
        paths["dog.jpg"] = data / "images" / "dog.jpg"
        self.inputs = {name: self._load(path) for name, path in paths.items()}

    def _load(self, path):
        with Image.open(path) as image:
            pixels = np.ascontiguousarray(np.asarray(image.convert("RGB"))[:, :, ::-1])
        rows, columns = pixels.shape[:2]
        return *preprocess(pixels, *self.size), columns, rows

    def outputs(self, run):
        """{picture: anchors × values}; `run` takes an input."""
        return {name: np.array(run(entry[0])).reshape(-1, 5 + len(self.labels)) for name, entry in self.inputs.items()}

    def __call__(self, outputs):
        """mAP, AP50 and parity, all in percent."""
        mean, at_50 = self.annotations.average_precision(self._frames(outputs, 0.001, 0.65, class_aware=True))
        lowest = self.reference["score_threshold"] - parity.MAX_SCORE_DIFFERENCE
        aware = self.reference["nms"] == "class-aware"
        ours = self._frames(outputs, lowest, self.reference["nms_threshold"], class_aware=aware)
        agreement = parity.compare(self.reference["detections"], ours)
        return {"map": round(mean, 2), "ap50": round(at_50, 2), "parity_percent": round(agreement.percent, 2)}

    def _frames(self, outputs, lowest, threshold, class_aware):
        frames = {}
        for name, output in outputs.items():
            _, ratio, width, height = self.inputs[name]
            boxes, scores = decode(output, *self.size)
            boxes /= ratio
            if class_aware:
                rows, classes = np.nonzero(scores > lowest)
            else:
                classes = scores.argmax(1)
                rows = np.flatnonzero(scores[np.arange(len(scores)), classes] > lowest)
                classes = classes[rows]
            score, corners = scores[rows, classes], boxes[rows]
            groups = [np.flatnonzero(classes == label) for label in np.unique(classes)] if class_aware else [np.arange(len(rows))]
            chosen = [index for group in groups for index in group[suppress(corners[group], score[group], threshold)]]
            frames[name] = Frame(width, height, [
                {"label": self.labels[classes[i]], "score": float(score[i]), "box": box_of(corners[i], width, height)}
                for i in chosen
            ])  # fmt: skip
        return frames


def box_of(corners, width, height):
    left, top, right, bottom = (float(value) for value in corners)
    return [left / width, top / height, (right - left) / width, (bottom - top) / height]
