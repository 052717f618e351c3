/*
 * Writes memory at a set rate, so that a migration has something to chase, and can prove that nothing was lost.
 *
 * Usage: writer CONTROL_PORT SET_BYTES RATE_BYTES_PER_S PATTERN CONTENT SEED
 *   PATTERN  sequential | random | hot-set (90 % of the writes go to the first 10 % of the pages)
 *   CONTENT  unique   pages of a pseudo-random sequence: no two alike, incompressible
 *            text     words of a made-up language: compressible, no two pages alike
 *            mixed    by page: 20 % zero, 20 % one of 16 contents (duplicates), 35 % text, 25 % unique
 *            partial  unique pages of which each write changes the version word and 64 to 248 bytes
 *
 * A page's content is a function of (seed, index, version); the versions are kept outside the set. So `verify` can
 * recompute every page and compare it bit by bit. All but zero and duplicate pages begin with index, version, seed
 * (u64 each): a page that was swapped or is old is told from a damaged one by looking at it.
 *
 * Control: one line per command over TCP, one line of JSON back.
 *   stats | verify | pause | resume | rate MIB_PER_S | corrupt PAGE (flips one bit, to test the test)
 *
 * One thread: write until the deadline's due, look at the control sockets, sleep until the next deadline.
 */
#define _GNU_SOURCE
#include "service.h"
#include <poll.h>
#include <sys/mman.h>

#define PAGE 4096
#define WORDS (PAGE / 8)
#define HEAD 3
#define TICK_NS 1000000ULL
/* Looks at the control sockets at least this often, also when the rate cannot be reached. */
#define BATCH_PAGES 64
/* A debt older than this is dropped: after a stall the writer goes on at its rate, it does not burst. */
#define DEBT_NS 100000000ULL
#define RATE_WINDOW_NS 1000000000ULL
#define CLIENTS 4
#define LINE 128
#define VOCABULARY 1024
#define DUPLICATES 16
/* partial: 15 blocks of 32 words behind the first 256 bytes. */
#define BLOCK_WORDS 32
#define BLOCKS 15

enum Pattern { SEQUENTIAL, RANDOM, HOT_SET };
enum Content { UNIQUE, TEXT, MIXED, PARTIAL };
enum Class { CLASS_UNIQUE, CLASS_TEXT, CLASS_ZERO, CLASS_DUPLICATE, CLASS_PARTIAL };

static const char *patterns[] = {"sequential", "random", "hot-set", NULL};
static const char *contents[] = {"unique", "text", "mixed", "partial", NULL};

static uint64_t *set;
static uint32_t *versions;
static uint64_t pages, seed, rateBytes;
static int pattern, content, paused;
static uint64_t writes, stalls, choice;
static char vocabulary[VOCABULARY][16];
static uint8_t wordLength[VOCABULARY];

/* SplitMix64's finaliser: neighbouring inputs give unrelated outputs. */
static uint64_t mix(uint64_t x) {
  x ^= x >> 30;
  x *= 0xbf58476d1ce4e5b9ULL;
  x ^= x >> 27;
  x *= 0x94d049bb133111ebULL;
  return x ^ (x >> 31);
}

static uint64_t streamOf(uint64_t index, uint64_t version) {
  return mix(seed + mix(index * 0x9e3779b97f4a7c15ULL + mix(version))) | 1;
}

/* xorshift64: three shifts a word, never 0 from a start that is not 0. */
#define NEXT(x) ((x) ^= (x) << 13, (x) ^= (x) >> 7, (x) ^= (x) << 17)

static void makeVocabulary(void) {
  static const char *onset[] = {"b", "c", "d", "f", "g", "h", "l", "m", "n", "p", "r", "s", "t", "th", "st", "w"};
  static const char *vowel[] = {"a", "e", "i", "o", "u", "ea", "ou", "e"};
  static const char *coda[] = {"", "", "n", "r", "s", "t", "ng", "l"};
  uint64_t x = 88172645463325252ULL;
  int i, s, syllables;
  for (i = 0; i < VOCABULARY; i++) {
    char word[32] = "";
    syllables = 1 + (i * 3) / VOCABULARY; /* frequent words are short */
    for (s = 0; s < syllables; s++) {
      NEXT(x);
      strcat(word, onset[x & 15]);
      strcat(word, vowel[(x >> 8) & 7]);
      strcat(word, coda[(x >> 16) & 7]);
    }
    word[14] = 0;
    wordLength[i] = (uint8_t)(strlen(word) + 1);
    memset(vocabulary[i], ' ', 16);
    memcpy(vocabulary[i], word, strlen(word));
  }
}

static void fillUnique(uint64_t *page, int from, int to, uint64_t x) {
  int i;
  for (i = from; i < to; i++) {
    NEXT(x);
    page[i] = x;
  }
}

static void fillText(uint64_t *page, uint64_t x) {
  char *at = (char *)(page + HEAD), *end = (char *)(page + WORDS);
  while (at + 16 <= end) {
    unsigned a, b;
    NEXT(x);
    a = (unsigned)(x & (VOCABULARY - 1));
    b = (unsigned)((x >> 20) & (VOCABULARY - 1));
    if (b < a) a = b; /* the smaller of two: low numbers are frequent, as in a language */
    ((uint64_t *)at)[0] = ((uint64_t *)vocabulary[a])[0];
    ((uint64_t *)at)[1] = ((uint64_t *)vocabulary[a])[1];
    at += wordLength[a];
  }
  while (at < end) *at++ = ' ';
}

static void head(uint64_t *page, uint64_t index, uint64_t version) {
  page[0] = index;
  page[1] = version;
  page[2] = seed;
}

static int classOf(uint64_t index) {
  unsigned share;
  if (content == UNIQUE) return CLASS_UNIQUE;
  if (content == TEXT) return CLASS_TEXT;
  if (content == PARTIAL) return CLASS_PARTIAL;
  share = (unsigned)(mix(seed ^ (index + 1)) % 100);
  return share < 20 ? CLASS_ZERO : share < 40 ? CLASS_DUPLICATE : share < 75 ? CLASS_TEXT : CLASS_UNIQUE;
}

static void writeBlock(uint64_t *page, uint64_t index, uint64_t version) {
  int block = (int)((version - 2) % BLOCKS);
  /* The length belongs to the block, not to the version: the newest write of a block always covers the older one. */
  int length = 8 + (int)(mix(index * BLOCKS + (uint64_t)block) % 24);
  int from = BLOCK_WORDS * (block + 1);
  fillUnique(page, from, from + length, streamOf(index, version));
}

/* What one write does to a page that holds version - 1 (or anything, if version is 1). */
static void writePage(uint64_t *page, uint64_t index, uint64_t version) {
  switch (classOf(index)) {
    case CLASS_ZERO:
      memset(page, 0, PAGE);
      return;
    case CLASS_DUPLICATE:
      fillUnique(page, 0, WORDS, mix(seed + mix((index + version) % DUPLICATES)) | 1);
      return;
    case CLASS_TEXT:
      head(page, index, version);
      fillText(page, streamOf(index, version));
      return;
    case CLASS_PARTIAL:
      head(page, index, version);
      if (version == 1) fillUnique(page, HEAD, WORDS, streamOf(index, 1));
      else writeBlock(page, index, version);
      return;
    default:
      head(page, index, version);
      fillUnique(page, HEAD, WORDS, streamOf(index, version));
  }
}

/* What the page must hold now, made anew. */
static void expectPage(uint64_t *page, uint64_t index, uint64_t version) {
  uint64_t v;
  if (classOf(index) != CLASS_PARTIAL) {
    writePage(page, index, version);
    return;
  }
  writePage(page, index, 1);
  for (v = version > BLOCKS + 1 ? version - BLOCKS + 1 : 2; v <= version; v++) writeBlock(page, index, v);
  head(page, index, version);
}

static uint64_t nextPage(void) {
  if (pattern == SEQUENTIAL) return choice++ % pages;
  NEXT(choice);
  if (pattern == HOT_SET) {
    uint64_t hot = pages / 10 > 0 ? pages / 10 : 1;
    if (hot == pages || (choice >> 40) % 10 < 9) return (choice & 0xffffffff) % hot;
    return hot + (choice & 0xffffffff) % (pages - hot);
  }
  return (choice & 0xffffffff) % pages;
}

static void writeOne(void) {
  uint64_t index = nextPage();
  versions[index]++;
  writePage(set + index * WORDS, index, versions[index]);
  writes++;
}

static int verify(char *answer, size_t size) {
  static uint64_t expected[WORDS];
  uint64_t index, bad = 0, sum = 0xcbf29ce484222325ULL;
  long long firstBad = -1;
  int i;
  for (index = 0; index < pages; index++) {
    uint64_t *page = set + index * WORDS;
    expectPage(expected, index, versions[index]);
    if (memcmp(page, expected, PAGE) != 0) {
      if (bad++ == 0) firstBad = (long long)index;
    }
    for (i = 0; i < WORDS; i++) sum = ((sum << 5 | sum >> 59) ^ page[i]) * 0x100000001b3ULL;
  }
  if (firstBad < 0)
    return snprintf(answer, size, "{\"pages\":%llu,\"bad\":0,\"firstBad\":null,\"checksum\":\"%016llx\"}\n",
                    (unsigned long long)pages, (unsigned long long)sum);
  return snprintf(answer, size, "{\"pages\":%llu,\"bad\":%llu,\"firstBad\":%lld,\"checksum\":\"%016llx\"}\n",
                  (unsigned long long)pages, (unsigned long long)bad, firstBad, (unsigned long long)sum);
}

/* ---- rate by deadline */

static uint64_t paceStartNs, paceWrites;

static void restartPace(void) {
  paceStartNs = clockNs(CLOCK_MONOTONIC);
  paceWrites = 0;
}

static uint64_t dueWrites(uint64_t now) {
  return (uint64_t)((double)(now - paceStartNs) * (double)rateBytes / ((double)NS_PER_S * PAGE));
}

/* Returns when the next writes are due. */
static uint64_t writeWhatIsDue(void) {
  uint64_t now = clockNs(CLOCK_MONOTONIC), due, debt;
  int batch;
  if (paused || rateBytes == 0) return now + 100 * TICK_NS;
  due = dueWrites(now);
  for (batch = 0; paceWrites < due && batch < BATCH_PAGES; batch++) {
    writeOne();
    paceWrites++;
  }
  if (paceWrites >= due) return now + TICK_NS;
  debt = (due - paceWrites) * PAGE * (NS_PER_S / 1000) / (rateBytes / 1000 + 1);
  if (debt > DEBT_NS) {
    stalls++;
    restartPace();
  }
  return now;
}

/* ---- control */

static double measuredMiBs;

static void measure(void) {
  static uint64_t fromNs, fromWrites;
  uint64_t now = clockNs(CLOCK_MONOTONIC);
  if (now - fromNs < RATE_WINDOW_NS) return;
  if (fromNs != 0)
    measuredMiBs = (double)(writes - fromWrites) * PAGE / 1048576.0 / ((double)(now - fromNs) / (double)NS_PER_S);
  fromNs = now;
  fromWrites = writes;
}

static int answerTo(char *line, char *answer, size_t size) {
  if (strcmp(line, "stats") == 0)
    return snprintf(answer, size,
                    "{\"pages\":%llu,\"writes\":%llu,\"rateMiBs\":%.2f,\"targetMiBs\":%.2f,\"paused\":%s,"
                    "\"stalls\":%llu,\"pattern\":\"%s\",\"content\":\"%s\"}\n",
                    (unsigned long long)pages, (unsigned long long)writes, measuredMiBs,
                    (double)rateBytes / 1048576.0, paused ? "true" : "false", (unsigned long long)stalls,
                    patterns[pattern], contents[content]);
  if (strcmp(line, "verify") == 0) {
    int length = verify(answer, size);
    restartPace();
    return length;
  }
  if (strcmp(line, "pause") == 0) {
    paused = 1;
    return snprintf(answer, size, "{\"paused\":true}\n");
  }
  if (strcmp(line, "resume") == 0) {
    paused = 0;
    restartPace();
    return snprintf(answer, size, "{\"paused\":false}\n");
  }
  if (strncmp(line, "rate ", 5) == 0) {
    char *end;
    double mib = strtod(line + 5, &end);
    if (*end == 0 && end != line + 5 && mib >= 0 && mib < 1048576.0) {
      rateBytes = (uint64_t)(mib * 1048576.0);
      restartPace();
      return snprintf(answer, size, "{\"targetMiBs\":%.2f}\n", mib);
    }
  }
  if (strncmp(line, "corrupt ", 8) == 0) {
    uint64_t index = strtoull(line + 8, NULL, 10);
    if (index < pages) {
      set[index * WORDS + WORDS / 2] ^= 1ULL << 17;
      return snprintf(answer, size, "{\"corrupted\":%llu}\n", (unsigned long long)index);
    }
  }
  return snprintf(answer, size, "{\"error\":\"stats, verify, pause, resume, rate MIB, corrupt PAGE\"}\n");
}

struct Client {
  char line[LINE];
  int length;
};

static struct pollfd sockets[CLIENTS + 1];
static struct Client clients[CLIENTS + 1];

static void hangUp(int i) {
  close(sockets[i].fd);
  sockets[i].fd = -1; /* poll passes over it */
}

static void acceptClient(void) {
  int i, fd = accept(sockets[0].fd, NULL, NULL);
  if (fd < 0) return;
  for (i = 1; i <= CLIENTS; i++) {
    if (sockets[i].fd >= 0) continue;
    sockets[i].fd = fd;
    sockets[i].events = POLLIN;
    clients[i].length = 0;
    return;
  }
  close(fd);
}

static void hear(int i) {
  struct Client *client = &clients[i];
  char answer[512], *end;
  ssize_t got = recv(sockets[i].fd, client->line + client->length, (size_t)(LINE - 1 - client->length), 0);
  if (got <= 0) {
    hangUp(i);
    return;
  }
  client->length += (int)got;
  client->line[client->length] = 0;
  while ((end = strchr(client->line, '\n')) != NULL) {
    int length;
    *end = 0;
    if (end > client->line && end[-1] == '\r') end[-1] = 0;
    length = answerTo(client->line, answer, sizeof answer);
    if (send(sockets[i].fd, answer, (size_t)length, MSG_NOSIGNAL) != length) {
      hangUp(i);
      return;
    }
    client->length -= (int)(end + 1 - client->line);
    memmove(client->line, end + 1, (size_t)client->length + 1);
  }
  if (client->length >= LINE - 1) hangUp(i);
}

static void serveUntil(uint64_t deadline) {
  uint64_t now = clockNs(CLOCK_MONOTONIC);
  struct timespec wait = {0, 0};
  int i;
  if (deadline > now) wait.tv_nsec = (long)(deadline - now);
  if (ppoll(sockets, CLIENTS + 1, &wait, NULL) <= 0) return;
  if (sockets[0].revents) acceptClient();
  for (i = 1; i <= CLIENTS; i++) {
    if (sockets[i].fd >= 0 && sockets[i].revents) hear(i);
  }
}

static int oneOf(const char **names, const char *name) {
  int i;
  for (i = 0; names[i] != NULL; i++) {
    if (strcmp(names[i], name) == 0) return i;
  }
  fprintf(stderr, "writer: unknown word %s\n", name);
  exit(2);
}

static void *memory(size_t bytes) {
  void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (p == MAP_FAILED) fail("mmap");
  return p;
}

int main(int argc, char **argv) {
  uint64_t index;
  int i;
  if (argc != 7) return 2;
  pages = strtoull(argv[2], NULL, 10) / PAGE;
  rateBytes = strtoull(argv[3], NULL, 10);
  pattern = oneOf(patterns, argv[4]);
  content = oneOf(contents, argv[5]);
  seed = strtoull(argv[6], NULL, 10);
  if (pages == 0) return 2;
  makeVocabulary();
  set = memory(pages * PAGE);
  versions = memory(pages * sizeof *versions);
  for (index = 0; index < pages; index++) {
    versions[index] = 1;
    writePage(set + index * WORDS, index, 1);
  }
  choice = pattern == SEQUENTIAL ? 0 : mix(seed) | 1;
  for (i = 0; i <= CLIENTS; i++) sockets[i].fd = -1;
  sockets[0].fd = boundSocket(SOCK_STREAM, atoi(argv[1]));
  sockets[0].events = POLLIN;
  if (listen(sockets[0].fd, CLIENTS) < 0) fail("listen");
  toBackground();
  restartPace();
  for (;;) {
    serveUntil(writeWhatIsDue());
    measure();
  }
}
