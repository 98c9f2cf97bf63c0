#!/usr/bin/env python
# This file is part of OpenCV project.
# It is subject to the license terms in the LICENSE file found in the top-level directory
# of this distribution and at http://opencv.org/license.html.

"""One set of tests for both bindings: cv2.ltrp of OpenCV's own build and the package ltrp.

OpenCV's Python tests run it by themselves. Alone, LTRP_PYTHON=cv2 or LTRP_PYTHON=ltrp says which one is meant; without
it cv2.ltrp is taken where there is one: python test_ltrp.py [-v] [Class[.test]]
"""

import glob
import json
import os
import pickle
import shutil
import signal
import struct
import sys
import tempfile
import threading
import time
import unittest

import numpy as np

wanted = os.environ.get('LTRP_PYTHON', '')
if wanted not in ('', 'cv2', 'ltrp'):
    sys.exit('LTRP_PYTHON is %r, expected cv2 or ltrp' % wanted)
lib = None
if wanted != 'ltrp':
    try:
        import cv2
        lib = getattr(cv2, 'ltrp', None)
    except ImportError:
        pass
    if lib is None and wanted == 'cv2':
        sys.exit('LTRP_PYTHON=cv2, but this cv2 has no ltrp')
in_cv2 = lib is not None
if in_cv2:
    error, setNumThreads = cv2.error, cv2.setNumThreads
else:
    import ltrp as lib
    error, setNumThreads = lib.error, lib.setNumThreads

try:
    from tests_common import NewOpenCVTests as TestCase
except ImportError:
    TestCase = unittest.TestCase

REFUSED = (error, TypeError)   # which of the two a wrong type raises depends on how the binding resolves overloads


def photo(rows=120, columns=160, channels=3, seed=1):
    """A smooth image with one busy corner; determined by the seed."""
    random = np.random.RandomState(seed)
    y, x = np.mgrid[0:rows, 0:columns]
    image = np.empty((rows, columns, channels), np.float64)
    for c in range(channels):
        image[:, :, c] = 90 + 60 * np.sin(x / 31.0 + c) + 40 * np.cos(y / 17.0 - c)
    image[:rows // 3, :columns // 3] += random.uniform(-60, 60, (rows // 3, columns // 3, channels))
    return np.clip(image, 0, 255).astype(np.uint8)


class Shared(TestCase):
    """One ranker and one scorer for all tests."""

    ranker_object = scorer_object = None

    @property
    def ranker(self):
        if Shared.ranker_object is None:
            Shared.ranker_object = lib.Ranker.create()
        return Shared.ranker_object

    @property
    def scorer(self):
        if Shared.scorer_object is None:
            Shared.scorer_object = lib.Scorer.create()
        return Shared.scorer_object

    def refused(self, call, *args, **keywords):
        with self.assertRaises(REFUSED) as caught:
            call(*args, **keywords)
        return str(caught.exception)


class Names(Shared):
    def test_every_name_of_the_api(self):
        functions = ('patchRect keepCount selectPatches resampleScores tokenGrid selectTokens selectPoints keptRegions '
                     'drawKept drawHeatMap drawOverlay missingForTarget shippedModel exportOnnx '
                     'Ranker_create Scorer_create Trainer_createPretrain Trainer_createRanker RankingTracker_create '
                     'RankSaliency_create').split()
        classes = ('PatchRanking SelectParams TokenSelection PatchRegion ScoreParams VisibleScores Ranker Scorer TrainParams '
                   'MaePretrainParams RankerTrainParams TrainProgress Trainer RankingTracker RankSaliency').split()
        for name in functions + classes:
            self.assertTrue(callable(getattr(lib, name)), name)
            if name in functions or not in_cv2:   # OpenCV's generator gives classes no docstring
                self.assertTrue(getattr(lib, name).__doc__, name)
        constants = dict(SELECT_TOPK=0, SELECT_CLUSTER=1, SELECT_MASS=2, SELECT_THRESHOLD=3, SELECT_SAMPLE=4,
                         TOKEN_ORDER_RASTER=0, TOKEN_ORDER_WINDOWS=1,
                         REMOVAL_DECODER=0, REMOVAL_ENCODER=1, METRIC_L1=0, METRIC_L2=1,
                         METRIC_SSIM=2, METRIC_PSNR=3, SPACE_DECODER=0, SPACE_PIXEL=1, AVERAGE_SCORE=0, AVERAGE_RANK=1,
                         CONTEXT_UNIFORM=0, CONTEXT_BORDER=1, TARGET_CPU=0, TARGET_CPU_BF16=10, TARGET_CPU_INT8=1001, TARGET_CUDA=6, TARGET_CUDA_FP16=7,
                         TARGET_CUDA_BF16=1002, TARGET_CUDA_TF32=1003)
        for name, value in constants.items():
            self.assertEqual(getattr(lib, name), value, name)

    def test_defaults(self):
        select, score = lib.SelectParams(), lib.ScoreParams()
        self.assertEqual((select.method, select.keepRatio, select.scoreShare, select.neighbours, select.seed),
                         (0, 0.25, 0.7, 5, 0))
        self.assertEqual((select.count, select.mass, select.temperature, select.threshold, select.minRatio,
                          select.maxRatio), (0, 0.75, 1, 0, 0, 1))
        self.assertEqual((score.maskRatio, score.removal, score.metric, score.space, score.average, score.masks,
                          score.seed, score.sampleShare), (0.9, 0, 0, 0, 0, 32, 0, 1))
        self.assertEqual((score.teacher, score.smooth, score.context, len(score.featureBlocks)), ('leave-one-out', 0, 0, 0))
        mae, rank = lib.MaePretrainParams(), lib.RankerTrainParams()
        self.assertIs(mae.reduceJpegs, True)
        self.assertEqual((mae.embedDim, mae.depth, mae.epochs, mae.maskRatio), (768, 12, 800, 0.75))
        self.assertEqual((rank.embedDim, rank.heads, rank.weightDecay, rank.loss), (384, 6, 0.06, 'list-mle-k'))
        self.assertEqual((mae.init, rank.init, rank.targets), ('', '', ''))
        rank.setPreset('tiny')
        self.assertEqual((rank.embedDim, rank.heads), (192, 3))
        self.assertIn('tiny', self.refused(rank.setPreset, 'gigantic'))

    def test_all_64_bits_of_a_seed(self):
        params = lib.ScoreParams()
        params.seed = 2 ** 64 - 2
        self.assertEqual(params.seed, 2 ** 64 - 2)

    def test_shipped_models(self):
        for kind in ('rank', 'mae'):
            self.assertTrue(os.path.isfile(lib.shippedModel(kind)))
        self.assertIn('weights', self.refused(lib.shippedModel, 'weights'))

    def test_a_ranker_as_onnx(self):
        folder = tempfile.mkdtemp()
        try:
            file = os.path.join(folder, 'ranker.onnx')
            lib.exportOnnx(lib.shippedModel('rank'), file, (96, 64))
            self.assertEqual(lib.Ranker.create(file).getInputSize(), (96, 64))
            self.assertIn('autoencoder', self.refused(lib.exportOnnx, lib.shippedModel('mae'), file))
            self.assertIn('another file', self.refused(lib.exportOnnx, lib.shippedModel('rank'), lib.shippedModel('rank')))
            for size in ((97, 64), (0, 64), (-8, 64)):
                self.assertIn('patch', self.refused(lib.exportOnnx, lib.shippedModel('rank'), file, size))
        finally:
            shutil.rmtree(folder)

    def test_objects_come_from_create(self):
        self.assertEqual(type(lib.Ranker_create(lib.shippedModel('rank'))), lib.Ranker)
        self.assertIn('/no/such/file', self.refused(lib.Ranker.create, '/no/such/file.safetensors'))
        self.refused(lib.Ranker.create, lib.shippedModel('mae'))   # the wrong kind of network
        self.refused(lib.Ranker.create, '')
        self.refused(lib.Ranker.create, 7)

    def test_a_path_object_names_a_model(self):
        class Path(object):
            def __fspath__(self):
                return lib.shippedModel('rank')
        self.assertEqual(lib.Ranker.create(Path()).getGrid(), self.ranker.getGrid())

    def test_error_tells_what(self):
        with self.assertRaises(error) as caught:
            self.ranker.rank(None)
        self.assertEqual(caught.exception.err, 'the image is empty')
        self.assertIn('the image is empty', str(caught.exception))
        self.assertEqual(caught.exception.code, -5)
        self.assertTrue(caught.exception.func and caught.exception.line > 0 and caught.exception.file)


class Ranking(Shared):
    def test_rank(self):
        image = photo()
        ranking = self.ranker.rank(image)
        columns, rows = self.ranker.getGrid()
        self.assertEqual(ranking.scores.shape, (rows, columns))
        self.assertEqual(ranking.scores.dtype, np.float32)
        self.assertEqual(ranking.imageSize, (160, 120))
        self.assertEqual(ranking.grid(), (columns, rows))
        order = ranking.order()
        self.assertEqual(order.dtype, np.int32)
        np.testing.assert_array_equal(order, np.argsort(-ranking.scores.ravel(), kind='stable'))
        self.assertGreater(ranking.scores.std(), 0)
        self.assertFalse(np.array_equal(self.ranker.rank(image.transpose(1, 0, 2)).scores, ranking.scores))

    def test_facts_of_the_model(self):
        size = self.ranker.getInputSize()
        self.assertEqual(size[0], size[1])
        self.assertTrue(all(0 < value < 1 for value in self.ranker.getInputMean()[:3] + self.ranker.getInputStd()[:3]))
        self.assertIn(os.path.basename(lib.shippedModel('rank')), self.ranker.info())

    def test_rectangles_tile_the_image(self):
        ranking = self.ranker.rank(photo(101, 67))
        seen = np.zeros((101, 67), int)
        for index in range(ranking.scores.size):
            x, y, width, height = ranking.rect(index)
            self.assertEqual((x, y, width, height), lib.patchRect((67, 101), ranking.grid(), index))
            seen[y:y + height, x:x + width] += 1
        self.assertTrue((seen == 1).all())
        self.refused(ranking.rect, ranking.scores.size)
        self.refused(ranking.rect, -1)

    def test_every_accepted_type(self):
        image = photo()
        expected = self.ranker.rank(image).scores
        same = [image.astype(np.uint16) * 257, image.astype(np.float32) / 255, image.astype(np.float64) / 255,
                np.dstack([image, np.full(image.shape[:2], 255, np.uint8)])]
        for other in same:
            np.testing.assert_allclose(self.ranker.rank(other).scores, expected, atol=1e-4)
        grey = image[:, :, 0].copy()
        np.testing.assert_array_equal(self.ranker.rank(grey).scores,
                                      self.ranker.rank(np.repeat(grey[:, :, None], 3, 2)).scores)
        np.testing.assert_array_equal(self.ranker.rank(grey).scores, self.ranker.rank(grey[:, :, None]).scores)

    def test_every_layout_of_memory(self):
        image = photo()
        padded = np.zeros((130, 200, 3), np.uint8)
        padded[5:125, 20:180] = image
        readonly = image.copy()
        readonly.flags.writeable = False
        views = [padded[5:125, 20:180], readonly, np.asfortranarray(image), image[::-1][::-1],
                 image[:, ::-1].copy()[:, ::-1], image[:, :, ::-1].copy()[:, :, ::-1],
                 np.ascontiguousarray(image.transpose(1, 0, 2)).transpose(1, 0, 2), np.repeat(image, 2, 0)[::2],
                 np.repeat(image, 2, 1)[:, ::2], np.repeat(image, 2, 2)[:, :, ::2]]
        expected = self.ranker.rank(image).scores
        for number, view in enumerate(views):
            np.testing.assert_array_equal(view, image)
            np.testing.assert_array_equal(self.ranker.rank(view).scores, expected, str(number))
        row = np.broadcast_to(image[:1], image.shape)   # all rows are the same: a stride of 0
        np.testing.assert_array_equal(self.ranker.rank(row).scores, self.ranker.rank(row.copy()).scores)

    def test_hostile_images(self):
        bad = [None, 'photo.jpg', object(), np.zeros((0, 0, 3), np.uint8), np.zeros((4, 0, 3), np.uint8),
               np.zeros((8, 8, 2), np.uint8), np.zeros((8, 8, 5), np.uint8), np.zeros((2, 8, 8, 3), np.uint8),
               np.zeros((8, 8), np.complex64), np.zeros((8, 8), object), np.zeros((8, 8), 'S3'), np.zeros((8, 8), np.int8),
               np.zeros((8, 8), np.int32), np.zeros((8, 8), np.int64), np.zeros((8, 8, 600), np.uint8),
               np.full((8, 8, 3), np.nan, np.float32), np.full((8, 8, 3), np.inf, np.float64)]
        for image in bad:
            self.assertTrue(self.refused(self.ranker.rank, image))
            self.assertTrue(self.refused(self.ranker.rankBatch, [photo(), image]))
        self.refused(self.ranker.rank)
        self.refused(self.ranker.rank, photo(), wrong=1)
        self.refused(self.ranker.rankBatch, None if not in_cv2 else 3)
        self.assertIn('column 2, row 1, channel 1', self.refused(self.ranker.rank, with_nan()))
        # Images whose values are not in [0, 1], or that are fully transparent.
        self.assertIn('divide', self.refused(self.ranker.rank, photo().astype(np.float32)))
        self.assertIn('normalisation', self.refused(self.ranker.rank, photo().astype(np.float32) / 64 - 2))
        self.assertIn('transparent', self.refused(self.ranker.rank, np.zeros((32, 32, 4), np.uint8)))

    def test_hidden_colours_do_not_count(self):
        one = np.dstack([photo(), np.full(photo().shape[:2], 255, np.uint8)])
        one[20:60, 30:90, 3] = 0
        other = one.copy()
        other[20:60, 30:90, :3] = 77
        np.testing.assert_array_equal(self.ranker.rank(one).scores, self.ranker.rank(other).scores)

    def test_rankings_can_be_pickled(self):
        for ranking in [self.ranker.rank(photo()), lib.PatchRanking()]:
            again = pickle.loads(pickle.dumps(ranking))
            self.assertEqual(again.imageSize, ranking.imageSize)
            np.testing.assert_array_equal(again.scores, ranking.scores)

    @unittest.skipUnless(hasattr(os, 'fork'), 'this system has no fork')
    def test_a_forked_process_gets_an_error(self):
        self.ranker.rank(photo())
        if (cv2 if in_cv2 else lib).getNumThreads() == 1:
            self.skipTest('one thread: nothing to lose')
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            text = 'ranked'
            try:
                self.ranker.rank(photo())
            except REFUSED as error:
                text = str(error)
            os.write(writing, text.encode())
            os._exit(0)
        os.close(writing)
        with os.fdopen(reading) as file:
            self.assertIn('forked', file.read())
        os.waitpid(child, 0)

    def test_sizes_at_the_edge(self):
        for shape in ((1, 1, 3), (1, 500), (500, 1, 4), (2000, 3, 3)):
            ranking = self.ranker.rank(np.full(shape, 9, np.uint8))
            self.assertEqual(ranking.imageSize, (shape[1], shape[0]))
            self.assertTrue(np.isfinite(ranking.scores).all())

    def test_batch_equals_single(self):
        images = [photo(60 + 20 * i, 90, seed=i) for i in range(5)]
        batch = self.ranker.rankBatch(images)
        self.assertEqual(len(batch), 5)
        for image, ranking in zip(images, batch):
            self.assertEqual(ranking.imageSize, (image.shape[1], image.shape[0]))
            np.testing.assert_allclose(ranking.scores, self.ranker.rank(image).scores, atol=1e-4)
        self.assertEqual(len(self.ranker.rankBatch([])), 0)
        self.assertIn('1', self.refused(self.ranker.rankBatch, [images[0], with_nan()]))

    def test_backend_and_target(self):
        ranker = lib.Ranker.create()
        ranker.setPreferableBackend(0)
        ranker.setPreferableTarget(lib.TARGET_CPU)
        self.assertIn('999', self.refused(ranker.setPreferableBackend, 999))
        self.refused(ranker.setPreferableTarget, 12345)
        self.assertEqual(lib.missingForTarget(lib.TARGET_CPU), '')
        expected = ranker.rank(photo()).scores
        for target in (lib.TARGET_CPU_BF16, lib.TARGET_CPU_INT8):
            missing = lib.missingForTarget(target)
            if missing:
                self.assertIn(missing, self.refused(ranker.setPreferableTarget, target))
            else:
                ranker.setPreferableTarget(target)
                self.assertGreater(np.corrcoef(ranker.rank(photo()).scores.ravel(), expected.ravel())[0, 1], 0.95)

    def test_scores_may_be_assigned(self):
        ranking = lib.PatchRanking()
        self.assertIsNone(ranking.scores)
        ranking.imageSize = (60, 40)
        ranking.scores = np.array([[3, 1, 2], [5, 4, 0]], np.float32)
        self.assertEqual(ranking.order().tolist(), [3, 4, 0, 2, 1, 5])
        self.assertEqual(ranking.rect(4), (20, 20, 20, 20))
        ranking.scores = np.array([[np.nan, 1]], np.float32)
        self.refused(ranking.order)
        ranking.scores = np.zeros((2, 2), np.float64)
        self.refused(ranking.order)
        with self.assertRaises(REFUSED):
            ranking.scores = 'high'

    def test_results_outlive_what_they_came_from(self):
        ranker = lib.Ranker.create()
        image = photo()
        ranking = ranker.rank(image)
        scores, order = ranking.scores, ranking.order()
        before = scores.copy()
        del ranker, ranking, image
        for _ in range(3):
            self.ranker.rank(photo(seed=9))
        np.testing.assert_array_equal(scores, before)
        self.assertEqual(order[0], before.argmax())


def with_nan():
    image = np.zeros((8, 8, 3), np.float32)
    image[1, 2, 1] = np.nan
    return image


class Selection(Shared):
    def test_topk(self):
        ranking = self.ranker.rank(photo())
        params = lib.SelectParams()
        for ratio in (0.25, 0.5, 1.0, 0.001):
            params.keepRatio = ratio
            keep = lib.selectPatches(ranking, params)
            self.assertEqual(keep.dtype, np.int32)
            self.assertEqual(len(keep), lib.keepCount(ranking.scores.size, ratio))
            np.testing.assert_array_equal(keep, np.sort(ranking.order()[:len(keep)]))
        params.keepRatio = 0
        self.assertIn('keep ratio', self.refused(lib.selectPatches, ranking, params))
        self.refused(lib.selectPatches, lib.PatchRanking(), lib.SelectParams())
        self.refused(lib.selectPatches, ranking, 0.25)

    def test_cluster(self):
        image = photo()
        ranking = self.ranker.rank(image)
        params = lib.SelectParams()
        params.method = lib.SELECT_CLUSTER
        params.seed = 3
        keep = lib.selectPatches(ranking, params, image)
        np.testing.assert_array_equal(keep, lib.selectPatches(ranking, params, image=image))
        self.assertEqual(len(set(keep.tolist())), lib.keepCount(ranking.scores.size, 0.25))
        self.assertIn('image', self.refused(lib.selectPatches, ranking, params))
        self.refused(lib.selectPatches, ranking, params, photo(50, 50))

    def test_mass_and_threshold(self):
        ranking = self.ranker.rank(photo())
        scores = ranking.scores.astype(np.float64)
        params = lib.SelectParams()
        params.method, params.threshold = lib.SELECT_THRESHOLD, 0.3
        np.testing.assert_array_equal(lib.selectPatches(ranking, params), np.flatnonzero(ranking.scores >= 0.3))
        params.method, params.mass, params.temperature = lib.SELECT_MASS, 0.6, 0.5
        softmax = np.exp((scores - scores.mean()) / scores.std() / 0.5)
        share = np.cumsum(np.sort(softmax.ravel())[::-1]) / softmax.sum()
        count = int(np.searchsorted(share, 0.6)) + 1
        np.testing.assert_array_equal(lib.selectPatches(ranking, params), np.sort(ranking.order()[:count]))
        params.minRatio = params.maxRatio = 0.5
        self.assertEqual(len(lib.selectPatches(ranking, params)), scores.size // 2)
        params.maxRatio = 0.25
        self.assertIn('lowest share', self.refused(lib.selectPatches, ranking, params))
        params.method, params.count = lib.SELECT_TOPK, 7
        np.testing.assert_array_equal(lib.selectPatches(ranking, params), np.sort(ranking.order()[:7]))

    def test_sample(self):
        ranking = self.ranker.rank(photo())
        params = lib.SelectParams()
        params.method = lib.SELECT_SAMPLE
        draws = []
        for seed in range(200):
            params.seed = seed
            draws.append(lib.selectPatches(ranking, params))
            np.testing.assert_array_equal(draws[-1], np.unique(draws[-1]))
            self.assertEqual(len(draws[-1]), 49)
        np.testing.assert_array_equal(lib.selectPatches(ranking, params), draws[-1])
        # High scores are drawn more often; the first draw follows the softmax of the standardised scores.
        times = np.bincount(np.concatenate(draws), minlength=196)
        order = ranking.order()
        self.assertGreater(times[order[:49]].sum(), 2 * times[order[-49:]].sum())
        params.count, params.temperature = 1, 0.5
        first = []
        for seed in range(2000):
            params.seed = seed
            first.append(int(lib.selectPatches(ranking, params)[0]))
        scores = np.float64(ranking.scores).ravel()
        softmax = np.exp((scores - scores.mean()) / scores.std() / 0.5)
        wanted = softmax[order[:20]].sum() / softmax.sum()
        self.assertAlmostEqual(np.isin(first, order[:20]).mean(), wanted, delta=0.05)   # 4 deviations or more
        params.count, params.temperature = 49, 1e-9
        np.testing.assert_array_equal(lib.selectPatches(ranking, params), np.sort(order[:49]))
        np.testing.assert_array_equal(lib.selectTokens(ranking, (14, 14), params).indices, np.sort(order[:49]))
        for temperature in (0, -1, float('inf'), float('nan')):
            params.temperature = temperature
            self.assertIn('temperature', self.refused(lib.selectPatches, ranking, params))

    def test_keep_count(self):
        self.assertEqual([lib.keepCount(196, 0.25), lib.keepCount(10, 0.01)], [49, 1])
        for args in ((0, 0.5), (10, 0.0), (10, 1.5), (10, float('nan')), ('ten', 0.5)):
            self.refused(lib.keepCount, *args)


class Uses(Shared):
    def test_tokens(self):
        ranking, params = lib.PatchRanking(), lib.SelectParams()
        ranking.imageSize, ranking.scores = (80, 60), np.array([[0, 1], [2, 5]], np.float32)
        # Twice as fine: linear between the centres, at 1/4 and 3/4 of each patch.
        fine = lib.resampleScores(ranking.scores, (4, 2))
        np.testing.assert_allclose(fine, [[0, 0.25, 0.75, 1], [2, 2.75, 4.25, 5]])
        np.testing.assert_allclose(lib.resampleScores(fine, (2, 1)), [[1.25, 2.75]])
        params.count = 4
        tokens = lib.selectTokens(ranking, (4, 4), params, merge=2)
        self.assertEqual((tuple(tokens.grid), tokens.merge), ((4, 4), 2))
        for name, values in dict(indices=[10, 11, 14, 15], rows=[2, 2, 3, 3], columns=[2, 3, 2, 3], merged=[3]).items():
            np.testing.assert_array_equal(getattr(tokens, name), values, name)
        windows = lib.selectTokens(ranking, (4, 4), params, 2, lib.TOKEN_ORDER_WINDOWS)
        np.testing.assert_array_equal(windows.indices, [12, 13, 14, 15])
        np.testing.assert_array_equal(windows.rows, [2, 2, 3, 3])
        self.assertEqual(len(lib.selectTokens(ranking, (8, 8)).indices), 16)
        self.assertEqual(tuple(lib.tokenGrid((451, 300), 14, 2)), (32, 22))
        params.count = 3
        self.assertIn('expected 4', self.refused(lib.selectTokens, ranking, (4, 4), params, 2))
        self.assertIn('multiples', self.refused(lib.selectTokens, ranking, (4, 5), lib.SelectParams(), 2))
        self.assertIn('4096', self.refused(lib.resampleScores, ranking.scores, (5000, 1)))
        self.assertIn('side of a patch', self.refused(lib.tokenGrid, (451, 300), 0))
        selection = lib.TokenSelection()
        selection.indices = selection.rows = selection.columns = selection.merged = [3, 4]
        selection.grid, selection.merge = (5, 6), 7
        self.assertEqual((selection.merged[1], tuple(selection.grid), selection.merge), (4, (5, 6), 7))

    def test_points(self):
        ranking = lib.PatchRanking()
        ranking.imageSize, ranking.scores = (90, 90), np.zeros((9, 9), np.float32)
        scores = np.zeros((9, 9), np.float32)
        scores[1, 7], scores[4, 4] = 3, 2
        ranking.scores = scores
        points = np.asarray(lib.selectPoints(ranking, 2)).reshape(-1, 2)
        self.assertLess(np.abs(points - [[75, 15], [45, 45]]).max(), 5)
        many = np.asarray(lib.selectPoints(ranking, count=30, spread=1.0)).reshape(-1, 2)
        self.assertEqual(len({tuple(point) for point in many.tolist()}), 30)
        self.assertIn('number of points is 0', self.refused(lib.selectPoints, ranking, 0))
        self.assertIn('spread is 2', self.refused(lib.selectPoints, ranking, 4, 2.0))

    def test_regions(self):
        ranking = lib.PatchRanking()
        ranking.imageSize, ranking.scores = (30, 40), np.arange(12, dtype=np.float32).reshape(4, 3)
        ring = [0, 1, 2, 3, 5, 6, 7, 8]
        first, second = lib.keptRegions(ranking, [10] + ring[:-2] + ring[-1:])
        self.assertEqual((tuple(first.box), tuple(second.box)), ((0, 0, 30, 30), (10, 30, 10, 10)))
        np.testing.assert_array_equal(first.patches, [0, 1, 2, 3, 5, 6, 8])
        self.assertAlmostEqual(first.score, 25 / 7.0)
        self.assertEqual(len(first.holes), 0)
        region, = lib.keptRegions(ranking, ring)
        np.testing.assert_array_equal(np.asarray(region.outline).reshape(-1, 2), [[30, 0], [30, 30], [0, 30], [0, 0]])
        self.assertEqual(len(region.holes), 1)
        self.assertEqual({tuple(corner) for corner in np.asarray(region.holes[0]).reshape(-1, 2).tolist()},
                         {(10, 10), (20, 10), (20, 20), (10, 20)})
        self.assertEqual(len(lib.keptRegions(ranking, [])), 0)
        self.assertIn('patch 12', self.refused(lib.keptRegions, ranking, [12]))

        made = lib.PatchRegion()
        made.box, made.score, made.patches = (1, 2, 3, 4), 0.5, [7]
        self.assertEqual((tuple(made.box), made.score, made.patches[0]), ((1, 2, 3, 4), 0.5, 7))

    def test_a_tracker_keeps_still(self):
        params = lib.SelectParams()
        params.keepRatio = 0.5
        tracker = lib.RankingTracker.create(params, margin=1e6)
        self.assertEqual(len(tracker.getKept()), 0)
        frame = photo()
        ranking = self.ranker.rank(frame)
        self.assertIs(tracker.update(frame, ranking), True)
        kept = list(tracker.getKept())
        self.assertEqual(kept, list(lib.selectPatches(ranking, params)))
        np.testing.assert_allclose(tracker.getRanking().scores.std(), 1, atol=1e-4)
        turned = lib.PatchRanking()
        turned.imageSize, turned.scores = ranking.imageSize, -ranking.scores
        self.assertIs(tracker.update(frame, turned), False)
        self.assertEqual(list(tracker.getKept()), kept)   # because of the margin
        np.testing.assert_allclose(tracker.getRanking().scores,
                                   0.4 * (ranking.scores - ranking.scores.mean()) / ranking.scores.std(), atol=1e-4)
        self.assertIs(tracker.update(255 - frame, turned), True)
        self.assertEqual(list(tracker.getKept()), list(lib.selectPatches(turned, params)))
        tracker.reset()
        self.assertEqual(len(tracker.getKept()), 0)

    def test_a_tracker_refuses(self):
        self.assertIn('memory', self.refused(lib.RankingTracker_create, memory=1))
        tracker = lib.RankingTracker.create()
        self.assertIn('160 x 120', self.refused(tracker.update, photo(), self.ranker.rank(photo(60, 80))))

    def test_saliency(self):
        saliency = lib.RankSaliency.create()
        image = photo()
        computed, aligned = saliency.computeSaliency(image)
        self.assertIs(computed, True)
        self.assertEqual((aligned.shape, aligned.dtype), (image.shape[:2], np.float32))
        self.assertTrue(0 <= aligned.min() < aligned.max() <= 1)
        self.assertTrue(saliency.getEdgeAware())
        saliency.setEdgeAware(False)
        plain = np.zeros(image.shape[:2], np.float32)
        saliency.computeSaliency(image, plain)
        self.assertGreater(np.corrcoef(plain.ravel(), aligned.ravel())[0, 1], 0.8)
        grid = self.ranker.getGrid()
        scores = saliency.getRanker().rank(image).scores
        means = [plain[y:y + h, x:x + w].mean()
                 for x, y, w, h in (lib.patchRect((160, 120), grid, i) for i in range(grid[0] * grid[1]))]
        self.assertGreater(np.corrcoef(means, scores.ravel())[0, 1], 0.9)
        self.assertIn('/no/such/file', self.refused(lib.RankSaliency.create, '/no/such/file.safetensors'))


class Drawing(Shared):
    def test_kept_and_heat_map(self):
        image = photo()
        kept = lib.drawKept(image, (4, 3), [0, 5], dim=0.0)
        x, y, width, height = lib.patchRect((160, 120), (4, 3), 5)
        np.testing.assert_array_equal(kept[y:y + height, x:x + width], image[y:y + height, x:x + width])
        self.assertEqual(kept[100:, 100:].max(), 0)
        np.testing.assert_array_equal(lib.drawKept(image, (4, 3), np.array([0, 5], np.int32), dim=0.0), kept)
        scores = np.arange(12, dtype=np.float32).reshape(3, 4)
        heat = lib.drawHeatMap(image, scores, alpha=1.0)
        self.assertGreater(heat[-1, -1].astype(int).sum(), heat[0, 0].astype(int).sum())

    def test_output_array(self):
        image = photo()
        out = np.empty_like(image)
        result = lib.drawKept(image, (4, 3), [1], out, 0.5)
        np.testing.assert_array_equal(out, lib.drawKept(image, (4, 3), [1], dim=0.5))
        self.assertTrue(np.shares_memory(result, out))
        small = np.zeros((2, 2, 3), np.uint8)
        self.assertEqual(lib.drawKept(image, (4, 3), [1], dst=small).shape, image.shape)
        self.assertEqual(small.max(), 0)
        readonly = np.empty_like(image)
        readonly.flags.writeable = False
        self.refused(lib.drawKept, image, (4, 3), [1], readonly)
        self.refused(lib.drawKept, image, (4, 3), [1], np.empty((120, 320, 3), np.uint8)[:, ::2])

    def test_overlay(self):
        image = photo()
        ranking = self.ranker.rank(image)
        keep = lib.selectPatches(ranking, lib.SelectParams())
        picture = lib.drawOverlay(image, ranking, keep)
        self.assertTrue(picture.dtype == np.uint8 and picture.ndim == 3 and picture.shape[1] > 960)

    def test_hostile_arguments(self):
        image, ranking = photo(), self.ranker.rank(photo())
        for keep in ([-1], [196], [0, 2 ** 40], ['a'], [1.5], 3):
            self.refused(lib.drawOverlay, image, ranking, keep)
        for grid in ((0, 3), (4,), 'ab', (4, 3, 2), (-1, 3), (2 ** 31, 1)):
            self.refused(lib.drawKept, image, grid, [0])
        for dim in (-1.0, 2.0, float('nan'), 'dark'):
            self.refused(lib.drawKept, image, (4, 3), [0], dim=dim)
        self.refused(lib.drawKept, image.astype(np.float32), (4, 3), [0])
        self.refused(lib.drawHeatMap, image, np.full((3, 4), np.nan, np.float32))
        self.refused(lib.drawHeatMap, image, np.zeros((3, 4), np.float64))
        self.refused(lib.drawHeatMap, None, np.zeros((3, 4), np.float32))


class Scoring(Shared):
    def params(self, masks=2, mask_ratio=0.5):
        params = lib.ScoreParams()
        params.masks, params.maskRatio = masks, mask_ratio
        return params

    def test_visible_scores(self):
        scores = self.scorer.score(photo())
        count = int(self.scorer.getGrid()[0] * self.scorer.getGrid()[1] * (1 - 0.9))
        self.assertEqual((scores.patches.dtype, scores.scores.dtype), (np.int32, np.float32))
        self.assertTrue(abs(len(scores.patches) - count) <= 1 and len(scores.scores) == len(scores.patches))
        self.assertTrue((np.diff(scores.patches) > 0).all() and (scores.scores > 0).all())
        params = lib.ScoreParams()
        params.seed = 5
        self.assertFalse(np.array_equal(self.scorer.score(photo(), params).patches, scores.patches))

    def test_map_and_progress(self):
        calls = []
        ranking = self.scorer.scoreMap(photo(), self.params(), lambda done, total: calls.append((done, total)))
        total = calls[-1][1]
        self.assertEqual(calls, [(i + 1, total) for i in range(total)])
        np.testing.assert_array_equal(self.scorer.scoreMap(photo(), params=self.params()).scores, ranking.scores)
        self.assertEqual(ranking.imageSize, (160, 120))

    def test_teachers(self):
        def map_of(teacher='leave-one-out', **settings):
            params = self.params()
            params.teacher = teacher
            for name, value in settings.items():
                setattr(params, name, value)
            return self.scorer.scoreMap(photo(), params).scores
        plain, centre, gradient = map_of(), map_of('centre'), map_of('gradient')
        self.assertFalse(np.allclose(plain, centre))
        rows, columns = centre.shape
        self.assertGreater(centre[rows // 2, columns // 2], centre[0, 0])
        self.assertEqual(gradient[:rows // 3, :columns // 3].mean() > gradient[rows // 2:, columns // 2:].mean(), True)
        self.assertFalse(np.allclose(map_of('gradient*1+centre*0.5'), map_of('gradient*1+centre*2')))
        self.assertLess(map_of('gradient', smooth=2).std(), gradient.std())
        self.assertIn('cheese', self.refused(map_of, 'cheese'))

    def test_context(self):
        def share_at_the_border(context):
            params = self.params(mask_ratio=0.9)
            params.context = context
            columns, rows = self.scorer.getGrid()
            y, x = np.divmod(self.scorer.score(photo(), params).patches, columns)
            return ((x == 0) | (y == 0) | (x == columns - 1) | (y == rows - 1)).mean()
        self.assertLess(share_at_the_border(lib.CONTEXT_UNIFORM), 0.6)
        self.assertGreater(share_at_the_border(lib.CONTEXT_BORDER), 0.7)

    def test_feature_contrast(self):
        scorer, params = lib.Scorer.create(), lib.ScoreParams()
        params.teacher = 'features'
        self.assertIn('16 photos', self.refused(scorer.scoreMap, photo(), params))
        for seed in range(16):
            scorer.addFeaturePhoto(photo(60, 60, seed=seed))
        usual = scorer.scoreMap(photo(), params).scores
        params.featureBlocks = [0, 1]
        np.testing.assert_array_equal(params.featureBlocks, [0, 1])
        self.assertFalse(np.allclose(scorer.scoreMap(photo(), params).scores, usual))
        params.featureBlocks = np.array([99], np.int32)
        self.assertIn('99', self.refused(scorer.scoreMap, photo(), params))
        self.refused(scorer.addFeaturePhoto, None)
        self.refused(scorer.addFeaturePhoto, with_nan())
        with self.assertRaises(REFUSED):
            params.featureBlocks = ['first']

    def test_progress_cancels(self):
        calls = []

        def stop(done, total):
            calls.append(done)
            return done < 2
        self.assertIn('cancelled', self.refused(self.scorer.scoreMap, photo(), self.params(4), progress=stop))
        self.assertEqual(calls, [1, 2])

        def fail(done, total):
            raise KeyError('mine')
        with self.assertRaises(KeyError):
            self.scorer.scoreMap(photo(), self.params(), fail)
        self.refused(self.scorer.scoreMap, photo(), self.params(), 5)

    def test_hostile_arguments(self):
        for name, value in (('maskRatio', 1.0), ('maskRatio', float('nan')), ('metric', 9), ('removal', -1),
                            ('space', 7), ('average', 5), ('masks', 0), ('context', 2), ('smooth', -1.0)):
            params = self.params()
            setattr(params, name, value)
            self.assertIn(name, self.refused(self.scorer.scoreMap, photo(), params))
        for name, value in (('maskRatio', 'half'), ('masks', 1.5), ('seed', -1), ('seed', 2 ** 64)):
            with self.assertRaises((error, TypeError, OverflowError)):
                setattr(lib.ScoreParams(), name, value)
        self.refused(self.scorer.scoreMap, None)
        self.refused(self.scorer.score, photo(), 'params')


class Threads(Shared):
    def in_threads(self, count, work):
        failures = []

        def guarded(number):
            try:
                work(number)
            except BaseException as problem:   # noqa: B902 - reported below
                failures.append(problem)
        threads = [threading.Thread(target=guarded, args=(number,)) for number in range(count)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(failures, [])

    def test_one_ranker_serves_all_threads(self):
        images = [photo(seed=i) for i in range(6)]
        expected = [self.ranker.rank(image).scores for image in images]

        def work(number):
            for i in range(6):
                index = (i + number) % 6
                np.testing.assert_allclose(self.ranker.rank(images[index]).scores, expected[index], atol=1e-4)
        self.in_threads(4, work)

    def test_others_run_while_it_computes(self):
        # With the interpreter lock held, the main thread could not run between start and end.
        scorer, params = self.scorer, lib.ScoreParams()
        params.masks = 20
        marks = []
        worker = threading.Thread(target=lambda: (marks.append(1), scorer.scoreMap(photo(), params), marks.append(2)))
        worker.start()
        seen = 0
        while worker.is_alive():
            if marks == [1]:
                seen += 1
            time.sleep(0.001)
        worker.join()
        self.assertEqual(marks, [1, 2])
        self.assertGreater(seen, 3)

    def test_number_of_threads_changes_nothing(self):
        expected = self.ranker.rank(photo()).scores
        setNumThreads(1)
        try:
            np.testing.assert_allclose(self.ranker.rank(photo()).scores, expected, atol=1e-4)
        finally:
            setNumThreads(-1)


def write_ppm(path, image):
    """A photo that OpenCV reads, without a library to write it."""
    with open(path, 'wb') as f:
        f.write(('P6 %d %d 255\n' % (image.shape[1], image.shape[0])).encode() + image[:, :, ::-1].tobytes())


class Training(Shared):
    def setUp(self):
        super(Training, self).setUp()
        self.folder = tempfile.mkdtemp()
        os.mkdir(os.path.join(self.folder, 'photos'))
        for i in range(4):
            write_ppm(os.path.join(self.folder, 'photos', '%d.ppm' % i), photo(40, 40, seed=i))

    def tearDown(self):
        shutil.rmtree(self.folder)

    def path(self, name):
        return os.path.join(self.folder, name)

    def set_common(self, params, out, steps):
        params.data = [self.path('photos')]
        params.out = self.path(out)
        params.epochs, params.warmupEpochs, params.batch, params.accumulate = steps, 1, 4, 1
        params.workers = 1
        return params

    def mae_params(self, out='mae', steps=4):
        params = self.set_common(lib.MaePretrainParams(), out, steps)
        params.imageSize, params.patchSize, params.embedDim, params.depth, params.heads = 32, 8, 16, 1, 2
        params.decoderEmbedDim, params.decoderDepth, params.decoderHeads = 16, 1, 2
        return params

    def ranker_params(self, mae, out='rank', steps=3):
        params = self.set_common(lib.RankerTrainParams(), out, steps)
        params.mae, params.embedDim, params.depth, params.heads = mae, 16, 1, 2
        params.maskRatio, params.listK = 0.5, 4
        return params

    def train_mae(self, out='mae', message=str.strip, **callbacks):   # not into OpenCV's log
        return lib.Trainer.createPretrain(self.mae_params(out)).run(message=message, **callbacks)

    def test_both_networks_and_their_use(self):
        states, lines = [], []
        done = self.train_mae(progress=states.append, message=lines.append)
        self.assertIs(done, True)
        self.assertEqual([(s.step, s.steps) for s in states], [(i + 1, 4) for i in range(4)])
        self.assertTrue(all(np.isfinite(s.loss) and s.loss > 0 and s.epochs == 4 for s in states))
        self.assertTrue(any('final.safetensors' in line for line in lines), lines)
        lib.Scorer.create(self.path('mae/final.safetensors')).score(photo())
        params = self.ranker_params(self.path('mae/final.safetensors'))
        self.assertEqual(tuple(params.data), (self.path('photos'),))
        self.assertTrue(lib.Trainer_createRanker(params).run(None, str.strip))
        self.assertEqual(params.head, 'token')
        ranker = lib.Ranker.create(self.path('rank/final.safetensors'))
        self.assertEqual(ranker.rank(photo()).scores.shape, (4, 4))
        self.assertEqual(ranker.fittingInputSize((200, 100)), (48, 24))
        self.assertEqual(ranker.fittingInputSize((200, 100), 128), (128, 64))
        ranker.setInputSize((48, 24))
        self.assertEqual((tuple(ranker.getInputSize()), tuple(ranker.getGrid())), ((48, 24), (6, 3)))
        self.assertEqual(ranker.rank(photo()).scores.shape, (3, 6))
        self.assertIn('multiples', self.refused(ranker.setInputSize, (50, 24)))
        self.assertEqual(tuple(ranker.getGrid()), (6, 3))
        params.out, params.head = self.path('class'), 'class'
        self.assertTrue(lib.Trainer_createRanker(params).run(None, str.strip))
        ranker = lib.Ranker.create(self.path('class/final.safetensors'))
        self.assertEqual(ranker.rank(photo()).scores.shape, (4, 4))
        self.assertIn('class head', self.refused(ranker.setInputSize, (48, 24)))
        params.head = 'neck'
        self.assertIn('neck', self.refused(lib.Trainer.createRanker, params))

    def test_where_weights_and_scores_come_from(self):
        def first_loss(out, init):
            losses, params = [], self.mae_params(out)
            params.init, params.seed = init, 5
            self.assertTrue(lib.Trainer.createPretrain(params).run(lambda state: losses.append(state.loss), str.strip))
            return losses[0]
        random = first_loss('random', '')
        self.assertNotEqual(first_loss('further', self.path('random/final.safetensors')), random)
        params = self.mae_params('absent')
        params.init = self.path('absent.safetensors')
        self.assertIn('absent.safetensors', self.refused(lambda: lib.Trainer.createPretrain(params).run(None, str.strip)))
        params = self.ranker_params('')
        params.targets = self.path('maps')
        self.assertIn(self.path('maps'), self.refused(lambda: lib.Trainer.createRanker(params).run(None, str.strip)))

    def test_normalised_pixels(self):
        # A file that contains only weights, of widths for which the number of heads is known.
        params = self.mae_params()
        params.embedDim, params.heads, params.decoderEmbedDim, params.decoderHeads = 64, 1, 512, 16
        self.assertTrue(lib.Trainer.createPretrain(params).run(None, str.strip))
        with open(self.path('mae/final.safetensors'), 'rb') as f:
            header = json.loads(f.read(struct.unpack('<Q', f.read(8))[0]).decode())
            weights = f.read()
        del header['__metadata__']
        text = json.dumps(header).encode()
        with open(self.path('weights.safetensors'), 'wb') as f:
            f.write(struct.pack('<Q', len(text)) + text + weights)
        score = lib.ScoreParams()
        score.space, score.maskRatio = lib.SPACE_PIXEL, 0.5   # differs between normalised and plain pixels
        plain, normalised = (lib.Scorer.create(self.path('weights.safetensors'), option).score(photo(), score).scores
                             for option in (0, 1))
        self.assertFalse(np.allclose(plain, normalised))
        self.refused(lib.Scorer_create, self.path('weights.safetensors'), normPixLoss=2)

    def test_callbacks_run_in_the_calling_thread(self):
        with open(self.path('photos/broken.ppm'), 'wb') as f:
            f.write(b'P6 40 40 255\n')
        threads, lines = [], []
        self.train_mae(progress=lambda state: threads.append(threading.get_ident()),
                       message=lambda line: (threads.append(threading.get_ident()), lines.append(line)))
        self.assertEqual(set(threads), {threading.get_ident()})
        self.assertTrue(any('skipped' in line and 'broken.ppm' in line for line in lines), lines)

    def test_false_stops_and_resume_goes_on(self):
        self.assertTrue(self.train_mae('whole'))
        params = self.mae_params('stopped')
        self.assertIs(lib.Trainer.createPretrain(params).run(lambda state: state.step < 2, str.strip), False)
        self.assertEqual(len(glob.glob(self.path('stopped/checkpoint-*'))), 1)
        self.assertFalse(os.path.exists(self.path('stopped/final.safetensors')))
        params.resume = True
        steps = []
        self.assertTrue(lib.Trainer.createPretrain(params).run(progress=lambda state: steps.append(state.step), message=str.strip))
        self.assertEqual(steps, [3, 4])
        with open(self.path('whole/final.safetensors'), 'rb') as a, open(self.path('stopped/final.safetensors'), 'rb') as b:
            self.assertEqual(a.read(), b.read())

    def test_an_exception_stops_cleanly(self):
        class Mine(Exception):
            pass

        def fail(state):
            raise Mine('at %d' % state.step)
        trainer = lib.Trainer.createPretrain(self.mae_params())
        with self.assertRaises(Mine) as caught:
            trainer.run(fail, str.strip)
        self.assertEqual(str(caught.exception), 'at 1')
        with open(self.path('mae/log.jsonl')) as f:
            self.assertEqual(json.loads(f.readlines()[-1])['event'], 'stop')
        self.assertEqual(len(glob.glob(self.path('mae/checkpoint-*'))), 1)

        def bad_message(line):
            raise Mine('message')
        with self.assertRaises(Mine):
            self.train_mae('other', message=bad_message)

    @unittest.skipIf(sys.platform == 'win32', 'sends itself a signal')
    def test_interrupt(self):
        # Background jobs may start with Ctrl-C ignored.
        self.addCleanup(signal.signal, signal.SIGINT, signal.signal(signal.SIGINT, signal.default_int_handler))
        for progress in (lambda state: os.kill(os.getpid(), signal.SIGINT), None):
            out = 'with' if progress else 'without'
            params = self.mae_params(out, steps=100000)
            params.checkpointEvery = 10 ** 6   # none before: the one that is left was written for the interruption
            timer = None
            if progress is None:
                timer = threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT))
                timer.start()
            with self.assertRaises(KeyboardInterrupt):
                lib.Trainer.createPretrain(params).run(progress, str.strip)
            if timer:
                timer.join()
            self.assertEqual(len(glob.glob(self.path(out + '/checkpoint-*'))), 1)

    def test_one_run_at_a_time(self):
        trainer = lib.Trainer.createPretrain(self.mae_params())
        refusals = []

        def again(state):
            with self.assertRaises(error) as caught:
                trainer.run()
            refusals.append(str(caught.exception))
        self.assertTrue(trainer.run(again, str.strip))
        self.assertEqual(len(refusals), 4)
        self.assertIn('already', refusals[0])

    def test_targets(self):
        params, ranker = self.mae_params(), self.ranker_params(self.path('nothing.safetensors'))
        self.assertEqual((params.target, ranker.target, ranker.scoreTarget), (lib.TARGET_CPU,) * 3)
        params.target = lib.TARGET_CPU_INT8
        self.assertIn('no network is trained', self.refused(lib.Trainer.createPretrain, params))
        for target in (lib.TARGET_CUDA, lib.TARGET_CUDA_TF32, lib.TARGET_CUDA_BF16, lib.TARGET_CUDA_FP16):
            params.target = ranker.target = ranker.scoreTarget = target
            missing = lib.missingForTarget(target)
            if missing:
                self.assertIn(missing, self.refused(lib.Trainer.createPretrain, params))
                self.assertIn(missing, self.refused(lib.Trainer.createRanker, ranker))
                ranker.target = lib.TARGET_CPU
                self.assertIn(missing, self.refused(lib.Trainer.createRanker, ranker))

    def test_hostile_arguments(self):
        trainer = lib.Trainer.createPretrain(self.mae_params())
        for arguments in ((1,), (None, 'x')):
            self.refused(trainer.run, *arguments)
        params = self.mae_params()
        params.batch = 0
        self.assertIn('batch', self.refused(lib.Trainer.createPretrain, params))
        params = self.mae_params()
        params.data = [self.path('nothing')]
        self.assertIn('nothing', self.refused(lambda: lib.Trainer.createPretrain(params).run(None, str.strip)))
        self.refused(lib.Trainer.createRanker, self.ranker_params(self.path('nothing.safetensors')))
        self.refused(lib.Trainer.createRanker, self.mae_params())
        for bad in (5, [1]):
            with self.assertRaises(REFUSED):
                lib.TrainParams().data = bad


if __name__ == '__main__':
    if TestCase is unittest.TestCase:
        unittest.main()
    else:
        TestCase.bootstrap()
