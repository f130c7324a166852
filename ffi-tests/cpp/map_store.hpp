// A store of the program's own.
#ifndef DOCACHE_TEST_MAP_STORE_HPP
#define DOCACHE_TEST_MAP_STORE_HPP

#include "docache.hpp"

#include "check.hpp"

#include <map>
#include <optional>
#include <stdexcept>
#include <string>

namespace check {

using namespace std::chrono_literals;

/// A store of the program's own: a map, whose values are as old as it says, and which can fail.
class map_store : public docache::store_interface {
 public:
  std::chrono::nanoseconds age{};
  std::atomic<bool> failing{false};
  std::atomic<int> locked{0};

  std::optional<docache::found> get(std::string_view key, docache::timeout limit) override {
    CHECK(limit.nanoseconds() >= 0);
    if (failing) throw std::runtime_error("it is down");
    const std::lock_guard<std::mutex> guard(mutex_);
    return read(key);
  }

  docache::begun begin_refresh(std::string_view key, const docache::refresh_lock& lock,
                               docache::timeout) override {
    if (failing) throw docache::error(DOCACHE_TIMEOUT, "it sleeps");
    CHECK_EQUAL(lock.token.size(), 22u);
    const std::lock_guard<std::mutex> guard(mutex_);
    docache::begun out;
    auto& holder = locks_[std::string(key)];
    out.granted = holder.empty() || holder == lock.token;
    if (out.granted && holder.empty()) ++locked;
    if (out.granted) holder = lock.token;
    out.found = read(key);
    out.holder = 7;
    return out;
  }

  bool renew(std::string_view key, const docache::refresh_lock& lock, docache::timeout) override {
    const std::lock_guard<std::mutex> guard(mutex_);
    return locks_[std::string(key)] == lock.token;
  }

  bool finish_refresh(std::string_view key, const docache::value& data, docache::lifetime,
                      std::optional<std::chrono::nanoseconds> loaded,
                      const docache::refresh_lock& lock, docache::timeout) override {
    CHECK(loaded && *loaded == 0ns);
    const std::lock_guard<std::mutex> guard(mutex_);
    if (locks_[std::string(key)] != lock.token) return false;
    release(key);
    values_[std::string(key)] = data;
    return true;
  }

  void abandon_refresh(std::string_view key, const docache::refresh_lock& lock,
                       docache::timeout) override {
    if (failing) throw 7;
    const std::lock_guard<std::mutex> guard(mutex_);
    if (locks_[std::string(key)] == lock.token) release(key);
  }

  void put(std::string_view key, const docache::value& data, docache::lifetime ttl,
           std::optional<std::chrono::nanoseconds>, docache::timeout) override {
    if (failing) throw std::runtime_error("it is down");
    CHECK(ttl.nanoseconds() > 0);
    const std::lock_guard<std::mutex> guard(mutex_);
    values_[std::string(key)] = data;
    release(key);
  }

  void remove(std::string_view key, docache::timeout) override {
    const std::lock_guard<std::mutex> guard(mutex_);
    values_.erase(std::string(key));
    release(key);
  }

 private:
  std::optional<docache::found> read(std::string_view key) {
    const auto at = values_.find(std::string(key));
    if (at == values_.end()) return std::nullopt;
    docache::found out;
    out.value = at->second;
    out.age = age;
    return out;
  }

  void release(std::string_view key) {
    auto& holder = locks_[std::string(key)];
    if (!holder.empty()) --locked;
    holder.clear();
  }

  std::mutex mutex_;
  std::map<std::string, docache::value> values_;
  std::map<std::string, std::string> locks_;
};

}  // namespace check

#endif  // DOCACHE_TEST_MAP_STORE_HPP
