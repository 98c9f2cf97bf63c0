"""PyTorch on the GPU: the rows of ltrp_bench_cuda that have a peer, in bfloat16, as usual today.

A line of JSON a row, as ltrp_bench_cuda prints them; exit status 3 and the reason where there is no such PyTorch.
"""

import json
import sys
import time
from pathlib import Path
from typing import Callable

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "bench" / "peers"))

NONE = 3
SECONDS = 2.0


def milliseconds(work: Callable[[], object]) -> float:
    """Time per call of many calls, with a wait after the last one: the median over five parts."""
    for _ in range(3):
        work()
    torch.cuda.synchronize()
    start = time.perf_counter()
    work()
    torch.cuda.synchronize()
    calls = max(1, int(SECONDS / 5 / max(time.perf_counter() - start, 1e-6)))
    parts = []
    for _ in range(5):
        start = time.perf_counter()
        for _ in range(calls):
            work()
        torch.cuda.synchronize()
        parts.append((time.perf_counter() - start) * 1e3 / calls)
    return sorted(parts)[2]


def report(row: str, batch: int, ms: float, how: str) -> None:
    print(json.dumps({"row": row, "batch": batch, "ms": ms, "images_per_second": batch * 1e3 / ms, "how": how,
                      "peak_bytes": torch.cuda.max_memory_allocated()}), flush=True)
    torch.cuda.reset_peak_memory_stats()


def ceilings() -> None:
    """Peak rates of the device: a large matrix product on random numbers, and a large copy."""
    a, b = (torch.randn(8192, 8192, dtype=torch.bfloat16) for _ in range(2))
    ms = milliseconds(lambda: a @ b)
    print(json.dumps({"row": "matmul-8192-bf16", "ms": ms, "tflops": 2 * 8192 ** 3 / ms / 1e9}), flush=True)
    source = torch.randn(2 ** 29)   # 2 GiB
    target = torch.empty_like(source)
    ms = milliseconds(lambda: target.copy_(source))
    print(json.dumps({"row": "copy", "ms": ms, "gigabytes_per_second": 2 * source.nbytes / ms / 1e6}), flush=True)
    del source, target
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()


def geometry(kind: str) -> dict:
    encoder = {"dim": 384, "depth": 12, "heads": 6, "hidden": 1536}
    if kind == "mae":
        encoder = {"dim": 768, "depth": 12, "heads": 12, "hidden": 3072}
    return {"encoder": encoder, "decoder": {"dim": 512, "depth": 8, "heads": 16, "hidden": 2048}, "layer_norm_eps": 1e-6,
            "patch_size": 16, "image_size": 224, "norm_pix_loss": True}


def score_rows() -> None:
    model = MaskedAutoencoder(geometry("mae")).to(torch.bfloat16).eval()
    batch, visible = 64, 19
    pixels = torch.randn(batch, 3, 224, 224, dtype=torch.bfloat16)
    keep = torch.rand(batch, model.patches).argsort(1)[:, :visible].sort(1).values

    def parts(size: int, removal: str, dropped: bool) -> Callable[[], object]:
        return lambda: [pseudo_scores(model, pixels[i:i + size], keep[i:i + size], removal, dropped) for i in range(0, batch, size)]

    for removal in ("decoder", "encoder"):
        best = (float("inf"), "")
        for size in (64, 16):  # batch size and way of removing the token: whatever is fastest here
            for dropped in (False, True) if removal == "decoder" else (False,):
                ms = milliseconds(parts(size, removal, dropped))
                best = min(best, (ms, f"{size} images at a time, removed token {'left out' if dropped else 'masked'}"))
        report(f"score-{removal}-bf16", batch, *best)


def rank_rows() -> None:
    model = Ranker(geometry("ranker")).to(torch.bfloat16).eval()
    compiled = torch.compile(model)
    for batch in (256, 1):
        pixels = torch.randn(batch, 3, 224, 224, dtype=torch.bfloat16)
        best = min((milliseconds(lambda net=net: net(pixels)), how) for net, how in ((compiled, "torch.compile"), (model, "eager")))
        report(f"rank-{batch}-bf16", batch, *best)


def main() -> int:
    torch.manual_seed(1)
    torch.set_default_device("cuda")
    print(f"PyTorch {torch.__version__} on {torch.cuda.get_device_name()}", file=sys.stderr)
    with torch.inference_mode():
        ceilings()
        score_rows()
        rank_rows()
    return 0


if __name__ == "__main__":
    try:
        import torch
        from torch_models import MaskedAutoencoder, Ranker
        from torch_peer import pseudo_scores
    except ImportError as absent:
        print(f"left out: {absent}")
        sys.exit(NONE)
    if not torch.cuda.is_available():
        print(f"left out: PyTorch {torch.__version__} sees no CUDA device")
        sys.exit(NONE)
    sys.exit(main())
