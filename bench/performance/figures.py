"""From measured values to what may be said of them. No IO, no packages."""

import math
import statistics

# Rounds of one and the same work that differ by more than this say more of the machine than of the work.
CALM_SPREAD = 0.15
# Of the processors' time: what others use just before anything is measured, and what the machine's host takes meanwhile.
CALM_BUSY, CALM_STOLEN = 0.10, 0.03
# A figure of the quick bench has changed when it differs from the recorded one by more than this, or by its own spread.
SMALLEST_CHANGE = 0.05
# The same of instruction counts, which are the same on every day.
SMALLEST_EXACT_CHANGE = 0.01


def percentile(values, share):
    """The smallest value that is not below so much of them (nearest rank)."""
    if not values:
        raise ValueError("a percentile of no values")
    ordered = sorted(values)
    return ordered[max(math.ceil(share * len(ordered)), 1) - 1]


def percentiles(values):
    return {f"p{share}": round(percentile(values, share / 100), 2) for share in (50, 95, 99)}


def spread(values):
    """The range between the quartiles of repeated measurements, as a share of their median."""
    if len(values) < 2:
        return 0.0
    low, _, high = statistics.quantiles(values, n=4, method="inclusive")
    return (high - low) / statistics.median(values)


def ratios(ours, others):
    """The median of the ratios within each round, and their spread."""
    each = [one / other for one, other in zip(ours, others, strict=True)]
    return {"ratio": round(statistics.median(each), 3), "spread": round(spread(each), 3)}


def noise(limit_rounds, busy_before, stolen):
    """Why the machine was too noisy to conclude anything; empty if it was not."""
    reasons = []
    if (varied := spread(limit_rounds)) > CALM_SPREAD:
        reasons.append(f"the same work took times that differ by {varied:.0%} (calm: {CALM_SPREAD:.0%})")
    if busy_before > CALM_BUSY:
        reasons.append(f"others kept the processors {busy_before:.0%} busy before the start (calm: {CALM_BUSY:.0%})")
    if stolen > CALM_STOLEN:
        reasons.append(f"the machine's host took {stolen:.0%} of the processors (calm: {CALM_STOLEN:.0%})")
    return reasons


def compare(now, before, spread_, higher_is_better, smallest=SMALLEST_CHANGE):
    """`better`, `worse`, `same`, or `too noisy` where a change as large as the spread could not be told from none.

    Changes below `smallest`, a share, count as none.
    """
    if before == 0:
        return "same" if now == 0 else ("better" if higher_is_better else "worse")
    change = now / before - 1
    if spread_ > CALM_SPREAD and abs(change) <= spread_:
        return "too noisy"
    if abs(change) <= max(smallest, spread_):
        return "same"
    return "better" if (change > 0) == higher_is_better else "worse"


def verdicts(found, recorded, noise):
    """{name: verdict} of figures beside the recorded ones; on a noisy machine only those that are exact are judged."""
    said = {}
    for name, now in found.items():
        before = recorded.get(name)
        if before is None:
            said[name] = "new"
        elif noise and not now["exact"]:
            said[name] = "too noisy"
        else:
            spread_, smallest = (
                max(now["spread"], before["spread"]),
                SMALLEST_EXACT_CHANGE if now["exact"] else SMALLEST_CHANGE,
            )
            said[name] = compare(now["value"], before["value"], spread_, now["better"] == "higher", smallest)
    return said


def thirds(values, figure):
    """The figure of all values, and the spread of the figures of the first, second and last third of them."""
    size = len(values) // 3
    if not size:
        raise ValueError("too few values for thirds")
    return figure(values), spread([figure(values[part * size : (part + 1) * size]) for part in range(3)])


def waterfall(frames):
    """{stage: percentiles of its duration} of frames that are lists of (stage, time in milliseconds) in the order of events.

    A stage is the time since the event before; the first event is where a frame begins.
    """
    durations = {}
    for frame in frames:
        for (_, before), (stage, after) in zip(frame, frame[1:]):
            durations.setdefault(stage, []).append(after - before)
    return {stage: percentiles(values) for stage, values in durations.items()}


def flatness(costs):
    """By how much the dearest session costs more than the cheapest, as a share: of costs that were measured with one session and more."""
    return max(costs) / min(costs) - 1
