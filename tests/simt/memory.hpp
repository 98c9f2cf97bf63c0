// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef LTRP_SIMT_MEMORY_HPP
#define LTRP_SIMT_MEMORY_HPP

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace simt
{

/// Memory of the emulated device: each array has its own address range, so that any access outside it is detected.
/// Uninitialised values must not be read. `granule`: size in bytes of the smallest values written, 1, 2 or 4.
void* allocate(size_t bytes, const std::string& name, unsigned granule);
void release(void* address);
void upload(void* to, const void* from, size_t bytes);
void download(void* to, const void* from, size_t bytes);
/// As upload(): the bytes count as written.
void fill(void* to, int value, size_t bytes);

/// An array on the emulated device.
template <class T>
class Buffer
{
public:
    explicit Buffer(size_t count, const std::string& name = "buffer")
        : count_(count), data_(static_cast<T*>(allocate(count * sizeof(T), name, sizeof(T))))
    {
    }
    explicit Buffer(const std::vector<T>& values, const std::string& name = "buffer") : Buffer(values.size(), name)
    {
        upload(data_, values.data(), count_ * sizeof(T));
    }
    ~Buffer() { release(data_); }
    Buffer(const Buffer&) = delete;
    Buffer& operator=(const Buffer&) = delete;

    T* get() const { return data_; }
    operator T*() const { return data_; }
    size_t size() const { return count_; }
    std::vector<T> values() const
    {
        std::vector<T> v(count_);
        download(v.data(), data_, count_ * sizeof(T));
        return v;
    }

private:
    size_t count_;
    T* data_;
};

}  // namespace simt

#endif
