// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "../precomp.hpp"
#include "initial_weights.hpp"

#include <algorithm>

namespace cv { namespace ltrp { namespace train {

namespace {

struct Need
{
    const char* what;
    int expected, found;
};

void requireEqual(const std::string& where, std::initializer_list<Need> needs)
{
    for (const Need& need : needs)
        LTRP_REQUIRE(need.expected == need.found, Error::StsBadArg, where << ": its " << need.what << " is " << need.found
                     << ", expected " << need.expected << " as in the network to be trained");
}

void copyTensor(const io::Model& from, io::Model& to, const vit::ParamInfo& target, const std::string& where)
{
    const vit::ParamInfo* source = from.params.layout.find(target.name);
    LTRP_REQUIRE(source && source->shape == target.shape, Error::StsBadArg,
                 where << ": tensor '" << target.name << "' is " << (source ? "of another shape" : "missing")
                       << " for the network to be trained");
    const float* values = from.params.data() + source->offset;
    std::copy(values, values + source->count, to.params.data() + target.offset);
}

bool startsWith(const std::string& text, const char* start)
{
    return text.compare(0, std::char_traits<char>::length(start), start) == 0;
}

/// True if a head of the one answers for the other.
bool sameClasses(const io::Model& from, const io::Model& to)
{
    return from.classes == to.classes && from.classifier.task == to.classifier.task
           && from.classifier.pooling == to.classifier.pooling;
}

}  // namespace

void requireStart(const io::Model& from, io::ModelKind kind)
{
    LTRP_REQUIRE(from.kind == io::ModelKind::Mae || from.kind == kind, Error::StsBadArg,
                 "init: " << from.path << ": is a " << io::modelKindName(from.kind) << ", expected an autoencoder"
                          << (kind == io::ModelKind::Mae ? "" : std::string(" or a ") + io::modelKindName(kind)));
}

InitialWeights::InitialWeights(const String& file)
{
    if (file.empty())
        return;
    model_ = io::loadModel(file);
    text_ = io::weightsText(model_);
}

void InitialWeights::apply(io::Model& model) const
{
    if (given())
        copyInitialWeights(model_, model);
}

void copyInitialWeights(const io::Model& from, io::Model& to)
{
    const std::string where = "init: " + from.path;
    const bool sameKind = to.kind == from.kind, toMae = to.kind == io::ModelKind::Mae;
    requireStart(from, to.kind);
    const vit::StackConfig &have = from.encoder(), &want = to.encoder();
    requireEqual(where, {{"image size", to.input().imageSize, from.input().imageSize},
                         {"patch size", to.input().patchSize, from.input().patchSize},
                         {"embed dim", want.dim, have.dim}, {"number of heads", want.heads, have.heads},
                         {"MLP width", want.hidden, have.hidden}});
    if (!sameKind)
        LTRP_REQUIRE(have.depth >= want.depth, Error::StsBadArg, where << ": its encoder has " << have.depth
                     << " blocks, expected at least the " << io::modelKindName(to.kind) << "'s " << want.depth);
    else
        requireEqual(where, {{"depth", want.depth, have.depth}});
    if (toMae)
        requireEqual(where, {{"decoder embed dim", to.mae.decoder.dim, from.mae.decoder.dim},
                             {"decoder depth", to.mae.decoder.depth, from.mae.decoder.depth},
                             {"number of decoder heads", to.mae.decoder.heads, from.mae.decoder.heads},
                             {"norm-pix-loss", to.mae.normPixLoss, from.mae.normPixLoss}});
    const bool head = sameKind && sameClasses(from, to);
    for (const vit::ParamInfo& target : to.params.layout.tensors())
        if ((head || !startsWith(target.name, "head.")) && (have.depth == want.depth || !startsWith(target.name, "norm.")))
            copyTensor(from, to, target, where);
}

}}}  // namespace
