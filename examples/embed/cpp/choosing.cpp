#include <algorithm>
#include <cmath>
#include <map>

#include "task.h"

namespace {

double log_total(const Logits& logits) {
  double most = *std::max_element(logits.begin(), logits.end()), sum = 0;
  for (float value : logits) sum += std::exp(value - most);
  return most + std::log(sum);
}

double logistic(double x) { return 1 / (1 + std::exp(-x)); }

}  // namespace

Choice choose(const Task& task, const std::string& given) {
  const Json& settings = task.file["choose"];
  std::string text = clean(given, task.file["input"]["clean"]);
  Ids prompt = encode_prompt(task, text);
  std::vector<Ids> rows;
  for (const Json& choice : settings["choices"]) rows.push_back(encode_prompt(task, text, choice));
  // The beginning that the rows and the prompt share; each row has one token more at least.
  size_t shared = prompt.size();
  for (const Ids& row : rows) {
    size_t same = std::mismatch(row.begin(), row.end(), prompt.begin(), prompt.end()).first - row.begin();
    shared = std::min({shared, same, row.size() - 1});
  }
  for (const Ids& row : rows) {
    for (size_t i = 0; i < shared; i++) {
      if (row[i] != rows[0][i]) shared = i;
    }
  }
  Choice found;
  std::map<Ids, std::vector<Logits>> read;  // rows often differ in their last token only
  for (const Ids& row : rows) {
    Ids feed(row.begin(), row.end() - 1);
    if (!read.contains(feed)) {
      read[feed] = Model::Reader(task.model, task.file["model"]["context_length"]).read(feed);
    }
    double sum = 0;
    for (size_t i = std::max<size_t>(shared, 1); i < row.size(); i++) {
      const Logits& logits = read[feed][i - 1];
      sum += logits[row[i]] - log_total(logits);
    }
    found.logprobs.push_back(sum);
  }
  found.rows = rows;
  decide(settings, found);
  return found;
}

void decide(const Json& settings, Choice& choice) {
  const Json &labels = settings["labels"], &rule = settings["rule"];
  std::vector<double> scores;  // of the labels that have choices: the mean of theirs
  for (const Json& label : labels) {
    double sum = 0;
    for (size_t i : label["choices"]) {
      double calibration = settings["calibration"].is_null() ? 0.0 : settings["calibration"][i].get<double>();
      sum += (choice.logprobs[i] - calibration) / settings["temperature"].get<double>();
    }
    if (!label["choices"].empty()) scores.push_back(sum / label["choices"].size());
  }
  std::vector<double> values = scores;
  if (rule["kind"] == "softmax") {
    double most = *std::max_element(scores.begin(), scores.end()), total = 0;
    for (double score : scores) total += std::exp(score - most);
    for (double& value : values) value = std::exp(value - most) / total;
  } else if (rule["kind"] == "independent") {
    for (double& value : values) value = logistic(value - rule["offset"].get<double>());
  } else {
    double odds = scores[0] - scores[1], margin = rule["margin"];
    values = {logistic(odds - margin), logistic(-odds - margin)};
  }
  double left = 1;
  for (double value : values) left -= value;
  size_t next = 0;
  for (const Json& label : labels) {
    double value = label["choices"].empty() ? std::max(0.0, left) : values[next++];
    choice.probabilities.emplace_back(label["label"], value);
  }
  if (rule["kind"] == "independent") {
    choice.label.clear();
    for (const auto& [label, value] : choice.probabilities) {
      if (value >= rule["threshold"].get<double>()) choice.label += (choice.label.empty() ? "" : "; ") + label;
    }
  } else {
    choice.label = std::max_element(choice.probabilities.begin(), choice.probabilities.end(), [](auto& a, auto& b) {
                     return a.second < b.second;
                   })->first;
  }
}
