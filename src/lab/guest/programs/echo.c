/* UDP echo: every datagram goes back at once, unchanged. Usage: echo PORT */
#include "service.h"

int main(int argc, char **argv) {
  static char payload[65536];
  int fd;
  if (argc != 2) return 2;
  fd = boundSocket(SOCK_DGRAM, atoi(argv[1]));
  toBackground();
  for (;;) {
    struct sockaddr_in from;
    socklen_t size = sizeof from;
    ssize_t length = recvfrom(fd, payload, sizeof payload, 0, (struct sockaddr *)&from, &size);
    if (length >= 0) sendto(fd, payload, (size_t)length, 0, (struct sockaddr *)&from, size);
  }
}
