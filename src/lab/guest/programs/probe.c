/*
 * The client's eye, run on the host in the client's place: asks the guest's echo once per period whether the last
 * answer came or not (open loop), and listens to the guest's beacon.
 *
 * Usage: probe ECHO_PORT BEACON_PORT PERIOD_US OUTPUT_DIR ADDRESS[:PORT]...
 *   Several addresses are asked at the same time with the same number; the first answer counts.
 *
 * Output, fixed-size records of three little-endian u64, appended at least every 100 ms and at SIGTERM or SIGINT:
 *   probe.bin   seq, sentNs, receivedNs        one record per ANSWERED request
 *   beacon.bin  tick, guestNs, receivedNs      one record per beacon (guestNs is the guest's CLOCK_MONOTONIC)
 * All other times are CLOCK_MONOTONIC of this host in ns. "probe: ready" on stdout says that both sockets are bound.
 *
 * seq counts requests that were really sent, from 0. If this process is kept from running it leaves requests out
 * instead of sending them late in a burst; then neighbouring seqs are more than a period apart, which tells the
 * probe's own stall from the guest's (there, seqs are missing).
 *
 * A request sent to a guest that stands still is often not lost: it waits in a queue (the bridge's, QEMU's) and is
 * answered late. So an outage shows in the gaps between receivedNs and in receivedNs - sentNs, not only in missing seqs.
 *
 * sentNs is read just before the send. receivedNs is the kernel's stamp of the packet, so a late receiver does not
 * look like a late answer. The kernel stamps in CLOCK_REALTIME; the difference of the two clocks is sampled at each
 * record, so a step of the wall clock can harm only what was in the socket's queue at that moment, and such a stamp
 * is recognised (in the future, before the request, or older than a second) and replaced by the time of reading.
 */
#define _GNU_SOURCE
#include "service.h"
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sys/prctl.h>

#define PROBE_MAGIC 0x50425457444f4721ULL
#define BEACON_MAGIC 0x4342544957444f47ULL /* "GODWITBC" */
#define TARGETS 8
#define RECENT 65536 /* answers remembered to drop second ones: about a minute at 1 kHz */
#define RECORDS 256
#define FLUSH_NS 50000000ULL
#define WAIT_MS 25
#define STALE_NS NS_PER_S
#define CLOCK_READINGS 16
#define CLOCKS_APART_NS 20000ULL /* the three readings take less than 1 us undisturbed */

struct Log {
  int fd;
  int used;
  uint64_t records[RECORDS][3];
};

static struct sockaddr_in targets[TARGETS];
static int targetCount, echoSocket;
static uint64_t periodNs;
static volatile sig_atomic_t stopping;
static uint64_t answered[RECENT];
static struct Log probeLog, beaconLog;

static void stop(int signal) {
  (void)signal;
  stopping = 1;
}

static void flushLog(struct Log *log) {
  const char *from = (const char *)log->records;
  size_t left = (size_t)log->used * sizeof log->records[0];
  while (left > 0) {
    ssize_t done = write(log->fd, from, left);
    if (done < 0 && errno == EINTR) continue;
    if (done < 0) fail("write");
    from += done;
    left -= (size_t)done;
  }
  log->used = 0;
}

static void append(struct Log *log, uint64_t a, uint64_t b, uint64_t c) {
  log->records[log->used][0] = a;
  log->records[log->used][1] = b;
  log->records[log->used][2] = c;
  if (++log->used == RECORDS) flushLog(log);
}

static void openLog(struct Log *log, const char *dir, const char *name) {
  char path[4096];
  snprintf(path, sizeof path, "%s/%s", dir, name);
  log->fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0644);
  if (log->fd < 0) fail(path);
}

/* The wall clock and ours at one instant. */
struct Instant {
  uint64_t wall, monotonic;
};

/*
 * Whoever is put aside between two readings takes them milliseconds apart, and a stamp would be wrong by half of that: two
 * beacons then seem to have overtaken each other. So the closest readings of some count.
 */
static struct Instant readClocks(void) {
  struct Instant best = {0, 0};
  uint64_t apart = UINT64_MAX;
  int i;
  for (i = 0; i < CLOCK_READINGS && apart > CLOCKS_APART_NS; i++) {
    uint64_t before = clockNs(CLOCK_MONOTONIC);
    uint64_t wall = clockNs(CLOCK_REALTIME);
    uint64_t after = clockNs(CLOCK_MONOTONIC);
    if (after - before >= apart) continue;
    apart = after - before;
    best.wall = wall;
    best.monotonic = before + apart / 2;
  }
  return best;
}

/* The kernel's wall-clock stamp on our clock, or now if it cannot be true. */
static uint64_t monotonicOf(struct msghdr *message, uint64_t notBeforeNs) {
  struct Instant now = readClocks();
  struct cmsghdr *c;
  for (c = CMSG_FIRSTHDR(message); c != NULL; c = CMSG_NXTHDR(message, c)) {
    struct timespec t;
    uint64_t stamp, age, at;
    if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SO_TIMESTAMPNS) continue;
    memcpy(&t, CMSG_DATA(c), sizeof t);
    stamp = (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
    if (stamp > now.wall) break;
    age = now.wall - stamp;
    if (age > STALE_NS) break;
    at = now.monotonic - age;
    if (at < notBeforeNs) break;
    return at;
  }
  return now.monotonic;
}

static void readAll(int fd, struct Log *log, int isBeacon) {
  for (;;) {
    uint64_t datagram[3];
    char control[128];
    struct iovec part = {datagram, sizeof datagram};
    struct msghdr message;
    ssize_t length;
    memset(&message, 0, sizeof message);
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    length = recvmsg(fd, &message, MSG_DONTWAIT);
    if (length < 0) return;
    if (length != sizeof datagram) continue;
    if (isBeacon) {
      if (datagram[0] == BEACON_MAGIC) append(log, datagram[1], datagram[2], monotonicOf(&message, 0));
      continue;
    }
    if (datagram[0] != PROBE_MAGIC) continue;
    /* +1: an empty slot must not look like number 0. */
    if (answered[datagram[1] % RECENT] == datagram[1] + 1) continue;
    answered[datagram[1] % RECENT] = datagram[1] + 1;
    append(log, datagram[1], datagram[2], monotonicOf(&message, datagram[2]));
  }
}

static void *ask(void *unused) {
  uint64_t datagram[3], start = clockNs(CLOCK_MONOTONIC), slot = 0, now;
  int i;
  (void)unused;
  prctl(PR_SET_TIMERSLACK, 1, 0, 0, 0);
  datagram[0] = PROBE_MAGIC;
  datagram[1] = 0;
  while (!stopping) {
    sleepUntilNs(start + (slot + 1) * periodNs);
    now = clockNs(CLOCK_MONOTONIC);
    slot = (now - start) / periodNs;
    datagram[2] = now;
    for (i = 0; i < targetCount; i++)
      sendto(echoSocket, datagram, sizeof datagram, MSG_DONTWAIT, (struct sockaddr *)&targets[i], sizeof targets[i]);
    datagram[1]++;
  }
  return NULL;
}

static void addTarget(const char *text, int port) {
  char address[64], *colon;
  if (targetCount == TARGETS || strlen(text) >= sizeof address) exit(2);
  strcpy(address, text);
  colon = strchr(address, ':');
  if (colon != NULL) {
    *colon = 0;
    port = atoi(colon + 1);
  }
  targets[targetCount].sin_family = AF_INET;
  targets[targetCount].sin_port = htons((uint16_t)port);
  if (inet_pton(AF_INET, address, &targets[targetCount].sin_addr) != 1) {
    fprintf(stderr, "probe: %s is not an address\n", text);
    exit(2);
  }
  targetCount++;
}

static int stampedSocket(int port) {
  int one = 1, room = 4 * 1024 * 1024;
  int fd = boundSocket(SOCK_DGRAM, port);
  if (setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPNS, &one, sizeof one) < 0) fail("SO_TIMESTAMPNS");
  setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof room);
  return fd;
}

int main(int argc, char **argv) {
  struct pollfd sockets[2];
  struct sigaction action;
  sigset_t signals;
  pthread_t asker;
  uint64_t flushed;
  int i;
  if (argc < 6) {
    fprintf(stderr, "usage: probe ECHO_PORT BEACON_PORT PERIOD_US OUTPUT_DIR ADDRESS[:PORT]...\n");
    return 2;
  }
  periodNs = strtoull(argv[3], NULL, 10) * 1000;
  if (periodNs == 0) return 2;
  for (i = 5; i < argc; i++) addTarget(argv[i], atoi(argv[1]));
  openLog(&probeLog, argv[4], "probe.bin");
  openLog(&beaconLog, argv[4], "beacon.bin");
  echoSocket = stampedSocket(0);
  sockets[0].fd = echoSocket;
  sockets[1].fd = stampedSocket(atoi(argv[2]));
  sockets[0].events = sockets[1].events = POLLIN;

  /* The asking thread inherits the blocked mask, so signals interrupt this thread's poll only. */
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  pthread_sigmask(SIG_BLOCK, &signals, NULL);
  if (pthread_create(&asker, NULL, ask, NULL) != 0) fail("thread");
  memset(&action, 0, sizeof action);
  action.sa_handler = stop;
  sigaction(SIGTERM, &action, NULL);
  sigaction(SIGINT, &action, NULL);
  pthread_sigmask(SIG_UNBLOCK, &signals, NULL);

  printf("probe: ready\n");
  fflush(stdout);
  flushed = clockNs(CLOCK_MONOTONIC);
  while (!stopping) {
    uint64_t now;
    poll(sockets, 2, WAIT_MS);
    readAll(sockets[0].fd, &probeLog, 0);
    readAll(sockets[1].fd, &beaconLog, 1);
    now = clockNs(CLOCK_MONOTONIC);
    if (now - flushed >= FLUSH_NS) {
      flushLog(&probeLog);
      flushLog(&beaconLog);
      flushed = now;
    }
  }
  pthread_join(asker, NULL);
  readAll(sockets[0].fd, &probeLog, 0);
  readAll(sockets[1].fd, &beaconLog, 1);
  flushLog(&probeLog);
  flushLog(&beaconLog);
  return 0;
}
