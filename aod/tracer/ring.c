/* Included in the cffi module: what must not be a Python call per event. */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <sched.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include "event.h"

struct aod_batch {
	struct aod_event *records;
	size_t capacity;
	size_t length;
	size_t malformed; /* records of another size: never expected */
};

static char messages[4096];

/* Keep libbpf's first warnings for the exception that follows them. */
static int keep_message(enum libbpf_print_level level, const char *format, va_list arguments)
{
	size_t used = strlen(messages);

	if (level != LIBBPF_WARN || used + 1 >= sizeof(messages))
		return 0;
	return vsnprintf(messages + used, sizeof(messages) - used, format, arguments);
}

static const char *aod_messages(void)
{
	return messages;
}

static void aod_forget_messages(void)
{
	messages[0] = '\0';
	libbpf_set_print(keep_message);
}

static struct bpf_object *aod_open(const char *path, const char *btf_path)
{
	LIBBPF_OPTS(bpf_object_open_opts, options, .btf_custom_path = btf_path);

	return bpf_object__open_file(path, &options);
}

static int aod_run(int program_fd, void *context, size_t size)
{
	LIBBPF_OPTS(bpf_test_run_opts, options, .ctx_in = context, .ctx_size_in = size);
	int error = bpf_prog_test_run_opts(program_fd, &options);

	return error ? error : (int)options.retval;
}

/* A callback that refuses has consumed its record all the same: copy first. */
static int take(void *context, void *record, size_t size)
{
	struct aod_batch *batch = context;

	if (size == sizeof(*batch->records))
		batch->records[batch->length++] = *(struct aod_event *)record;
	else
		batch->malformed++;
	return batch->length == batch->capacity ? -ENOBUFS : 0;
}

static struct ring_buffer *aod_ring_open(int map_fd, struct aod_batch *batch)
{
	return ring_buffer__new(map_fd, take, batch, NULL);
}

/* Fill the batch from the ring without waiting: 0, or -errno. */
static int aod_ring_read(struct ring_buffer *ring, struct aod_batch *batch)
{
	int result;

	batch->length = 0;
	result = ring_buffer__poll(ring, 0);
	return result < 0 && result != -ENOBUFS ? result : 0;
}

/* How a thread was scheduled before it went undisturbed. */
struct schedule {
	int policy;
	struct sched_param parameters;
	bool is_changed;
};

/*
 * Inside of a bpf() call on a map the kernel runs no kprobe program on that CPU
 * (bpf_prog_active), and on a preemptible kernel another thread may send its
 * request there meanwhile, unseen: 10 of 2369 requests on Debian's 7.2. At
 * real-time priority no ordinary thread comes in between. Without the right to
 * it the call is made all the same; what is skipped is counted.
 */
static struct schedule begin_undisturbed(void)
{
	struct sched_param first = {.sched_priority = 1};
	struct schedule before = {.policy = sched_getscheduler(0)};

	if (before.policy >= 0 && !sched_getparam(0, &before.parameters))
		before.is_changed =
			!sched_setscheduler(0, SCHED_FIFO | SCHED_RESET_ON_FORK, &first);
	return before;
}

/* The flag stays: to clear it takes CAP_SYS_NICE, and a limit (RLIMIT_RTPRIO) is enough else. */
static void end_undisturbed(struct schedule before)
{
	if (before.is_changed)
		sched_setscheduler(0, before.policy | SCHED_RESET_ON_FORK, &before.parameters);
}

/* Copy up to `capacity` entries of a hash map: their number, or -errno. */
static int aod_map_entries(int map_fd, void *keys, void *values, unsigned int capacity)
{
	LIBBPF_OPTS(bpf_map_batch_opts, options);
	struct schedule before = begin_undisturbed();
	unsigned int count = capacity, position = 0;
	int error = bpf_map_lookup_batch(map_fd, NULL, &position, keys, values, &count, &options);

	end_undisturbed(before);
	return error && error != -ENOENT ? error : (int)count;
}

static int aod_map_lookup(int map_fd, const void *key, void *value)
{
	struct schedule before = begin_undisturbed();
	int error = bpf_map_lookup_elem(map_fd, key, value);

	end_undisturbed(before);
	return error;
}

static int aod_map_update(int map_fd, const void *key, const void *value)
{
	struct schedule before = begin_undisturbed();
	int error = bpf_map_update_elem(map_fd, key, value, BPF_ANY);

	end_undisturbed(before);
	return error;
}

static int aod_map_delete(int map_fd, const void *key)
{
	struct schedule before = begin_undisturbed();
	int error = bpf_map_delete_elem(map_fd, key);

	end_undisturbed(before);
	return error;
}

/* How often a program was not run as the CPU was busy with another, or -errno. */
static int64_t aod_skipped(int program_fd)
{
	struct bpf_prog_info info = {};
	__u32 size = sizeof(info);
	int error = bpf_obj_get_info_by_fd(program_fd, &info, &size);

	return error ? error : (int64_t)info.recursion_misses;
}
