package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"syscall"
)

// Client talks to a running skein through its socket.
type Client struct {
	socket string
	http   http.Client
}

// NewClient returns a Client of the socket at path. It connects when it is asked something.
func NewClient(path string) *Client {
	c := &Client{socket: path}
	c.http.Transport = &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", path)
		},
	}
	return c
}

// Error is what skein answered instead of doing what it was asked.
type Error struct {
	Status int
	Failure
}

func (e *Error) Error() string { return e.Failure.Error }

// Status asks for the state of the node.
func (c *Client) Status(ctx context.Context) (s Status, err error) {
	return s, c.do(ctx, http.MethodGet, "/api/v1/status", nil, &s)
}

// Drain drains.
func (c *Client) Drain(ctx context.Context, q DrainRequest) (a DrainAnswer, err error) {
	return a, c.do(ctx, http.MethodPost, "/api/v1/drain", q, &a)
}

// Ready ends drains.
func (c *Client) Ready(ctx context.Context, q ReadyRequest) (a DrainAnswer, err error) {
	return a, c.do(ctx, http.MethodPost, "/api/v1/ready", q, &a)
}

// Reload makes skein read its configuration again.
func (c *Client) Reload(ctx context.Context) (r Reload, err error) {
	return r, c.do(ctx, http.MethodPost, "/api/v1/reload", struct{}{}, &r)
}

func (c *Client) do(ctx context.Context, method, path string, in, out any) error {
	var body io.Reader
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return err
		}
		body = bytes.NewReader(b)
	}
	// The host is never looked up; the socket is.
	r, err := http.NewRequestWithContext(ctx, method, "http://skein"+path, body)
	if err != nil {
		return err
	}
	if in != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	resp, err := c.http.Do(r)
	if err != nil {
		return c.explain(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		e := &Error{Status: resp.StatusCode}
		if json.NewDecoder(resp.Body).Decode(&e.Failure) != nil || e.Failure.Error == "" {
			e.Failure.Error = "skein answered " + resp.Status
		}
		return e
	}
	if err := json.NewDecoder(resp.Body).Decode(out); err != nil {
		return fmt.Errorf("read the answer of %s: %w", c.socket, err)
	}
	return nil
}

// explain says what an error of the connection means to whoever typed a command.
func (c *Client) explain(err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("skein is not running: nobody answers on %s\nhint: start it with skein run FILE, or name its socket with --socket", c.socket)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("socket %s: permission denied\nhint: it may be opened by root and by the group that owns it", c.socket)
	}
	return fmt.Errorf("socket %s: %w", c.socket, err)
}
