"""What all rows share: the processes, the weight files, the images, all in one temporary folder."""

import json
import sys
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

import photos
from rows import TOKEN_PRESETS, Row
from workers import PEERS_FOLDER, Unavailable, Worker

ROOT = Path(__file__).resolve().parents[2]
SHIPPED = {"ranker": ROOT / "modules/ltrp/models/ltrp-rank-tiny.safetensors",
           "mae": ROOT / "modules/ltrp/models/ltrp-mae-small.safetensors"}
OTHER_BUILD = "other-build"
FIELD = {"rank": "ranker", "score": "mae", "train_step": "ranker", "pretrain_step": "mae"}


@dataclass
class Work:
    """A row's commands, the same for everyone."""

    loads: dict[str, dict]  # model id -> what "load" takes
    checks: list[dict]  # commands whose answers are compared
    timed: dict
    row: Row

    def answers(self, worker: Worker, exact: bool = False) -> dict:
        """One answer of all checks: scores row under row; of losses and choices there is only one check."""
        checks = [dict(check, sample_share=1.0) if exact else check for check in self.checks]
        answers = [worker.ask(**named(check)) for check in checks]
        if len(answers) == 1:
            return answers[0]
        return {"scores": [scores for answer in answers for scores in answer["scores"]]}


@dataclass
class FolderWork:
    commands: list[list[str]]
    outputs: list[Path]

    def read(self, path: Path) -> dict:
        entries = sorted(json.loads(path.read_text()), key=lambda entry: entry["image"])
        return {"scores": [entry["scores"] for entry in entries]}


def named(command: dict) -> dict:
    """A command as the arguments of Worker.ask()."""
    return {"what" if key == "do" else key: entry for key, entry in command.items()}


@dataclass
class Setting:
    folder: Path
    binaries: Path
    threads: int
    peer_names: list[str]
    against: Path | None = None  # another build's ltrp_bench
    geometries: dict[str, dict] = field(default_factory=dict)  # of the row at hand
    visible: int = 0
    _peers: dict[str, Worker] = field(default_factory=dict)
    _missing: dict[str, str] = field(default_factory=dict)
    _models: dict[tuple[str, str], tuple[Path, dict]] = field(default_factory=dict)
    _graphs: dict[Path, dict[str, str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.start_ours()

    def start_ours(self) -> None:
        self.ours = Worker.ours(self.binaries / "ltrp_bench", self.threads, self.folder)
        try:
            info = self.ours.ask("info")
        except Unavailable:
            self.ours.close()
            raise
        self.ours.version = f"{info['library']}, OpenCV {info['opencv']}"

    def close(self) -> None:
        for worker in (self.ours, *self._peers.values()):
            worker.close()

    def peer(self, name: str) -> Worker:
        """The process of a peer; "pytorch:fp32" is another one than "pytorch"."""
        if name in self._missing:
            raise Unavailable(self._missing[name])
        if name not in self._peers:
            another = name.partition(":")[0] == OTHER_BUILD
            worker = self._peers[name] = (Worker.ours(self.against, self.threads, self.folder, name) if another else
                                          Worker.peer(name, self.threads, self.folder))
            try:
                info = worker.ask("info")
                worker.version = f"other build ({info['library']})" if another else info["version"]
            except Unavailable as reason:
                self._missing[name] = str(reason)
                self._peers.pop(name).close()
                raise
        return self._peers[name]

    def drop_models(self) -> None:
        """Makes room for the next row, and starts anew what has crashed."""
        try:
            self.ours.ask("drop")
        except Unavailable:
            self.ours.close()
            self.start_ours()
        for name, worker in list(self._peers.items()):
            try:
                worker.ask("drop")
            except Unavailable:
                self._peers.pop(name).close()

    def weights_of(self, row: Row) -> str:
        if row.kind == "select":
            return "none"
        if row.preset in TOKEN_PRESETS:
            return "random, 192 wide, 6 blocks"
        return "shipped" if row.preset == "shipped" else "random, of the published geometry"

    def model(self, kind: str, preset: str) -> tuple[Path, dict]:
        """A weight file and its geometry. Random weights are drawn anew for each run; nothing is downloaded."""
        if (kind, preset) not in self._models:
            path = SHIPPED[kind]
            if preset != "shipped":
                path = self.folder / f"{kind}-{preset}.safetensors"
                self.ours.ask("weights", kind=kind, preset=preset, seed=1, out=str(path))
            geometry = self.ours.ask("load", id="look", model=str(path), precision="fp32")["geometry"]
            self.ours.ask("drop")
            self._models[kind, preset] = path, geometry
        return self._models[kind, preset]

    def graphs(self, path: Path, geometry: dict) -> dict[str, str]:
        """ONNX graphs of a ranker: the exported one, and one of whole LayerNormalization operators."""
        if path not in self._graphs:
            exported = self.folder / f"{path.stem}-export.onnx"
            self.ours.ask("onnx", model=str(path), out=str(exported))
            self._graphs[path] = {"graph of ltrp convert": str(exported)}
            try:
                if str(PEERS_FOLDER) not in sys.path:
                    sys.path.append(str(PEERS_FOLDER))
                from onnx_graph import write_onnx
                whole = self.folder / f"{path.stem}-opset17.onnx"
                write_onnx(str(path), geometry, str(whole))
                self._graphs[path]["opset 17 graph"] = str(whole)
            except ImportError as missing:
                print(f"  only the exported graph is measured: {missing}", file=sys.stderr)
        return self._graphs[path]

    def write(self, name: str, values: np.ndarray) -> str:
        path = self.folder / name
        np.ascontiguousarray(values, np.float32).tofile(path)
        return str(path)

    def load(self, worker: Worker, work: Work, precision: str) -> dict:
        answer = {}
        worker.ask("drop")
        for load in work.loads.values():
            answer.update(worker.ask("load", **load, precision=precision))
        return answer

    def prepare(self, row: Row) -> Work:
        if row.kind == "select":
            return self.prepare_select(row)
        path, geometry = self.model(FIELD[row.kind], row.preset)
        self.geometries = {"id": geometry}
        patches = (geometry["image_size"] // geometry["patch_size"]) ** 2
        self.visible = int(patches * (1 - row.mask_ratio))
        load = {"id": "net", "model": str(path), "geometry": geometry, "purpose": row.kind,
                "n": row.images, "size": geometry["image_size"]}
        if row.kind == "rank":
            load["graphs"] = self.graphs(path, geometry)
            images = photos.batch(photos.views(max(6, row.images)), geometry)
            calls = [{"do": "rank", "id": "net", "n": row.images,
                      "input": self.write(f"images-{i}.f32", images[i:i + row.images])}
                     for i in range(0, len(images), row.images)]
            return Work({"net": load}, calls, calls[0], row)
        images = photos.batch(photos.views(row.images), geometry)
        call = {"do": row.kind, "id": "net", "n": row.images, "input": self.write("images.f32", images),
                "keep": photos.masks(row.images, patches, row.mask_ratio)}
        probe = dict(call, do="score", removal=row.removal, n=1, keep=call["keep"][:1],
                     input=self.write("image.f32", images[:1]))
        if row.kind == "score":
            call |= {"removal": row.removal, "sample_share": row.sample_share}
            return Work({"net": dict(load, probe=probe)}, [call], call, row)
        call["learning_rate"] = 1e-4
        loads = {"net": load}
        if row.kind == "train_step":
            teacher, self.geometries["teacher"] = self.model("mae", "base")
            call["teacher"] = "teacher"
            loads = {"teacher": dict(load, id="teacher", model=str(teacher), geometry=self.geometries["teacher"],
                                     purpose="score", probe=probe), "net": load}
        return Work(loads, [dict(call, steps=3)], call, row)

    def prepare_select(self, row: Row) -> Work:
        geometry = {"image_size": 224, "patch_size": 16, "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}
        rng, patches = np.random.default_rng(3), 196
        self.geometries, self.visible = {"id": geometry}, 0
        call = {"do": "select", "method": row.method, "n": row.images, "keep_count": patches // 4,
                "input": self.write("images.f32", photos.batch(photos.views(row.images), geometry)),
                "scores": self.write("scores.f32", rng.standard_normal((row.images, patches))),
                "noise": self.write("noise.f32", rng.random((2, patches)))}
        return Work({}, [call], call, row)

    def prepare_folder(self, row: Row) -> FolderWork:
        images = self.folder / "photos"
        if not images.exists():
            photos.write_folder(images, row.images)
        path, geometry = self.model("ranker", row.preset)
        self.geometries = {"id": geometry}
        graphs, batch = self.graphs(path, geometry), 8
        outputs = [self.folder / "ours.json", self.folder / "peer.json"]
        ours = [str(self.binaries / "ltrp"), "rank", str(images), "--model", str(path), "--batch", str(batch),
                "--threads", str(self.threads), "--json", str(outputs[0])]
        peer = [sys.executable, str(PEERS_FOLDER / "rank_folder.py"), str(images),
                graphs.get("opset 17 graph", graphs["graph of ltrp convert"]), str(geometry["image_size"]),
                str(outputs[1]), "--threads", str(self.threads), "--batch", str(batch),
                "--mean", *map(str, geometry["mean"]), "--std", *map(str, geometry["std"])]
        return FolderWork([ours, peer], outputs)
