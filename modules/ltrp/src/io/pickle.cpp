// This file is part of OpenCV project.
// It is subject to the license terms in the LICENSE file found in the top-level directory
// of this distribution and at http://opencv.org/license.html.

#include "../precomp.hpp"
#include "pickle.hpp"
#include "pickle_globals.hpp"

#include <unordered_map>

namespace cv { namespace ltrp { namespace io {

namespace
{

// A checkpoint of the largest ViT with its optimizer has about 50 000 values; the limits bound the memory for a pickle
// in which every byte creates an object.
constexpr size_t maxPickleBytes = 64u << 20, maxValues = 1u << 20, maxItems = 8u << 20;

const char* kindName(PickleKind kind)
{
    switch (kind)
    {
    case PickleKind::None: return "None";
    case PickleKind::Bool: return "a bool";
    case PickleKind::Int: return "an int";
    case PickleKind::Float: return "a float";
    case PickleKind::Text: return "text";
    case PickleKind::Bytes: return "bytes";
    case PickleKind::List: return "a list";
    case PickleKind::Tuple: return "a tuple";
    case PickleKind::Dict: return "a dict";
    case PickleKind::Global: return "a class or function";
    case PickleKind::Storage: return "a storage";
    case PickleKind::Tensor: return "a tensor";
    case PickleKind::Object: return "an object";
    }
    return "unknown";
}

class Machine
{
public:
    Machine(const uint8_t* data, size_t size, const std::string& where) : data_(data), size_(size), where_(where) {}

    Pickle run()
    {
        require(size_ <= maxPickleBytes, "has more than 64 MiB");
        none_ = add(PickleKind::None);
        false_ = add(PickleKind::Bool);
        true_ = add(PickleKind::Bool);
        result_.values[true_].integer = 1;
        while (step())
            ;
        require(at_ == size_, "goes on after its end");
        require(stack_.size() == 1 && marks_.empty(), "leaves a disordered stack");
        result_.root = stack_[0];
        return std::move(result_);
    }

private:
    using Index = uint32_t;

    void require(bool condition, const char* problem) const
    {
        if (!condition)
            fail(problem);
    }

    [[noreturn]] void fail(const std::string& problem) const
    {
        LTRP_ERROR(Error::StsParseError, where_ << " " << problem << " (at its byte " << opcodeAt_ << ")");
    }

    // --- reading -------------------------------------------------------------------------------------------------

    const uint8_t* take(uint64_t bytes)
    {
        require(bytes <= size_ - at_, "is cut off");
        const uint8_t* const from = data_ + at_;
        at_ += static_cast<size_t>(bytes);
        return from;
    }

    uint64_t number(int bytes) { return readLittleEndian(take(static_cast<uint64_t>(bytes)), bytes); }

    std::string_view text(int lengthBytes)
    {
        const uint64_t length = number(lengthBytes);
        return {reinterpret_cast<const char*>(take(length)), static_cast<size_t>(length)};
    }

    std::string_view line()
    {
        const uint8_t* const from = data_ + at_;
        const void* const end = at_ < size_ ? std::memchr(from, '\n', size_ - at_) : nullptr;
        require(end != nullptr, "is cut off");
        const size_t length = static_cast<size_t>(static_cast<const uint8_t*>(end) - from);
        at_ += length + 1;
        return {reinterpret_cast<const char*>(from), length};
    }

    // --- values, stack, memo -------------------------------------------------------------------------------------

    Index add(PickleKind kind)
    {
        require(result_.values.size() < maxValues, "makes too many objects");
        result_.values.emplace_back();
        result_.values.back().kind = kind;
        return static_cast<Index>(result_.values.size() - 1);
    }

    Index addText(PickleKind kind, std::string_view characters)
    {
        const Index index = add(kind);
        result_.values[index].text = characters;
        return index;
    }

    Index addInteger(int64_t value)
    {
        const Index index = add(PickleKind::Int);
        result_.values[index].integer = value;
        return index;
    }

    void charge(size_t items)
    {
        itemsUsed_ += items;
        require(itemsUsed_ <= maxItems, "has too many items in its lists and dicts");
    }

    void push(Index index)
    {
        require(stack_.size() < maxItems, "piles up too many objects");
        stack_.push_back(index);
    }

    /// Number of values above the last mark, or of all if there is none: no opcode may reach below a mark.
    size_t reachable() const { return stack_.size() - (marks_.empty() ? 0 : marks_.back()); }

    Index pop()
    {
        require(reachable() >= 1, "takes more from the stack than is on it");
        const Index index = stack_.back();
        stack_.pop_back();
        return index;
    }

    std::vector<Index> popMany(size_t count)
    {
        require(reachable() >= count, "takes more from the stack than is on it");
        charge(count);
        std::vector<Index> items(stack_.end() - static_cast<std::ptrdiff_t>(count), stack_.end());
        stack_.resize(stack_.size() - count);
        return items;
    }

    std::vector<Index> popToMark()
    {
        require(!marks_.empty(), "looks for a mark that is not there");
        std::vector<Index> items = popMany(stack_.size() - marks_.back());
        marks_.pop_back();
        return items;
    }

    PickleValue& top()
    {
        require(reachable() >= 1, "takes more from the stack than is on it");
        return result_.values[stack_.back()];
    }

    void pushTuple(std::vector<Index> items)
    {
        const Index index = add(PickleKind::Tuple);
        result_.values[index].items = std::move(items);
        push(index);
    }

    void pushMark()
    {
        require(marks_.size() < maxItems, "piles up too many objects");
        marks_.push_back(stack_.size());
    }

    void put(uint64_t key)
    {
        require(reachable() >= 1, "takes more from the stack than is on it");
        memo_[key] = stack_.back();
        require(memo_.size() <= maxValues, "remembers too many objects");
    }

    void get(uint64_t key)
    {
        const auto found = memo_.find(key);
        require(found != memo_.end(), "recalls an object that it never stored");
        push(found->second);
    }

    const PickleValue& argument(const PickleValue& tuple, size_t i, PickleKind kind, const char* what) const
    {
        if (i >= tuple.items.size())
            fail(std::string("makes ") + what + " from too few arguments");
        const PickleValue& value = result_.values[tuple.items[i]];
        if (value.kind != kind)
            fail(std::string("makes ") + what + " from " + kindName(value.kind) + " where " + kindName(kind) +
                 " is expected");
        return value;
    }

    // --- building ------------------------------------------------------------------------------------------------

    void pushGlobal(std::string_view module, std::string_view name)
    {
        const std::string full = std::string(module) + '.' + std::string(name);
        const int known = findGlobal(full);
        if (known < 0)
            fail("refers to " + printable(full) +
                 ", which is not among the few types that tensors and plain settings need; nothing from a file is ever "
                 "executed, and this file is refused");
        const Index index = add(PickleKind::Global);
        result_.values[index].text = globalAt(known).name;
        result_.values[index].integer = known;
        push(index);
    }

    static const KnownGlobal& global(const PickleValue& value) { return globalAt(static_cast<int>(value.integer)); }

    /// ("storage", torch.FloatStorage, "key", "cpu", count)
    void pushStorage()
    {
        const Index idIndex = pop();
        const PickleValue& id = result_.values[idIndex];
        if (id.kind != PickleKind::Tuple)
            fail(std::string("refers to storage by ") + kindName(id.kind) + ", expected a tuple");
        const char* const what = "a storage";
        const KnownGlobal& type = global(argument(id, 1, PickleKind::Global, what));
        require(argument(id, 0, PickleKind::Text, what).text == "storage" && type.role == GlobalRole::Storage,
                "refers to a storage that is none");
        const int64_t count = argument(id, 4, PickleKind::Int, what).integer;
        require(count >= 0, "refers to a storage with a negative size");
        const std::string_view key = argument(id, 2, PickleKind::Text, what).text;
        const Index index = add(PickleKind::Storage);   // `id` may have moved
        result_.values[index].integer = static_cast<int64_t>(result_.storages.size());
        result_.storages.push_back({key, type.dtype, static_cast<uint64_t>(count)});
        push(index);
    }

    std::vector<int64_t> sizes(const PickleValue& arguments, size_t i) const
    {
        const PickleValue& tuple = argument(arguments, i, PickleKind::Tuple, "a tensor");
        require(tuple.items.size() <= maxTensorRank, "makes a tensor with more than 32 dimensions");
        std::vector<int64_t> out;
        for (size_t k = 0; k < tuple.items.size(); ++k)
        {
            out.push_back(argument(tuple, k, PickleKind::Int, "a tensor's shape").integer);
            require(out.back() >= 0, "makes a tensor with a negative size or stride");
        }
        return out;
    }

    /// (storage, offset, shape, strides, ...): every value of the view must be inside the storage.
    Index rebuildTensor(const PickleValue& arguments)
    {
        PickleTensor tensor;
        tensor.storage = static_cast<size_t>(argument(arguments, 0, PickleKind::Storage, "a tensor").integer);
        const PickleStorage& storage = result_.storages[tensor.storage];
        const int64_t offset = argument(arguments, 1, PickleKind::Int, "a tensor").integer;
        require(offset >= 0, "makes a tensor with a negative offset");
        tensor.offset = static_cast<uint64_t>(offset);
        tensor.shape = sizes(arguments, 2);
        const std::vector<int64_t> strides = sizes(arguments, 3);
        tensor.strides.assign(strides.begin(), strides.end());
        require(tensor.shape.size() == tensor.strides.size(), "makes a tensor with more dimensions than strides");
        uint64_t count = 0;
        require(countValues(tensor.shape, dtypeSize(storage.dtype), count), "makes a tensor that is too large");
        // An expanded view (stride 0) could describe any number of values in a small file.
        if (count > storage.count)
            fail("makes a tensor of shape " + shapeText(tensor.shape) + " from a storage of only " +
                 std::to_string(storage.count) + " values");
        uint64_t last = tensor.offset;
        bool inside = true;
        for (size_t k = 0; count > 0 && k < tensor.shape.size(); ++k)
        {
            uint64_t reach = 0;
            inside = inside && checkedMultiply(static_cast<uint64_t>(tensor.shape[k] - 1), tensor.strides[k], reach) &&
                     reach <= storage.count;
            if (inside)
                last += reach;   // both below 2^63
            inside = inside && last < storage.count;
        }
        inside = inside && (count > 0 ? last < storage.count : tensor.offset <= storage.count);
        if (!inside)
            fail("makes a tensor of shape " + shapeText(tensor.shape) + " and strides " + shapeText(strides) +
                 " at offset " + std::to_string(offset) + " that reaches beyond its storage of " +
                 std::to_string(storage.count) + " values");
        charge(tensor.shape.size());
        const Index index = add(PickleKind::Tensor);
        result_.values[index].integer = static_cast<int64_t>(result_.tensors.size());
        result_.tensors.push_back(std::move(tensor));
        return index;
    }

    /// A dict; Python 2 passed its items as one list of pairs.
    Index makeDict(const PickleValue& arguments)
    {
        const Index index = add(PickleKind::Dict);
        std::vector<Index> items;
        if (arguments.items.size() == 1 && result_.values[arguments.items[0]].kind == PickleKind::List)
        {
            for (const Index pairIndex : result_.values[arguments.items[0]].items)
            {
                const PickleValue& pair = result_.values[pairIndex];
                require((pair.kind == PickleKind::List || pair.kind == PickleKind::Tuple) && pair.items.size() == 2,
                        "makes a dict from a list of things that are no pairs");
                charge(2);
                items.insert(items.end(), pair.items.begin(), pair.items.end());
            }
        }
        result_.values[index].items = std::move(items);
        return index;
    }

    /// A call that an ordinary unpickler would execute.
    void call()
    {
        const Index argumentsIndex = pop(), calleeIndex = pop();
        if (result_.values[calleeIndex].kind != PickleKind::Global ||
            result_.values[argumentsIndex].kind != PickleKind::Tuple)
            fail(std::string("calls ") + kindName(result_.values[calleeIndex].kind) + " with " +
                 kindName(result_.values[argumentsIndex].kind));
        charge(result_.values[argumentsIndex].items.size());
        const PickleValue arguments = result_.values[argumentsIndex];   // a copy: adding a value may move the others
        const KnownGlobal& callee = global(result_.values[calleeIndex]);
        switch (callee.role)
        {
        case GlobalRole::Dict: return push(makeDict(arguments));
        case GlobalRole::RebuildTensor: return push(rebuildTensor(arguments));
        case GlobalRole::RebuildParameter:
            argument(arguments, 0, PickleKind::Tensor, "a parameter");
            return push(arguments.items[0]);
        case GlobalRole::Inert: return push(add(PickleKind::Object));
        case GlobalRole::Storage: break;
        }
        fail("calls " + printable(callee.name));
    }

    void build()
    {
        const Index state = pop();
        PickleValue& target = top();
        if (target.kind == PickleKind::Object)
        {
            charge(1);
            target.items.assign(1, state);
        }
        else if (target.kind != PickleKind::Dict && target.kind != PickleKind::Tensor)
            fail(std::string("gives attributes to ") + kindName(target.kind));
    }

    void append(const std::vector<Index>& items, bool pairs)
    {
        PickleValue& target = top();
        if (target.kind == PickleKind::Object)
            return;
        if (target.kind != (pairs ? PickleKind::Dict : PickleKind::List))
            fail(std::string("adds items to ") + kindName(target.kind));
        require(!pairs || items.size() % 2 == 0, "gives a dict a key without a value");
        target.items.insert(target.items.end(), items.begin(), items.end());
    }

    void pushList(PickleKind kind, std::vector<Index> items)
    {
        require(kind != PickleKind::Dict || items.size() % 2 == 0, "gives a dict a key without a value");
        const Index index = add(kind);
        result_.values[index].items = std::move(items);
        push(index);
    }

    void pushLong(uint64_t bytes)
    {
        const uint8_t* const digits = take(bytes);
        if (bytes > 8)   // random states and the like, which tensors do not need
            return push(add(PickleKind::Object));
        uint64_t value = readLittleEndian(digits, static_cast<int>(bytes));
        if (bytes > 0 && bytes < 8 && (digits[bytes - 1] & 0x80u))
            value |= ~uint64_t(0) << (8 * bytes);
        int64_t negative;
        std::memcpy(&negative, &value, sizeof(negative));
        push(addInteger(negative));
    }

    void pushFloat()
    {
        const uint8_t* const from = take(8);
        uint64_t bits = 0;
        for (int i = 0; i < 8; ++i)
            bits = bits << 8 | from[i];
        const Index index = add(PickleKind::Float);
        std::memcpy(&result_.values[index].real, &bits, sizeof(bits));
        push(index);
    }

    // --- the opcodes, by their letters; others (INST, OBJ, EXT, text forms) are not supported -----------------

    bool step()
    {
        opcodeAt_ = at_;
        const uint8_t opcode = *take(1);
        switch (opcode)
        {
        case 0x80: require(number(1) <= 5, "has a protocol above 5"); break;
        case 0x95: require(number(8) <= size_ - at_, "is cut off"); break;   // FRAME: only a hint for reading ahead
        case '.': return false;
        case '(': pushMark(); break;
        case '0': pop(); break;
        case '1': popToMark(); break;
        case 'N': push(none_); break;
        case 0x88: push(true_); break;
        case 0x89: push(false_); break;
        case 'J': push(addInteger(static_cast<int32_t>(static_cast<uint32_t>(number(4))))); break;
        case 'K': push(addInteger(static_cast<int64_t>(number(1)))); break;
        case 'M': push(addInteger(static_cast<int64_t>(number(2)))); break;
        case 0x8a: pushLong(number(1)); break;
        case 0x8b: pushLong(number(4)); break;
        case 'G': pushFloat(); break;
        case 'X': push(addText(PickleKind::Text, text(4))); break;
        case 0x8c: push(addText(PickleKind::Text, text(1))); break;
        case 0x8d: push(addText(PickleKind::Text, text(8))); break;
        case 'U': push(addText(PickleKind::Text, text(1))); break;   // Python 2's str
        case 'T': push(addText(PickleKind::Text, text(4))); break;
        case 'C': push(addText(PickleKind::Bytes, text(1))); break;
        case 'B': push(addText(PickleKind::Bytes, text(4))); break;
        case 0x8e: push(addText(PickleKind::Bytes, text(8))); break;
        case ']': push(add(PickleKind::List)); break;
        case ')': push(add(PickleKind::Tuple)); break;
        case '}': push(add(PickleKind::Dict)); break;
        case 0x8f: push(add(PickleKind::Object)); break;   // an empty set
        case 0x91: popToMark(); push(add(PickleKind::Object)); break;   // a frozen set
        case 't': pushTuple(popToMark()); break;
        case 0x85: pushTuple(popMany(1)); break;
        case 0x86: pushTuple(popMany(2)); break;
        case 0x87: pushTuple(popMany(3)); break;
        case 'l': pushList(PickleKind::List, popToMark()); break;
        case 'd': pushList(PickleKind::Dict, popToMark()); break;
        case 'a': append(popMany(1), false); break;
        case 'e': case 0x90: append(popToMark(), false); break;
        case 's': append(popMany(2), true); break;
        case 'u': append(popToMark(), true); break;
        case 'q': put(number(1)); break;
        case 'r': put(number(4)); break;
        case 0x94: put(memo_.size()); break;
        case 'h': get(number(1)); break;
        case 'j': get(number(4)); break;
        case 'c':
        {
            const std::string_view module = line();
            pushGlobal(module, line());
            break;
        }
        case 0x93:
        {
            const PickleValue name = result_.values[pop()], module = result_.values[pop()];
            require(name.kind == PickleKind::Text && module.kind == PickleKind::Text, "names a class by no text");
            pushGlobal(module.text, name.text);
            break;
        }
        case 'R': case 0x81: call(); break;   // REDUCE and NEWOBJ: a function or a class and a tuple of arguments
        case 'b': build(); break;
        case 'Q': pushStorage(); break;
        default: fail("uses the pickle opcode " + printable({reinterpret_cast<const char*>(&opcode), 1}) +
                      ", which dictionaries of tensors do not need");
        }
        return true;
    }

    const uint8_t* data_;
    size_t size_, at_ = 0, opcodeAt_ = 0, itemsUsed_ = 0;
    const std::string& where_;
    Pickle result_;
    Index none_ = 0, true_ = 0, false_ = 0;
    std::vector<Index> stack_;
    std::vector<size_t> marks_;
    std::unordered_map<uint64_t, Index> memo_;
};

}  // namespace

const PickleValue* Pickle::get(const PickleValue& dict, std::string_view key) const
{
    for (size_t i = 0; dict.kind == PickleKind::Dict && i + 1 < dict.items.size(); i += 2)
    {
        const PickleValue& found = values[dict.items[i]];
        if (found.kind == PickleKind::Text && found.text == key)
            return &values[dict.items[i + 1]];
    }
    return nullptr;
}

Pickle parsePickle(const uint8_t* data, size_t size, const std::string& where)
{
    return Machine(data, size, where).run();
}

}}}  // namespace
