// Do a task with its bundle.
//
//   nlpsuite export --task sentiment -o exported/sentiment
//   build/task exported/sentiment "I love it." "It broke after a week."
//   build/task exported/sentiment --check
//   build/task exported/sentiment --precision int4 --check    # another of the bundle's graphs
//
// Texts longer than the task's limit are refused, not split; a translation is of one sentence or line.

#include <fstream>
#include <iostream>

#include "task.h"

namespace {

// What is different for another graph, in the place of the fields of the same name.
void use_graph(Json& file, const std::string& precision) {
  if (file["model"]["precision"] == precision) return;
  for (const Json& variant : file.value("variants", Json::array())) {
    if (variant["model"]["precision"] != precision) continue;
    const Json found = variant;  // a part of what changes
    for (const auto& [key, value] : found.items()) {
      if (value.is_object()) {
        file[key].update(value);
      } else {
        file[key] = value;
      }
    }
    return;
  }
  throw std::runtime_error(std::string("This bundle has no ").append(precision).append(" graph."));
}

Json read_file(const std::string& directory, const std::string& precision) {
  Json file = Json::parse(std::ifstream(directory + "/task.json"));
  if (file["format"] != "nlpsuite.task/1") throw std::runtime_error("task.json isn't nlpsuite.task/1.");
  if (file["model"]["layout"] != "portable") throw std::runtime_error("Export it with --layout portable.");
  if (!precision.empty()) use_graph(file, precision);
  return file;
}

}  // namespace

Task::Task(const std::string& directory, const std::string& precision)
    : file(read_file(directory, precision)), model(directory, file["model"]["graph"]) {}

int main(int count, char** arguments) {
  std::vector<std::string> given(arguments + 1, arguments + count), words;
  std::string precision;
  bool checks = false;
  for (size_t i = 0; i < given.size(); i++) {
    if (given[i] == "--check") {
      checks = true;
    } else if (given[i] == "--precision" && i + 1 < given.size()) {
      precision = given[++i];
    } else {
      words.push_back(given[i]);
    }
  }
  if (words.empty() || (words.size() < 2 && !checks)) {
    std::cerr << "Usage: task DIRECTORY [--precision NAME] TEXT...\n       task DIRECTORY [--precision NAME] --check\n";
    return 2;
  }
  try {
    Task task(words[0], precision);
    if (checks) return check(task) > 0;
    for (const std::string& text : std::vector(words.begin() + 1, words.end())) {
      bool chooses = task.file["kind"] == "choose";
      std::cout << (chooses ? choose(task, text).label : write(task, text).text) << "\n";
    }
  } catch (const std::exception& error) {
    std::cerr << "Error: " << error.what() << "\n";
    return 1;
  }
}
