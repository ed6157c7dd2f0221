#include <array>
#include <string_view>

#include "task.h"

namespace {

// What the format calls white space, in UTF-8.
constexpr std::array<std::string_view, 29> SPACES = {
    "\t",       "\n",       "\v",       "\f",       "\r",       "\x1c",     "\x1d",     "\x1e",
    "\x1f",     " ",        "\u0085",   "\u00a0",   "\u1680",   "\u2000",   "\u2001",   "\u2002",
    "\u2003",   "\u2004",   "\u2005",   "\u2006",   "\u2007",   "\u2008",   "\u2009",   "\u200a",
    "\u2028",   "\u2029",   "\u202f",   "\u205f",   "\u3000"};

}  // namespace

size_t space_at(std::string_view text) {
  for (std::string_view space : SPACES) {
    if (text.starts_with(space)) return space.size();
  }
  return 0;
}

namespace {

size_t space_before_end(std::string_view text) {
  for (std::string_view space : SPACES) {
    if (text.ends_with(space)) return space.size();
  }
  return 0;
}

std::string strip_start(std::string text) {
  size_t at = 0;
  while (size_t size = space_at(std::string_view(text).substr(at))) at += size;
  return text.substr(at);
}

std::string strip_end(std::string text) {
  while (size_t size = space_before_end(text)) text.resize(text.size() - size);
  return text;
}

std::string collapse(const std::string& text) {
  std::string found;
  bool between = false;
  for (size_t at = 0; at < text.size();) {
    if (size_t size = space_at(std::string_view(text).substr(at))) {
      between = !found.empty();
      at += size;
    } else {
      if (between) found += ' ';
      between = false;
      found += text[at++];
    }
  }
  return found;
}

std::string replaced(std::string text, const std::string& placeholder, const std::string& with) {
  for (size_t at = 0; (at = text.find(placeholder, at)) != std::string::npos; at += with.size()) {
    text.replace(at, placeholder.size(), with);
  }
  return text;
}

}  // namespace

std::string clean(std::string text, const Json& steps) {
  for (const Json& step : steps) {
    if (step == "strip_start" || step == "strip") text = strip_start(text);
    if (step == "strip_end" || step == "strip") text = strip_end(text);
    if (step == "collapse_whitespace") text = collapse(text);
  }
  return text;
}

Ids encode_prompt(const Task& task, const std::string& text, const std::string& choice) {
  const Json& prompt = task.file["prompt"];
  Ids ids;
  std::string waiting;  // text parts without a token between them are one text
  auto flush = [&] {
    Ids more = task.model.encode(waiting);
    ids.insert(ids.end(), more.begin(), more.end());
    waiting.clear();
  };
  for (const Json& part : prompt["parts"]) {
    if (part.contains("id")) {
      flush();
      ids.push_back(part["id"]);
    } else {
      waiting += replaced(part["text"], prompt["placeholder"], text);
    }
  }
  waiting += choice;
  flush();
  if (ids.empty()) ids.push_back(prompt["if_empty"]);
  if (int(ids.size()) > task.file["long_text"]["max_prompt_tokens"].get<int>()) {
    throw std::runtime_error("The text is too long: " + std::to_string(ids.size()) + " tokens.");
  }
  return ids;
}
