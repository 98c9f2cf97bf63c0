// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "../../precomp.hpp"

#ifdef HAVE_LTRP_CUDA

#include "cublaslt.hpp"

#include <dlfcn.h>

namespace cv { namespace ltrp { namespace ops { namespace cuda {

namespace {

struct Library
{
    void* handle = nullptr;
    std::string why;   ///< reason if it could not be opened
};

Library open()
{
    Library library;
    // First the usual library search path, then the path at build time.
    for (const std::string& name : {"libcublasLt.so." + std::to_string(CUBLAS_VER_MAJOR),
                                    std::string(LTRP_CUBLASLT_LIBRARY)})
    {
        if (name.empty())
            continue;
        library.handle = dlopen(name.c_str(), RTLD_NOW | RTLD_LOCAL);
        if (library.handle)
            return library;
        const char* const reason = dlerror();
        if (library.why.empty())
            library.why = "cuBLASLt " + std::to_string(CUBLAS_VER_MAJOR) + " cannot be loaded (" +
                          (reason ? reason : "no reason was given") + "); it comes with the CUDA toolkit, and "
                          "LD_LIBRARY_PATH can name its folder";
    }
    return library;
}

const Library& library()
{
    static const Library opened = open();   // for the rest of the process
    return opened;
}

}  // namespace

std::string cublasLtLacks() { return library().why.empty() || library().handle ? "" : library().why; }

void* cublasLtFunction(const char* name)
{
    LTRP_REQUIRE(library().handle, Error::GpuNotSupported, library().why);
    void* const function = dlsym(library().handle, name);
    LTRP_REQUIRE(function, Error::GpuNotSupported, "the cuBLASLt on this machine has no " << name
                 << "; expected that of CUDA " << CUBLAS_VER_MAJOR << "." << CUBLAS_VER_MINOR << " or later");
    return function;
}

}}}}  // namespace

#endif
