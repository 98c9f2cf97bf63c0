// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "bench_jobs.hpp"

#include "select/dpc_knn.hpp"
#include "select/top_k.hpp"
#include "train/losses.hpp"

#include <algorithm>
#include <fstream>

namespace cv { namespace ltrp { namespace bench {

namespace {

/// All of a file of raw 32-bit floats, which must hold exactly `count` of them.
std::vector<float> readFloats(const std::string& path, size_t count)
{
    std::ifstream file(path, std::ios::binary);
    LTRP_REQUIRE(file, Error::StsObjectNotFound, path << ": cannot be read");
    std::vector<float> values(count);
    file.read(reinterpret_cast<char*>(values.data()), static_cast<std::streamsize>(count * sizeof(float)));
    LTRP_REQUIRE(file && file.peek() == std::ifstream::traits_type::eof(), Error::StsBadSize,
                 path << ": expected exactly " << count << " floats");
    return values;
}

/// Normalised images of a command: "input" names a file of floats [n, 3, S, S].
std::vector<float> readImages(const Json& command, const vit::InputConfig& input, int n)
{
    LTRP_REQUIRE(n >= 1 && n <= 4096, Error::StsOutOfRange, "n is " << n << ", expected 1 to 4096 images");
    const size_t side = static_cast<size_t>(input.imageSize);
    return readFloats(value<std::string>(command, "input"), static_cast<size_t>(n) * 3 * side * side);
}

/// The visible patches of every image, "keep": n rows of equal length, each ascending.
struct Masks
{
    std::vector<int> ids;
    int visible = 0;
};

Masks readMasks(const Json& command, int n, int patches)
{
    const auto rows = value<std::vector<std::vector<int>>>(command, "keep");
    LTRP_REQUIRE(rows.size() == static_cast<size_t>(n) && !rows[0].empty(), Error::StsBadSize,
                 "keep has " << rows.size() << " rows, expected " << n);
    Masks masks;
    masks.visible = static_cast<int>(rows[0].size());
    for (const std::vector<int>& row : rows)
    {
        LTRP_REQUIRE(row.size() == rows[0].size(), Error::StsBadSize, "the rows of keep differ in length");
        for (size_t i = 0; i < row.size(); ++i)
            LTRP_REQUIRE(row[i] < patches && row[i] > (i ? row[i - 1] : -1), Error::StsOutOfRange,
                         "keep holds " << row[i] << ", expected ascending numbers below " << patches);
        masks.ids.insert(masks.ids.end(), row.begin(), row.end());
    }
    return masks;
}

Json rowsOf(const std::vector<float>& values, size_t columns)
{
    Json rows = Json::array();
    for (size_t i = 0; i < values.size(); i += columns)
        rows.push_back(std::vector<float>(values.begin() + static_cast<ptrdiff_t>(i),
                                          values.begin() + static_cast<ptrdiff_t>(i + columns)));
    return rows;
}

LoadedModel& modelOf(Models& models, const Json& command, const char* name, io::ModelKind kind)
{
    const std::string id = value<std::string>(command, name);
    const auto found = models.find(id);
    LTRP_REQUIRE(found != models.end(), Error::StsObjectNotFound, "no model '" << id << "' is loaded");
    LTRP_REQUIRE(found->second->file.kind == kind, Error::StsBadArg, "model '" << id << "' is a "
                 << io::modelKindName(found->second->file.kind) << ", expected a " << io::modelKindName(kind));
    return *found->second;
}

void prepareTraining(LoadedModel& model)
{
    if (model.optimizer)
        return;
    model.trainWorkspace = makeWorkspace(model.precision, true);
    model.optimizer.reset(new train::AdamW(model.file.params.layout));
    model.grads.resize(model.file.params.layout.total());
}

Job rankJob(Models& models, const Json& command)
{
    LoadedModel& model = modelOf(models, command, "id", io::ModelKind::Ranker);
    const int n = value<int>(command, "n");
    const size_t patches = static_cast<size_t>(model.file.ranker.input.numPatches());
    const auto pixels = std::make_shared<std::vector<float>>(readImages(command, model.file.ranker.input, n));
    const auto scores = std::make_shared<std::vector<float>>(static_cast<size_t>(n) * patches);
    return {[&model, pixels, scores, n]()
            {
                model.ranker->forward(pixels->data(), n, nullptr, model.file.ranker.input.numPatches(), scores->data(),
                                      nullptr, *model.workspace);
            },
            [scores, patches]() { return Json{{"scores", rowsOf(*scores, patches)}}; }};
}

int removalOf(const Json& command)
{
    const std::string name = value<std::string>(command, "removal", "decoder");
    LTRP_REQUIRE(name == "decoder" || name == "encoder", Error::StsBadArg,
                 "removal is '" << name << "', expected decoder or encoder");
    return name == "decoder" ? REMOVAL_DECODER : REMOVAL_ENCODER;
}

Job scoreJob(Models& models, const Json& command)
{
    LoadedModel& model = modelOf(models, command, "id", io::ModelKind::Mae);
    const int n = value<int>(command, "n");
    const auto pixels = std::make_shared<std::vector<float>>(readImages(command, model.file.mae.input, n));
    const auto masks = std::make_shared<Masks>(readMasks(command, n, model.file.mae.input.numPatches()));
    const auto scores = std::make_shared<std::vector<float>>(masks->ids.size());
    vit::LeaveOneOutOptions options;
    options.removal = removalOf(command);
    options.sampleShare = value<double>(command, "sample_share", 1.0);
    LTRP_REQUIRE(options.sampleShare > 0 && options.sampleShare <= 1, Error::StsOutOfRange,
                 "sample_share is " << options.sampleShare << ", expected above 0 and at most 1");
    return {[&model, pixels, masks, scores, n, options]()
            {
                vit::LeaveOneOut(*model.mae).scores(pixels->data(), n, masks->ids.data(), masks->visible, options,
                                                    scores->data(), *model.workspace);
            },
            [scores, masks]() { return Json{{"scores", rowsOf(*scores, static_cast<size_t>(masks->visible))}}; }};
}

/// What a training step of the ranker works on.
struct TrainState
{
    std::vector<float> pixels, target, predicted, gradient, scores;
    Masks masks;
    std::vector<int> columns;
    std::vector<double> losses;
    int n = 0, steps = 1;
};

train::AdamWParams adamOf(const Json& command)
{
    train::AdamWParams adam;
    adam.learningRate = value<double>(command, "learning_rate");
    return adam;
}

/// One update: pseudo-scores, the ranker on the visible patches, ListMLE over all of them, its gradient, AdamW.
void trainStep(LoadedModel& teacher, LoadedModel& ranker, TrainState& s, const train::AdamWParams& adam)
{
    const size_t count = s.masks.ids.size(), visible = static_cast<size_t>(s.masks.visible);
    const size_t patches = s.scores.size() / static_cast<size_t>(s.n);
    vit::LeaveOneOut(*teacher.mae).scores(s.pixels.data(), s.n, s.masks.ids.data(), s.masks.visible,
                                          vit::LeaveOneOutOptions(), s.target.data(), *teacher.workspace);
    vit::Workspace& ws = *ranker.trainWorkspace;
    ranker.ranker->forwardTrain(s.pixels.data(), s.n, s.masks.ids.data(), s.masks.visible, s.scores.data(), ws);
    for (size_t i = 0; i < count; ++i)
        s.predicted[i] = s.scores[i / visible * patches + static_cast<size_t>(s.masks.ids[i])];
    s.losses.push_back(train::rankLoss(train::RankLoss::ListMle, s.predicted.data(), s.target.data(), s.n,
                                       s.masks.visible, nullptr, 0, s.gradient.data()));
    std::fill(s.scores.begin(), s.scores.end(), 0.f);
    for (size_t i = 0; i < count; ++i)
        s.scores[i / visible * patches + static_cast<size_t>(s.masks.ids[i])] = s.gradient[i];
    ranker.ranker->backward(s.pixels.data(), s.n, s.masks.ids.data(), s.masks.visible, s.scores.data(),
                            ranker.grads.data(), ws);
    ranker.optimizer->step(ranker.file.params, ranker.grads.data(), adam, true);
    ws.ops().weightsChanged();
}

Job trainStepJob(Models& models, const Json& command)
{
    LoadedModel& teacher = modelOf(models, command, "teacher", io::ModelKind::Mae);
    LoadedModel& ranker = modelOf(models, command, "id", io::ModelKind::Ranker);
    const vit::InputConfig& input = ranker.file.ranker.input;
    const vit::InputConfig& seen = teacher.file.mae.input;
    LTRP_REQUIRE(seen.imageSize == input.imageSize && seen.patchSize == input.patchSize, Error::StsBadArg,
                 "the teacher sees another grid than the ranker");
    prepareTraining(ranker);
    const auto s = std::make_shared<TrainState>();
    s->n = value<int>(command, "n");
    s->steps = value<int>(command, "steps", 1);
    s->pixels = readImages(command, input, s->n);
    s->masks = readMasks(command, s->n, input.numPatches());
    s->target.resize(s->masks.ids.size());
    s->predicted.resize(s->target.size());
    s->gradient.resize(s->target.size());
    s->scores.resize(static_cast<size_t>(s->n) * static_cast<size_t>(input.numPatches()));
    const train::AdamWParams adam = adamOf(command);
    return {[&teacher, &ranker, s, adam]()
            {
                s->losses.clear();
                for (int i = 0; i < s->steps; ++i)
                    trainStep(teacher, ranker, *s, adam);
            },
            [s]()
            {
                return Json{{"losses", s->losses},
                            {"scores", rowsOf(s->target, static_cast<size_t>(s->masks.visible))}};
            }};
}

Job pretrainStepJob(Models& models, const Json& command)
{
    LoadedModel& model = modelOf(models, command, "id", io::ModelKind::Mae);
    prepareTraining(model);
    const auto s = std::make_shared<TrainState>();
    s->n = value<int>(command, "n");
    s->steps = value<int>(command, "steps", 1);
    s->pixels = readImages(command, model.file.mae.input, s->n);
    s->masks = readMasks(command, s->n, model.file.mae.input.numPatches());
    const train::AdamWParams adam = adamOf(command);
    return {[&model, s, adam]()
            {
                s->losses.clear();
                for (int i = 0; i < s->steps; ++i)
                {
                    s->losses.push_back(model.mae->forwardBackward(s->pixels.data(), s->n, s->masks.ids.data(),
                                                                   s->masks.visible, model.grads.data(),
                                                                   *model.trainWorkspace));
                    model.optimizer->step(model.file.params, model.grads.data(), adam, true);
                    model.trainWorkspace->ops().weightsChanged();
                }
            },
            [s]() { return Json{{"losses", s->losses}}; }};
}

/// Kept patches of n images from given scores [n, L]; "method" topk, or cluster with given noise [2, L] (of densities,
/// of members), so that others can choose the same.
Job selectJob(Models&, const Json& command)
{
    struct State
    {
        std::vector<float> pixels, scores, noise;
        std::vector<std::vector<int>> kept;
    };
    const int n = value<int>(command, "n"), keep = value<int>(command, "keep_count");
    const int neighbours = value<int>(command, "neighbours", 5);
    const vit::InputConfig input;   // 224 pixels in patches of 16
    const int l = input.numPatches();
    const size_t patches = static_cast<size_t>(l);
    LTRP_REQUIRE(keep >= 1 && keep <= l, Error::StsOutOfRange, "keep_count is " << keep << ", expected 1 to " << l);
    const std::string method = value<std::string>(command, "method");
    LTRP_REQUIRE(method == "topk" || method == "cluster", Error::StsBadArg,
                 "method is '" << method << "', expected topk or cluster");
    const bool cluster = method == "cluster";
    const int byScore = cluster ? select::countByScore(keep, value<double>(command, "score_share", 0.7)) : keep;
    const auto s = std::make_shared<State>();
    s->pixels = readImages(command, input, n);
    s->scores = readFloats(value<std::string>(command, "scores"), static_cast<size_t>(n) * patches);
    if (cluster)
        s->noise = readFloats(value<std::string>(command, "noise"), 2 * patches);
    return {[s, input, n, l, keep, byScore, neighbours, cluster]()
            {
                const size_t count = static_cast<size_t>(l), values = s->pixels.size() / static_cast<size_t>(n);
                s->kept.clear();
                for (size_t i = 0; i < static_cast<size_t>(n); ++i)
                {
                    std::vector<int> kept = select::topK(s->scores.data() + i * count, count, static_cast<size_t>(byScore));
                    if (cluster)
                    {
                        const Mat distances = select::patchDistances(s->pixels.data() + i * values, input);
                        const select::Clusters clusters =
                            select::dpcKnn(distances, keep, neighbours, s->noise.data());
                        const select::ClusterChoice choice =
                            select::chooseFromClusters(clusters, s->noise.data() + count, kept, keep - byScore);
                        kept.insert(kept.end(), choice.kept.begin(), choice.kept.end());
                    }
                    std::sort(kept.begin(), kept.end());
                    s->kept.push_back(std::move(kept));
                }
            },
            [s]() { return Json{{"kept", s->kept}}; }};
}

}  // namespace

std::unique_ptr<vit::Workspace> makeWorkspace(const std::string& precision, bool forTraining)
{
    LTRP_REQUIRE(precision == "fp32" || precision == "bf16" || precision == "int8", Error::StsBadArg,
                 "precision is '" << precision << "', expected fp32, bf16 or int8");
    const ops::Precision wanted =
        precision == "bf16" ? ops::Precision::BF16 : precision == "int8" ? ops::Precision::INT8 : ops::Precision::FP32;
    return std::unique_ptr<vit::Workspace>(
        new vit::Workspace(forTraining ? ops::trainingCpu(wanted) : ops::frozenCpu(wanted)));
}

std::unique_ptr<LoadedModel> loadForBench(const std::string& path, const std::string& precision)
{
    std::unique_ptr<LoadedModel> model(new LoadedModel);
    model->precision = precision;
    model->workspace = makeWorkspace(precision, false);
    model->file = io::loadModel(path);
    if (model->file.kind == io::ModelKind::Mae)
        model->mae.reset(new vit::Mae(model->file.mae, model->file.params));
    else
        model->ranker.reset(new vit::RankerNet(model->file.ranker, model->file.params));
    return model;
}

Job makeJob(Models& models, const Json& command)
{
    const std::string what = value<std::string>(command, "do");
    if (what == "rank")
        return rankJob(models, command);
    if (what == "score")
        return scoreJob(models, command);
    if (what == "train_step")
        return trainStepJob(models, command);
    if (what == "pretrain_step")
        return pretrainStepJob(models, command);
    LTRP_REQUIRE(what == "select", Error::StsBadArg, "unknown command '" << what << "'");
    return selectJob(models, command);
}

}}}  // namespace
