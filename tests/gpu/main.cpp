// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

// ltrp_gpu_tests: a normal Boost.Test program if there is a GPU; otherwise prints one line and exits with status 77.

#define BOOST_TEST_NO_MAIN
#define BOOST_TEST_MODULE ltrp_gpu

#include "ops/ops.hpp"

#include <boost/test/unit_test.hpp>

#include <iostream>

int main(int argc, char** argv)
{
    const std::string lacks = cv::ltrp::ops::cudaLacks();
    if (!lacks.empty())
    {
        std::cerr << "no GPU to test on: " << lacks << std::endl;
        return 77;
    }
    return boost::unit_test::unit_test_main(&init_unit_test, argc, argv);
}
