/* Objects that are freed inside callbacks: their own, and each other's. Run it under
 * AddressSanitizer and valgrind. */
#define _POSIX_C_SOURCE 200809L
#include "check.h"

#include "../threads.h"

/* What a callback frees, and what it found. `in_callback` is above 0 while one runs. */
typedef struct scene {
  docache_cache *cache;
  docache_group *group;
  docache_loop *loop;
  atomic_uint calls;
  atomic_uint drops;
  atomic_int in_callback;
} scene;

static void dropped(uintptr_t context) {
  scene *s = (scene *)context;
  CHECK_INT(atomic_load(&s->in_callback), ==, 0);
  atomic_fetch_add(&s->drops, 1);
}

/* Frees whatever there is; nothing is dropped before the callback has returned. */
static void free_all(scene *s) {
  atomic_fetch_add(&s->in_callback, 1);
  atomic_fetch_add(&s->calls, 1);
  docache_cache_free(s->cache);
  docache_group_free(s->group);
  docache_loop_free(s->loop);
  s->cache = NULL;
  s->group = NULL;
  s->loop = NULL;
  CHECK_INT(atomic_load(&s->drops), ==, 0);
  atomic_fetch_sub(&s->in_callback, 1);
}

static docache_status free_and_give(uintptr_t context, docache_value **out,
                                    docache_error **out_error) {
  free_all((scene *)context);
  return docache_value_new((const uint8_t *)"x", 1, out, out_error);
}

static void free_in_listener(uintptr_t context, const uint8_t *key, size_t len,
                             const docache_value *value, int32_t cause) {
  (void)key, (void)len, (void)cause;
  CHECK_INT(docache_value_len(value), ==, 1);
  free_all((scene *)context);
}

static int32_t free_in_visit(uintptr_t context, const uint8_t *key, size_t len,
                             const docache_value *value) {
  (void)len;
  free_all((scene *)context);
  CHECK_INT(key[0] + docache_value_len(value), ==, 'a' + 1);
  return 0;
}

static docache_cache_options cache_options(void) {
  docache_cache_options options;
  memset(&options, 0, sizeof options);
  options.size = sizeof options;
  return options;
}

static const uint8_t *const A = (const uint8_t *)"a";
static const docache_bytes KEYS[2] = {{(const uint8_t *)"a", 1}, {(const uint8_t *)"b", 1}};

static void set(docache_cache *cache, const char *key, uint64_t ttl_ns) {
  CHECK_OK(docache_cache_set(cache, (const uint8_t *)key, strlen(key), A, 1, ttl_ns, NULL));
}

/* A cache with an "a" and a "b"; on_evict may be NULL. */
static void fill(scene *s, docache_evict_fn on_evict, uint64_t ttl_ns) {
  memset(s, 0, sizeof *s);
  CHECK_OK(docache_cache_new(NULL, on_evict, (uintptr_t)s, dropped, &s->cache, NULL));
  set(s->cache, "a", ttl_ns);
  set(s->cache, "b", ttl_ns);
}

static void set_values(docache_cache *cache) {
  docache_value *value = NULL;
  CHECK_OK(docache_value_new(A, 1, &value, NULL));
  CHECK_OK(docache_cache_set_value(cache, A, 1, value, 0, NULL));
  docache_value_release(value);
}

/* The same key is fetched after it was removed, and that evicts nothing; so the listener hears of
 * `b`. */
static docache_status remove_b(uintptr_t context, docache_value **out, docache_error **out_error) {
  CHECK_OK(docache_cache_remove(((scene *)context)->cache, KEYS[1].data, 1, NULL, NULL));
  return docache_value_new(A, 1, out, out_error);
}

static void every_write_with_a_listener(void) {
  for (int which = 0; which < 9; which++) {
    scene s;
    docache_value *value = NULL;
    docache_call *call = NULL;
    fill(&s, free_in_listener, which == 6 ? 1 : 0);
    docache_cache *cache = s.cache;
    switch (which) {
      case 0: set(cache, "a", 0); break;
      case 1: set_values(cache); break;
      case 2: CHECK_OK(docache_cache_set_many(cache, KEYS, KEYS, 2, 0, NULL)); break;
      case 3: CHECK_OK(docache_cache_remove(cache, A, 1, &value, NULL)); break;
      case 4: CHECK_OK(docache_cache_remove_many(cache, KEYS, 2, NULL, NULL)); break;
      case 5: CHECK_OK(docache_cache_clear(cache, NULL)); break;
      case 6: CHECK_OK(docache_cache_purge_expired(cache, NULL, NULL)); break;
      case 7:
        CHECK_OK(docache_cache_fetch(cache, (const uint8_t *)"c", 1, 0, 0, remove_b, (uintptr_t)&s,
                                     &value, NULL));
        break;
      default: {
        docache_value *given = NULL;
        CHECK_STATUS(
            docache_cache_fetch_begin(cache, (const uint8_t *)"c", 1, 0, 0, &value, &call, NULL),
            DOCACHE_LEADER);
        CHECK_OK(docache_cache_clear(cache, NULL));
        CHECK_OK(docache_value_new(A, 1, &given, NULL));
        CHECK_OK(docache_call_finish(call, DOCACHE_OK, given, NULL, NULL, NULL));
        docache_value_release(given);
      }
    }
    /* Once it was freed the listener heard of nothing. */
    CHECK_INT(atomic_load(&s.calls), ==, 1);
    docache_value_release(value);
    /* A call that is out keeps the listener's registration. */
    CHECK_INT(atomic_load(&s.drops), ==, call == NULL);
    CHECK_OK(docache_call_free(call));
    CHECK_INT(atomic_load(&s.drops), ==, 1);
  }
  checked("a cache that its listener frees in every kind of write");
}

/* A call that is open puts its value into a small cache, and that evicts. */
static void finishing_with_a_listener(void) {
  scene s;
  docache_cache_options options = cache_options();
  options.capacity = 1;
  memset(&s, 0, sizeof s);
  CHECK_OK(docache_cache_new(&options, free_in_listener, (uintptr_t)&s, dropped, &s.cache, NULL));
  set(s.cache, "a", 0);
  docache_value *value = NULL;
  docache_call *call = NULL;
  CHECK_STATUS(docache_cache_fetch_begin(s.cache, KEYS[1].data, 1, 0, 0, &value, &call, NULL),
               DOCACHE_LEADER);
  CHECK_OK(docache_value_new(A, 1, &value, NULL));
  CHECK_OK(docache_call_finish(call, DOCACHE_OK, value, NULL, NULL, NULL));
  CHECK_INT(atomic_load(&s.calls), ==, 1);
  docache_value_release(value);
  CHECK_OK(docache_call_free(call));
  CHECK_INT(atomic_load(&s.drops), ==, 1);
  checked("a cache that its listener frees while a call is finished");
}

static void fetching_and_visiting(void) {
  for (int listened = 0; listened < 2; listened++) {
    docache_evict_fn on_evict = listened ? free_in_listener : NULL;
    scene s;
    docache_value *value = NULL;
    fill(&s, on_evict, 0);
    CHECK_OK(docache_cache_fetch(s.cache, (const uint8_t *)"c", 1, 0, 0, free_and_give,
                                 (uintptr_t)&s, &value, NULL));
    CHECK_VALUE(value, "x");
    CHECK_INT(atomic_load(&s.drops), ==, 1);
    docache_value_release(value);

    fill(&s, on_evict, 0);
    CHECK_OK(docache_cache_remove(s.cache, KEYS[1].data, 1, NULL, NULL));
    if (!listened) CHECK_OK(docache_cache_each(s.cache, free_in_visit, (uintptr_t)&s, NULL));
    CHECK_INT(atomic_load(&s.calls), ==, 1);
    CHECK_INT(atomic_load(&s.drops), ==, 1);
  }
  checked("a cache that is freed by the work of a fetch and by a visit");
}

/* A value whose drop frees the cache that it lies in. */
static void drop_and_free(uintptr_t context) {
  scene *s = (scene *)context;
  docache_cache_free(s->cache);
  s->cache = NULL;
  atomic_fetch_add(&s->calls, 1);
}

static void a_values_drop(void) {
  scene s;
  docache_value *value = NULL;
  fill(&s, NULL, 0);
  CHECK_OK(docache_value_wrap(A, 1, (uintptr_t)&s, drop_and_free, &value, NULL));
  CHECK_OK(docache_cache_set_value(s.cache, A, 1, value, 0, NULL));
  docache_value_release(value);
  CHECK_OK(docache_cache_clear(s.cache, NULL));
  /* The clear dropped it; or a guard stood somewhere, and the background does. */
  for (int i = 0; i < CHECK_PATIENCE_S * 1000 && atomic_load(&s.drops) == 0; i++)
    nanosleep(&(struct timespec){0, 1000000}, NULL);
  CHECK_INT(atomic_load(&s.calls), ==, 1);
  CHECK_INT(atomic_load(&s.drops), ==, 1);
  checked("a cache that the drop of its own value frees");
}

static void groups(void) {
  scene s;
  docache_value *value = NULL;
  docache_call *call = NULL;
  memset(&s, 0, sizeof s);
  CHECK_OK(docache_group_new(NULL, &s.group, NULL));
  CHECK_STATUS(docache_group_begin(s.group, KEYS[1].data, 1, &call, NULL), DOCACHE_LEADER);
  CHECK_OK(docache_group_run(s.group, A, 1, 0, free_and_give, (uintptr_t)&s, &value, NULL, NULL));
  CHECK_VALUE(value, "x");
  CHECK_OK(docache_call_finish(call, DOCACHE_OK, value, NULL, NULL, NULL));
  docache_value_release(value);
  CHECK_OK(docache_call_free(call));
  checked("a group that its own work frees");
}

static void free_in_log(uintptr_t context, const docache_log_record *record) {
  scene *s = (scene *)context;
  if (record->level == DOCACHE_LEVEL_INFO && s->loop != NULL) free_all(s);
}

static void await_drop(scene *s) {
  for (int i = 0; i < CHECK_PATIENCE_S * 1000 && atomic_load(&s->drops) == 0; i++)
    nanosleep(&(struct timespec){0, 1000000}, NULL);
  CHECK_INT(atomic_load(&s->drops), ==, 1);
}

static void loops(void) {
  for (int logs = 0; logs < 2; logs++) {
    for (int own_thread = 0; own_thread < 2; own_thread++) {
      scene s;
      docache_logger *logger = NULL;
      docache_loop_options options = loop_options(HOUR, 0);
      memset(&s, 0, sizeof s);
      if (logs)
        CHECK_OK(docache_logger_new(free_in_log, (uintptr_t)&s, NULL, DOCACHE_LEVEL_INFO, &logger,
                                    NULL));
      options.logger = logger;
      CHECK_OK(docache_loop_new(&options, free_and_give, (uintptr_t)&s, dropped, &s.loop, NULL));
      docache_logger_release(logger);
      if (own_thread) {
        CHECK_OK(docache_loop_start(s.loop, NULL));
        await_drop(&s);
      } else {
        CHECK_OK(docache_loop_run(s.loop, NULL));
      }
      CHECK_INT(atomic_load(&s.drops), ==, 1);
      CHECK_INT(atomic_load(&s.calls), ==, 1);
    }
  }
  checked("a loop that its Doer and its logger free, on a thread of its own and on the caller's");
}

/* An object with a callback on its way, which frees its neighbour's when all have got there. */
typedef struct member {
  struct member *next;
  gate *here;
  gate *go;
  docache_cache *cache;
  docache_loop *loop;
  pthread_t thread;
  atomic_uint drops;
} member;

static void member_drop(uintptr_t context) { atomic_fetch_add(&((member *)context)->drops, 1); }

static void free_next(member *m) {
  gate_open(m->here, 1);
  gate_pass(m->go);
  docache_cache_free(m->next->cache);
  docache_loop_free(m->next->loop);
}

static void member_evict(uintptr_t context, const uint8_t *key, size_t len,
                         const docache_value *value, int32_t cause) {
  (void)key, (void)len, (void)value, (void)cause;
  free_next((member *)context);
}

static docache_status member_perform(uintptr_t context, docache_value **out,
                                     docache_error **out_error) {
  free_next((member *)context);
  return docache_value_new(A, 1, out, out_error);
}

enum { BY_WRITE, BY_SWEEP, BY_FETCH, BY_LOOP, BY_RUN, KINDS };

static void *begin_member(void *argument) {
  member *m = argument;
  docache_value *value = NULL;
  if (m->loop != NULL) {
    CHECK_OK(docache_loop_run(m->loop, NULL));
  } else if (docache_cache_contains(m->cache, A, 1, NULL) == DOCACHE_OK) {
    CHECK_OK(docache_cache_remove(m->cache, A, 1, NULL, NULL));
  } else {
    CHECK_OK(docache_cache_fetch(m->cache, A, 1, 0, 0, member_perform, (uintptr_t)m, &value, NULL));
    docache_value_release(value);
  }
  return NULL;
}

static void ring(const int *kinds, size_t count) {
  gate here = GATE_INIT, go = GATE_INIT;
  member members[4];
  memset(members, 0, sizeof members);
  for (size_t i = 0; i < count; i++) {
    member *m = &members[i];
    m->next = &members[(i + 1) % count];
    m->here = &here;
    m->go = &go;
    if (kinds[i] >= BY_LOOP) {
      const docache_loop_options options = loop_options(HOUR, 0);
      CHECK_OK(
          docache_loop_new(&options, member_perform, (uintptr_t)m, member_drop, &m->loop, NULL));
      continue;
    }
    docache_cache_options options = cache_options();
    options.sweep_interval_ns = kinds[i] == BY_SWEEP ? 1 * MS : DOCACHE_NEVER;
    CHECK_OK(docache_cache_new(&options, member_evict, (uintptr_t)m, member_drop, &m->cache, NULL));
  }
  for (size_t i = 0; i < count; i++) {
    member *m = &members[i];
    if (kinds[i] == BY_WRITE) set(m->cache, "a", 0);
    if (kinds[i] == BY_SWEEP) set(m->cache, "a", 1);
    if (kinds[i] == BY_LOOP) CHECK_OK(docache_loop_start(m->loop, NULL));
    if (kinds[i] != BY_SWEEP && kinds[i] != BY_LOOP) m->thread = spawn(begin_member, m);
  }
  for (size_t i = 0; i < count; i++) gate_pass(&here);
  gate_open(&go, (unsigned)count);
  for (size_t i = 0; i < count; i++) {
    if (kinds[i] != BY_SWEEP && kinds[i] != BY_LOOP) join(members[i].thread);
  }
  for (size_t i = 0; i < count; i++) {
    for (int t = 0; t < CHECK_PATIENCE_S * 1000 && atomic_load(&members[i].drops) == 0; t++) {
      nanosleep(&(struct timespec){0, 1000000}, NULL);
    }
    CHECK_INT(atomic_load(&members[i].drops), ==, 1);
  }
}

static void rings(void) {
  for (int a = 0; a < KINDS; a++) {
    for (int b = a; b < KINDS; b++) {
      ring((const int[]){a, b}, 2);
    }
  }
  ring((const int[]){BY_WRITE, BY_LOOP, BY_SWEEP}, 3);
  ring((const int[]){BY_RUN, BY_FETCH, BY_LOOP, BY_SWEEP}, 4);
  checked("objects of all kinds that free each other from their callbacks");
}

/* The end of the sweep's listener is waited for, and it is not called again; also inside another
 * object's callback. */
typedef struct sweep {
  gate entered;
  gate may_leave;
  atomic_uint left;
  atomic_uint drops;
  atomic_uint values;
  docache_cache *cache;
} sweep;

static void slow_evict(uintptr_t context, const uint8_t *key, size_t len,
                       const docache_value *value, int32_t cause) {
  (void)key, (void)len, (void)value, (void)cause;
  sweep *s = (sweep *)context;
  CHECK_INT(atomic_load(&s->drops), ==, 0);
  gate_open(&s->entered, 1);
  gate_pass(&s->may_leave);
  atomic_fetch_add(&s->left, 1);
}

static void sweep_drop(uintptr_t context) { atomic_fetch_add(&((sweep *)context)->drops, 1); }

static void free_and_look(sweep *s) {
  docache_cache_free(s->cache);
  CHECK_INT(atomic_load(&s->left), ==, 1);
  CHECK_INT(atomic_load(&s->drops), ==, 1);
  CHECK_INT(atomic_load(&s->values), ==, 2);
}

static docache_status free_the_sweeps(uintptr_t context, docache_value **out,
                                      docache_error **out_error) {
  free_and_look((sweep *)context);
  return docache_value_new(A, 1, out, out_error);
}

static void *let_go(void *argument) {
  sweep *s = argument;
  /* Whether the free has begun cannot be seen from outside; this makes it likely. */
  nanosleep(&(struct timespec){0, 20000000}, NULL);
  gate_open(&s->may_leave, 1);
  return NULL;
}

static void the_sweep_is_waited_for(void) {
  for (int inside = 0; inside < 2; inside++) {
    sweep s = {.entered = GATE_INIT, .may_leave = GATE_INIT};
    docache_cache_options options = cache_options();
    options.sweep_interval_ns = 1 * MS;
    options.shards = 1;
    CHECK_OK(docache_cache_new(&options, slow_evict, (uintptr_t)&s, sweep_drop, &s.cache, NULL));
    for (int i = 0; i < 2; i++) {
      docache_value *value = NULL;
      CHECK_OK(docache_value_wrap(A, 1, (uintptr_t)&s.values, count_up, &value, NULL));
      CHECK_OK(docache_cache_set_value(s.cache, KEYS[i].data, 1, value, i == 0 ? 1 : 0, NULL));
      docache_value_release(value);
    }
    gate_pass(&s.entered);
    const pthread_t thread = spawn(let_go, &s);
    if (inside) {
      docache_group *group = NULL;
      docache_value *value = NULL;
      CHECK_OK(docache_group_new(NULL, &group, NULL));
      CHECK_OK(
          docache_group_run(group, A, 1, 0, free_the_sweeps, (uintptr_t)&s, &value, NULL, NULL));
      docache_value_release(value);
      docache_group_free(group);
    } else {
      free_and_look(&s);
    }
    join(thread);
  }
  checked("a free that waits for the sweep's listener and for what the sweep drops");
}

/* Waits: their notification may free them, and is waited for. */
typedef struct told {
  docache_wait *wait;
  gate entered;
  gate may_leave;
  atomic_uint left;
} told;

static void free_the_wait(uintptr_t context) {
  told *t = (told *)context;
  docache_wait_free(t->wait);
  gate_open(&t->entered, 1);
}

static void slow_notify(uintptr_t context) {
  told *t = (told *)context;
  gate_open(&t->entered, 1);
  gate_pass(&t->may_leave);
  atomic_fetch_add(&t->left, 1);
}

static void *let_notify_go(void *argument) {
  told *t = argument;
  nanosleep(&(struct timespec){0, 20000000}, NULL);
  gate_open(&t->may_leave, 1);
  return NULL;
}

static void waits(void) {
  test_doer doer = TEST_DOER_INIT;
  docache_loop *loop = new_loop(&doer, HOUR, 0);
  for (int slow = 0; slow < 2; slow++) {
    told t = {.entered = GATE_INIT, .may_leave = GATE_INIT};
    CHECK_STATUS(docache_loop_changed_begin(loop, docache_loop_version(loop), &t.wait, NULL),
                 DOCACHE_PENDING);
    CHECK_STATUS(
        docache_wait_on_ready(t.wait, slow ? slow_notify : free_the_wait, (uintptr_t)&t, NULL),
        DOCACHE_PENDING);
    CHECK_OK(docache_loop_start(loop, NULL));
    gate_pass(&t.entered);
    if (slow) {
      const pthread_t thread = spawn(let_notify_go, &t);
      docache_wait_free(t.wait);
      CHECK_INT(atomic_load(&t.left), ==, 1);
      join(thread);
    }
    CHECK_OK(docache_loop_stop(loop, DOCACHE_FOREVER, NULL));
  }
  docache_loop_free(loop);
  CHECK_DOER_GONE(&doer);
  checked("a wait that its notification frees, and one whose notification is waited for");
}

/* The threads that the library keeps begin before others have used their stacks: leak checkers tell
 * them by where they began. */
static void begin_threads(void) {
  scene s;
  fill(&s, NULL, 0);
  docache_cache_free(s.cache);
  CHECK_INT(atomic_load(&s.drops), ==, 1);
}

int main(void) {
  begin_threads();
  every_write_with_a_listener();
  finishing_with_a_listener();
  fetching_and_visiting();
  a_values_drop();
  groups();
  loops();
  rings();
  the_sweep_is_waited_for();
  waits();
  CHECK(await_end_of_threads());
  /* A thread of ours may have the stack, and what belongs to it, of one that is gone. */
  CHECK_OK(docache_shutdown());
  return all_checked("free_inside.c");
}
