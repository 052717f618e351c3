/* What the guest's services share: a service's main returns to the init script only when it can answer. */
#ifndef GODWIT_SERVICE_H
#define GODWIT_SERVICE_H

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define NS_PER_S 1000000000ULL

static void fail(const char *what) {
  fprintf(stderr, "%s: %s\n", what, strerror(errno));
  exit(1);
}

static uint64_t clockNs(clockid_t clock) {
  struct timespec t;
  clock_gettime(clock, &t);
  return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

/* Absolute, so that the time spent working never shifts the next deadline. */
static void sleepUntilNs(uint64_t ns) {
  struct timespec t;
  t.tv_sec = (time_t)(ns / NS_PER_S);
  t.tv_nsec = (long)(ns % NS_PER_S);
  while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL) == EINTR) {
  }
}

static int boundSocket(int type, int port) {
  struct sockaddr_in address;
  int one = 1;
  int fd = socket(AF_INET, type, 0);
  if (fd < 0) fail("socket");
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  memset(&address, 0, sizeof address);
  address.sin_family = AF_INET;
  address.sin_port = htons((uint16_t)port);
  address.sin_addr.s_addr = htonl(INADDR_ANY);
  if (bind(fd, (struct sockaddr *)&address, sizeof address) < 0) fail("bind");
  return fd;
}

/* The parent ends here with success; the child goes on serving. */
static void toBackground(void) {
  pid_t child = fork();
  if (child < 0) fail("fork");
  if (child > 0) exit(0);
  setsid();
  signal(SIGHUP, SIG_IGN);
  signal(SIGPIPE, SIG_IGN);
}

#endif
