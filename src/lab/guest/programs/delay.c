/*
 * Delays what hosts send on the lab's migration network, for kernels without netem.
 *
 *   delay MICROSECONDS QUEUE_BYTES PORT TAP [PORT TAP]...
 *
 * PORT is the switch's end of a host's cable, in no bridge; TAP stands for it in the bridge. Frames from PORT wait
 * their time and then enter TAP; frames from TAP go to PORT at once: so each frame waits once on its way from host to
 * host, whatever it carries. Frames keep their offload header, so that large ones pass whole. Beyond QUEUE_BYTES per
 * host the newest frame is dropped, as a router does; TCP slows down by itself.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/if_ether.h>
#include <netpacket/packet.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define PAIRS_MAX 32
#define FRAME_MAX (64 * 1024 + 256)
/* So that one busy host cannot starve the others, nor the clock. */
#define FRAMES_PER_TURN 64
#define RECEIVE_BUFFER_BYTES (8 << 20)
/* The kernel's own headers are not at hand: values of linux/if_tun.h and linux/if_packet.h. */
#ifndef TUNSETIFF
#define TUNSETIFF 0x400454ca
#define TUNSETOFFLOAD 0x400454d0
#define IFF_TAP 0x0002
#define IFF_NO_PI 0x1000
#define IFF_VNET_HDR 0x4000
#define TUN_F_CSUM 0x01
#define TUN_F_TSO4 0x02
#define TUN_F_TSO6 0x04
#endif
#ifndef PACKET_VNET_HDR
#define PACKET_VNET_HDR 15
#endif
#ifndef PACKET_IGNORE_OUTGOING
#define PACKET_IGNORE_OUTGOING 23
#endif

struct frame {
	struct frame *next;
	uint64_t due;
	size_t length;
	unsigned char bytes[];
};

struct pair {
	int port, tap;
	struct frame *first, **last;
	size_t queued;
};

static void die(const char *what, const char *which)
{
	fprintf(stderr, "delay: %s %s: %s\n", what, which, strerror(errno));
	exit(1);
}

static uint64_t now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static int open_port(const char *name)
{
	int on = 1, size = RECEIVE_BUFFER_BYTES;
	struct sockaddr_ll where = { .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL) };
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		die("packet socket for", name);
	where.sll_ifindex = (int)if_nametoindex(name);
	if (where.sll_ifindex == 0 || setsockopt(fd, SOL_PACKET, PACKET_VNET_HDR, &on, sizeof on) ||
	    setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &on, sizeof on) ||
	    setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size) ||
	    bind(fd, (struct sockaddr *)&where, sizeof where))
		die("open port", name);
	return fd;
}

static int open_tap(const char *name)
{
	struct ifreq request;
	int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		die("open /dev/net/tun for", name);
	memset(&request, 0, sizeof request);
	snprintf(request.ifr_name, sizeof request.ifr_name, "%s", name);
	request.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR;
	if (ioctl(fd, TUNSETIFF, &request) || ioctl(fd, TUNSETOFFLOAD, TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6))
		die("open tap", name);
	return fd;
}

static void from_port(struct pair *pair, uint64_t delay, size_t limit)
{
	static unsigned char buffer[FRAME_MAX];
	for (int i = 0; i < FRAMES_PER_TURN; i++) {
		ssize_t length = recv(pair->port, buffer, sizeof buffer, 0);
		if (length <= 0)
			return;
		if (pair->queued + (size_t)length > limit)
			continue;
		struct frame *frame = malloc(sizeof *frame + (size_t)length);
		if (!frame)
			continue;
		frame->next = NULL;
		frame->due = now() + delay;
		frame->length = (size_t)length;
		memcpy(frame->bytes, buffer, (size_t)length);
		*pair->last = frame;
		pair->last = &frame->next;
		pair->queued += (size_t)length;
	}
}

static void to_port(struct pair *pair)
{
	static unsigned char buffer[FRAME_MAX];
	for (int i = 0; i < FRAMES_PER_TURN; i++) {
		ssize_t length = read(pair->tap, buffer, sizeof buffer);
		if (length <= 0)
			return;
		/* A full queue behind the port drops, as it would without us. */
		(void)!send(pair->port, buffer, (size_t)length, MSG_DONTWAIT);
	}
}

static void release(struct pair *pair)
{
	while (pair->first && pair->first->due <= now()) {
		struct frame *frame = pair->first;
		(void)!write(pair->tap, frame->bytes, frame->length);
		pair->queued -= frame->length;
		pair->first = frame->next;
		if (!pair->first)
			pair->last = &pair->first;
		free(frame);
	}
}

int main(int argc, char **argv)
{
	static struct pair pairs[PAIRS_MAX];
	static struct pollfd polls[2 * PAIRS_MAX];
	int count = (argc - 3) / 2;
	if (argc < 5 || argc % 2 == 0 || count > PAIRS_MAX) {
		fprintf(stderr, "usage: delay MICROSECONDS QUEUE_BYTES PORT TAP [PORT TAP]...\n");
		return 2;
	}
	uint64_t delay = strtoull(argv[1], NULL, 10) * 1000u;
	size_t limit = strtoull(argv[2], NULL, 10);
	for (int i = 0; i < count; i++) {
		pairs[i].port = open_port(argv[3 + 2 * i]);
		pairs[i].tap = open_tap(argv[4 + 2 * i]);
		pairs[i].last = &pairs[i].first;
		polls[2 * i] = (struct pollfd){ .fd = pairs[i].port, .events = POLLIN };
		polls[2 * i + 1] = (struct pollfd){ .fd = pairs[i].tap, .events = POLLIN };
	}
	printf("ready\n");
	fflush(stdout);
	for (;;) {
		uint64_t due = UINT64_MAX, at = now();
		for (int i = 0; i < count; i++)
			if (pairs[i].first && pairs[i].first->due < due)
				due = pairs[i].first->due;
		uint64_t wait = due <= at ? 0 : due - at;
		struct timespec timeout = { (time_t)(wait / 1000000000u), (long)(wait % 1000000000u) };
		if (ppoll(polls, (nfds_t)(2 * count), due == UINT64_MAX ? NULL : &timeout, NULL) < 0 && errno != EINTR)
			die("poll", "");
		for (int i = 0; i < count; i++) {
			if (polls[2 * i].revents)
				from_port(&pairs[i], delay, limit);
			if (polls[2 * i + 1].revents)
				to_port(&pairs[i]);
			release(&pairs[i]);
		}
	}
}
