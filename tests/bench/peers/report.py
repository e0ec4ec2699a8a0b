"""`docs/benchmarks.md`, made from the samples."""

import statistics
import textwrap
import time

import wording
from installation import ROOT


def text(run):
    """The whole page of a run."""
    parts = [
        wording.HEAD.format(
            when=time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(run.began)),
            minutes=f"{(time.time() - run.began) / 60:.0f}",
            rounds=counted(run.rounds, "round"),
            caution=wording.QUICK.strip() if run.size.jobs < wording.ENOUGH_JOBS else "",
        ),
        table(["", ""], run.machine.items()),
        wrapped("Versions: " + ", ".join(f"{name} {version}" for name, version in run.versions.items()) + "."),
        "## Saggar against its own limits",
        own_limits(run.own_limits),
        wording.METHOD.format(
            jobs=f"{run.size.jobs:,}",
            synced_jobs=f"{run.size.synced_jobs:,}",
            alone=run.size.alone_calls,
            quiet=run.size.quiet_calls,
            every=f"{run.size.quiet_every * 1000:.0f}",
        ),
        "## Draining a full queue",
        wording.BUFFERED,
        drains(run, synced=False),
        wording.SYNCED,
        drains(run, synced=True),
        "## Latency of one job at a time",
        wording.BUFFERED,
        latencies(run, "drain", synced=False),
        wording.SYNCED,
        latencies(run, "drain", synced=True),
        "## A quiet queue beside a flooded one",
        wording.FLOOD,
        latencies(run, "flood", synced=False),
        "## How each was used",
        uses(run),
        wording.UNFAIR,
        not_measured(run),
    ]
    page = "\n\n".join(part.strip() for part in parts if part) + "\n"
    # A reason may name a file; where the repository is on this machine is nobody's concern.
    return page.replace(str(ROOT), ".")


def in_short(sample):
    """One line of progress."""
    words = []
    if "rate_with_start" in sample:
        words.append(f"{rate(sample['rate'])} jobs/s, {rate(sample['rate_with_start'])} with the start")
    if "seconds" in sample:
        words.append(f"p50 {milliseconds(percentile(sample['seconds'], 50))} ms")
        words.append(f"p99 {milliseconds(percentile(sample['seconds'], 99))} ms")
    if "left" in sample:
        words.append(f"{sample['left']:,} of {sample['queued']:,} left")
    return ", ".join(words)


def own_limits(found):
    if isinstance(found, str):
        return wrapped(f"Not measured: {found}")
    rows = []
    for row in found.get("rows", []):
        name = row["name"] + (f", {row['case']}" if row.get("case") else "")
        if row.get("error"):
            rows.append([name, f"failed: {row['error']}", "", "", "", "", ""])
        else:
            figures = [plain(row.get(key)) for key in ["ours", "limit", "unit", "ratio", "goal"]]
            rows.append([name, *figures, percentage(row.get("spread"))])
    return wording.OWN_LIMITS + table(["", "Saggar", "limit", "unit", "ratio", "goal", "spread"], rows)


def drains(run, synced):
    rows, own = [], None
    for peer in in_order(run):
        samples = of(run, peer, "drain", synced)
        if not samples:
            rows.append([title(peer), "not measured", "", "", ""])
            continue
        steady = [it["rate"] or it["rate_with_start"] for it in samples]
        middle = statistics.median(steady)
        own = middle if peer.name == "saggar" else own
        with_start = statistics.median(it["rate_with_start"] for it in samples)
        spread = f"{rate(min(steady))} – {rate(max(steady))}"
        rows.append([title(peer), rate(middle), spread, rate(with_start), ratio(own, middle)])
    return table(["", "jobs/s", "min – max", "with the start", "Saggar ÷ it"], rows)


def latencies(run, what, synced):
    rows, own = [], {}
    for peer in in_order(run):
        samples = of(run, peer, what, synced)
        if not samples:
            rows.append([title(peer), "not measured", *[""] * 5])
            continue
        row = [title(peer)]
        ratios = []
        for percent in [50, 99]:
            found = [percentile(it["seconds"], percent) for it in samples]
            middle = statistics.median(found)
            if peer.name == "saggar":
                own[percent] = middle
            row += [milliseconds(middle), f"{milliseconds(min(found))} – {milliseconds(max(found))}"]
            ratios.append(ratio(own.get(percent), middle))
        if what == "flood" and any(it["left"] == 0 for it in samples):
            row[0] += " (the flood ended first)"
        rows.append(row + ratios)
    heads = ["", "p50 ms", "min – max", "p99 ms", "min – max", "p50: Saggar ÷ it", "p99: Saggar ÷ it"]
    return table(heads, rows)


def uses(run):
    paragraphs = []
    for peer in in_order(run):
        words = [f"**{peer.title}**: {run.chosen[peer.name]}. {peer.remarks}"]
        words.append(f"Stored with {peer.server.buffered}; synced: {peer.server.synced}.")
        if tried := run.tried.get(peer.name):
            outcomes = [f"{name}: {rate(found)}" for name, found in tried.items()]
            words.append(f"Tried, in jobs/s: {'; '.join(outcomes)}.")
        paragraphs.append(wrapped(" ".join(words)))
    return "\n\n".join(paragraphs)


def not_measured(run):
    lines = [f"- {name}: {reason}" for name, reason in run.missing.items()]
    for failure in run.failures:
        mode = "synced" if failure["synced"] else "buffered"
        where = f"{failure['peer']}, {failure['what']}, {mode}, {failure['configuration']}"
        lines.append(f"- {where}: {failure['reason']}")
    return "## What failed\n\n" + "\n".join(lines) if lines else ""


def in_order(run):
    """Saggar first, to whom the others are compared, whatever the order they were measured in."""
    return sorted(run.peers, key=lambda peer: peer.name != "saggar")


def of(run, peer, what, synced):
    return [it for it in run.samples if (it["peer"], it["what"], it["synced"]) == (peer.name, what, synced)]


def title(peer):
    return f"**{peer.title}**" if peer.name == "saggar" else peer.title


def percentile(values, percent):
    """The smallest value that so many per cent of all do not exceed."""
    ranked = sorted(values)
    return ranked[max(0, -(-len(ranked) * percent // 100) - 1)]


def ratio(own, other):
    return f"{own / other:.2g}×" if own and other else ""


def rate(value):
    return "none" if value is None else f"{float(f'{value:.3g}'):,.0f}"


def milliseconds(seconds):
    value = seconds * 1000
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def plain(value):
    """Three figures that mean something, thousands apart."""
    if isinstance(value, (int, float)):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{float(f'{value:.3g}'):g}"
    return "" if value is None else str(value)


def percentage(value):
    return f"{value:.0%}" if isinstance(value, (int, float)) else plain(value)


def wrapped(paragraph):
    return textwrap.fill(paragraph, 118, break_long_words=False, break_on_hyphens=False)


def counted(number, what):
    return f"{number} {what}{'' if number == 1 else 's'}"


def table(heads, rows):
    lines = [heads, ["---"] + ["--:"] * (len(heads) - 1), *rows]
    return "\n".join("| " + " | ".join(cell(it) for it in line) + " |" for line in lines)


def cell(value):
    return str(value).replace("|", "\\|").replace("\n", " ")
