// Do a task with its bundle.
//
//   nlpsuite export --task sentiment -o exported/sentiment
//   build/task exported/sentiment "I love it." "It broke after a week."
//   build/task exported/sentiment --check
//
// Texts longer than the task's limit are refused, not split; a translation is of one sentence or line.

#include <fstream>
#include <iostream>

#include "task.h"

Task::Task(const std::string& directory) : file(Json::parse(std::ifstream(directory + "/task.json"))), model(directory) {
  if (file["format"] != "nlpsuite.task/1") throw std::runtime_error("task.json isn't nlpsuite.task/1.");
  if (file["model"]["layout"] != "portable") throw std::runtime_error("Export it with --layout portable.");
}

int main(int count, char** arguments) {
  if (count < 3) {
    std::cerr << "Usage: task DIRECTORY TEXT...\n       task DIRECTORY --check\n";
    return 2;
  }
  try {
    Task task(arguments[1]);
    if (std::string(arguments[2]) == "--check") return check(task) > 0;
    for (int i = 2; i < count; i++) {
      bool chooses = task.file["kind"] == "choose";
      std::cout << (chooses ? choose(task, arguments[i]).label : write(task, arguments[i]).text) << "\n";
    }
  } catch (const std::exception& error) {
    std::cerr << "Error: " << error.what() << "\n";
    return 1;
  }
}
