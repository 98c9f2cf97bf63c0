// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef OPENCV_LTRP_IO_TENSOR_FILE_HPP
#define OPENCV_LTRP_IO_TENSOR_FILE_HPP

#include "../precomp.hpp"
#include <map>
#include <unordered_map>

namespace cv { namespace ltrp { namespace io {

enum class DType { Bool, U8, I8, I16, I32, I64, F16, BF16, F32, F64 };

size_t dtypeSize(DType type);
const char* dtypeName(DType type);   ///< "F32", as safetensors spells it

/// One tensor of an open file. `data` points into the file's read-only mapping (or a buffer, for non-contiguous pickle
/// tensors), may be unaligned, and is valid while the TensorFile exists.
struct TensorView
{
    std::string name;
    DType dtype = DType::F32;
    std::vector<int64_t> shape;
    const uint8_t* data = nullptr;
    size_t bytes = 0;

    size_t count() const { return bytes / dtypeSize(dtype); }
};

/// A read-only, memory-mapped, validated file of named tensors: safetensors, or a PyTorch zip checkpoint (only the
/// pickle opcodes for tensors in (nested) dictionaries are accepted).
class TensorFile
{
public:
    /// Selects the reader by content. @throws cv::Exception naming the file, the item, the expected and the actual
    /// value
    static std::shared_ptr<const TensorFile> open(const std::string& path);
    /// Opens the files listed in an index (model.safetensors.index.json) as one. Each tensor must be in exactly one of
    /// them.
    static std::shared_ptr<const TensorFile> merge(const std::string& path,
                                                   const std::vector<std::shared_ptr<const TensorFile>>& parts);
    virtual ~TensorFile() = default;

    const std::string& path() const { return path_; }
    uint64_t fileBytes() const { return fileBytes_; }       ///< total of all its files
    const std::string& format() const { return format_; }   ///< "safetensors" or "pytorch"
    const std::vector<TensorView>& tensors() const { return tensors_; }
    const TensorView* find(const std::string& name) const;  ///< null when absent
    const TensorView& at(const std::string& name) const;    ///< throws naming file and tensor
    /// safetensors: "__metadata__". PyTorch: the plain values stored with the weights, as text ("epoch",
    /// "args.norm_pix_loss").
    const std::map<std::string, std::string>& metadata() const { return metadata_; }

protected:
    std::string path_, format_;
    uint64_t fileBytes_ = 0;
    std::vector<TensorView> tensors_;
    std::map<std::string, std::string> metadata_;
    std::unordered_map<std::string, size_t> index_;   ///< name -> index in tensors_
};

/// Converts any floating dtype (F16, BF16, F32, F64) to float; `out` holds view.count() values.
/// @throws Error::StsBadArg for integer tensors.
void toFloat(const TensorView& view, float* out);
/// Converts any integer dtype to int64.
void toInt64(const TensorView& view, int64_t* out);
/// Round-to-nearest-even conversions.
uint16_t floatToHalf(float value);
uint16_t floatToBfloat16(float value);
float halfToFloat(uint16_t bits);
float bfloat16ToFloat(uint16_t bits);

/// A tensor to write.
struct TensorOut
{
    std::string name;
    DType dtype = DType::F32;
    std::vector<int64_t> shape;
    const void* data = nullptr;
};

/// Writes a safetensors file atomically (temporary file in the same folder, fsync, rename, fsync of the folder).
/// Tensors are stored in the given order; the header is padded with spaces so that the data section is 64-byte aligned.
void writeSafetensors(const std::string& path, const std::vector<TensorOut>& tensors,
                      const std::map<std::string, std::string>& metadata);

}}}  // namespace

#endif
