"""How much of what full-rate detection finds is there, and which ids one object was given."""

from parity import clip, iou, pixel_corners

# A box that full-rate detection finds counts from this score, and is there from this overlap.
MIN_SCORE = 0.5
MIN_IOU = 0.5


def expected_by_detector(frames):
    """Per frame, (label, corners) of each sure box."""
    return [
        [(d["label"], pixel_corners(d["box"], frame)) for d in frame.detections if d["score"] >= MIN_SCORE]
        for frame in frames
    ]


def expected_by_reference(reference, frames):
    """The same, of YOLOX's own demo."""
    return [
        [(d["label"], clip(d["box_xyxy"], frame)) for d in found if d["score"] >= MIN_SCORE]
        for found, frame in zip(reference, frames, strict=True)
    ]


def present(expected, frames):
    """How many of the expected boxes are there; each of ours counts once."""
    count = 0
    for wanted, frame in zip(expected, frames, strict=True):
        free = [(d["label"], pixel_corners(d["box"], frame)) for d in frame.detections]
        for label, corners in wanted:
            close = [ours for ours in free if ours[0] == label and iou(ours[1], corners) >= MIN_IOU]
            if close:
                free.remove(max(close, key=lambda ours: iou(ours[1], corners)))
                count += 1
    return count


def mean_iou(expected, frames, step):
    """Mean overlap of the expected boxes with the nearest of ours, on frames between inferences (each `step`)."""
    overlaps = []
    for number, (wanted, frame) in enumerate(zip(expected, frames, strict=True)):
        if number % step:
            ours = [(d["label"], pixel_corners(d["box"], frame)) for d in frame.detections]
            overlaps += [
                max((iou(place, corners) for name, place in ours if name == label), default=0.0)
                for label, corners in wanted
            ]
    return sum(overlaps) / len(overlaps) if overlaps else 1.0


def ids_of(target, frames):
    """Track ids of one object, with the frames in which it has each; target: {frame number: (label, corners)}."""
    ids = {}
    for number, (label, corners) in target.items():
        frame = frames[number]
        for found in frame.detections:
            here = found["label"] == label and iou(pixel_corners(found["box"], frame), corners) >= MIN_IOU
            if here and found.get("track_id") is not None:
                ids.setdefault(found["track_id"], []).append(number)
    return ids


def strongest(label, numbers, frames):
    """The target that is, in the frames of these numbers, the surest object of its label."""
    target = {}
    for number in numbers:
        frame = frames[number]
        found = [d for d in frame.detections if d["label"] == label and d["score"] >= MIN_SCORE]
        if found:
            target[number] = (label, pixel_corners(max(found, key=lambda d: d["score"])["box"], frame))
    return target
