#include <algorithm>
#include <cctype>
#include <cmath>
#include <fstream>
#include <stdexcept>

#include "genai.h"
#include "task.h"

namespace {

void must(OgaResult* result) {
  if (!result) return;
  std::string message = OgaResultGetError(result);
  OgaDestroyResult(result);
  throw std::runtime_error(message);
}

float half(uint16_t bits) {
  int exponent = (bits >> 10) & 31, fraction = bits & 1023;
  float value = exponent == 31  ? (fraction ? NAN : INFINITY)
                : exponent == 0 ? std::ldexp(float(fraction), -24)
                                : std::ldexp(float(fraction + 1024), exponent - 25);
  return bits & 0x8000 ? -value : value;
}

constexpr int FLOAT16 = 10;  // ONNX's TensorProto.DataType

}  // namespace

Model::Model(const std::string& directory, const std::string& graph) {
  OgaConfig* config = nullptr;
  must(OgaCreateConfig(directory.c_str(), &config));
  const Json other = {{"model", {{"decoder", {{"filename", graph}}}}}};
  must(OgaConfigOverlay(config, other.dump().c_str()));
  must(OgaCreateModelFromConfig(config, &model_));
  OgaDestroyConfig(config);
  must(OgaCreateTokenizer(model_, &tokenizer_));
  std::ifstream stream(directory + "/tokenizer.json");
  const Json tokenizer = Json::parse(stream);
  gpt2_split_ = tokenizer["pre_tokenizer"].dump().find("\"use_regex\":true") != std::string::npos;
  for (const Json& token : tokenizer["added_tokens"]) {
    if (token["special"]) controls_.push_back(token["content"]);
  }
}

Model::~Model() {
  OgaDestroyTokenizer(tokenizer_);
  OgaDestroyModel(model_);
}

Ids Model::encode(const std::string& text) const {
  // The library takes the characters of a control token for the token. Cut within them, the tokens are those of the
  // text: no token of text spans such a border.
  std::vector<size_t> cuts;
  for (const std::string& control : controls_) {
    for (size_t at = text.find(control); at != std::string::npos; at = text.find(control, at + 1)) {
      cuts.push_back(at + std::min<size_t>(2, control.size() - 1));
    }
  }
  if (gpt2_split_) {
    // The last of several spaces or line breaks belongs to what follows; the library takes them all together.
    size_t run = 0, last = 0;
    for (size_t at = 0; at < text.size();) {
      const size_t size = space_at(std::string_view(text).substr(at));
      if (size) {
        run++;
        last = at;
      } else {
        if (run > 1 && !std::isdigit(uint8_t(text[at]))) cuts.push_back(last);
        run = 0;
      }
      at += size ? size : 1;
    }
  }
  std::sort(cuts.begin(), cuts.end());
  cuts.push_back(text.size());
  Ids ids;
  size_t begin = 0;
  for (size_t end : cuts) {
    if (end > begin) {
      OgaSequences* sequences = nullptr;
      must(OgaCreateSequences(&sequences));
      must(OgaTokenizerEncode(tokenizer_, text.substr(begin, end - begin).c_str(), sequences));
      const int32_t* data = OgaSequencesGetSequenceData(sequences, 0);
      ids.insert(ids.end(), data, data + OgaSequencesGetSequenceCount(sequences, 0));
      OgaDestroySequences(sequences);
    }
    begin = end;
  }
  return ids;
}

std::string Model::decode(const Ids& ids) const {
  if (ids.empty()) return "";
  const char* found = nullptr;
  must(OgaTokenizerDecode(tokenizer_, ids.data(), ids.size(), &found));
  std::string text = found;
  OgaDestroyString(found);
  return text;
}

Model::Reader::Reader(const Model& model, int most) {
  OgaGeneratorParams* settings = nullptr;
  must(OgaCreateGeneratorParams(model.model_, &settings));
  must(OgaGeneratorParamsSetSearchNumber(settings, "max_length", most));
  must(OgaCreateGenerator(model.model_, settings, &generator_));
  OgaDestroyGeneratorParams(settings);
}

Model::Reader::~Reader() { OgaDestroyGenerator(generator_); }

std::vector<Logits> Model::Reader::read(const Ids& ids) {
  must(OgaGenerator_AppendTokens(generator_, ids.data(), ids.size()));
  OgaTensor* tensor = nullptr;
  must(OgaGenerator_GetOutput(generator_, "logits", &tensor));
  int64_t shape[3] = {};
  int type = 0;
  void* data = nullptr;
  must(OgaTensorGetType(tensor, &type));
  must(OgaTensorGetShape(tensor, shape, 3));  // (1, positions, vocabulary)
  must(OgaTensorGetData(tensor, &data));
  std::vector<Logits> rows(shape[1], Logits(shape[2]));
  for (int64_t i = 0; i < shape[1] * shape[2]; i++) {
    float value = type == FLOAT16 ? half(static_cast<uint16_t*>(data)[i]) : static_cast<float*>(data)[i];
    rows[i / shape[2]][i % shape[2]] = value;
  }
  OgaDestroyTensor(tensor);
  return rows;
}
