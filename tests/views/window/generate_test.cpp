#include "app/gui/save_clip.h"
#include "core/media/media_reader.h"
#include "tests/views/window/window_fixture.h"

namespace ditscope::test {
namespace {

using gui::RunState;

TEST_F(WindowTest, TypingAPromptAndPressingCtrlEnterShowsFullAndSparseSideBySide) {
  type_and_generate("a small blue cube spins");
  ASSERT_TRUE(wait([&] { return session_->shown() != nullptr; }));
  const auto& job = *session_->shown();
  EXPECT_EQ(job.job.pair.base.prompt, "a small blue cube spins");
  ASSERT_EQ(job.runs.size(), 2u);
  EXPECT_EQ(job.runs[0]->method.key, "full");
  EXPECT_EQ(job.runs[1]->method.key, "re-ttention");
  EXPECT_EQ(job.runs[0]->result->request.seed, job.runs[1]->result->request.seed);
  ASSERT_TRUE(job.runs[1]->metrics);
  EXPECT_GT(job.runs[1]->metrics->psnr_db, 15);
  EXPECT_LT(job.runs[1]->metrics->psnr_db, 60);
  ASSERT_NE(window_->compare(), nullptr);
  EXPECT_TRUE(view()->has_clip());
}

TEST_F(WindowTest, ANumberThatIsStillBeingTypedCountsWhenGenerateIsPressed) {
  QLineEdit* steps = nullptr;
  for (QLineEdit* field : window_->findChildren<QLineEdit*>()) {
    if (field->accessibleName() == "Steps") steps = field;
  }
  ASSERT_NE(steps, nullptr);
  steps->setFocus();
  steps->selectAll();
  QTest::keyClicks(steps, "7");
  QTest::keyClick(steps, Qt::Key_Return, Qt::ControlModifier);
  ASSERT_TRUE(wait([&] { return session_->shown() != nullptr; }));
  EXPECT_EQ(session_->shown()->runs[0]->result->steps.size(), 7u);
}

TEST_F(WindowTest, TheFirstPageGivesWayToTheRun) {
  EXPECT_TRUE(window_->shows_first_run());
  QPushButton* generate = window_->findChild<QPushButton*>("generate");
  ASSERT_NE(generate, nullptr);
  QTest::mouseClick(generate, Qt::LeftButton);
  EXPECT_TRUE(wait([&] { return !window_->shows_first_run(); }));
  EXPECT_TRUE(wait_idle());
}

TEST_F(WindowTest, StopAnswersWithinASecondAndTheRunGoesOnWhereItStood) {
  behaviour_->step_ms = 100;
  type_and_generate("a red sphere");
  ASSERT_TRUE(wait([&] {
    const auto job = session_->snapshot()->running;
    return job && job->runs[0]->steps.size() >= 2;
  }));
  const auto steps = [&] {
    const auto job = session_->snapshot()->running;
    return job ? job->runs[0]->steps.size() : 0;
  };
  const std::size_t before = steps();
  std::size_t after = before;
  QTest::keyClick(window_.get(), Qt::Key_Period, Qt::ControlModifier);
  ASSERT_TRUE(wait([&] { return after = std::max(after, steps()), !session_->busy(); }));
  EXPECT_LT(after, before + 1000 / behaviour_->step_ms) << "in steps: a clock also counts what others do";
  ASSERT_TRUE(wait([&] { return !session_->messages().empty(); }));
  const gui::Message message = session_->messages().front();
  EXPECT_TRUE(message.text.contains("The latents are kept."));
  ASSERT_EQ(message.actions[0].label, "Resume");
  behaviour_->step_ms = 1;
  message.actions[0].run();
  ASSERT_TRUE(wait([&] { return session_->shown() && session_->shown()->finished(); }));
  EXPECT_EQ(session_->shown()->runs[0]->steps.size(), 30u);
  EXPECT_EQ(behaviour_->runs, 2) << "A was resumed, not run again; B ran once";
}

TEST_F(WindowTest, EscapeStopsTheRun) {
  behaviour_->step_ms = 60;
  type_and_generate("a red sphere");
  ASSERT_TRUE(wait([&] { return session_->busy() && window_->compare(); }));
  view()->setFocus();
  QTest::keyClick(view(), Qt::Key_Escape);
  EXPECT_TRUE(wait([&] { return !session_->busy(); }));
  EXPECT_TRUE(wait([&] { return !session_->messages().empty(); }));
  EXPECT_TRUE(session_->messages().front().text.contains("The latents are kept.")) << "before its end";
}

TEST_F(WindowTest, StopAndDecodeShowsThePartialVideo) {
  behaviour_->step_ms = 40;
  session_->generate();
  ASSERT_TRUE(wait([&] {
    const auto job = session_->snapshot()->running;
    return job && job->runs[0]->steps.size() >= 1;
  }));
  session_->stop_and_decode();
  ASSERT_TRUE(wait([&] { return session_->shown() != nullptr; }));
  EXPECT_EQ(session_->shown()->runs[0]->state, RunState::Stopped);
  EXPECT_FALSE(session_->shown()->runs[0]->result->frames.empty());
}

TEST_F(WindowTest, PauseHoldsTheRunAndResumeLetsItGo) {
  behaviour_->step_ms = 50;  // long enough that the run is still there when a busy machine comes to pause it
  session_->generate();
  ASSERT_TRUE(wait([&] { return session_->busy(); }));
  session_->pause_or_go_on();
  QTest::qWait(100);
  const auto held = session_->snapshot()->running;
  ASSERT_TRUE(held);
  const std::size_t steps = held->runs[0]->steps.size();
  QTest::qWait(300);
  ASSERT_TRUE(session_->snapshot()->running);
  EXPECT_EQ(session_->snapshot()->running->runs[0]->steps.size(), steps);
  EXPECT_TRUE(session_->snapshot()->paused);
  session_->pause_or_go_on();
  EXPECT_TRUE(wait_idle());
}

TEST_F(WindowTest, TheHistorySurvivesARestartAndACardBringsBackResultAndSettings) {
  session_->edit("", [](gui::PairRequest& pair) {
    pair.base.seed = 777;
    pair.base.steps = 12;
    pair.methods[1].parameters["kept_ratio"] = 0.25;
  });
  session_->edit("", [](gui::PairRequest& pair) { pair.base.prompt = "a green torus orbits"; });
  run_once();
  restart();
  ASSERT_EQ(session_->history().size(), 1u);
  EXPECT_FALSE(window_->shows_first_run());
  EXPECT_FALSE(session_->history()[0].thumbnail_png.empty());
  EXPECT_NE(session_->request().base.seed, 777u);
  ASSERT_NE(window_->history(), nullptr);
  QListView* list = window_->history()->list();
  QTest::mouseClick(list->viewport(), Qt::LeftButton, {}, list->visualRect(list->model()->index(0, 0)).center());
  ASSERT_TRUE(wait([&] { return session_->shown() != nullptr && session_->request().base.seed == 777u; }));
  EXPECT_EQ(session_->request().base.steps, 12);
  EXPECT_EQ(session_->request().base.prompt, "a green torus orbits");
  EXPECT_DOUBLE_EQ(std::get<double>(session_->request().methods[1].parameters.at("kept_ratio")), 0.25);
  EXPECT_FALSE(session_->shown()->runs[1]->result->frames.empty());
  EXPECT_EQ(session_->shown()->runs[0]->steps.size(), 12u);
}

TEST_F(WindowTest, SearchKeepsOnlyTheCardsThatMatch) {
  for (const char* prompt : {"a red sphere", "a blue cube"}) {
    session_->edit("", [&](gui::PairRequest& pair) { pair.base.prompt = prompt; });
    run_once();
  }
  ASSERT_TRUE(wait([&] { return window_->history() && window_->history()->list()->model()->rowCount() == 2; }));
  QTest::keyClicks(window_->history()->search(), "cube");
  EXPECT_EQ(window_->history()->list()->model()->rowCount(), 1);
}

TEST_F(WindowTest, TheQueueSurvivesARestartInItsOrder) {
  behaviour_->step_ms = 400;
  session_->generate();
  ASSERT_TRUE(wait([&] { return session_->busy(); }));
  std::vector<std::int64_t> ids;
  for (int seed : {1, 2, 3}) {
    session_->edit("", [&](gui::PairRequest& pair) { pair.base.seed = static_cast<std::uint64_t>(seed); });
    ids.push_back(session_->generate(true));
  }
  session_->move_job(ids[2], -1);
  session_->remove_job(ids[0]);
  behaviour_->step_ms = 1;
  close();
  behaviour_->step_ms = 400;
  start();
  ASSERT_TRUE(wait([&] { return session_->busy() && session_->snapshot()->waiting.size() == 1; }));
  EXPECT_EQ(session_->snapshot()->running->job.id, ids[2]);
  EXPECT_EQ(session_->snapshot()->waiting[0].id, ids[1]);
  session_->remove_job(ids[1]);
  behaviour_->step_ms = 1;
}

TEST_F(WindowTest, ADroppedVideoBringsItsSettingsBack) {
  session_->edit("", [](gui::PairRequest& pair) {
    pair.base.prompt = "a yellow cone grows, camera zooms";
    pair.base.seed = 31337;
    pair.base.guidance_scale = 4.5;
    pair.methods.push_back(MethodChoice{"window", {{"kept_ratio", 0.125}}});
  });
  run_once();
  const auto file = folder_ / "saved.mp4", picture = folder_ / "saved.png";
  gui::save_clip(*session_->shown(), -1, gui::SaveFormat::Mp4, 0, file);
  gui::save_clip(*session_->shown(), 2, gui::SaveFormat::Png, 4, picture);
  session_->edit("", [](gui::PairRequest& pair) {
    pair.base.prompt = "something else";
    pair.base.seed = 1;
    pair.base.guidance_scale = 1;
    pair.methods.resize(2);
  });
  const auto drop = [&](const std::filesystem::path& path) {
    QMimeData mime;
    mime.setUrls({QUrl::fromLocalFile(QString::fromStdString(path.string()))});
    QDragEnterEvent enter(QPoint(200, 200), Qt::CopyAction, &mime, Qt::LeftButton, Qt::NoModifier);
    QApplication::sendEvent(window_.get(), &enter);
    EXPECT_TRUE(enter.isAccepted());
    QDropEvent event(QPointF(200, 200), Qt::CopyAction, &mime, Qt::LeftButton, Qt::NoModifier);
    QApplication::sendEvent(window_.get(), &event);
  };
  drop(file);
  EXPECT_EQ(session_->request().base.prompt, "a yellow cone grows, camera zooms");
  EXPECT_EQ(session_->request().base.seed, 31337u);
  EXPECT_DOUBLE_EQ(session_->request().base.guidance_scale, 4.5);
  ASSERT_EQ(session_->request().methods.size(), 3u);
  EXPECT_DOUBLE_EQ(std::get<double>(session_->request().methods[2].parameters.at("kept_ratio")), 0.125);
  session_->undo();
  EXPECT_EQ(session_->request().base.prompt, "something else");
  drop(picture);
  EXPECT_EQ(session_->request().base.seed, 31337u);
  ASSERT_EQ(session_->request().methods.size(), 2u);
  EXPECT_EQ(session_->request().methods[1].key, "window");
}

TEST_F(WindowTest, AFileWithoutSettingsIsSaidAndChangesNothing) {
  const auto file = folder_ / "plain.png";
  Frames frames;
  frames.count = 1;
  frames.height = frames.width = 16;
  frames.rgb.assign(frames.frame_size(), 0.5f);
  QImage(16, 16, QImage::Format_RGB888).save(QString::fromStdString(file.string()));
  const std::string prompt = session_->request().base.prompt;
  session_->open_path(file);
  ASSERT_FALSE(session_->messages().empty());
  EXPECT_TRUE(session_->messages().front().text.contains("No settings in plain.png"));
  EXPECT_EQ(session_->request().base.prompt, prompt);
}

TEST_F(WindowTest, HostileSettingsInAFileAreSaidAndChangeNothing) {
  const std::string prompt = session_->request().base.prompt;
  const char* texts[] = {R"({"prompt":"x","method":{"key":"re-tension","parameters":{}}})",
                         R"({"prompt":"x","methods":["full","re-ttention:kept_ratio=7"]})", R"({"prompt":"x","methods":[1,2]})",
                         R"({"prompt":["x"]})"};
  for (const char* text : texts) {
    while (!session_->messages().empty()) session_->dismiss(session_->messages().front().id);
    const auto file = folder_ / "a.mp4.json";
    QFile out(QString::fromStdString(file.string()));
    ASSERT_TRUE(out.open(QIODevice::WriteOnly));
    out.write(text);
    out.close();
    session_->open_path(file);
    EXPECT_FALSE(session_->messages().empty()) << text;
    EXPECT_EQ(session_->request().base.prompt, prompt) << text;
  }
}

TEST_F(WindowTest, SettingsWithoutMethodsOrWithTooManyStillMakeAPair) {
  gui::PairRequest pair = session_->request();
  pair.methods.clear();
  session_->restore(pair);
  ASSERT_EQ(session_->request().methods.size(), 2u);
  EXPECT_EQ(session_->request().methods[0].key, "full");
  pair.methods.assign(9, MethodChoice{"window", {}});
  session_->restore(pair);
  ASSERT_EQ(session_->request().methods.size(), 4u);
  EXPECT_EQ(session_->request().methods[0].key, "full");
}

TEST_F(WindowTest, OutOfMemoryEndsTheRunAndTheProgramLives) {
  behaviour_->out_of_memory = true;
  session_->generate();
  ASSERT_TRUE(wait([&] { return !session_->messages().empty(); }));
  EXPECT_TRUE(session_->messages().front().text.contains("Out of memory"));
  EXPECT_EQ(session_->messages().front().actions[0].label, "Free and retry");
  behaviour_->out_of_memory = false;
  session_->messages().front().actions[0].run();
  EXPECT_TRUE(wait([&] { return session_->shown() && session_->shown()->finished(); }));
}

TEST_F(WindowTest, AWrongRequestIsSaidBeforeItRuns) {
  session_->edit("", [](gui::PairRequest& pair) { pair.base.frames = 10; });
  ASSERT_TRUE(wait([&] { return !session_->request_problem().isEmpty(); }));
  EXPECT_EQ(session_->generate(), 0);
  EXPECT_TRUE(session_->messages().front().text.contains("9 and 13 are the nearest"));
  EXPECT_EQ(behaviour_->runs, 0);
}

}  // namespace
}  // namespace ditscope::test
