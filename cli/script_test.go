package cli

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"skein/admin"
	"skein/test/harness"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"skein": func() {
			ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
			context.AfterFunc(ctx, stop)
			os.Exit(Run(ctx, System(), os.Args[1:]))
		},
		"fetch": fetch,
	})
}

// fetch prints the status and the body of a URL.
func fetch() {
	resp, err := (&http.Client{Timeout: 10 * time.Second}).Get(os.Args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	defer resp.Body.Close()
	fmt.Println(resp.StatusCode)
	_, _ = io.Copy(os.Stdout, resp.Body)
}

// TestScripts runs test/scripts. Each script has three origins at $ORIGIN1 to $ORIGIN3 that answer with their number, free
// addresses $LISTEN1 to $LISTEN3, and a socket of its own.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "../test/scripts",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		UpdateScripts:       os.Getenv("UPDATE") != "",
		Setup:               func(e *testscript.Env) error { return setup(t, e) },
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"serving":  says("skein serves", func(s admin.Status) bool { return s.State == "serving" }),
			"stopping": says("skein stops", func(s admin.Status) bool { return s.State == "stopping" }),
			"busy":     says("skein answers a request", func(s admin.Status) bool { return s.State == "serving" && s.Traffic.Active > 0 }),
			"await":    await,
			"envsubst": envsubst,
			"signal":   send,
			"appears":  appears,
		},
	})
}

func setup(t *testing.T, e *testscript.Env) error {
	// Not the script's directory: its path may be longer than a unix socket's.
	dir, err := os.MkdirTemp("", "skein")
	if err != nil {
		return err
	}
	e.Defer(func() { os.RemoveAll(dir) })
	e.Setenv("SKEIN_SOCKET", filepath.Join(dir, "s"))
	e.Setenv("USER", "ann")
	e.Setenv("GORACE", "atexit_sleep_ms=0") // else each command takes a second longer
	for i := 1; i <= 3; i++ {
		origin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			switch r.URL.Path {
			case "/slow": // long enough for a script to look at it
				select {
				case <-time.After(2 * time.Second):
				case <-r.Context().Done():
				}
			case "/endless":
				<-r.Context().Done()
			}
			fmt.Fprintf(w, "origin %d %s\n", i, r.URL.Path)
		}))
		e.Defer(origin.Close)
		e.Setenv(fmt.Sprintf("ORIGIN%d", i), origin.Listener.Addr().String())
		e.Setenv(fmt.Sprintf("LISTEN%d", i), harness.FreeAddr(t))
	}
	return nil
}

// says waits until the status of the skein at $SKEIN_SOCKET is so.
func says(what string, so func(admin.Status) bool) func(*testscript.TestScript, bool, []string) {
	return func(ts *testscript.TestScript, neg bool, _ []string) {
		c := admin.NewClient(ts.Getenv("SKEIN_SOCKET"))
		eventually(ts, neg, what, func() bool {
			s, err := c.Status(context.Background())
			return err == nil && so(s)
		})
	}
}

// await waits until a member has a state: await ADDRESS STATE.
func await(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: await ADDRESS STATE")
	}
	c := admin.NewClient(ts.Getenv("SKEIN_SOCKET"))
	eventually(ts, neg, strings.Join(args, " "), func() bool {
		s, err := c.Status(context.Background())
		if err != nil {
			return false
		}
		for _, p := range s.Pools {
			for _, m := range p.Members {
				if m.Address == args[0] && m.State == args[1] {
					return true
				}
			}
		}
		return false
	})
}

func eventually(ts *testscript.TestScript, neg bool, what string, f func() bool) {
	if neg {
		ts.Fatalf("it has no negation")
	}
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if f() {
			return
		}
	}
	ts.Fatalf("timed out: %s", what)
}

// envsubst puts the environment into files.
func envsubst(ts *testscript.TestScript, neg bool, args []string) {
	for _, f := range args {
		f = ts.MkAbs(f)
		b, err := os.ReadFile(f)
		ts.Check(err)
		ts.Check(os.WriteFile(f, []byte(os.Expand(string(b), ts.Getenv)), 0o600))
	}
}

// send sends a signal to the background command that was started last: signal HUP.
func send(ts *testscript.TestScript, neg bool, args []string) {
	signals := map[string]syscall.Signal{"HUP": syscall.SIGHUP, "USR1": syscall.SIGUSR1, "TERM": syscall.SIGTERM}
	running := ts.BackgroundCmds()
	if len(args) != 1 || signals[args[0]] == 0 || len(running) == 0 {
		ts.Fatalf("usage: signal HUP|USR1|TERM, with a command in the background")
	}
	ts.Check(running[len(running)-1].Process.Signal(signals[args[0]]))
}

// appears waits until a file exists.
func appears(ts *testscript.TestScript, neg bool, args []string) {
	eventually(ts, neg, "file "+args[0], func() bool {
		_, err := os.Stat(ts.MkAbs(args[0]))
		return err == nil
	})
}
