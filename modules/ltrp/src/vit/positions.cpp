// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "../precomp.hpp"
#include "positions.hpp"

#include <opencv2/imgproc.hpp>

#include <cmath>

namespace cv { namespace ltrp { namespace vit {

void sinCosPositions(int grid, int dim, float* table)
{
    sinCosPositions(grid, grid, grid, dim, table);
}

void sinCosPositions(int grid, int columns, int rows, int dim, float* table)
{
    LTRP_REQUIRE(grid > 0 && columns > 0 && rows > 0 && dim > 0 && dim % 4 == 0, Error::StsBadArg,
                 "sine-cosine positions need an embed dim that is a multiple of 4, found " << dim);
    const int half = dim / 2, quarter = dim / 4;
    std::vector<double> periods(static_cast<size_t>(quarter));
    for (int k = 0; k < quarter; k++)
        periods[static_cast<size_t>(k)] = std::pow(10000., static_cast<double>(k) / quarter);
    std::fill(table, table + dim, 0.f);
    for (int row = 0; row < rows; row++)
    {
        for (int column = 0; column < columns; column++)
        {
            float* out = table + (static_cast<size_t>(row) * static_cast<size_t>(columns) + static_cast<size_t>(column) + 1)
                                     * static_cast<size_t>(dim);
            // Exactly `column` and `row` if both grids are the same.
            const double places[] = {(column + 0.5) * grid / columns - 0.5, (row + 0.5) * grid / rows - 0.5};
            for (int axis = 0; axis < 2; axis++)
            {
                for (int k = 0; k < quarter; k++)
                {
                    const double angle = places[axis] / periods[static_cast<size_t>(k)];
                    out[axis * half + k] = static_cast<float>(std::sin(angle));
                    out[axis * half + quarter + k] = static_cast<float>(std::cos(angle));
                }
            }
        }
    }
}

std::vector<float> resizedPositions(const InputConfig& input, int dim, const float* stored)
{
    const int grid = input.grid(), columns = input.columns(), rows = input.rows();
    const size_t d = static_cast<size_t>(dim), trained = static_cast<size_t>(input.trainedPatches());
    const size_t patches = static_cast<size_t>(input.numPatches());
    std::vector<float> table((1 + patches) * d);
    if (dim % 4 == 0)
    {
        // Tolerance: weights may have been rounded to 16 bits, in the worst case to 8 bits of mantissa.
        std::vector<float> computed((1 + trained) * d);
        sinCosPositions(grid, dim, computed.data());
        double difference = 0;
        for (size_t i = d; i < computed.size(); i++)
            difference = std::max(difference, static_cast<double>(std::abs(computed[i] - stored[i])));
        if (difference <= 1.0 / 256)
        {
            sinCosPositions(grid, columns, rows, dim, table.data());
            std::copy(stored, stored + d, table.begin());
            return table;
        }
    }
    std::copy(stored, stored + d, table.begin());
    Mat plane(grid, grid, CV_32F), resized;
    for (size_t i = 0; i < d; i++)
    {
        for (size_t place = 0; place < trained; place++)
            plane.ptr<float>()[place] = stored[(1 + place) * d + i];
        resize(plane, resized, Size(columns, rows), 0, 0, INTER_CUBIC);
        for (size_t place = 0; place < patches; place++)
            table[(1 + place) * d + i] = resized.ptr<float>()[place];
    }
    return table;
}

}}}  // namespace
