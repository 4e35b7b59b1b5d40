/* The program inside the containers of the tests: it shows what it sees. Linked
 * statically, so that a rootfs needs nothing but this one file. */
#include <arpa/inet.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static void ended(int signal) {
    // Not by stdio: the signal may come while that writes out its buffer, which would come twice.
    char line[32];
    int length = snprintf(line, sizeof line, "signal %d\n", signal);
    if (write(STDOUT_FILENO, line, length) != length) _exit(1);
    _exit(40 + signal);
}

static int cat(const char *path) {
    char buffer[65536];
    ssize_t got;
    int file = strcmp(path, "-") == 0 ? 0 : open(path, O_RDONLY);
    if (file < 0) {
        perror(path);
        return 1;
    }
    while ((got = read(file, buffer, sizeof buffer)) > 0)
        if (write(1, buffer, got) != got)
            return 1;
    return 0;
}

static int local(const char *port, int (*use)(int, const struct sockaddr *, socklen_t)) {
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(atoi(port))};
    int one = 1, file = socket(AF_INET, SOCK_STREAM, 0);
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(file, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    return use(file, (struct sockaddr *)&at, sizeof at) == 0 ? file : -1;
}

/* Answers every connection with a word, until it is asked to end. */
static int answer(int listener, const char *word) {
    signal(SIGTERM, ended);
    puts("ready");
    fflush(stdout);
    for (;;) {
        int client = accept(listener, NULL, NULL);
        if (client < 0 || write(client, word, strlen(word)) < 0)
            return 1;
        close(client);
    }
}

int main(int count, char **words) {
    const char *verb = count > 1 ? words[1] : "";
    if (strcmp(verb, "cat") == 0) {
        int failed = 0;
        for (int at = 2; at < count; at++)
            failed |= cat(words[at]);
        return failed;
    }
    if (strcmp(verb, "exit") == 0)
        return atoi(words[2]);
    if (strcmp(verb, "cwd") == 0)
        return puts(getcwd(NULL, 0)) < 0;
    if (strcmp(verb, "stat") == 0) {
        struct stat found;
        for (int at = 2; at < count; at++)
            if (stat(words[at], &found) == 0)
                printf("%s %o %d:%d\n", words[at], found.st_mode, found.st_uid, found.st_gid);
            else
                printf("%s absent\n", words[at]);
        return 0;
    }
    if (strcmp(verb, "write") == 0) {
        int file = open(words[2], O_WRONLY | O_CREAT | O_TRUNC, 0644);
        if (file < 0 || write(file, "x", 1) != 1) {
            perror(words[2]);
            return 1;
        }
        return 0;
    }
    if (strcmp(verb, "append") == 0) {
        FILE *file = fopen(words[2], "a");
        return file == NULL || fprintf(file, "%s %d\n", words[3], getuid()) < 0 || fclose(file) != 0;
    }
    if (strcmp(verb, "serve") == 0) {
        int listener = local(words[2], bind);
        return listener < 0 || listen(listener, 9) != 0 || answer(listener, words[3]);
    }
    if (strcmp(verb, "inherit") == 0) {
        /* A socket that was handed over (sd_listen_fds(3)). */
        const char *pid = getenv("LISTEN_PID"), *count = getenv("LISTEN_FDS");
        if (pid == NULL || atoi(pid) != getpid() || count == NULL || atoi(count) != 1)
            return 2;
        return listen(3, 9) != 0 || answer(3, getenv("LISTEN_FDNAMES"));
    }
    if (strcmp(verb, "ask") == 0) {
        for (int times = 0; times < 500; times++) {
            int server = local(words[2], connect);
            char buffer[256];
            ssize_t got = server < 0 ? 0 : read(server, buffer, sizeof buffer);
            if (got > 0)
                return write(1, buffer, got) != got || puts("") < 0;
            usleep(20000);
        }
        return 1;
    }
    if (strcmp(verb, "nest") == 0) {
        /* A folder of this user's own, and something in it. */
        if (mkdir(words[2], 0700) != 0 || chdir(words[2]) != 0 || mkdir("inner", 0700) != 0) {
            perror(words[2]);
            return 1;
        }
        return 0;
    }
    if (strcmp(verb, "mount") == 0) {
        if (mount("none", "/", "tmpfs", 0, "") == 0)
            return 0;
        perror("mount");
        return 1;
    }
    if (strcmp(verb, "eat") == 0) {
        if (count > 3)
            sleep(atoi(words[3]));
        size_t bytes = (size_t)atoi(words[2]) << 20;
        char *memory = malloc(bytes);
        if (memory == NULL)
            return 1;
        memset(memory, 1, bytes);
        return memory[bytes / 2] != 1;
    }
    if (strcmp(verb, "sync") == 0) {
        sync();
        return 0;
    }
    if (strcmp(verb, "tty") == 0)
        return printf("%d %d\n", isatty(0), isatty(1)) < 0;
    if (strcmp(verb, "trap") == 0 || strcmp(verb, "wait") == 0) {
        if (strcmp(verb, "trap") == 0) {
            signal(SIGTERM, ended);
            signal(SIGINT, ended);
            signal(SIGUSR1, ended);
        }
        puts("ready");
        fflush(stdout);
        for (;;)
            pause();
    }
    fprintf(stderr, "probe: no such verb: %s\n", verb);
    return 99;
}
