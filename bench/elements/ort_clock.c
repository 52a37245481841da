/*
 * Stands in for libonnxruntime.so and measures the CPU time that runs take, in any program, without changing it:
 *
 *     cc -O2 -shared -fPIC -o libort_clock.so ort_clock.c -ldl
 *     ORT_CLOCK_LIBRARY=libonnxruntime.so ORT_CLOCK_OUTPUT=times.json ORT_DYLIB_PATH=libort_clock.so gst-launch-1.0 …
 *
 * When the program ends, the file has the CPU time in seconds of the thread that runs, inside the runs, and of the
 * whole process; both from the end of run WARM_UP to the end of the last run. The model must run on one thread.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

enum { WARM_UP = 20 };

/* Places in OrtApi, which only grows at its end. */
enum { RUN = 9, RUN_WITH_BINDING = 133 };

typedef struct {
    void **(*get_api)(uint32_t version);
    const char *(*version)(void);
} OrtApiBase;

typedef void *(*Run)(void *session, void *options, void *input_names, void *inputs, size_t input_count,
                     void *output_names, size_t output_count, void *outputs);
typedef void *(*RunWithBinding)(void *session, void *options, void *binding);

static OrtApiBase *real;
static Run run;
static RunWithBinding run_with_binding;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static unsigned long runs;
static double inside, start, end;

static double seconds(clockid_t clock)
{
    struct timespec time;
    clock_gettime(clock, &time);
    return time.tv_sec + time.tv_nsec / 1e9;
}

static void count(double took)
{
    pthread_mutex_lock(&lock);
    runs++;
    end = seconds(CLOCK_PROCESS_CPUTIME_ID);
    if (runs == WARM_UP)
        start = end;
    else if (runs > WARM_UP)
        inside += took;
    pthread_mutex_unlock(&lock);
}

static void *timed_run(void *session, void *options, void *input_names, void *inputs, size_t input_count,
                       void *output_names, size_t output_count, void *outputs)
{
    double before = seconds(CLOCK_THREAD_CPUTIME_ID);
    void *status = run(session, options, input_names, inputs, input_count, output_names, output_count, outputs);
    count(seconds(CLOCK_THREAD_CPUTIME_ID) - before);
    return status;
}

static void *timed_run_with_binding(void *session, void *options, void *binding)
{
    double before = seconds(CLOCK_THREAD_CPUTIME_ID);
    void *status = run_with_binding(session, options, binding);
    count(seconds(CLOCK_THREAD_CPUTIME_ID) - before);
    return status;
}

static void *replace(void **place, void *function)
{
    void *before = *place;
    if (before == function)
        return NULL;
    uintptr_t size = sysconf(_SC_PAGESIZE), page = (uintptr_t)place & ~(size - 1);
    /* The table is constant: its pages cannot be written to. */
    if (mprotect((void *)page, size, PROT_READ | PROT_WRITE)) {
        perror("ort_clock: mprotect");
        exit(1);
    }
    *place = function;
    return before;
}

static void **get_api(uint32_t version)
{
    void **api = real->get_api(version);
    pthread_mutex_lock(&lock);
    if (api) {
        void *before = replace(&api[RUN], timed_run);
        if (before)
            run = (Run)before;
        before = replace(&api[RUN_WITH_BINDING], timed_run_with_binding);
        if (before)
            run_with_binding = (RunWithBinding)before;
    }
    pthread_mutex_unlock(&lock);
    return api;
}

static const char *version(void)
{
    return real->version();
}

const OrtApiBase *OrtGetApiBase(void)
{
    static const OrtApiBase base = { get_api, version };
    const char *path = getenv("ORT_CLOCK_LIBRARY");
    void *library = path ? dlopen(path, RTLD_NOW | RTLD_LOCAL) : NULL;
    OrtApiBase *(*get)(void) = library ? (OrtApiBase * (*)(void)) dlsym(library, "OrtGetApiBase") : NULL;
    if (!get) {
        fprintf(stderr, "ort_clock: ORT_CLOCK_LIBRARY: %s\n", path ? dlerror() : "not set");
        exit(1);
    }
    real = get();
    return &base;
}

__attribute__((destructor)) static void report(void)
{
    const char *path = getenv("ORT_CLOCK_OUTPUT");
    FILE *file = path && runs > WARM_UP ? fopen(path, "w") : NULL;
    if (file) {
        fprintf(file, "{\"runs\": %lu, \"inside_secs\": %f, \"process_secs\": %f}\n", runs - WARM_UP, inside, end - start);
        fclose(file);
    }
}
