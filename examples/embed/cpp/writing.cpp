#include <algorithm>
#include <map>
#include <set>

#include "task.h"

namespace {

// Whether a sentence ends at the end of a text, closing quotes and brackets aside.
bool ends_sentence(const std::string& text) {
  static const std::vector<std::string> closing = {"\"", "'", ")", "]", "}", "»", "”", "’", "」", "』", "）", "】"};
  static const std::vector<std::string> ends = {".", "!", "?", "。", "！", "？", "…"};
  std::string bare = text;
  for (bool found = true; found;) {
    found = false;
    for (const std::string& mark : closing) {
      if (bare.ends_with(mark)) {
        bare.resize(bare.size() - mark.size());
        found = true;
      }
    }
  }
  return std::any_of(ends.begin(), ends.end(), [&](const std::string& mark) { return bare.ends_with(mark); });
}

size_t characters(const std::string& text) {
  return std::count_if(text.begin(), text.end(), [](char byte) { return (byte & 0xc0) != 0x80; });
}

}  // namespace

Written write(const Task& task, const std::string& given, int most) {
  const Json &settings = task.file["generate"], &sampling = settings["sampling"];
  std::string text = clean(given, task.file["input"]["clean"]);
  Written row;
  row.prompt = encode_prompt(task, text);
  if (most == 0) {
    const Json& length = settings["max_new_tokens"];
    most = std::min<int64_t>(length["most"].get<int64_t>(),
                             length["base"].get<int64_t>() + length["per_character"].get<int64_t>() * characters(text));
  }
  const int context = task.file["model"]["context_length"];
  const std::set<int32_t> ends = settings["end_token_ids"].get<std::set<int32_t>>();
  const float penalty = sampling["repetition_penalty"], bias = sampling["copy_bias"];
  std::map<std::pair<int32_t, int32_t>, std::set<int32_t>> followers;
  for (size_t i = 2; i < row.prompt.size(); i++) {
    followers[{row.prompt[i - 2], row.prompt[i - 1]}].insert(row.prompt[i]);
  }
  Model::Reader reader(task.model, context);
  Logits logits = reader.read(row.prompt).back();
  std::set<int32_t> seen;
  std::string written;
  while (true) {
    for (int32_t id : seen) logits[id] = logits[id] > 0 ? logits[id] / penalty : logits[id] * penalty;
    if (row.ids.size() >= 2) {
      for (int32_t id : followers[{row.ids[row.ids.size() - 2], row.ids.back()}]) logits[id] += bias;
    }
    int32_t next = std::max_element(logits.begin(), logits.end()) - logits.begin();  // greedy
    seen.insert(next);
    if (ends.contains(next)) break;
    const Json& after = settings["sentence_end_after"];
    if (!after.is_null() && row.ids.size() >= after.get<size_t>() && ends_sentence(written)) {
      std::string piece = task.model.decode({next});
      if (piece.starts_with(" ") || piece.starts_with("\n") || piece.starts_with("\t")) break;
    }
    row.ids.push_back(next);
    written = task.model.decode(row.ids);
    size_t stop = std::string::npos;
    for (const Json& mark : settings["stop"]) stop = std::min(stop, written.find(mark.get<std::string>()));
    if (stop != std::string::npos) {
      written.resize(stop);
      break;
    }
    if (int(row.ids.size()) >= most || int(row.prompt.size() + row.ids.size()) >= context) break;
    logits = reader.read({next}).back();
  }
  row.text = clean(settings["prefix"].get<std::string>() + written, settings["clean"]);
  return row;
}
