# This file is part of OpenCV project.
# It is subject to the license terms in the LICENSE file found in the top-level directory
# of this distribution and at http://opencv.org/license.html.

"""Uses the package as a program would; `mypy --strict` must find no errors except the mistakes at the end."""

from pathlib import Path
from typing import Sequence

import numpy as np
from numpy.typing import NDArray

import ltrp


def overlay(photo: NDArray[np.uint8], ratio: float) -> NDArray[np.uint8]:
    ranking = ltrp.Ranker.create().rank(photo)
    params = ltrp.SelectParams()
    params.keepRatio = ratio
    keep = ltrp.selectPatches(ranking, params, photo)
    x, y, width, height = ranking.rect(int(keep[0]))
    photo[y:y + height, x:x + width] = 0
    return ltrp.drawOverlay(photo, ranking, keep)


def steady(frames: Sequence[NDArray[np.uint8]]) -> NDArray[np.int32]:
    ranker, tracker = ltrp.Ranker.create(), ltrp.RankingTracker.create(memory=0.5)
    scenes = sum(tracker.update(frame, ranker.rank(frame)) for frame in frames)
    return tracker.getKept() if scenes == 1 else np.arange(tracker.getRanking().grid()[0], dtype=np.int32)


def saliency(photo: NDArray[np.uint8], model: Path) -> NDArray[np.float32]:
    computed, result = ltrp.RankSaliency.create(model).computeSaliency(photo)
    assert computed and result is not None
    return result


def contrast(photos: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
    scorer, params = ltrp.Scorer.create(normPixLoss=1), ltrp.ScoreParams()
    for photo in photos:
        scorer.addFeaturePhoto(photo)
    params.teacher, params.context, params.smooth = "features+centre*0.15", ltrp.CONTEXT_BORDER, 0.5
    params.featureBlocks = [4, 7]
    scores = scorer.scoreMap(photos[0], params).scores
    assert scores is not None
    return scores


def pretrain(folder: Path) -> bool:
    params = ltrp.MaePretrainParams()
    params.data = [str(folder)]
    params.init = str(folder / "before.safetensors")

    def progress(state: ltrp.TrainProgress) -> bool:
        return state.step < 100
    return ltrp.Trainer.createPretrain(params).run(progress, print)


def mistakes() -> None:   # for mypy --strict an ignore comment without an error is itself an error
    ltrp.Ranker.create(5)   # type: ignore[arg-type]
    ltrp.SelectParams().keepRatio = "half"   # type: ignore[assignment]
    ltrp.Scorer.create().score("photo.jpg")   # type: ignore[arg-type]
    ltrp.ScoreParams().teacher = 1   # type: ignore[assignment]
    ltrp.RankerTrainParams().targets = Path("maps")   # type: ignore[assignment]
    ltrp.keepCount(1.5, 0.5)   # type: ignore[arg-type]
