# This file is part of OpenCV project.
# It is subject to the license terms in the LICENSE file found in the top-level directory
# of this distribution and at http://opencv.org/license.html.

import os
from typing import Any, Callable, Final, Optional, Sequence, Tuple, Union, final

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "AVERAGE_RANK", "AVERAGE_SCORE", "CONTEXT_BORDER", "CONTEXT_UNIFORM", "METRIC_L1", "METRIC_L2", "METRIC_PSNR",
    "METRIC_SSIM", "MaePretrainParams", "PatchRanking", "PatchRegion", "REMOVAL_DECODER", "REMOVAL_ENCODER", "RankSaliency",
    "RankSaliency_create", "Ranker", "RankerTrainParams", "Ranker_create", "RankingTracker", "RankingTracker_create",
    "SELECT_CLUSTER", "SELECT_MASS", "SELECT_SAMPLE", "SELECT_THRESHOLD", "SELECT_TOPK", "SPACE_DECODER", "SPACE_PIXEL",
    "ScoreParams", "Scorer", "Scorer_create",
    "SelectParams", "TARGET_CPU", "TARGET_CPU_BF16", "TARGET_CPU_INT8",
    "TARGET_CUDA", "TARGET_CUDA_BF16", "TARGET_CUDA_FP16", "TARGET_CUDA_TF32", "TOKEN_ORDER_RASTER", "TOKEN_ORDER_WINDOWS",
    "TokenSelection", "TrainParams", "TrainProgress", "Trainer",
    "Trainer_createPretrain", "Trainer_createRanker", "VisibleScores", "__version__", "drawHeatMap", "drawKept",
    "drawOverlay", "error", "exportOnnx", "getNumThreads", "keepCount", "keptRegions", "missingForTarget", "patchRect", "resampleScores",
    "selectPatches", "selectPoints", "selectTokens", "select_tokens", "setNumThreads", "shippedModel", "tokenGrid",
]
__version__: str

_Image = Union[NDArray[np.uint8], NDArray[np.uint16], NDArray[np.float32], NDArray[np.float64]]
_Pair = Union[Sequence[int], NDArray[np.integer[Any]]]
_Numbers = Union[Sequence[int], NDArray[np.integer[Any]]]
_Points = Union[Sequence[Sequence[int]], NDArray[np.integer[Any]]]
_Path = Union[str, bytes, os.PathLike[str], os.PathLike[bytes]]
_Size = Tuple[int, int]
_Rect = Tuple[int, int, int, int]
_Scalar = Tuple[float, float, float, float]

SELECT_TOPK: Final[int]
SELECT_CLUSTER: Final[int]
SELECT_MASS: Final[int]
SELECT_THRESHOLD: Final[int]
SELECT_SAMPLE: Final[int]
TOKEN_ORDER_RASTER: Final[int]
TOKEN_ORDER_WINDOWS: Final[int]
REMOVAL_DECODER: Final[int]
REMOVAL_ENCODER: Final[int]
METRIC_L1: Final[int]
METRIC_L2: Final[int]
METRIC_SSIM: Final[int]
METRIC_PSNR: Final[int]
SPACE_DECODER: Final[int]
SPACE_PIXEL: Final[int]
AVERAGE_SCORE: Final[int]
AVERAGE_RANK: Final[int]
CONTEXT_UNIFORM: Final[int]
CONTEXT_BORDER: Final[int]
TARGET_CPU: Final[int]
TARGET_CPU_BF16: Final[int]
TARGET_CPU_INT8: Final[int]
TARGET_CUDA: Final[int]
TARGET_CUDA_BF16: Final[int]
TARGET_CUDA_FP16: Final[int]
TARGET_CUDA_TF32: Final[int]

class error(Exception):
    code: int
    err: str
    func: str
    file: str
    line: int
    msg: str

class PatchRanking:
    imageSize: _Size
    def __init__(self) -> None: ...
    @property
    def scores(self) -> Optional[NDArray[np.float32]]: ...
    @scores.setter
    def scores(self, scores: Optional[NDArray[np.float32]]) -> None: ...
    def grid(self) -> _Size: ...
    def order(self) -> NDArray[np.int32]: ...
    def rect(self, index: int) -> _Rect: ...

class SelectParams:
    method: int
    keepRatio: float
    count: int
    scoreShare: float
    neighbours: int
    seed: int
    mass: float
    temperature: float
    threshold: float
    minRatio: float
    maxRatio: float
    def __init__(self) -> None: ...

class TokenSelection:
    grid: _Size
    merge: int
    def __init__(self) -> None: ...
    @property
    def indices(self) -> NDArray[np.int32]: ...
    @indices.setter
    def indices(self, indices: _Numbers) -> None: ...
    @property
    def rows(self) -> NDArray[np.int32]: ...
    @rows.setter
    def rows(self, rows: _Numbers) -> None: ...
    @property
    def columns(self) -> NDArray[np.int32]: ...
    @columns.setter
    def columns(self, columns: _Numbers) -> None: ...
    @property
    def merged(self) -> NDArray[np.int32]: ...
    @merged.setter
    def merged(self, merged: _Numbers) -> None: ...

class PatchRegion:
    box: _Rect
    score: float
    def __init__(self) -> None: ...
    @property
    def outline(self) -> NDArray[np.int32]: ...
    @outline.setter
    def outline(self, outline: _Points) -> None: ...
    @property
    def holes(self) -> Tuple[NDArray[np.int32], ...]: ...
    @holes.setter
    def holes(self, holes: Sequence[_Points]) -> None: ...
    @property
    def patches(self) -> NDArray[np.int32]: ...
    @patches.setter
    def patches(self, patches: _Numbers) -> None: ...

class ScoreParams:
    maskRatio: float
    removal: int
    metric: int
    space: int
    average: int
    masks: int
    seed: int
    sampleShare: float
    teacher: str
    smooth: float
    context: int
    def __init__(self) -> None: ...
    @property
    def featureBlocks(self) -> NDArray[np.int32]: ...
    @featureBlocks.setter
    def featureBlocks(self, blocks: _Numbers) -> None: ...

class VisibleScores:
    def __init__(self) -> None: ...
    @property
    def patches(self) -> NDArray[np.int32]: ...
    @patches.setter
    def patches(self, patches: _Numbers) -> None: ...
    @property
    def scores(self) -> NDArray[np.float32]: ...
    @scores.setter
    def scores(self, scores: Union[Sequence[float], NDArray[np.floating[Any]]]) -> None: ...

@final
class Ranker:
    @staticmethod
    def create(model: Optional[_Path] = None, trusted: bool = False) -> Ranker: ...
    def rank(self, image: _Image) -> PatchRanking: ...
    def rankBatch(self, images: Sequence[_Image]) -> Tuple[PatchRanking, ...]: ...
    def setPreferableBackend(self, backendId: int) -> None: ...
    def setPreferableTarget(self, targetId: int) -> None: ...
    def setInputSize(self, size: _Size) -> None: ...
    def fittingInputSize(self, imageSize: _Size, patches: int = 0) -> _Size: ...
    def getInputSize(self) -> _Size: ...
    def getGrid(self) -> _Size: ...
    def getInputMean(self) -> _Scalar: ...
    def getInputStd(self) -> _Scalar: ...
    def info(self) -> str: ...

@final
class RankingTracker:
    @staticmethod
    def create(
        select: SelectParams = ..., memory: float = 0.7, margin: float = 0.2, cut: float = 0.5
    ) -> RankingTracker: ...
    def update(self, frame: _Image, ranking: PatchRanking) -> bool: ...
    def getRanking(self) -> PatchRanking: ...
    def getKept(self) -> NDArray[np.int32]: ...
    def reset(self) -> None: ...

@final
class RankSaliency:
    @staticmethod
    def create(model: Optional[_Path] = None) -> RankSaliency: ...
    def computeSaliency(
        self, image: _Image, saliencyMap: Optional[NDArray[np.float32]] = None
    ) -> Tuple[bool, Optional[NDArray[np.float32]]]: ...
    def setEdgeAware(self, edgeAware: bool) -> None: ...
    def getEdgeAware(self) -> bool: ...
    def getRanker(self) -> Ranker: ...

@final
class Scorer:
    @staticmethod
    def create(model: Optional[_Path] = None, normPixLoss: int = -1) -> Scorer: ...
    def score(self, image: _Image, params: ScoreParams = ...) -> VisibleScores: ...
    def scoreMap(
        self, image: _Image, params: ScoreParams = ..., progress: Optional[Callable[[int, int], object]] = None
    ) -> PatchRanking: ...
    def addFeaturePhoto(self, photo: _Image) -> None: ...
    def setPreferableBackend(self, backendId: int) -> None: ...
    def setPreferableTarget(self, targetId: int) -> None: ...
    def getInputSize(self) -> _Size: ...
    def getGrid(self) -> _Size: ...
    def info(self) -> str: ...

class TrainParams:
    out: str
    init: str
    resume: bool
    seed: int
    epochs: float
    warmupEpochs: float
    batch: int
    accumulate: int
    baseLearningRate: float
    learningRate: float
    minLearningRate: float
    weightDecay: float
    beta1: float
    beta2: float
    maskRatio: float
    scaleMin: float
    scaleMax: float
    ratioMin: float
    ratioMax: float
    flip: float
    target: int
    workers: int
    threads: int
    cacheMegabytes: int
    reduceJpegs: bool
    checkpointEvery: int
    checkpointMinutes: float
    exportEvery: int
    logEvery: int
    note: str
    def setWholePhotos(self) -> None: ...
    def __init__(self) -> None: ...
    @property
    def data(self) -> Tuple[str, ...]: ...
    @data.setter
    def data(self, data: Sequence[str]) -> None: ...

class MaePretrainParams(TrainParams):
    imageSize: int
    patchSize: int
    embedDim: int
    depth: int
    heads: int
    decoderEmbedDim: int
    decoderDepth: int
    decoderHeads: int
    normPixLoss: bool
    def __init__(self) -> None: ...
    def setPreset(self, name: str) -> None: ...

class RankerTrainParams(TrainParams):
    mae: str
    targets: str
    embedDim: int
    depth: int
    heads: int
    head: str
    removal: int
    metric: int
    space: int
    loss: str
    listK: int
    seesAll: bool
    scoreTarget: int
    def __init__(self) -> None: ...
    def setPreset(self, name: str) -> None: ...

class TrainProgress:
    step: int
    steps: int
    epoch: float
    epochs: float
    loss: float
    learningRate: float
    imagesPerSecond: float
    dataWait: float
    secondsLeft: float
    skipped: int
    batch: int
    batches: int
    def __init__(self) -> None: ...

@final
class Trainer:
    @staticmethod
    def createPretrain(params: MaePretrainParams) -> Trainer: ...
    @staticmethod
    def createRanker(params: RankerTrainParams) -> Trainer: ...
    def run(
        self,
        progress: Optional[Callable[[TrainProgress], object]] = None,
        message: Optional[Callable[[str], object]] = None,
    ) -> bool: ...

def setNumThreads(nthreads: int) -> None: ...
def getNumThreads() -> int: ...
def missingForTarget(target: int) -> str: ...
def shippedModel(kind: str) -> str: ...
def exportOnnx(model: _Path, onnx: _Path, inputSize: _Size = (0, 0)) -> None: ...
def patchRect(imageSize: _Pair, grid: _Pair, index: int) -> _Rect: ...
def keepCount(numPatches: int, keepRatio: float) -> int: ...
def selectPatches(
    ranking: PatchRanking, params: SelectParams, image: Optional[_Image] = None
) -> NDArray[np.int32]: ...
def resampleScores(
    scores: NDArray[np.float32], grid: _Pair, dst: Optional[NDArray[np.float32]] = None
) -> NDArray[np.float32]: ...
def tokenGrid(imageSize: _Pair, patchSize: int, merge: int = 1) -> _Size: ...
def selectTokens(
    ranking: PatchRanking, grid: _Pair, params: SelectParams = ..., merge: int = 1, order: int = 0
) -> TokenSelection: ...
def select_tokens(
    ranking: PatchRanking, grid: _Pair, params: SelectParams = ..., merge: int = 1, order: int = 0
) -> NDArray[np.int64]: ...
def selectPoints(ranking: PatchRanking, count: int, spread: float = 0.5) -> NDArray[np.int32]: ...
def keptRegions(ranking: PatchRanking, keep: _Numbers) -> Tuple[PatchRegion, ...]: ...
def drawKept(
    image: NDArray[np.uint8], grid: _Pair, keep: _Numbers, dst: Optional[NDArray[np.uint8]] = None, dim: float = 0.25
) -> NDArray[np.uint8]: ...
def drawHeatMap(
    image: NDArray[np.uint8], scores: NDArray[np.float32], dst: Optional[NDArray[np.uint8]] = None, alpha: float = 0.55
) -> NDArray[np.uint8]: ...
def drawOverlay(
    image: NDArray[np.uint8], ranking: PatchRanking, keep: _Numbers, dst: Optional[NDArray[np.uint8]] = None
) -> NDArray[np.uint8]: ...
def Ranker_create(model: Optional[_Path] = None, trusted: bool = False) -> Ranker: ...
def RankSaliency_create(model: Optional[_Path] = None) -> RankSaliency: ...
def RankingTracker_create(
    select: SelectParams = ..., memory: float = 0.7, margin: float = 0.2, cut: float = 0.5
) -> RankingTracker: ...
def Scorer_create(model: Optional[_Path] = None, normPixLoss: int = -1) -> Scorer: ...
def Trainer_createPretrain(params: MaePretrainParams) -> Trainer: ...
def Trainer_createRanker(params: RankerTrainParams) -> Trainer: ...
