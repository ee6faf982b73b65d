/* First process of a node and of a pod's sandbox: waits, reaps children, ends on SIGTERM and SIGINT. */
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static void finish(int signal) {
  (void)signal;
  _exit(0);
}

static void reap(int signal) {
  (void)signal;
  while (waitpid(-1, NULL, WNOHANG) > 0) {
  }
}

int main(void) {
  struct sigaction action = {.sa_handler = reap, .sa_flags = SA_NOCLDSTOP};
  sigaction(SIGCHLD, &action, NULL);
  action.sa_handler = finish;
  sigaction(SIGTERM, &action, NULL);
  sigaction(SIGINT, &action, NULL);
  reap(0); /* children that ended before the handler was set */
  for (;;) pause();
}
