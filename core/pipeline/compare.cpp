#include "core/pipeline/compare.h"

#include <algorithm>

#include "core/metrics/psnr.h"
#include "core/metrics/ssim.h"

namespace ditscope {

std::vector<MethodChoice> parse_method_list(const std::string& text) {
  std::vector<MethodChoice> methods;
  for (std::size_t begin = 0; begin <= text.size();) {
    const std::size_t end = std::min(text.find(';', begin), text.size());
    const std::size_t first = text.find_first_not_of(" \t\n", begin);
    if (first < end) {
      const std::size_t last = text.find_last_not_of(" \t\n", end - 1);
      methods.push_back(parse_method_choice(std::string_view(text).substr(first, last - first + 1)));
    }
    begin = end + 1;
  }
  if (methods.empty())
    throw Error(ErrorKind::InvalidArgument, "No method is named. Give at least one, for example \"full;re-ttention\".");
  return methods;
}

void measure_against(const RunResult& reference, ComparedRun& run) {
  const Frames& a = reference.frames;
  const Frames& b = run.result.frames;
  if (a.empty() || a.count != b.count || a.height != b.height || a.width != b.width) return;
  run.psnr_db = psnr(b, a).mean_db;
  if (std::min(a.height, a.width) >= Ssim::kWindow_px) run.ssim = ssim(b, a).mean;
}

std::vector<ComparedRun> compare(Generator& generator, const Request& request, const std::vector<MethodChoice>& methods,
                                 EventSink& sink, RunControl& control, const std::function<void(std::size_t)>& on_begin,
                                 CaptureWriter* capture) {
  std::vector<Request> requests;
  for (const MethodChoice& method : methods) {
    requests.push_back(request);
    requests.back().method = method;
    requests.back() = Generator::complete(requests.back());
  }

  std::vector<ComparedRun> runs;
  for (std::size_t i = 0; i < requests.size(); ++i) {
    if (on_begin) on_begin(i);
    ComparedRun run;
    try {
      run.result = generator.run(requests[i], sink, control, capture);
    } catch (const Error& error) {
      if (i == 0 || error.kind() == ErrorKind::Cancelled) throw;
      run.result.request = requests[i];
      run.error = error.kind();
      run.message = error.what();
    }
    if (i > 0 && !run.error && !run.result.stopped) measure_against(runs.front().result, run);
    runs.push_back(std::move(run));
    if (runs.back().result.stopped) break;
  }
  return runs;
}

}  // namespace ditscope
