/* SPDX-License-Identifier: MIT */
/*
 * What the bench lets the guest do, made small: most of its time is cifs's own.
 *
 * `files DIR ROUNDS` works on files of a share, `getppid COUNT` and `ioctl FILE COUNT` hit one
 * function again and again. Each prints how many nanoseconds it took.
 */
#define _GNU_SOURCE /* O_DIRECT */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { UNKNOWN_IOCTL = 0x7a01 };

static char buffer[4096];

static long now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000000000L + now.tv_nsec;
}

static void check(long result, const char *call)
{
	if (result < 0)
		err(1, "%s", call);
}

static void use_file(const char *name)
{
	struct stat status;
	int file = open(name, O_CREAT | O_RDWR | O_TRUNC, 0600);

	check(file, name);
	check(write(file, buffer, sizeof(buffer)), "write");
	check(close(file), "close");
	check(stat(name, &status), "stat");
	file = open(name, O_RDONLY | O_DIRECT);
	check(file, name);
	check(read(file, buffer, sizeof(buffer)), "read");
	check(close(file), "close");
	check(unlink(name), "unlink");
	if (stat(name, &status) == 0 || errno != ENOENT)
		errx(1, "%s is still there", name);
}

static void use_files(const char *folder, int rounds)
{
	check(chdir(folder), folder);
	for (int i = 0; i < rounds; i++) {
		char name[32];

		snprintf(name, sizeof(name), "file%d", i);
		use_file(name);
	}
}

static void enter_and_leave(const char *name, int count)
{
	int file = open(name, O_CREAT | O_RDWR, 0600);

	check(file, name);
	for (int i = 0; i < count; i++)
		ioctl(file, UNKNOWN_IOCTL, 0);
	close(file);
}

int main(int count, char **words)
{
	long started_ns = now_ns();

	if (count == 4 && !strcmp(words[1], "files"))
		use_files(words[2], atoi(words[3]));
	else if (count == 4 && !strcmp(words[1], "ioctl"))
		enter_and_leave(words[2], atoi(words[3]));
	else if (count == 3 && !strcmp(words[1], "getppid"))
		for (int i = atoi(words[2]); i; i--)
			syscall(SYS_getppid);
	else
		errx(2, "files DIR ROUNDS | ioctl FILE COUNT | getppid COUNT");
	printf("%ld\n", now_ns() - started_ns);
	return 0;
}
