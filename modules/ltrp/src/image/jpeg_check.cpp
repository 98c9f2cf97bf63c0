// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "../precomp.hpp"
#include "jpeg_check.hpp"

#include <algorithm>
#include <array>

namespace cv { namespace ltrp { namespace image {

namespace {

/// Codes of one Huffman table: codes of up to eight bits by table lookup, longer ones length by length.
struct CodeTable
{
    bool present = false;
    std::array<int, 18> largest{}, offset{};   ///< by length; largest is -1 if no code has that length
    std::array<uint16_t, 256> quick{};         ///< length << 8 | symbol, 0: longer than eight bits
    std::vector<uchar> symbols;

    void build(const uchar* counts, const uchar* values, size_t total)
    {
        present = true;
        symbols.assign(values, values + total);
        quick.fill(0);
        int code = 0, place = 0;
        for (int length = 1; length <= 16; length++)
        {
            offset[length] = place - code;
            for (int i = 0; i < counts[length - 1]; i++, code++, place++)
                for (int rest = 0; length <= 8 && rest < 1 << (8 - length); rest++)
                    quick[static_cast<size_t>((code << (8 - length) | rest) & 255)] =
                        static_cast<uint16_t>(length << 8 | symbols[static_cast<size_t>(place)]);
            largest[length] = counts[length - 1] ? code - 1 : -1;
            code <<= 1;
        }
    }
};

struct Component
{
    int id = 0, across = 1, down = 1;      ///< sampling factors
    int width = 0, height = 0;             ///< in blocks, of a scan with only this component
    int stride = 0;                        ///< in blocks, including those that pad the last unit
    const CodeTable *dc = nullptr, *ac = nullptr;
    std::vector<uint64_t> known;           ///< progressive: per block, one bit for each nonzero coefficient
};

class Walk
{
public:
    explicit Walk(const std::vector<uchar>& bytes) : data_(bytes.data()), size_(bytes.size()) {}

    JpegCheck run()
    {
        at_ = 2;
        int marker = 0;
        while ((marker = nextMarker()) != 0xd9)
        {
            if (marker < 0)
                return damaged("truncated JPEG: the end marker is missing");
            if (marker == 0x01 || (marker >= 0xd0 && marker <= 0xd8))
                continue;
            if (at_ + 2 > size_)
                return damaged("truncated JPEG: it ends within a header");
            const size_t length = static_cast<size_t>(data_[at_]) << 8 | data_[at_ + 1];
            if (length < 2 || at_ + length > size_)
                return damaged("truncated JPEG: it ends within a header");
            const uchar* body = data_ + at_ + 2;
            at_ += length;
            bool good = true;
            if (marker == 0xc4)
                good = readCodes(body, length - 2);
            else if (marker >= 0xc0 && marker <= 0xcf && marker != 0xc8 && marker != 0xcc)
                good = readFrame(marker, body, length - 2);
            else if (marker == 0xdd && length == 4)
                interval_ = body[0] << 8 | body[1];
            else if (marker == 0xda)
            {
                if (!readScan(body, length - 2))
                    return damaged(at_ + 2 > size_ ? "truncated JPEG: the end marker is missing"
                                                   : "truncated JPEG: the picture's data end too early");
                scans_++;
            }
            if (!good)
                return damaged("damaged JPEG: a header makes no sense");
        }
        if (scans_ == 0)
            return damaged("truncated JPEG: it holds no picture");
        return result_;
    }

private:
    JpegCheck damaged(const char* why)
    {
        result_.damage = why;
        return result_;
    }

    void warn() { result_.warning = "corrupt JPEG data: parts of the picture may be wrong"; }

    /// Returns the next marker, -1 at the end of the file. Bytes before it belong to no segment.
    int nextMarker()
    {
        for (; at_ + 1 < size_; at_++)
        {
            if (data_[at_] != 0xff || data_[at_ + 1] == 0xff)
            {
                if (data_[at_] != 0xff && !coded_)
                    warn();
                continue;
            }
            const int marker = data_[at_ + 1];
            if (marker == 0 || (marker >= 0xd0 && marker <= 0xd7))
            {
                if (!coded_)
                    warn();
                continue;
            }
            at_ += 2;
            return marker;
        }
        return -1;
    }

    bool readCodes(const uchar* body, size_t length)
    {
        while (length >= 17)
        {
            const int which = body[0] & 15;
            size_t total = 0;
            for (int i = 1; i <= 16; i++)
                total += body[i];
            if (which > 3 || body[0] > 31 || total > 256 || length < 17 + total)
                return false;
            tables_[body[0] >> 4][which].build(body + 1, body + 17, total);
            body += 17 + total;
            length -= 17 + total;
        }
        return length == 0;
    }

    bool readFrame(int marker, const uchar* body, size_t length)
    {
        coded_ = marker > 0xc2;   // lossless, hierarchical or arithmetic: only markers are checked
        progressive_ = marker == 0xc2;
        if (length < 6 || length != 6 + 3 * static_cast<size_t>(body[5]) || body[5] == 0 || !components_.empty())
            return false;
        const int height = body[1] << 8 | body[2], width = body[3] << 8 | body[4];
        if (coded_)
            return true;
        components_.resize(body[5]);
        for (size_t i = 0; i < components_.size(); i++)
        {
            const uchar* said = body + 6 + 3 * i;
            Component& c = components_[i];
            c.id = said[0];
            c.across = said[1] >> 4;
            c.down = said[1] & 15;
            if (c.across < 1 || c.across > 4 || c.down < 1 || c.down > 4)
                return false;
            most_ = Size(std::max(most_.width, c.across), std::max(most_.height, c.down));
        }
        units_ = Size(up(width, 8 * most_.width), up(height, 8 * most_.height));
        for (Component& c : components_)
        {
            c.width = up(up(width * c.across, most_.width), 8);
            c.height = up(up(height * c.down, most_.height), 8);
            c.stride = units_.width * c.across;
            if (progressive_)
                c.known.assign(static_cast<size_t>(c.stride) * static_cast<size_t>(units_.height * c.down), 0);
        }
        return width > 0 && height > 0;
    }

    static int up(int value, int step) { return (value + step - 1) / step; }

    /// Returns false if the data end before the last block.
    bool readScan(const uchar* body, size_t length)
    {
        coded_ = coded_ || scans_ > 1000;   // cameras never write as many; the rest is left to the decoder
        if (coded_)
            return true;
        if (length < 1 || length != 4 + 2 * static_cast<size_t>(body[0]))
            return false;
        std::vector<Component*> parts;
        for (int i = 0; i < body[0]; i++)
        {
            const uchar* said = body + 1 + 2 * i;
            for (Component& c : components_)
                if (c.id == said[0])
                {
                    parts.push_back(&c);
                    c.dc = &tables_[0][(said[1] >> 4) & 3];
                    c.ac = &tables_[1][said[1] & 3];
                    break;
                }
        }
        const uchar* last = body + length - 3;
        first_ = progressive_ ? last[0] : 0;
        end_ = progressive_ ? last[1] : 63;
        refine_ = progressive_ && (last[2] >> 4) != 0;
        if (parts.empty() || parts.size() != body[0] || end_ > 63 || first_ > end_ || (first_ > 0 && parts.size() > 1))
        {
            warn();
            return true;
        }
        bits_ = 0;
        count_ = run_ = 0;
        const bool alone = parts.size() == 1;
        const int across = alone ? parts[0]->width : units_.width, down = alone ? parts[0]->height : units_.height;
        int left = interval_;
        for (int y = 0; y < down; y++)
            for (int x = 0; x < across; x++)
            {
                if (interval_ > 0 && left-- == 0)
                {
                    if (!restart())
                        return false;
                    left = interval_ - 1;
                }
                for (Component* c : parts)
                {
                    const int columns = alone ? 1 : c->across, rows = alone ? 1 : c->down;
                    for (int v = 0; v < rows; v++)
                        for (int u = 0; u < columns; u++)
                            if (!block(*c, static_cast<size_t>(y * rows + v) * static_cast<size_t>(c->stride) +
                                               static_cast<size_t>(x * columns + u)))
                                return false;
                }
            }
        return true;
    }

    /// Reads the marker between two intervals. Decoders resynchronise at a later one; the data in between are lost.
    bool restart()
    {
        count_ = run_ = 0;
        size_t at = at_;
        while (at + 1 < size_ && !(data_[at] == 0xff && data_[at + 1] != 0 && data_[at + 1] != 0xff))
            at++;
        if (at + 1 >= size_)
            return false;
        const int marker = data_[at + 1];
        if (marker < 0xd0 || marker > 0xd7)
            return false;
        if (at != at_)
            warn();
        at_ = at + 2;
        return true;
    }

    /// Reads until at least `wanted` bits are available; false if a marker or the end of the data comes first.
    bool fill(int wanted)
    {
        while (count_ < wanted)
        {
            if (at_ >= size_)
                return false;
            const uchar byte = data_[at_];
            if (byte == 0xff)
            {
                if (at_ + 1 >= size_ || data_[at_ + 1] != 0)
                    return false;
                at_++;
            }
            at_++;
            bits_ = bits_ << 8 | byte;
            count_ += 8;
        }
        return true;
    }

    bool take(int wanted, int& value)
    {
        if (!fill(wanted))
            return false;
        count_ -= wanted;
        value = static_cast<int>(bits_ >> count_ & ((1u << wanted) - 1));
        return true;
    }

    bool skip(int wanted)
    {
        int ignored;
        return wanted == 0 || take(wanted, ignored);
    }

    bool symbol(const CodeTable& table, int& value)
    {
        if (fill(8) || count_ > 0)
        {
            const int have = std::min(count_, 8);
            const uint32_t ahead = static_cast<uint32_t>(bits_ >> (count_ - have)) << (8 - have) & 255;
            const uint16_t quick = table.quick[ahead];
            if (quick && quick >> 8 <= have)
            {
                count_ -= quick >> 8;
                value = quick & 255;
                return true;
            }
        }
        int code = 0, bit = 0;
        for (int length = 1; length <= 16; length++)
        {
            if (!take(1, bit))
                return false;
            code = code << 1 | bit;
            if (code <= table.largest[length])
            {
                const int place = code + table.offset[length];
                value = place >= 0 && place < static_cast<int>(table.symbols.size()) ? table.symbols[static_cast<size_t>(place)] : 0;
                return true;
            }
        }
        warn();   // invalid code: decoders treat it as 0
        value = 0;
        return true;
    }

    bool block(Component& c, size_t place)
    {
        int code = 0;
        if (first_ == 0)
        {
            if (refine_)
                return skip(1);
            if (!c.dc->present)
                return false;
            if (!symbol(*c.dc, code) || !skip(std::min(code, 16)))
                return false;
            if (progressive_)
                return true;
        }
        if (!c.ac->present)
            return false;
        if (!progressive_)
        {
            for (int k = 1; k <= 63; k++)
            {
                if (!symbol(*c.ac, code))
                    return false;
                if ((code & 15) == 0 && code >> 4 != 15)
                    break;
                k += code >> 4;
                if (!skip(code & 15))
                    return false;
            }
            return true;
        }
        uint64_t& known = c.known[place];
        return refine_ ? refineBlock(*c.ac, known) : firstOfBlock(*c.ac, known);
    }

    bool firstOfBlock(const CodeTable& table, uint64_t& known)
    {
        if (run_ > 0)
        {
            run_--;
            return true;
        }
        for (int k = first_; k <= end_; k++)
        {
            int code = 0;
            if (!symbol(table, code))
                return false;
            const int zeros = code >> 4, length = code & 15;
            if (length == 0 && zeros < 15)
                return blocksWithout(zeros) && run_-- > 0;
            k += zeros;
            if (length > 0 && k <= 63)
                known |= uint64_t(1) << k;
            if (!skip(length))
                return false;
        }
        return true;
    }

    /// Sets run_ to the number of blocks, from this one on, without further coefficients.
    bool blocksWithout(int power)
    {
        int more = 0;
        if (power > 0 && !take(power, more))
            return false;
        run_ = (1 << power) + more;
        return true;
    }

    bool refineBlock(const CodeTable& table, uint64_t& known)
    {
        int k = first_;
        for (; run_ == 0 && k <= end_; k++)
        {
            int code = 0;
            if (!symbol(table, code))
                return false;
            int zeros = code >> 4;
            const bool fresh = (code & 15) != 0;
            if (fresh ? !skip(1) : zeros < 15 && !blocksWithout(zeros))
                return false;
            if (run_ > 0)
                break;
            for (; k <= end_; k++)
            {
                if (known >> k & 1)
                {
                    if (!skip(1))
                        return false;
                }
                else if (--zeros < 0)
                    break;
            }
            if (fresh && k <= end_)
                known |= uint64_t(1) << k;
        }
        if (run_ == 0)
            return true;
        for (; k <= end_; k++)
            if ((known >> k & 1) && !skip(1))
                return false;
        run_--;
        return true;
    }

    const uchar* const data_;
    const size_t size_;
    size_t at_ = 0;
    JpegCheck result_;
    CodeTable tables_[2][4];
    std::vector<Component> components_;
    Size most_ = Size(1, 1), units_;
    bool progressive_ = false, refine_ = false;
    bool coded_ = false;   ///< not Huffman-coded
    int interval_ = 0, scans_ = 0, first_ = 0, end_ = 63;
    int run_ = 0;          ///< blocks that follow without further coefficients
    uint64_t bits_ = 0;
    int count_ = 0;        ///< number of lower bits of bits_ not yet consumed
};

}  // namespace

JpegCheck checkJpeg(const std::vector<uchar>& bytes)
{
    return Walk(bytes).run();
}

}}}  // namespace
