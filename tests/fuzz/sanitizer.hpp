// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#ifndef LTRP_TESTS_FUZZ_SANITIZER_HPP
#define LTRP_TESTS_FUZZ_SANITIZER_HPP

#if defined(__SANITIZE_ADDRESS__)
#define LTRP_FUZZ_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define LTRP_FUZZ_ASAN 1
#endif
#endif
#ifdef LTRP_FUZZ_ASAN
#include <sanitizer/common_interface_defs.h>

#include <cstddef>

// From <sanitizer/allocator_interface.h>, which gcc does not install.
extern "C" int __sanitizer_install_malloc_and_free_hooks(void (*allocated)(const volatile void*, size_t),
                                                         void (*freed)(const volatile void*));
extern "C" size_t __sanitizer_get_allocated_size(const volatile void* block);
#endif

#endif
