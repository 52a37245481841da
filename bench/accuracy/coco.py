"""COCO's average precision, by pycocotools."""

import contextlib
import io

from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval


class Annotations:
    """The objects that people marked in the pictures."""

    def __init__(self, instances):
        with contextlib.redirect_stdout(io.StringIO()):
            self.coco = COCO(str(instances))
        self.category = {category["name"]: number for number, category in self.coco.cats.items()}
        self.pictures = {image["file_name"]: number for number, image in self.coco.imgs.items()}

    def size(self, picture):
        image = self.coco.imgs[self.pictures[picture]]
        return image["width"], image["height"]

    def average_precision(self, frames):
        """(mAP, AP50) in percent, over all classes."""
        results = [
            self.result(number, frames[picture], found)
            for picture, number in self.pictures.items()
            for found in frames[picture].detections
        ]
        if not results:
            return 0.0, 0.0
        with contextlib.redirect_stdout(io.StringIO()):
            evaluation = COCOeval(self.coco, self.coco.loadRes(results), "bbox")
            evaluation.evaluate()
            evaluation.accumulate()
            evaluation.summarize()
        return 100 * float(evaluation.stats[0]), 100 * float(evaluation.stats[1])

    def result(self, number, frame, found):
        """A detection as COCO's result format has it: its box in pixels, x, y, width, height."""
        x, y, w, h = found["box"]
        return {
            "image_id": number,
            "category_id": self.category[found["label"]],
            "score": found["score"],
            "bbox": [x * frame.width, y * frame.height, w * frame.width, h * frame.height],
        }
