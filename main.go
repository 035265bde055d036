// Skein runs one website on many machines: one program, one file. See README.md; the tree is explained in ARCHITECTURE.md.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"skein/cli"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	// The first signal asks for an orderly end. From then on the signals have their default meaning again, so that the
	// second one ends the process at once.
	context.AfterFunc(ctx, stop)
	code := cli.Run(ctx, cli.System(), os.Args[1:])
	stop()
	os.Exit(code)
}
