/* A SIP and RTP peer that measures: answers calls, plays and counts G.711, and logs the time of every message.
 *
 *   peer ADDRESS PORT LOG HOLD_MS silent|media
 *
 * Arrival times are the kernel's (SO_TIMESTAMPNS), sending times are read just before sendto(). Lines of the log are
 * `NANOSECONDS EVENT LEG CALL`. It takes commands on its standard input, each answered by one line, and ends with it:
 * `counters` (JSON), `reset` (empties the histograms), `hang-up` (leg 2 of every call).
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include "peer.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define DATAGRAM 8192
#define PACKET_TICKS 20      /* a stream sends once in so many ticks of 1 ms */
#define MOST_TICKS 100       /* that are made up for after this process did not run */
#define SILENT_TICK_MS 5
#define HANG_UP_EVERY_MS 5   /* a hundred BYEs in one go would measure only themselves */

/* What an epoll event is of; smaller numbers are the RTP sockets of the legs, plus one. */
enum { SIP = 1 << 20, RTCP, TIMER, COMMANDS };

struct counters counters;
const char *own_address;
int rtcp_port;
int64_t hold_ms;

static struct leg legs[2 * CALLS];
static struct leg *used[2 * CALLS];
static int used_count;
static int sockets[3], poller;
static FILE *event_log;
static int media;

uint64_t now_ns(void)
{
    struct timespec time;
    clock_gettime(CLOCK_REALTIME, &time);
    return (uint64_t)time.tv_sec * SECOND_NS + (uint64_t)time.tv_nsec;
}

void note_call(uint64_t at, const char *event, int side, unsigned call)
{
    fprintf(event_log, "%" PRIu64 " %s %d %u\n", at, event, side + 1, call);
}

void note(uint64_t at, const char *event, const struct leg *leg) { note_call(at, event, leg->side, leg->call); }

void watch(int descriptor, uint64_t what)
{
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = what};
    epoll_ctl(poller, EPOLL_CTL_ADD, descriptor, &event);
}

struct leg *leg_at(unsigned call, int side) { return &legs[2 * (call % CALLS) + (unsigned)side]; }

/* Make a leg new; the sockets of those that are over are closed by the next tick. */
void leg_use(struct leg *leg)
{
    int index = (int)(leg - legs), listed = leg->state == OVER;
    media_close(leg);
    memset(leg, 0, sizeof *leg);
    leg->index = index;
    leg->side = index % 2;
    if (!listed)
        used[used_count++] = leg;
}

static void tick(unsigned number)
{
    uint64_t now = now_ns();
    for (int i = used_count - 1; i >= 0; i--) {
        struct leg *leg = used[i];
        if (leg->state == OVER) {
            media_close(leg);
            leg->state = FREE;
            used[i] = used[--used_count];
        } else {
            sip_tick(leg, now);
            int is_due = (unsigned)leg->index % PACKET_TICKS == number % PACKET_TICKS;
            if (media && leg->state == UP && leg->has_remote && is_due)
                media_send(leg);
        }
    }
}

static void hang_up_all(void)
{
    uint64_t at = now_ns();
    for (int i = 0; i < used_count; i++)
        if (used[i]->side == 1 && used[i]->state == UP)
            used[i]->hang_up_at = at += HANG_UP_EVERY_MS * MILLISECOND_NS;
}

static void print_histogram(const char *name, const uint32_t *histogram)
{
    const char *comma = "";
    printf(", \"%s\": [", name);
    for (int i = 0; i < BINS; i++)
        if (histogram[i]) {
            printf("%s[%d, %" PRIu32 "]", comma, i, histogram[i]);
            comma = ", ";
        }
    printf("]");
}

static void print_counters(void)
{
    int up = 0, reported = 0, reported_lost = 0;
    for (int i = 0; i < used_count; i++) {
        up += used[i]->state == UP;
        reported += used[i]->state == UP && used[i]->reported;
        reported_lost += used[i]->state == UP ? used[i]->reported_lost : 0;
    }
    const struct {
        const char *name;
        uint64_t count;
    } counts[] = {
        {"invites", counters.invites},
        {"invites_again", counters.invites_again},
        {"answers_again", counters.answers_again},
        {"acks", counters.acks},
        {"byes_sent", counters.byes_sent},
        {"byes_again", counters.byes_again},
        {"byes_answered", counters.byes_answered},
        {"byes_received", counters.byes_received},
        {"refused", counters.refused},
        {"rtp_sent", counters.rtp_sent},
        {"rtp_unsent", counters.rtp_unsent},
        {"rtp_received", counters.rtp_received},
        {"rtp_duplicates", counters.rtp_duplicates},
    };
    printf("{\"at_ns\": %" PRIu64 ", \"legs_up\": %d", now_ns(), up);
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++)
        printf(", \"%s\": %" PRIu64, counts[i].name, counts[i].count);
    printf(", \"rtp_lost\": %" PRId64 ", \"legs_reported\": %d, \"reported_lost\": %d", counters.rtp_lost, reported,
           reported_lost);
    print_histogram("jitter", counters.jitter);
    print_histogram("delay", counters.delay);
    printf("}\n");
}

/* Take commands; false at the end of the input. */
static int take_commands(void)
{
    char commands[256];
    ssize_t length = read(STDIN_FILENO, commands, sizeof commands - 1);
    if (length <= 0)
        return 0;
    commands[length] = 0;
    for (char *rest = commands, *command; (command = strsep(&rest, "\n")) && rest;) {
        if (!strcmp(command, "counters")) {
            print_counters();
        } else {
            if (!strcmp(command, "reset")) {
                memset(counters.jitter, 0, sizeof counters.jitter);
                memset(counters.delay, 0, sizeof counters.delay);
            } else if (!strcmp(command, "hang-up")) {
                hang_up_all();
            }
            printf("{}\n");
        }
    }
    /* The log first: whoever has read the answer reads the log next. */
    fflush(event_log);
    fflush(stdout);
    return 1;
}

/* Read one datagram and the time when the kernel took it; its length, or -1 when there is none. */
static int receive(int descriptor, char *into, struct sockaddr_in *from, uint64_t *at)
{
    char control[64];
    struct iovec part = {into, DATAGRAM - 1};
    struct msghdr message = {.msg_name = from, .msg_namelen = sizeof *from, .msg_iov = &part, .msg_iovlen = 1,
                             .msg_control = control, .msg_controllen = sizeof control};
    ssize_t length = recvmsg(descriptor, &message, MSG_DONTWAIT);
    if (length < 0)
        return -1;
    into[length] = 0;
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    if (header && header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_TIMESTAMPNS) {
        struct timespec time;
        memcpy(&time, CMSG_DATA(header), sizeof time);
        *at = (uint64_t)time.tv_sec * SECOND_NS + (uint64_t)time.tv_nsec;
    } else {
        *at = now_ns();
    }
    return (int)length;
}

static void serve(uint64_t what)
{
    static char datagram[DATAGRAM];
    static unsigned ticks;
    struct sockaddr_in from;
    uint64_t at, expired;
    int length;
    if (what == TIMER) {
        if (read(sockets[2], &expired, sizeof expired) == (ssize_t)sizeof expired)
            for (expired = expired < MOST_TICKS ? expired : MOST_TICKS; expired; expired--)
                tick(ticks++);
    } else if (what == SIP) {
        while ((length = receive(sockets[0], datagram, &from, &at)) >= 0)
            sip_receive(datagram, &from, at);
    } else if (what == RTCP) {
        while ((length = receive(sockets[1], datagram, &from, &at)) >= 0)
            media_report((unsigned char *)datagram, length);
    } else {
        struct leg *leg = &legs[what - 1];
        if (leg->rtp && (length = receive(leg->rtp, datagram, &from, &at)) >= 0)
            media_receive(leg, &legs[(what - 1) ^ 1], (unsigned char *)datagram, length, at);
    }
}

static int open_socket(int port, uint64_t what)
{
    struct sockaddr_in own = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    int on = 1, buffer = 4 << 20, descriptor = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    inet_aton(own_address, &own.sin_addr);
    if (descriptor < 0 || bind(descriptor, (struct sockaddr *)&own, sizeof own) < 0) {
        fprintf(stderr, "peer: %s:%d: %m\n", own_address, port);
        exit(1);
    }
    setsockopt(descriptor, SOL_SOCKET, SO_RCVBUF, &buffer, sizeof buffer);
    setsockopt(descriptor, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof on);
    watch(descriptor, what);
    return descriptor;
}

static void start(char **arguments)
{
    struct rlimit files;
    struct sockaddr_in own;
    socklen_t size = sizeof own;
    own_address = arguments[1];
    event_log = fopen(arguments[3], "w");
    hold_ms = atoll(arguments[4]);
    media = !strcmp(arguments[5], "media");
    if (!event_log) {
        perror(arguments[3]);
        exit(1);
    }
    setvbuf(event_log, NULL, _IOFBF, 1 << 20);
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    poller = epoll_create1(0);
    sockets[0] = open_socket(atoi(arguments[2]), SIP);
    sip_start(sockets[0], atoi(arguments[2]));
    sockets[1] = open_socket(0, RTCP);
    getsockname(sockets[1], (struct sockaddr *)&own, &size);
    rtcp_port = ntohs(own.sin_port);
    sockets[2] = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
    struct timespec every = {.tv_nsec = (media ? 1 : SILENT_TICK_MS) * (long)MILLISECOND_NS};
    struct itimerspec timer = {every, every};
    timerfd_settime(sockets[2], 0, &timer, NULL);
    watch(sockets[2], TIMER);
    watch(STDIN_FILENO, COMMANDS);
}

int main(int count, char **arguments)
{
    struct epoll_event events[256];
    if (count != 6) {
        fprintf(stderr, "usage: peer ADDRESS PORT LOG HOLD_MS silent|media\n");
        return 2;
    }
    start(arguments);
    for (;;) {
        int ready = epoll_wait(poller, events, 256, -1);
        for (int i = 0; i < ready; i++) {
            if (events[i].data.u64 == COMMANDS) {
                if (!take_commands()) {
                    fclose(event_log);
                    return 0;
                }
            } else {
                serve(events[i].data.u64);
            }
        }
    }
}
