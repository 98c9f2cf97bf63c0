// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "../precomp.hpp"
#include "tensor_file.hpp"
#include "tensor_readers.hpp"

#if defined(__BYTE_ORDER__) && defined(__ORDER_LITTLE_ENDIAN__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "weight files are little-endian and are used as they lie in memory"
#endif

namespace cv { namespace ltrp { namespace io {

namespace
{

class ReadTensorFile : public TensorFile
{
public:
    ReadTensorFile(std::shared_ptr<const FileBytes> bytes, TensorFileContents contents)
        : bytes_(std::move(bytes)), copies_(std::move(contents.copies))
    {
        path_ = bytes_->path();
        fileBytes_ = bytes_->size();
        format_ = std::move(contents.format);
        tensors_ = std::move(contents.tensors);
        metadata_ = std::move(contents.metadata);
        for (size_t i = 0; i < tensors_.size(); ++i)
            LTRP_REQUIRE(index_.emplace(tensors_[i].name, i).second, Error::StsParseError,
                         path_ << ": two tensors have the name " << printable(tensors_[i].name));
    }

private:
    std::shared_ptr<const FileBytes> bytes_;
    std::vector<std::unique_ptr<uint8_t[]>> copies_;
};

class MergedTensorFile : public TensorFile
{
public:
    MergedTensorFile(const std::string& path, const std::vector<std::shared_ptr<const TensorFile>>& parts) : parts_(parts)
    {
        path_ = path;
        for (const std::shared_ptr<const TensorFile>& part : parts)
        {
            format_ = part->format();
            fileBytes_ += part->fileBytes();
            metadata_.insert(part->metadata().begin(), part->metadata().end());
            for (const TensorView& view : part->tensors())
            {
                LTRP_REQUIRE(index_.emplace(view.name, tensors_.size()).second, Error::StsParseError,
                             part->path() << ": tensor " << printable(view.name) << " lies in another file of " << path << " too");
                tensors_.push_back(view);
            }
        }
    }

private:
    const std::vector<std::shared_ptr<const TensorFile>> parts_;
};

bool startsWith(const FileBytes& file, std::string_view magic)
{
    return file.size() >= magic.size() && std::memcmp(file.data(), magic.data(), magic.size()) == 0;
}

template <typename T>
T load(const uint8_t* at)
{
    T value;
    std::memcpy(&value, at, sizeof(T));
    return value;
}

template <typename From, typename To, typename Convert>
void convertAll(const TensorView& view, To* out, Convert convert)
{
    const size_t count = view.count();
    for (size_t i = 0; i < count; ++i)
        out[i] = convert(load<From>(view.data + i * sizeof(From)));
}

uint32_t floatBits(float value)
{
    uint32_t bits;
    std::memcpy(&bits, &value, sizeof(bits));
    return bits;
}

float floatFromBits(uint32_t bits)
{
    float value;
    std::memcpy(&value, &bits, sizeof(value));
    return value;
}

}  // namespace

size_t dtypeSize(DType type)
{
    switch (type)
    {
    case DType::Bool: case DType::U8: case DType::I8: return 1;
    case DType::I16: case DType::F16: case DType::BF16: return 2;
    case DType::I32: case DType::F32: return 4;
    case DType::I64: case DType::F64: return 8;
    }
    LTRP_ERROR(Error::StsBadArg, "no such tensor type: " << static_cast<int>(type));
}

const char* dtypeName(DType type)
{
    switch (type)
    {
    case DType::Bool: return "BOOL";
    case DType::U8: return "U8";
    case DType::I8: return "I8";
    case DType::I16: return "I16";
    case DType::I32: return "I32";
    case DType::I64: return "I64";
    case DType::F16: return "F16";
    case DType::BF16: return "BF16";
    case DType::F32: return "F32";
    case DType::F64: return "F64";
    }
    LTRP_ERROR(Error::StsBadArg, "no such tensor type: " << static_cast<int>(type));
}

std::shared_ptr<const TensorFile> readTensorFile(std::shared_ptr<const FileBytes> file)
{
    const std::string& path = file->path();
    // torch.save before PyTorch 1.6: a bare pickle that begins with this number, or (even older) a tar archive.
    const std::string_view legacyMagic("\x80\x02\x8a\x0al\xfc\x9c" "F\xf9 j\xa8P\x19", 14);
    const bool braceAtEight = file->size() > 8 && file->data()[8] == '{';
    const bool isTar = !braceAtEight && file->size() > 262 && std::memcmp(file->data() + 257, "ustar", 5) == 0;
    LTRP_REQUIRE(!startsWith(*file, legacyMagic) && !isTar, Error::StsUnsupportedFormat,
                 path << ": is a PyTorch checkpoint of the old format (before 1.6), which is not read. Save it anew "
                         "with Python: torch.save(torch.load('old.pth', map_location='cpu'), 'new.pth')");

    // A safetensors file may begin with the magic bytes of a zip file (as its header's length); the brace distinguishes
    // them.
    TensorFileContents contents;
    if (startsWith(*file, std::string_view("PK\x03\x04", 4)) && !braceAtEight)
        contents = readPytorch(*file);
    else
    {
        LTRP_REQUIRE(file->size() < 9 || braceAtEight, Error::StsUnsupportedFormat,
                     path << ": is neither a safetensors file nor a PyTorch zip checkpoint (it begins with "
                          << printable({reinterpret_cast<const char*>(file->data()), 9}) << ")");
        contents = readSafetensors(*file);
    }
    return std::make_shared<const ReadTensorFile>(std::move(file), std::move(contents));
}

std::shared_ptr<const TensorFile> TensorFile::open(const std::string& path)
{
    return readTensorFile(FileBytes::map(path));
}

std::shared_ptr<const TensorFile> TensorFile::merge(const std::string& path,
                                                    const std::vector<std::shared_ptr<const TensorFile>>& parts)
{
    return std::make_shared<const MergedTensorFile>(path, parts);
}

const TensorView* TensorFile::find(const std::string& name) const
{
    const auto found = index_.find(name);
    return found == index_.end() ? nullptr : &tensors_[found->second];
}

const TensorView& TensorFile::at(const std::string& name) const
{
    const TensorView* const found = find(name);
    LTRP_REQUIRE(found, Error::StsObjectNotFound,
                 path_ << ": has no tensor " << printable(name) << " (it holds " << tensors_.size() << " others)");
    return *found;
}

void toFloat(const TensorView& view, float* out)
{
    switch (view.dtype)
    {
    case DType::F32:
        if (view.bytes > 0)
            std::memcpy(out, view.data, view.bytes);
        return;
    case DType::F16: return convertAll<uint16_t>(view, out, halfToFloat);
    case DType::BF16: return convertAll<uint16_t>(view, out, bfloat16ToFloat);
    case DType::F64: return convertAll<double>(view, out, [](double value) { return static_cast<float>(value); });
    default:
        LTRP_ERROR(Error::StsBadArg, "tensor " << printable(view.name) << " is " << dtypeName(view.dtype)
                                               << ", expected a floating-point type");
    }
}

void toInt64(const TensorView& view, int64_t* out)
{
    const auto widen = [](auto value) { return static_cast<int64_t>(value); };
    switch (view.dtype)
    {
    case DType::Bool: return convertAll<uint8_t>(view, out, [](uint8_t value) { return int64_t(value != 0); });
    case DType::U8: return convertAll<uint8_t>(view, out, widen);
    case DType::I8: return convertAll<int8_t>(view, out, widen);
    case DType::I16: return convertAll<int16_t>(view, out, widen);
    case DType::I32: return convertAll<int32_t>(view, out, widen);
    case DType::I64: return convertAll<int64_t>(view, out, widen);
    default:
        LTRP_ERROR(Error::StsBadArg, "tensor " << printable(view.name) << " is " << dtypeName(view.dtype)
                                               << ", expected an integer type");
    }
}

uint16_t floatToHalf(float value)
{
    const uint32_t bits = floatBits(value);
    const uint16_t sign = static_cast<uint16_t>((bits >> 16) & 0x8000u);
    const uint32_t magnitude = bits & 0x7fffffffu;
    if (magnitude > 0x7f800000u)   // NaN: stays quiet, with the upper bits of its payload
        return static_cast<uint16_t>(sign | 0x7e00u | ((magnitude >> 13) & 0x3ffu));
    if (magnitude >= 0x47800000u)   // from 2^16 to infinity
        return static_cast<uint16_t>(sign | 0x7c00u);
    uint32_t result, rest, half;   // truncated magnitude; the bits cut off; half a unit of the last place
    if (magnitude >= 0x38800000u)   // normal: from 2^-14
    {
        result = (magnitude - 0x38000000u) >> 13;
        rest = magnitude & 0x1fffu;
        half = 0x1000u;
    }
    else if (magnitude >= 0x33000000u)   // subnormal: from 2^-25
    {
        const uint32_t shift = 126u - (magnitude >> 23);   // 14 .. 24
        const uint32_t mantissa = (magnitude & 0x7fffffu) | 0x800000u;
        result = mantissa >> shift;
        rest = mantissa & ((1u << shift) - 1u);
        half = 1u << (shift - 1u);
    }
    else
        return sign;
    // A carry out of the mantissa increments the exponent, up to infinity, as rounding requires.
    if (rest > half || (rest == half && (result & 1u)))
        ++result;
    return static_cast<uint16_t>(sign | result);
}

float halfToFloat(uint16_t bits)
{
    const uint32_t sign = (bits & 0x8000u) << 16;
    const uint32_t exponent = (bits >> 10) & 0x1fu, mantissa = bits & 0x3ffu;
    if (exponent == 31)
        return floatFromBits(sign | 0x7f800000u | mantissa << 13);
    if (exponent != 0)
        return floatFromBits(sign | (exponent + 112u) << 23 | mantissa << 13);
    const float magnitude = static_cast<float>(mantissa) * (1.f / 16777216.f);   // subnormal: units of 2^-24
    return sign ? -magnitude : magnitude;
}

uint16_t floatToBfloat16(float value)
{
    const uint32_t bits = floatBits(value);
    if ((bits & 0x7fffffffu) > 0x7f800000u)
        return static_cast<uint16_t>((bits >> 16) | 0x40u);
    return static_cast<uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}

float bfloat16ToFloat(uint16_t bits)
{
    return floatFromBits(static_cast<uint32_t>(bits) << 16);
}

}}}  // namespace
