package engine

import (
	"context"
	"fmt"
	"os"
	"strconv"

	"skein/internal/listen"
)

// openSockets gives the engine its sockets: those of the process that it replaces, or none yet.
func (e *Engine) openSockets() error {
	if e.o.Elder == "" {
		e.sockets = listen.NewSet()
		return nil
	}
	fd, err := strconv.Atoi(e.o.Elder)
	if err != nil || fd < elderFD {
		return fmt.Errorf("%s=%q is not a descriptor\nhint: unset it", ElderVariable, e.o.Elder)
	}
	e.sockets, e.elder, err = listen.Inherit(fd)
	return err
}

// closeSockets gives back what was inherited, after a start that failed.
func (e *Engine) closeSockets() {
	e.sockets.Discard()
	if e.elder != nil {
		e.elder.Close()
	}
}

// takeOver waits for the elder to let go, and begins to accept. It returns false if ctx ended before.
func (e *Engine) takeOver(ctx context.Context) bool {
	if e.elder == nil {
		e.serving.Store(true)
		return true
	}
	if e.parts.warm(ctx) != nil {
		return false
	}
	// An elder that has died cannot be told. Somebody has to serve all the same.
	if err := e.elder.Ready(); err != nil {
		e.log.Warn("the process that is to be replaced has died", "error", err)
	}
	if e.elder.Wait(ctx) != nil {
		return false
	}
	if err := e.parts.thaw(); err != nil {
		e.log.Error("what the elder kept was not read again: it is as it was a moment ago", "error", err)
	}
	e.serving.Store(true) // before anybody can ask
	e.sockets.Begin()
	return true
}

// ready is what systemd is told when this process serves. The process that it replaces was the main one until now.
func (e *Engine) ready() string {
	if e.elder == nil {
		return "READY=1"
	}
	return fmt.Sprintf("MAINPID=%d\nREADY=1", os.Getpid())
}
