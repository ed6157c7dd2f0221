// A task that `nlpsuite export --task` wrote, done as its task.json says. docs/task-file.md describes that file; nothing
// of a task is in here.
#pragma once

#include <cstdint>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

struct OgaModel;
struct OgaTokenizer;
struct OgaGenerator;

using Json = nlohmann::json;
using Ids = std::vector<int32_t>;
using Logits = std::vector<float>;

// A bundle's graph and tokenizer. Errors are std::runtime_error.
class Model {
 public:
  Model(const std::string& directory, const std::string& graph);
  ~Model();
  Model(const Model&) = delete;

  // A text's tokens; what looks like a control token is text.
  Ids encode(const std::string& text) const;
  std::string decode(const Ids& ids) const;

  // Reads one text from the start.
  class Reader {
   public:
    Reader(const Model& model, int most);
    ~Reader();
    Reader(const Reader&) = delete;
    // The logits after each of the next tokens.
    std::vector<Logits> read(const Ids& ids);

   private:
    OgaGenerator* generator_ = nullptr;
  };

 private:
  friend class Reader;
  OgaModel* model_ = nullptr;
  OgaTokenizer* tokenizer_ = nullptr;
  std::vector<std::string> controls_;
  bool gpt2_split_ = false;  // how the tokenizer cuts a text into words
};

struct Task {
  Json file;
  Model model;

  // precision: of one of the bundle's graphs; empty for the first.
  Task(const std::string& directory, const std::string& precision);
};

// prompt.cpp
std::string clean(std::string text, const Json& steps);
Ids encode_prompt(const Task& task, const std::string& text, const std::string& choice = "");
// Length in bytes of the white space at the beginning of a text; 0 if there is none.
size_t space_at(std::string_view text);

// choosing.cpp
struct Choice {
  std::string label;
  std::vector<std::pair<std::string, double>> probabilities;
  std::vector<double> logprobs;
  std::vector<Ids> rows;  // prompt and choice, of each
};
Choice choose(const Task& task, const std::string& text);
void decide(const Json& choose, Choice& choice);

// writing.cpp
struct Written {
  Ids prompt, ids;
  std::string text;
};
Written write(const Task& task, const std::string& text, int most = 0);

// check.cpp: how many of the golden examples differ.
int check(const Task& task);
