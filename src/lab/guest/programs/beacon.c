/*
 * Sends the guest's own time to the client, once per period. Usage: beacon ADDRESS PORT PERIOD_US
 *
 * Datagram, three little-endian u64: magic "GODWITBC", tick, guest CLOCK_MONOTONIC in ns.
 * The tick counts periods of the guest's clock since the start, so ticks the guest slept through are skipped, never
 * sent late in a burst: a receiver that compares ticks with its own clock sees how long the guest stood still.
 */
#include "service.h"

#define MAGIC 0x4342544957444f47ULL /* "GODWITBC" */

int main(int argc, char **argv) {
  struct sockaddr_in to;
  uint64_t datagram[3], start, period;
  int fd;
  if (argc != 4) return 2;
  memset(&to, 0, sizeof to);
  to.sin_family = AF_INET;
  to.sin_port = htons((uint16_t)atoi(argv[2]));
  if (inet_pton(AF_INET, argv[1], &to.sin_addr) != 1) return 2;
  period = strtoull(argv[3], NULL, 10) * 1000;
  if (period == 0) return 2;
  fd = socket(AF_INET, SOCK_DGRAM, 0);
  if (fd < 0) fail("socket");
  toBackground();
  start = clockNs(CLOCK_MONOTONIC);
  datagram[0] = MAGIC;
  datagram[1] = 0;
  for (;;) {
    sleepUntilNs(start + (datagram[1] + 1) * period);
    datagram[2] = clockNs(CLOCK_MONOTONIC);
    datagram[1] = (datagram[2] - start) / period;
    sendto(fd, datagram, sizeof datagram, 0, (struct sockaddr *)&to, sizeof to);
  }
}
