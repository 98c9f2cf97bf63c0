// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "precomp.hpp"
#include "opencv2/ltrp/models.hpp"
#include "io/model_file.hpp"

#include <algorithm>
#include <cstdlib>
#include <filesystem>

#ifdef __unix__
#include <dlfcn.h>
#endif

namespace cv { namespace ltrp {

namespace {

namespace fs = std::filesystem;

/// Number of parent folders in which share/ltrp is searched: an extension in
/// lib/python3.11/site-packages/cv2/python-3.11 has it six folders up.
const int highestParent = 6;

/// The file that contains this code: the shared library, or the program into which the static one is linked.
fs::path ownFile()
{
#ifdef __unix__
    Dl_info info;
    static const char here = 0;
    if (dladdr(&here, &info) != 0 && info.dli_fname)
    {
        std::error_code error;
        // A program's name may be relative or a link; a name without a folder was found through PATH.
        const std::string name = info.dli_fname;
        const fs::path file = fs::canonical(name.find('/') == std::string::npos ? "/proc/self/exe" : name, error);
        if (!error)
            return file;
    }
#endif
    return fs::path();
}

std::vector<fs::path> foldersOfModels()
{
    const char* variable = std::getenv("LTRP_MODELS");
    if (variable && *variable)
        return {variable};
    std::vector<fs::path> folders;
    fs::path folder = ownFile().parent_path();
    if (folder.empty())
        return folders;
    folders.push_back(folder / "models");
    for (int level = 0; level < highestParent && folder != folder.parent_path(); level++)
    {
        folder = folder.parent_path();
        folders.push_back(folder / "share" / "ltrp");
    }
    return folders;
}

std::vector<std::string> modelsIn(const fs::path& folder, const std::string& kind)
{
    const std::string ending = ".safetensors";
    std::vector<std::string> found;
    std::error_code error;
    for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error))
    {
        const std::string name = it->path().filename().string();
        const bool weights = name.size() > ending.size() &&
                             name.compare(name.size() - ending.size(), ending.size(), ending) == 0;
        if (weights && name.find(kind) != std::string::npos && it->is_regular_file(error))
            found.push_back(it->path().string());
    }
    std::sort(found.begin(), found.end());
    return found;
}

}  // namespace

String shippedModel(const String& kind)
{
    LTRP_REQUIRE(kind == "rank" || kind == "mae", Error::StsOutOfRange,
                 "shippedModel: kind of model: expected 'rank' or 'mae', found '" << kind << "'");
    std::string looked;
    for (const fs::path& folder : foldersOfModels())
    {
        const std::vector<std::string> found = modelsIn(folder, kind);
        LTRP_REQUIRE(found.size() <= 1, Error::StsObjectNotFound,
                     folder.string() << ": expected one file *" << kind << "*.safetensors, found " << found.size()
                     << "; name one");
        if (!found.empty())
            return found.front();
        looked += (looked.empty() ? "" : ", ") + folder.string();
    }
    LTRP_ERROR(Error::StsObjectNotFound,
               "no *" << kind << "*.safetensors in " << (looked.empty() ? "any known folder" : looked)
               << "; let the environment variable LTRP_MODELS name the folder of one, or name one");
}

void exportOnnx(const String& model, const String& onnx, Size inputSize)
{
    io::Model ranker = io::loadModel(model, io::ModelKind::Ranker);
    std::error_code none;
    LTRP_REQUIRE(!fs::equivalent(std::string(model), std::string(onnx), none), Error::StsBadArg,
                 onnx << ": is the model that is read, expected another file to write");
    if (inputSize != Size())   // not empty(), which would ignore negative sides
        vit::setInputSize(ranker.ranker, inputSize, "exportOnnx: " + model);
    io::exportOnnx(onnx, ranker);
}

}}  // namespace
