"""The table, as Markdown, and the machine it was measured on."""

import os
import platform
from pathlib import Path

INTERESTING = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "avx512_fp16", "avx_vnni", "amx_tile", "amx_bf16",
               "amx_int8", "asimd", "asimddp", "bf16", "i8mm", "sve")


def machine() -> dict:
    model, flags = platform.processor() or platform.machine(), set()
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            key, _, value = line.partition(":")
            if key.strip() == "model name":
                model = value.strip()
            elif key.strip() in ("flags", "Features"):
                flags = set(value.split())
    except OSError:
        pass
    return {"cpu": model, "cores": len(os.sched_getaffinity(0)), "features": [f for f in INTERESTING if f in flags],
            "system": platform.platform()}


def range_text(spread: list[float] | None) -> str:
    return f" ({spread[0]:.2f}–{spread[1]:.2f})" if spread else ""


def number(value: float | None, digits: int = 2) -> str:
    return "–" if value is None else f"{value:.{digits}f}"


def peer_cell(result: dict) -> str:
    parts = [f"{name} {ms:.2f} ms" for name, ms in sorted(result["peers"].items(), key=lambda item: item[1])]
    parts += [f"{name}: disagrees, no ratio" for name in result["disagreeing"]]
    parts += [f"{name}: not available" for name in result["unavailable"]]
    return "; ".join(parts) or "–"


def agreement_cell(result: dict) -> str:
    """The least that any of the participants reached."""
    entries = [entry for entry in result["agreement"].values()]
    if not entries:
        return "–"
    words = []
    rank = [e.get("pseudo_scores", e) for e in entries]
    if all("spearman_mean" in e for e in rank):
        words.append(f"Spearman ≥ {min(e['spearman_mean'] for e in rank):.4f}")
        words.append(f"difference ≤ {max(e['relative'] for e in rank):.0e} of the spread")
    if all("losses" in e and e["finite"] for e in entries):
        words.append(f"losses within {max(e['relative'] for e in entries):.0e}")
    if all("kept_overlap" in e for e in rank):
        words.append(f"kept ≥ {min(e['kept_overlap'] for e in rank):.3f}")
    return ", ".join(words) or "not the same"


def table(results: list[dict]) -> str:
    lines = ["| row | ltrp, ms | ratio to the best peer (spread) | of peak | peers | agreement |",
             "| --- | --- | --- | --- | --- | --- |"]
    for result in results:
        ratio = number(result["ratio_to_best"]) + range_text(result["ratio_spread"])
        share = "–" if result["of_peak"] is None else f"{100 * result['of_peak']:.0f} %"
        ours = "not available" if result["ours_ms"] is None else number(result["ours_ms"])
        cells = [result["row"], ours, ratio, share, peer_cell(result), agreement_cell(result)]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def remarks(results: list[dict]) -> str:
    """What the cells have no room for: who was left out and why, which weights, which variant of a peer."""
    lines = []
    for result in results:
        weights = "" if result["weights"] == "none" else f", weights: {result['weights']}"
        lines.append(f"{result['row']}: time for {result['unit']}{weights}")
        for name, ratio in result["ratios"].items():
            lines.append(f"  {name}: ratio {ratio['median']:.3f}{range_text(ratio['spread'])}")
        if result["peak_gflops"]:
            lines.append(f"  matrix products alone: {result['peak_gflops']:.0f} GFLOP/s")
        lines += [f"  {name}: {'; '.join(notes)}" for name, notes in result["notes"].items()]
        lines += [f"  {name}: not available: {reason}" for name, reason in result["unavailable"].items()]
        lines += [f"  {name}: its answers differ, so its time does not count" for name in result["disagreeing"]]
    return "\n".join(lines)


def heading(options_text: str, versions: dict[str, str]) -> str:
    here = machine()
    return (f"{here['cpu']}, {here['cores']} cores ({', '.join(here['features']) or 'no wide vectors'}), "
            f"{here['system']}\n{options_text}\n" + "\n".join(f"{name}: {text}" for name, text in versions.items()))
