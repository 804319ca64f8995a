#include "core/text/train_tokenizer.h"

#include <sentencepiece_processor.h>
#include <sentencepiece_trainer.h>

#include <nlohmann/json.hpp>
#include <unordered_map>

#include "core/files/atomic_file.h"
#include "core/text/tokenizer.h"
#include "kernels/error.h"

namespace ditscope {
namespace {

class Sentences : public sentencepiece::SentenceIterator {
 public:
  explicit Sentences(const std::vector<std::string>& sentences) : sentences_(sentences) {}
  bool done() const override { return at_ >= sentences_.size(); }
  void Next() override { ++at_; }
  const std::string& value() const override { return sentences_[at_]; }
  sentencepiece::util::Status status() const override { return {}; }

 private:
  const std::vector<std::string>& sentences_;
  std::size_t at_ = 0;
};

}  // namespace

int train_tokenizer(const std::vector<std::string>& sentences, const std::filesystem::path& folder,
                    const TokenizerTraining& training) {
  if (sentences.empty() || training.vocabulary_size < 4 || training.extra_ids < 0 || training.extra_ids > 100000) {
    throw Error(ErrorKind::InvalidArgument, "expected sentences and a vocabulary of at least 4 pieces, got " +
                                                std::to_string(sentences.size()) + " sentences and " +
                                                std::to_string(training.vocabulary_size) + " pieces");
  }
  const std::unordered_map<std::string, std::string> settings = {{"model_type", "unigram"},
                                                                 {"vocab_size", std::to_string(training.vocabulary_size)},
                                                                 {"hard_vocab_limit", "false"},
                                                                 {"pad_id", "0"},
                                                                 {"eos_id", "1"},
                                                                 {"unk_id", "2"},
                                                                 {"bos_id", "-1"},
                                                                 {"pad_piece", "<pad>"},
                                                                 {"character_coverage", "1.0"},
                                                                 {"num_threads", "1"},
                                                                 {"minloglevel", "2"}};
  Sentences iterator(sentences);
  std::string model;
  const auto status = sentencepiece::SentencePieceTrainer::Train(settings, &iterator, &model);
  if (!status.ok()) {
    throw Error(ErrorKind::InvalidArgument,
                "training the tokenizer failed: " + status.ToString() + "; give more sentences or a smaller vocabulary");
  }
  std::error_code code;
  std::filesystem::create_directories(folder, code);
  write_file(folder / "spiece.model", model);
  nlohmann::json names = {{"eos_token", "</s>"}, {"pad_token", "<pad>"}, {"unk_token", "<unk>"}};
  write_file(folder / "special_tokens_map.json", names.dump(2) + "\n");
  names["tokenizer_class"] = "T5Tokenizer";
  names["extra_ids"] = training.extra_ids;
  names["model_max_length"] = training.model_max_length;
  write_file(folder / "tokenizer_config.json", names.dump(2) + "\n");
  return static_cast<int>(open_tokenizer(folder)->size());
}

}  // namespace ditscope
