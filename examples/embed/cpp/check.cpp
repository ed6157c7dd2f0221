#include <cmath>
#include <iostream>

#include "task.h"

namespace {

std::string check_choice(const Task& task, const Json& golden) {
  Choice found = choose(task, golden["text"]);
  for (size_t i = 0; i < found.rows.size(); i++) {
    Ids row = golden["prompt_ids"].get<Ids>(), choice = golden["choice_ids"][i].get<Ids>();
    row.insert(row.end(), choice.begin(), choice.end());
    if (row != found.rows[i]) return "other tokens";
  }
  double off = 0;
  for (size_t i = 0; i < found.logprobs.size(); i++) {
    off = std::max(off, std::abs(found.logprobs[i] - golden["logprobs"][i].get<double>()));
  }
  if (off > task.file["tolerance"]["logprob"].get<double>()) {
    return "log-probabilities off by " + std::to_string(off);
  }
  Choice exact;
  exact.logprobs = golden["logprobs"].get<std::vector<double>>();
  decide(task.file["choose"], exact);
  return exact.label == golden["label"] ? "" : exact.label + " instead of " + golden["label"].get<std::string>();
}

std::string check_text(const Task& task, const Json& golden) {
  Written row = write(task, golden["text"], golden["max_new_tokens"]);
  if (row.prompt != golden["prompt_ids"].get<Ids>()) return "other tokens";
  Ids ids = golden["ids"].get<Ids>();
  for (size_t i = 0; i < std::min(ids.size(), row.ids.size()); i++) {
    bool near = golden["margins"][i].get<double>() <= task.file["tolerance"]["margin"].get<double>();
    if (ids[i] != row.ids[i]) return near ? "" : "another token at " + std::to_string(i);
  }
  return row.text == golden["output"] ? "" : "'" + row.text + "' instead of " + golden["output"].dump();
}

}  // namespace

int check(const Task& task) {
  int wrong = 0, skipped = 0;
  for (const Json& golden : task.file["golden"]) {
    bool chooses = task.file["kind"] == "choose";
    std::string needs;
    for (const Json& feature : golden.value("needs", Json::array())) needs.append(" ").append(feature.get<std::string>());
    if (golden.contains("turns") && !golden["turns"].empty()) needs += " turns";
    if (!needs.empty()) {
      skipped++;
      std::cout << golden["text"] << ": skipped, needs" << needs << "\n";
      continue;
    }
    std::string problem = chooses ? check_choice(task, golden) : check_text(task, golden);
    if (!problem.empty()) {
      wrong++;
      std::cout << golden["text"] << ": " << problem << "\n";
    }
  }
  size_t all = task.file["golden"].size() - skipped;
  std::cout << all - wrong << " of " << all << " golden examples agree.\n";
  return wrong;
}
