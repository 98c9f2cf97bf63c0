// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "fuzz.hpp"
#include "io/tensor_readers.hpp"
#include "read_everything.hpp"

using namespace cv::ltrp::io;

namespace
{

std::string withHeader(const std::string& header, const std::string& data)
{
    std::string bytes;
    for (int i = 0; i < 8; ++i)
        bytes += static_cast<char>(header.size() >> (8 * i));
    return bytes + header + data;
}

}  // namespace

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size)
{
    try
    {
        readEverything(*readTensorFile(FileBytes::copy("input", data, size)));
        return 0;
    }
    catch (const cv::Exception&)
    {
        return -1;
    }
}

std::vector<std::string> fuzzSeeds()
{
    return {
        withHeader(R"({"a":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]},"b":{"dtype":"I64","shape":[],)"
                   R"("data_offsets":[24,32]}})", std::string(32, '\x3f')),
        withHeader(R"({"__metadata__":{"ltrp":"{\"kind\": \"mae\"}","k":"\u00fc"},"w":{"dtype":"BF16","shape":[1,4],)"
                   R"("data_offsets":[0,8]},"e":{"dtype":"BOOL","shape":[0],"data_offsets":[8,8]}}   )", "12345678"),
        withHeader(R"({"x":{"data_offsets":[3,11],"shape":[1],"dtype":"F64"},"y":{"dtype":"U8","shape":[3],)"
                   R"("data_offsets":[0,3]}})", "abcdefghijk"),
        withHeader("{}", ""),
    };
}
