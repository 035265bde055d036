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
	ctx, cancel := context.WithCancel(context.Background())
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	go func() {
		<-signals
		// The first signal asks for an orderly end. From then on the signals have their default meaning again, before anybody
		// can see that the end has begun: the second one ends the process at once.
		signal.Stop(signals)
		cancel()
	}()
	code := cli.Run(ctx, cli.System(), os.Args[1:])
	os.Exit(code)
}
