// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

// ltrp_onnx_cases MODELS DIR: writes the cases of onnx_cases.hpp: NAME.json next to the exported .onnx, and one raw
// file per tensor.

#include "precomp.hpp"
#include "onnx_cases.hpp"
#include "io/atomic_file.hpp"

#include <iostream>
#include <nlohmann/json.hpp>

namespace
{

nlohmann::json writeTensor(const OnnxCase::Tensor& tensor, const std::string& path)
{
    const bool whole = !tensor.integers.empty();
    cv::ltrp::io::AtomicFile file(path);
    if (whole)
        file.write(tensor.integers.data(), tensor.integers.size() * sizeof(int));
    else
        file.write(tensor.floats.data(), tensor.floats.size() * sizeof(float));
    file.commit();
    return {{"name", tensor.name}, {"shape", tensor.shape}, {"type", whole ? "int32" : "float32"}, {"file", path}};
}

}  // namespace

int main(int argc, char** argv)
{
    if (argc != 3)
    {
        std::cerr << "usage: ltrp_onnx_cases MODELS DIR\n";
        return 2;
    }
    const std::string folder = argv[2];
    for (const OnnxCase& c : allOnnxCases(folder, argv[1]))
    {
        nlohmann::json json;
        json["name"] = c.name;
        json["model"] = c.file;
        json["inputs"] = nlohmann::json::array();
        for (const OnnxCase::Tensor& input : c.inputs)
            json["inputs"].push_back(writeTensor(input, folder + "/" + c.name + "." + input.name + ".bin"));
        json["want"] = writeTensor(c.want, folder + "/" + c.name + ".want.bin");
        cv::ltrp::io::writeTextFile(folder + "/" + c.name + ".json", json.dump() + "\n");
    }
    return 0;
}
