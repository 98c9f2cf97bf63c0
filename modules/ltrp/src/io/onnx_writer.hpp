// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef OPENCV_LTRP_IO_ONNX_WRITER_HPP
#define OPENCV_LTRP_IO_ONNX_WRITER_HPP

#include "../precomp.hpp"
#include <map>

namespace cv { namespace ltrp { namespace io {

class AtomicFile;

/// Writes an ONNX graph in protobuf's wire format (onnx.proto of ONNX 1.6), without the protobuf library: only the few
/// message kinds that a network needs.
class OnnxWriter
{
public:
    /// A dimension: a number, or a name ("N") if it is free.
    struct Dim
    {
        Dim(int64_t v) : value(v) {}
        Dim(const char* n) : name(n) {}
        int64_t value = 0;
        std::string name;
    };

    class Attributes
    {
    public:
        Attributes& add(const std::string& name, float value);
        Attributes& add(const std::string& name, int64_t value);
        Attributes& add(const std::string& name, const std::string& value);
        Attributes& add(const std::string& name, const std::vector<int64_t>& values);
        const std::string& bytes() const { return bytes_; }

    private:
        void append(std::string attribute, int type);
        std::string bytes_;
    };

    void addInput(const std::string& name, const std::vector<Dim>& shape);          ///< floats
    void addIntegerInput(const std::string& name, const std::vector<Dim>& shape);   ///< 64-bit integers
    void addOutput(const std::string& name, const std::vector<Dim>& shape);
    void addInitializer(const std::string& name, const std::vector<int64_t>& shape, const float* values);
    void addInitializer(const std::string& name, const std::vector<int64_t>& values);
    /// Adds a node with one output. @return the name of node and output
    std::string addNode(const std::string& op, const std::string& name, const std::vector<std::string>& inputs,
                        const Attributes& attributes = Attributes());

    /// Writes the model; the caller commits the file. `path` is for messages. Runtimes ignore `metadata`.
    void write(AtomicFile& file, const std::string& path, const std::string& graphName, int64_t opset,
               const std::map<std::string, std::string>& metadata) const;

    /// The graph so far: nodes, constants, inputs and outputs.
    const std::string& graph() const { return graph_; }

private:
    std::string graph_;
};

}}}  // namespace

#endif
