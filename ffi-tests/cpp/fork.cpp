// Global objects in a C++ program that forks: their destructors run at exit() in the parent and in
// its children, with loops that run there or ran in the parent.
#include "docache.hpp"

#include "check.hpp"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <functional>
#include <string>
#include <thread>

using namespace std::chrono_literals;
using check::patience;
using docache::loop_cache;

namespace {

docache::loop_options every(docache::duration interval) {
  docache::loop_options options;
  options.interval = interval;
  return options;
}

docache::cache_options short_lived() {
  docache::cache_options options;
  options.time_to_live = 50ms;
  options.sweep_interval = 20ms;
  return options;
}

/// Made before all other objects and so the last to go. A child that has come this far says so and
/// is killed, so that nobody takes for leaked what the parent's threads have on stacks that are not
/// there any more.
struct last_to_go {
  int report = -1;

  ~last_to_go() {
    if (report < 0) return;
    CHECK_EQUAL(write(report, "w", 1), 1);
    for (;;) pause();
  }
} last;

std::atomic<unsigned> ticks{0};
std::atomic<bool> stays{true}, inside{false};

loop_cache<unsigned> ticking(every(1ms), [] { return ++ticks; });
loop_cache<unsigned> staying(every(1h), [] {
  inside = true;
  while (stays) std::this_thread::sleep_for(1ms);
  return 1U;
});
docache::cache entries(short_lived());

/// Forks; the child does `body` and ends by exit(), with all destructors.
void in_child(const std::function<void()>& body) {
  int ends[2];
  CHECK_EQUAL(pipe(ends), 0);
  std::cout << std::flush;
  const auto child = fork();
  CHECK(child >= 0);
  if (child == 0) {
    alarm(static_cast<unsigned>(std::chrono::seconds(patience).count()));
    last.report = ends[1];
    body();
    std::exit(0);
  }
  close(ends[1]);
  char report = 0;
  CHECK_EQUAL(read(ends[0], &report, 1), 1);
  CHECK_EQUAL(report, 'w');
  close(ends[0]);
  CHECK_EQUAL(kill(child, SIGKILL), 0);
  CHECK_EQUAL(waitpid(child, nullptr, 0), child);
}

void check_entries() {
  entries.set("key", "value");
  const auto start = std::chrono::steady_clock::now();
  while (entries.get("key") && std::chrono::steady_clock::now() - start < patience)
    std::this_thread::sleep_for(1ms);
  CHECK(!entries.get("key"));
}

}  // namespace

int main() {
  ticking.start();
  staying.start();
  CHECK(ticking.wait_first(patience));
  while (!inside) std::this_thread::sleep_for(1ms);
  check_entries();

  for (int i = 0; i < 20; ++i) in_child([] {});
  check::passed("exit() in a child, whose parent's loops run");

  for (int i = 0; i < 20; ++i) {
    in_child([] {
      CHECK(!ticking.is_running() && !staying.is_running());
      stays = false;
      const auto seen = ticking.version();
      ticking.start();
      staying.start();
      CHECK(ticking.changed(seen, patience));
      CHECK(staying.wait_first(patience));
      check_entries();
    });
  }
  check::passed("exit() in a child, whose own loops run");

  CHECK(ticking.is_running() && staying.is_running());
  stays = false;
  CHECK(staying.wait_first(patience));
  check_entries();
  // And now the parent's, while they run.
  return check::all_passed("fork");
}
